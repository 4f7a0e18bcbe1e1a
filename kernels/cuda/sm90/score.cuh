/* score.cuh - q k^T on Hopper and what is made of it without values: row log-sum-exps,
 * and probabilities summed over blocks and over heads (the oracle's mass).
 */
#ifndef SPS_KERNELS_CUDA_SM90_SCORE_CUH
#define SPS_KERNELS_CUDA_SM90_SCORE_CUH

#include "kernels/cuda/score_tile.cuh"
#include "kernels/cuda/sm90/hopper.cuh"
#include "kernels/cuda/sm90/score.h"
#include "kernels/cuda/sm90/softmax.cuh"
#include "kernels/cuda/sm90/tile.cuh"

enum { SCORE_WGS = SCORE_ROWS / 64 };

template <int DK> struct score90_shape {
    static constexpr int stages = 4, threads = SCORE_WGS * 128 + 128;
    static constexpr int q_bytes = SCORE_ROWS * DK * 2, k_bytes = SCORE_KEYS * DK * 2;
    static constexpr int k = 2 * q_bytes, barriers = k + stages * k_bytes;
    static constexpr int row_places = barriers + 256;
    static constexpr int tile_reads =
        row_places + SCORE_ROWS * (int)sizeof(struct row_place);
    static constexpr int bytes =
        tile_reads + SCORE_WGS * 4 * (int)sizeof(struct tile_reads);
};

/* Queries two tiles ahead, keys four stages; tile numbers beside the queries. */
struct score90_rings {
    struct ring<2> q;
    struct ring<4> k;
    uint32_t number; /* -1: no more */
};

#ifdef SPS_SM90A
SPS_DEVICE int score90_steps(const struct score_args *a, const struct row_tile *tile)
{
    int pos = geometry_pos(&a->at, &tile->seq, tile->token + tile->count - 1);

    return (geometry_visible(&a->at, &tile->seq, pos) + SCORE_KEYS - 1) / SCORE_KEYS;
}

/* One thread: draw tiles and load what they read. */
template <int DK>
SPS_DEVICE void score90_load(const struct score_args *a, const struct score90_maps *maps,
                             uint32_t shared, struct score90_rings r)
{
    using S = score90_shape<DK>;
    int total = a->at.tiles * a->groups, number = blockIdx.x;

    for (; number < total; number = draw_tile(&maps->counter)) {
        struct row_tile tile = row_tile_of(&a->at, number, a->groups, a->section, a->p);
        int kv = tile.head / (int)(a->h / a->g), steps = score90_steps(a, &tile);

        ring_free(&r.q);
        store_shared(r.number + 4 * r.q.stage, number);
        barrier_expect(ring_full(&r.q), a->p * a->at.tokens * DK * 2);
        tma_load_slabs<DK>(shared + r.q.stage * S::q_bytes, SCORE_ROWS, &maps->q,
                           ring_full(&r.q), tile.head, (int)(tile.seq.row + tile.token),
                           KEEP_NOT);
        ring_next(&r.q);
        for (int i = 0; i < steps; i++, ring_next(&r.k)) {
            ring_begin(&r.k, S::k_bytes);
            tma_load_slabs<DK>(shared + S::k + r.k.stage * S::k_bytes, SCORE_KEYS,
                               &maps->k, ring_full(&r.k), kv,
                               (int)tile.seq.key + i * SCORE_KEYS, KEEP_LONG);
        }
    }
    ring_free(&r.q);
    store_shared(r.number + 4 * r.q.stage, -1);
    barrier_arrive(ring_full(&r.q));
}

/* A thread's two rows on their way through the keys. */
struct score90_rows {
    struct row_pair pair;  /* SCORE_LSE: running maximum and sum */
    float lse[2], sums[2]; /* SCORE_MASS: base 2 and shifted; of the block so far */
    float *out[2];         /* their first block's mass; NULL: not this lane's to write */
};

/* Sum of a block over the quad, then over the p heads of a token; its writer writes. */
SPS_DEVICE void mass90_write(const struct score_args *a, struct score90_rows *rows,
                             int unit)
{
    float x[2];

#pragma unroll
    for (int i = 0; i < 2; i++) {
        x[i] = quad_sum(rows->sums[i]);
        rows->sums[i] = 0;
    }
    if (a->p == 16)
        x[0] += x[1];
    for (int bit = 4; bit < 4 * a->p && bit <= 16; bit *= 2)
#pragma unroll
        for (int i = 0; i < 2; i++)
            x[i] += __shfl_xor_sync(~0u, x[i], bit);
#pragma unroll
    for (int i = 0; i < 2; i++)
        if (rows->out[i] && unit < a->width)
            rows->out[i][unit] = x[i] * P_SCALE;
}

/* Probabilities of 64 x 128 scores into block sums; blocks that end are written. */
SPS_DEVICE void mass90_add(const struct score_args *a, float (&s)[SCORE_KEYS / 2],
                           struct score90_rows *rows, int base)
{
#pragma unroll
    for (int j = 0; j < SCORE_KEYS / 8; j++) {
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int e = 2 * i; e < 2 * i + 2; e++)
                rows->sums[i] += exp2_fast(__fmaf_rn(s[4 * j + e], a->c, -rows->lse[i]));
        int end = base + 8 * (j + 1);
        if (end % a->block == 0)
            mass90_write(a, rows, end / a->block - 1);
    }
}

/* A warpgroup's rows against all keys that the CTA's tile sees. */
template <int DK, typename T, enum score_kind KIND>
SPS_DEVICE void score90_tile(const struct score_args *a, unsigned char *memory,
                             const struct row_tile *tile, int wg, struct score90_rings *r)
{
    using S = score90_shape<DK>;
    uint32_t shared = shared_address(memory);
    uint32_t q = warp_uniform(shared + r->q.stage * S::q_bytes + wg * 64 * 128);
    int lane = threadIdx.x & 31, warp = wg * 4 + ((threadIdx.x >> 5) & 3);
    struct row_place *places = (struct row_place *)(memory + S::row_places) + warp * 16;
    struct tile_reads *reads = (struct tile_reads *)(memory + S::tile_reads) + warp;
    struct score90_rows rows = {{{-INFINITY, -INFINITY}, {0, 0}}, {}, {}, {}};
    int steps = warp_uniform(score90_steps(a, tile)), group = tile->head / a->p;

    place_warp<SCORE_KEYS>(&a->at, a->h, a->p, tile, warp * 16, places, reads);
    for (int i = 0; KIND == SCORE_MASS && i < 2; i++) {
        int row = lane / 4 + 8 * i, out = places[row].out;
        int64_t t = out / a->h - a->at.begin;
        rows.lse[i] = INFINITY;
        if (out >= 0 && a->lse[out] > -INFINITY)
            rows.lse[i] = __fmaf_rn(a->lse[out], 1.4426950408889634f, P_SHIFT);
        if (out >= 0 && (lane & 3) == 0 && row % a->p == 0)
            rows.out[i] = a->out + (t * a->groups + group) * a->width;
    }
#pragma unroll 1
    for (int i = 0; i < steps; i++, ring_next(&r->k)) {
        float s[SCORE_KEYS / 2], factor[2];
        int base = i * SCORE_KEYS;
        ring_wait(&r->k);
        issue_qk<T, DK, SCORE_ROWS, SCORE_KEYS>(s, q,
                                                shared + S::k + r->k.stage * S::k_bytes);
        wgmma_wait<0>();
        hold(s);
        warp_arrive(ring_empty(&r->k));
        if (!reads_all(reads, base)) {
            mask_keys(&a->at, places + lane / 4, s, 0, base);
            mask_keys(&a->at, places + lane / 4 + 8, s, 1, base);
        }
        if (KIND == SCORE_LSE)
            softmax_rows<true>(s, &rows.pair, a->c, factor);
        else
            mass90_add(a, s, &rows, base);
    }
    if (KIND == SCORE_MASS && steps * SCORE_KEYS % a->block != 0)
        mass90_write(a, &rows, steps * SCORE_KEYS / a->block);
    warp_arrive(ring_empty(&r->q));
    ring_next(&r->q);
    for (int i = 0; KIND == SCORE_LSE && i < 2; i++) {
        float sum = quad_sum(rows.pair.l[i]);
        int out = places[lane / 4 + 8 * i].out;
        if (out >= 0 && (lane & 3) == 0)
            a->out[out] = row_lse(rows.pair.m[i], sum);
    }
}
#endif

template <typename T, int DK, enum score_kind KIND>
__global__ void __launch_bounds__(score90_shape<DK>::threads, 1)
    score90_kernel(const __grid_constant__ struct score_args a,
                   const __grid_constant__ struct score90_maps maps)
{
#ifdef SPS_SM90A
    using S = score90_shape<DK>;
    extern __shared__ __align__(1024) unsigned char memory[];
    uint32_t shared = shared_address(memory), at = shared + S::barriers;
    struct score90_rings r = {{at, 0, 0}, {at + 32, 0, 0}, at + 96};
    int wg = warpgroup_index();

    if (threadIdx.x == 0) {
        ring_init<2>(r.q.at, SCORE_WGS * 4);
        ring_init<4>(r.k.at, SCORE_WGS * 4);
        barrier_fence_init();
    }
    __syncthreads();
    if (wg == 0) {
        registers_give<32>();
        if (threadIdx.x == 0)
            score90_load<DK>(&a, &maps, shared, r);
    } else {
        registers_take<160>();
        for (;;) {
            ring_wait(&r.q);
            int number = load_shared(r.number + 4 * r.q.stage);
            if (number < 0)
                break;
            struct row_tile tile = row_tile_of(&a.at, number, a.groups, a.section, a.p);
            score90_tile<DK, T, KIND>(&a, memory, &tile, wg - 1, &r);
        }
    }
#endif
}

template <typename T, int DK, enum score_kind KIND>
static cudaError_t score90_launch(const struct score_args *a,
                                  const struct score90_maps *maps, int grid,
                                  cudaStream_t stream)
{
    using S = score90_shape<DK>;

    static_assert(S::bytes <= SM90_SHARED, "tiles fit into shared memory");
    return sm90_launch(score90_kernel<T, DK, KIND>, grid, S::threads, S::bytes, stream,
                       *a, *maps);
}

template <int DK>
static cudaError_t score90_any(const struct score_args *a,
                               const struct score90_maps *maps, int grid,
                               cudaStream_t stream)
{
    bool sums = a->kind == SCORE_LSE;

    if (a->dtype == SPS_BF16)
        return sums
                   ? score90_launch<__nv_bfloat16, DK, SCORE_LSE>(a, maps, grid, stream)
                   : score90_launch<__nv_bfloat16, DK, SCORE_MASS>(a, maps, grid, stream);
    return sums ? score90_launch<__half, DK, SCORE_LSE>(a, maps, grid, stream)
                : score90_launch<__half, DK, SCORE_MASS>(a, maps, grid, stream);
}

#endif
