/* gate.cuh - MoBA's gate on Hopper (Lu et al. 2025, arXiv 2502.13189, eq. 6): products of
 * queries with block means and the choice of blocks, without scores in memory.
 *
 * A CTA holds 192 rows of queries, tokens times the heads that share means.  One thread
 * loads: queries two tiles ahead, both terms of 64 means a step.  A warpgroup multiplies
 * its 64 rows by wgmma, each 16 columns apart, and offers the scores to lists in
 * registers (best.cuh).  Scores of a row are compared before they are scaled by the row's
 * powers of two, which change no order.
 */
#ifndef SPS_KERNELS_CUDA_SM90_GATE_CUH
#define SPS_KERNELS_CUDA_SM90_GATE_CUH

#include <cfloat>

#include "kernels/cuda/sm90/best.cuh"
#include "kernels/cuda/sm90/gate.h"
#include "kernels/cuda/sm90/terms.cuh"
#include "kernels/cuda/sm90/tile.cuh"

enum { GATE90_WGS = GATE90_ROWS / 64, GATE90_OFFERS = GATE90_KEYS / 4 };

/* Shared memory: two query tiles, a ring of low and high terms of means, what each thread
 * offers to its list, barriers. */
template <int D> struct gate90_shape {
    static constexpr int stages = 2, threads = GATE90_WGS * 128 + 128;
    static constexpr int q_bytes = GATE90_ROWS * D * 2, term = GATE90_KEYS * D * 2;
    static constexpr int k = 2 * q_bytes, offers = k + stages * 2 * term;
    static constexpr int barriers = offers + GATE90_OFFERS * GATE90_WGS * 128 * 8;
    static constexpr int bytes = barriers + 128;
};

struct gate90_rings {
    struct ring<2> q, k;
    uint32_t number; /* of the row tile in q, [2]; -1: no more */
};

SPS_DEVICE int gate90_steps(const struct gate90_args *a, const struct row_tile *tile)
{
    int pos = geometry_pos(&a->at, &tile->seq, tile->token + tile->count - 1);

    return (geometry_blocks(pos, a->choose.block) + GATE90_KEYS - 1) / GATE90_KEYS;
}

#ifdef SPS_SM90A
/* One thread: draw tiles and load what they read. */
template <int D>
SPS_DEVICE void gate90_load(const struct gate90_args *a, const struct gate90_maps *maps,
                            uint32_t shared, struct gate90_rings r)
{
    using S = gate90_shape<D>;
    int total = a->at.tiles * a->groups, number = blockIdx.x;

    for (; number < total; number = draw_tile(&maps->counter)) {
        struct row_tile tile = row_tile_of(&a->at, number, a->groups, a->groups, a->p);
        int kv = tile.head / a->p, steps = gate90_steps(a, &tile);

        ring_free(&r.q);
        store_shared(r.number + 4 * r.q.stage, number);
        barrier_expect(ring_full(&r.q), a->p * a->at.tokens * D * 2);
        tma_load_slabs<D>(shared + r.q.stage * S::q_bytes, GATE90_ROWS, &maps->q,
                          ring_full(&r.q), tile.head, (int)(tile.seq.row + tile.token),
                          KEEP_NOT);
        ring_next(&r.q);
        for (int i = 0; i < steps; i++, ring_next(&r.k)) {
            uint32_t to = shared + S::k + r.k.stage * 2 * S::term;
            int key = (int)tile.seq.key + i * GATE90_KEYS;
            ring_begin(&r.k, 2 * S::term);
            tma_load_slabs<D>(to, GATE90_KEYS, &maps->low, ring_full(&r.k), kv, key,
                              KEEP_LONG);
            tma_load_slabs<D>(to + S::term, GATE90_KEYS, &maps->high, ring_full(&r.k), kv,
                              key, KEEP_LONG);
        }
    }
    ring_free(&r.q);
    store_shared(r.number + 4 * r.q.stage, -1);
    barrier_arrive(ring_full(&r.q));
}

/* s = Q K^T of keys in two terms, `low` and S::term behind it the high ones.  Tensor
 * cores truncate what they add to: each 16 columns, low terms first, are a sum of their
 * own, and rounding adds make one of these. */
template <int D>
SPS_DEVICE void multiply_apart(float (&s)[GATE90_KEYS / 2], uint32_t q, uint32_t low)
{
    uint64_t a = matrix_k(q), b = matrix_k(low),
             c = matrix_k(low + gate90_shape<D>::term);

#pragma unroll
    for (int j = 0; j < GATE90_KEYS / 2; j++)
        s[j] = 0;
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
        float part[GATE90_KEYS / 2];
        int at = (i & 3) * 2, from = at + (i >> 2) * (GATE90_KEYS * 8);
        hold(part);
        wgmma_fence();
        wgmma<__half, GATE90_KEYS>::both(part, a + at + (i >> 2) * (GATE90_ROWS * 8),
                                         b + from, 0);
        wgmma<__half, GATE90_KEYS>::both(part, a + at + (i >> 2) * (GATE90_ROWS * 8),
                                         c + from, 1);
        wgmma_commit();
        wgmma_wait<0>();
        hold(part);
#pragma unroll
        for (int j = 0; j < GATE90_KEYS / 2; j++)
            s[j] += part[j];
    }
}

/* One of a thread's two rows on its way through the blocks. */
template <int K> struct gate90_row {
    struct best<K> best;
    float bound;
    int out, seen, blocks; /* list (-1: none), whole blocks seen, blocks to choose from */
};

/* Row i's scores of blocks `base` on: 0 of a block that is not whole, +inf of one that is
 * always kept, NaN of one that is not there.  A NaN before is told by its list. */
template <int K>
SPS_DEVICE void settle_scores(const struct gate90_args *a,
                              const struct gate90_row<K> *row,
                              float (&s)[GATE90_KEYS / 2], int i, int base)
{
    int first = base + 2 * (threadIdx.x & 3);
    bool bad = false;

#pragma unroll
    for (int j = 0; j < GATE90_OFFERS; j++) {
        float *x = &s[4 * (j >> 1) + 2 * i + (j & 1)];
        int block = first + 8 * (j >> 1) + (j & 1);
        bool forced = block < a->choose.init || block >= row->blocks - a->choose.local;
        *x = block < row->seen ? *x : 0;
        bad |= block < row->blocks && isnan(*x);
        *x = forced ? INFINITY : fminf(*x, FLT_MAX);
        if (block >= row->blocks)
            *x = NAN;
    }
    if (bad && row->out >= 0)
        atomicMin(a->choose.fault, (unsigned long long)row->out);
}

/* Offer row i's scores to the lane's list: those that reach the bound are set aside, then
 * all lanes insert together. */
template <int K>
SPS_DEVICE void offer_scores(struct gate90_row<K> *row, const float (&s)[GATE90_KEYS / 2],
                             int i, int base, float2 *offers)
{
    int first = base + 2 * (threadIdx.x & 3), count = 0;
    float x[GATE90_OFFERS];

#pragma unroll
    for (int j = 0; j < GATE90_OFFERS; j++)
        x[j] = s[4 * (j >> 1) + 2 * i + (j & 1)];
    if (base == 0)
        row->bound = first_bound<K>(x);
#pragma unroll
    for (int j = 0; j < GATE90_OFFERS; j++)
        if (x[j] >= row->bound) {
            offers[count * (GATE90_WGS * 128)] =
                make_float2(x[j], __int_as_float(first + 8 * (j >> 1) + (j & 1)));
            count++;
        }
    int most = __reduce_max_sync(~0u, count);
#pragma unroll 1
    for (int j = 0; j < most; j++) {
        float2 offer = make_float2(NAN, 0);
        if (j < count)
            offer = offers[j * (GATE90_WGS * 128)];
        best_insert(&row->best, offer.x, __float_as_int(offer.y));
    }
    if (most > 0)
        row->bound = fmaxf(row->bound, best_bound(&row->best));
}

/* A thread's rows, lane/4 and lane/4 + 8 of its warp's 16. */
template <int K>
SPS_DEVICE void gate90_begin(const struct gate90_args *a, const struct row_tile *tile,
                             int row, struct gate90_row<K> (&rows)[2])
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        struct row_place place =
            row_place_of(&a->at, a->choose.heads, a->p, tile, row + 8 * i);
        rows[i].out = place.out;
        rows[i].seen = place.seen;
        rows[i].blocks = geometry_blocks(place.pos, a->choose.block);
        best_clear(&rows[i].best);
    }
}

/* True when a score is infinite or no number. */
SPS_DEVICE bool any_odd(const float (&s)[GATE90_KEYS / 2])
{
    float none = 0;

#pragma unroll
    for (int j = 0; j < GATE90_KEYS / 2; j++)
        none = __fmaf_rn(s[j], 0, none);
    return none != 0;
}

/* A warpgroup's rows against all blocks that the CTA's tile sees. */
template <typename T, int D, int K>
SPS_DEVICE void gate90_tile(const struct gate90_args *a, unsigned char *memory,
                            const struct row_tile *tile, int wg, struct gate90_rings *r)
{
    using S = gate90_shape<D>;
    uint32_t shared = shared_address(memory);
    uint32_t q = warp_uniform(shared + r->q.stage * S::q_bytes + wg * 64 * 128);
    float2 *offers = (float2 *)(memory + S::offers) + wg * 128 + (threadIdx.x & 127);
    int steps = warp_uniform(gate90_steps(a, tile));
    struct gate90_row<K> rows[2];

    gate90_begin(a, tile, wg * 64 + (threadIdx.x >> 5 & 3) * 16 + (threadIdx.x & 31) / 4,
                 rows);
    int own = rows[0].blocks < rows[1].blocks ? rows[0].blocks : rows[1].blocks;
    int seen = rows[0].seen < rows[1].seen ? rows[0].seen : rows[1].seen;
    int most = rows[0].blocks > rows[1].blocks ? rows[0].blocks : rows[1].blocks;
    int plain = own - a->choose.local < seen ? own - a->choose.local : seen;
    plain = __reduce_min_sync(~0u, plain);
    most = __reduce_max_sync(~0u, most);
    if (is_bf16<T>::value)
        scale_query_rows<T, D, GATE90_ROWS>(memory + r->q.stage * S::q_bytes, wg, NULL);
#pragma unroll 1
    for (int step = 0; step < steps; step++, ring_next(&r->k)) {
        float s[GATE90_KEYS / 2];
        int base = step * GATE90_KEYS;
        ring_wait(&r->k);
        multiply_apart<D>(s, q, shared + S::k + r->k.stage * 2 * S::term);
        warp_arrive(ring_empty(&r->k));
        if (base >= most)
            continue;
        bool settled = base >= a->choose.init && base + GATE90_KEYS <= plain;
        bool odd = any_odd(s) || !settled;
        bool settle = __any_sync(~0u, odd);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            if (settle)
                settle_scores(a, &rows[i], s, i, base);
            offer_scores(&rows[i], s, i, base, offers);
        }
    }
    warp_arrive(ring_empty(&r->q));
    ring_next(&r->q);
    struct best<K> best = best_of_row(&rows[0].best, &rows[1].best);
    int64_t out = threadIdx.x & 1 ? rows[1].out : rows[0].out, width = a->choose.width;
    best_write(&best, a->choose.count, out < 0 ? NULL : a->choose.list + out * width,
               width);
}
#endif

template <typename T, int D, int K>
__global__ void __launch_bounds__(gate90_shape<D>::threads, 1)
    gate90_kernel(const __grid_constant__ struct gate90_args a,
                  const __grid_constant__ struct gate90_maps maps)
{
#ifdef SPS_SM90A
    using S = gate90_shape<D>;
    extern __shared__ __align__(1024) unsigned char memory[];
    uint32_t shared = shared_address(memory), at = shared + S::barriers;
    struct gate90_rings r = {{at, 0, 0}, {at + 32, 0, 0}, at + 64};
    int wg = warpgroup_index();

    if (threadIdx.x == 0) {
        ring_init<2>(r.q.at, GATE90_WGS * 4);
        ring_init<2>(r.k.at, GATE90_WGS * 4);
        barrier_fence_init();
    }
    for (int i = threadIdx.x; i < S::k / 16; i += S::threads) /* rows of no token */
        ((uint4 *)memory)[i] = make_uint4(0, 0, 0, 0);
    fence_async();
    __syncthreads();
    if (wg == 0) {
        registers_give<32>();
        if (threadIdx.x == 0)
            gate90_load<D>(&a, &maps, shared, r);
    } else {
        registers_take<160>();
        for (;;) {
            ring_wait(&r.q);
            int number = load_shared(r.number + 4 * r.q.stage);
            if (number < 0)
                break;
            struct row_tile tile = row_tile_of(&a.at, number, a.groups, a.groups, a.p);
            gate90_tile<T, D, K>(&a, memory, &tile, wg - 1, &r);
        }
    }
#endif
}

template <typename T, int D, int K>
static cudaError_t gate90_launch(const struct gate90_args *a,
                                 const struct gate90_maps *maps, int grid,
                                 cudaStream_t stream)
{
    using S = gate90_shape<D>;

    static_assert(S::bytes <= SM90_SHARED, "tiles fit into shared memory");
    return sm90_launch(gate90_kernel<T, D, K>, grid, S::threads, S::bytes, stream, *a,
                       *maps);
}

/* Lists of 4, 8 or 16 hold `count` blocks. */
template <typename T, int D>
static cudaError_t gate90_lists(const struct gate90_args *a,
                                const struct gate90_maps *maps, int grid,
                                cudaStream_t stream)
{
    int count = a->choose.count;

    return count <= 4   ? gate90_launch<T, D, 4>(a, maps, grid, stream)
           : count <= 8 ? gate90_launch<T, D, 8>(a, maps, grid, stream)
                        : gate90_launch<T, D, 16>(a, maps, grid, stream);
}

template <int D>
static cudaError_t gate90_any(const struct gate90_args *a, const struct gate90_maps *maps,
                              int grid, cudaStream_t stream)
{
    return a->dtype == SPS_BF16 ? gate90_lists<__nv_bfloat16, D>(a, maps, grid, stream)
                                : gate90_lists<__half, D>(a, maps, grid, stream);
}

#endif
