/* union.cuh - attention over the unions of union.h.  A producer warp loads the entries of
 * a tile's union, K and V, into a ring; three warpgroups multiply them.  A warpgroup
 * passes over what none of its tokens chose; a row that did not choose a unit gets
 * P = 0 there, so that its bits are those of its own list alone.
 *
 * Key heads are taken one after another: K and V of one stay in L2.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_CUH

#include "kernels/cuda/sm90/hopper.cuh"
#include "kernels/cuda/sm90/union.h"

enum { UNION_THREADS = 128 * (UNION_GROUPS + 1), UNION_READERS = 4 * UNION_GROUPS };
enum { ENTRY_WORDS = sizeof(struct union_entry) / 4, ENTRY_BATCH = 32 / ENTRY_WORDS };

/* Shared memory: Q, the ring of K and V, its entries, barriers. */
template <int D, int STAGES> struct union_shape {
    static constexpr int q_bytes = UNION_ROWS * D * 2, keys = UNION_GROUPS * q_bytes;
    static constexpr int k_bytes = UNION_KEYS * D * 2, stage = 2 * k_bytes;
    static constexpr int slots = keys + STAGES * stage;
    static constexpr int ring = slots + STAGES * (int)sizeof(struct union_entry);
    static constexpr int q_full = ring + 16 * STAGES, q_empty = q_full + 8;
    static constexpr int bytes = q_empty + 8;
    static_assert(bytes <= SM90_SHARED, "fits a CTA");
};

/* Tile i of the launch, and its union. */
struct union_tile {
    struct row_tile rows;
    const struct union_entry *entries;
    int count;
};

SPS_DEVICE struct union_tile union_tile_of(const struct attend_args *a,
                                           const struct union_work *w, int i)
{
    int group = i / w->tiles, own = i - group * w->tiles, number = w->first + own;
    struct union_tile tile;

    tile.rows.seq = geometry_find(&a->at, number);
    tile.rows.token = (number - tile.rows.seq.tile) * a->at.tokens;
    tile.rows.count = min(tile.rows.seq.rows - tile.rows.token, a->at.tokens);
    tile.rows.head = group * a->p;
    int64_t list =
        (int64_t)own * a->index_heads + tile.rows.head * a->index_heads / (int)a->h;
    tile.entries = w->entries + list * w->most;
    tile.count = w->count[list];
    return tile;
}

#ifdef SPS_SM90A

/* ---- producer: one warp ---- */

/* This lane's word of the next ENTRY_BATCH entries from j on. */
SPS_DEVICE uint32_t read_entries(const struct union_tile *tile, int j)
{
    int lane = threadIdx.x & 31, word = j * ENTRY_WORDS + lane;

    return lane < ENTRY_BATCH * ENTRY_WORDS && word < tile->count * ENTRY_WORDS
               ? ((const uint32_t *)tile->entries)[word]
               : 0;
}

template <int D, int STAGES>
SPS_DEVICE void load_union_queries(const struct attend_args *a,
                                   const struct union_work *w,
                                   const struct row_tile *tile, uint32_t shared)
{
    using S = union_shape<D, STAGES>;
    int tokens = UNION_ROWS / a->p;

    barrier_expect(shared + S::q_full, UNION_GROUPS * tokens * a->p * D * 2);
    for (int i = 0; i < UNION_GROUPS; i++)
        tma_load_slabs<D>(shared + i * S::q_bytes, UNION_ROWS, &w->q, shared + S::q_full,
                          tile->head, (int)tile->seq.row + tile->token + i * tokens,
                          KEEP_NOT);
}

template <int D, int STAGES>
SPS_DEVICE void load_union(const struct attend_args *a, const struct union_work *w,
                           const struct union_tile *tile, unsigned char *shared,
                           struct ring<STAGES> *ring)
{
    using S = union_shape<D, STAGES>;
    int lane = threadIdx.x & 31, kv = tile->rows.head / ((int)a->h / (int)a->g);
    uint32_t held = 0, next = read_entries(tile, 0);

    for (int j = 0; j < tile->count; j++, ring_next(ring)) {
        int part = j % ENTRY_BATCH;
        uint32_t to = shared_address(shared) + S::keys + ring->stage * S::stage;
        if (part == 0) {
            held = next;
            next = read_entries(tile, j + ENTRY_BATCH);
        }
        int key = (int)tile->rows.seq.key +
                  UNION_KEYS *
                      (int)__shfl_sync(~0u, held, part * ENTRY_WORDS + 2 * UNION_GROUPS);
        barrier_wait(ring_empty(ring), ring->phase ^ 1);
        if (lane / ENTRY_WORDS == part)
            ((uint32_t *)(shared +
                          S::slots))[ring->stage * ENTRY_WORDS + lane % ENTRY_WORDS] =
                held;
        __syncwarp();
        if (lane == 0) {
            barrier_expect(ring_full(ring), S::stage);
            tma_load_slabs<D>(to, UNION_KEYS, &w->k, ring_full(ring), kv, key, KEEP_LONG);
            tma_load_slabs<D>(to + S::k_bytes, UNION_KEYS, &w->v, ring_full(ring), kv,
                              key, KEEP_LONG);
        }
        __syncwarp();
    }
}

template <int D, int STAGES>
SPS_DEVICE void feed_unions(const struct attend_args *a, const struct union_work *w,
                            unsigned char *shared)
{
    using S = union_shape<D, STAGES>;
    uint32_t at = shared_address(shared);
    struct ring<STAGES> ring = {
        at + S::ring, 0, 0
    };
    int turn = 1;

    for (int i = blockIdx.x; i < w->tiles * a->groups; i += gridDim.x, turn ^= 1) {
        struct union_tile tile = union_tile_of(a, w, i);
        barrier_wait(at + S::q_empty, turn);
        if ((threadIdx.x & 31) == 0)
            load_union_queries<D, STAGES>(a, w, &tile.rows, at);
        __syncwarp();
        load_union<D, STAGES>(a, w, &tile, shared, &ring);
    }
}

/* ---- consumers: a warpgroup of 64 rows each ---- */

/* A thread's rows lane/4 and lane/4 + 8 of its warp: token of the warpgroup, keys it
 * sees, and its place in lse, -1 where there is no row. */
struct union_rows {
    int token[2], seen[2];
    int64_t place[2];
};

SPS_DEVICE struct union_rows union_rows_of(const struct attend_args *a,
                                           const struct row_tile *tile, int group)
{
    int lane = threadIdx.x & 31, tokens = UNION_ROWS / a->p;
    struct union_rows rows;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        int r = (int)(threadIdx.x / 32 % 4) * 16 + lane / 4 + 8 * i, own = r / a->p;
        int token = group * tokens + own;
        bool valid = own < tokens && token < tile->count;
        int pos = geometry_pos(&a->at, &tile->seq, tile->token + (valid ? token : 0));
        rows.token[i] = own;
        rows.seen[i] = geometry_visible(&a->at, &tile->seq, pos);
        rows.place[i] = valid ? (tile->seq.row + tile->token + token) * a->h +
                                    tile->head + r - own * a->p
                              : -1;
    }
    return rows;
}

/* -inf from column `limit` of each row on. */
template <int R> SPS_DEVICE void mask_limits(float (&s)[R], const int (&limit)[2])
{
    int column = 2 * (threadIdx.x & 3);

#pragma unroll
    for (int j = 0; j < R; j++)
        if (j / 4 * 8 + (j & 1) + column >= limit[j >> 1 & 1])
            s[j] = -INFINITY;
}

/* P of one unit: s becomes probabilities, o is rescaled where a row's maximum grew. */
template <typename T, int R, int RO>
SPS_DEVICE void union_softmax(float (&s)[R], uint32_t (&p)[R / 2], float (&o)[RO],
                              struct row_pair *sums, const int (&limit)[2], float c)
{
    float factor[2];
    bool grown;

    if (!__any_sync(~0u, limit[0] > 0 || limit[1] > 0)) {
#pragma unroll
        for (int j = 0; j < R / 2; j++)
            p[j] = 0;
        return;
    }
    if (__all_sync(~0u, limit[0] >= UNION_KEYS && limit[1] >= UNION_KEYS)) {
        grown = softmax_rows<false>(s, sums, c, factor);
    } else {
        mask_limits(s, limit);
        grown = softmax_rows<true>(s, sums, c, factor);
    }
    pack_tile<T>(p, s);
    if (grown)
        scale_rows(o, factor);
}

/* Divide by the row sums and write o, 32 bytes a quad at a time, and lse. */
template <int R>
SPS_DEVICE void write_union(const struct attend_args *a, const struct union_rows *rows,
                            const float (&o)[R], const struct row_pair *sums)
{
    int quad = threadIdx.x & 3;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        float sum = quad_sum(sums->l[i]), scale = sum > 0 ? 1 / sum : 0;
        if (rows->place[i] < 0)
            continue;
        float *to = a->o + rows->place[i] * a->dv + 2 * quad;
#pragma unroll
        for (int j = 0; j < R / 4; j++)
            if (8 * j < a->dv)
                __stcs((float2 *)(to + 8 * j), make_float2(o[4 * j + 2 * i] * scale,
                                                           o[4 * j + 2 * i + 1] * scale));
        if (a->lse && quad == 0)
            a->lse[rows->place[i]] =
                sum > 0 ? sums->m[i] * 0.6931471805599453f + logf(sum) : -INFINITY;
    }
}

template <typename T, int D, int STAGES>
SPS_DEVICE void read_unions(const struct attend_args *a, const struct union_work *w,
                            const unsigned char *shared, int group)
{
    using S = union_shape<D, STAGES>;
    uint32_t at = shared_address(shared);
    struct ring<STAGES> ring = {
        at + S::ring, 0, 0
    };
    int lane = threadIdx.x & 31, turn = 0;

    for (int i = blockIdx.x; i < w->tiles * a->groups; i += gridDim.x, turn ^= 1) {
        struct union_tile tile = union_tile_of(a, w, i);
        struct union_rows rows = union_rows_of(a, &tile.rows, group);
        struct row_pair sums = {{-INFINITY, -INFINITY}, {0, 0}};
        float s[UNION_KEYS / 2], o[D / 2];
        uint32_t p[UNION_KEYS / 4];
#pragma unroll
        for (int j = 0; j < D / 2; j++)
            o[j] = 0;
        barrier_wait(at + S::q_full, turn);
#pragma unroll 1
        for (int j = 0; j < tile.count; j++, ring_next(&ring)) {
            ring_wait(&ring);
            const struct union_entry *entry =
                (const struct union_entry *)(shared + S::slots) + ring.stage;
            uint32_t keys = at + S::keys + ring.stage * S::stage;
            uint64_t chosen = entry->chosen[group];
            int base = entry->unit * UNION_KEYS, limit[2];
            if (chosen) {
                issue_qk<T, D, UNION_ROWS, UNION_KEYS>(s, at + group * S::q_bytes, keys);
                for (int x = 0; x < 2; x++)
                    limit[x] = chosen >> rows.token[x] & 1 ? rows.seen[x] - base : 0;
                wgmma_wait<0>();
                hold(s);
                union_softmax<T>(s, p, o, &sums, limit, a->c);
                issue_pv<T, D, UNION_KEYS>(o, p, keys + S::k_bytes);
                wgmma_wait<0>();
                hold(o);
            }
            __syncwarp();
            if (lane == 0)
                barrier_arrive(ring_empty(&ring));
        }
        if (lane == 0)
            barrier_arrive(at + S::q_empty);
        write_union(a, &rows, o, &sums);
    }
}
#endif

template <typename T, int D, int STAGES>
__global__ void __launch_bounds__(UNION_THREADS, 1)
    union_kernel(const __grid_constant__ struct attend_args a,
                 const __grid_constant__ struct union_work w)
{
#ifdef SPS_SM90A
    using S = union_shape<D, STAGES>;
    extern __shared__ __align__(1024) unsigned char shared[];
    uint32_t at = shared_address(shared);
    int group = warpgroup_index() - 1;

    if (threadIdx.x == 0) {
        barrier_init(at + S::q_full, 1);
        barrier_init(at + S::q_empty, UNION_READERS);
        ring_init<STAGES>(at + S::ring, UNION_READERS);
        barrier_fence_init();
    }
    __syncthreads();
    if (group < 0) {
        registers_give<32>();
        if (warp_index() == 0)
            feed_unions<D, STAGES>(&a, &w, shared);
    } else {
        registers_take<160>();
        read_unions<T, D, STAGES>(&a, &w, shared, group);
    }
#endif
}

template <typename T, int D, int STAGES>
static cudaError_t union_launch(const struct attend_args *a, const struct union_work *w,
                                cudaStream_t stream)
{
    using S = union_shape<D, STAGES>;
    auto kernel = union_kernel<T, D, STAGES>;
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::bytes);

    if (error == cudaSuccess) {
        kernel<<<w->ctas, UNION_THREADS, S::bytes, stream>>>(*a, *w);
        error = cudaGetLastError();
    }
    return error;
}

template <int D, int STAGES>
static cudaError_t union_any(const struct attend_args *a, const struct union_work *w,
                             cudaStream_t stream)
{
    return a->dtype == SPS_BF16 ? union_launch<__nv_bfloat16, D, STAGES>(a, w, stream)
                                : union_launch<__half, D, STAGES>(a, w, stream);
}

#endif
