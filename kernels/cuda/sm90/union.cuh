/* union.cuh - attention over the unions of union.h.  A producer warp loads the entries of
 * a tile's union, K and V, into a ring; three warpgroups multiply them.  A warpgroup
 * passes over what none of its tokens chose; a row that did not choose a unit gets
 * P = 0 there, so that its bits are those of its own list alone.
 *
 * Key heads are taken one after another: K and V of one stay in L2.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_CUH

#include "kernels/cuda/sm90/union_gated.cuh"

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

/* Lane 0, which also announces the keys, writes the entry of which lanes hold words. */
SPS_DEVICE void store_entry(uint32_t to, uint32_t held, int part)
{
#pragma unroll
    for (int i = 0; i < ENTRY_WORDS; i++) {
        uint32_t word = __shfl_sync(~0u, held, part * ENTRY_WORDS + i);
        if ((threadIdx.x & 31) == 0)
            store_shared(to + 4 * i, (int)word);
    }
}

template <int D, int STAGES>
SPS_DEVICE void load_union_queries(const struct attend_args *a,
                                   const struct union_work *w,
                                   const struct row_tile *tile, uint32_t shared)
{
    using S = union_shape<D, STAGES>;
    int tokens = UNION_ROWS / a->p;

    barrier_expect(shared + S::q_full, UNION_WGS * tokens * a->p * D * 2);
    for (int i = 0; i < UNION_WGS; i++)
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
    uint32_t at = shared_address(shared), held = 0, next = read_entries(tile, 0);

    for (int j = 0; j < tile->count; j++, ring_next(ring)) {
        int part = j % ENTRY_BATCH;
        if (part == 0) {
            held = next;
            next = read_entries(tile, j + ENTRY_BATCH);
        }
        int unit = (int)__shfl_sync(~0u, held, part * ENTRY_WORDS + 2 * UNION_WGS);
        barrier_wait(ring_empty(ring), ring->phase ^ 1);
        store_entry(at + S::slots + ring->stage * ENTRY_WORDS * 4, held, part);
        if (lane == 0)
            load_unit<D, STAGES>(w, &tile->rows, kv, at, ring, unit);
        __syncwarp();
    }
}

template <int D, int STAGES, bool GATED>
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
        if constexpr (GATED)
            load_window<D, STAGES>(a, w, &tile.rows, at, &ring);
    }
}

/* ---- consumers: a warpgroup of 64 rows each ---- */

/* The warpgroup's word of an entry. */
SPS_DEVICE uint64_t load_chosen(uint32_t entry, int wg)
{
    uint32_t low = (uint32_t)load_shared(entry + 8 * wg),
             high = (uint32_t)load_shared(entry + 8 * wg + 4);

    return (uint64_t)high << 32 | low;
}

template <typename T, int D, int STAGES>
SPS_DEVICE void read_union(const struct attend_args *a, const struct union_tile *tile,
                           const struct union_rows *rows, const unsigned char *shared,
                           int wg, struct ring<STAGES> *ring, float (&o)[D / 2],
                           struct row_pair *sums)
{
    using S = union_shape<D, STAGES>;
    uint32_t at = shared_address(shared);

#pragma unroll 1
    for (int j = 0; j < tile->count; j++) {
        ring_wait(ring);
        uint32_t entry = at + S::slots + ring->stage * ENTRY_WORDS * 4;
        uint64_t chosen = load_chosen(entry, wg);
        if (chosen) {
            int base = load_shared(entry + 8 * UNION_WGS) * UNION_KEYS;
            struct key_limits limit = {};
            for (int x = 0; x < 2; x++)
                limit.high[x] = chosen >> rows->token[x] & 1 ? rows->seen[x] - base : 0;
            union_step<T, D, false>(o, sums, at + wg * S::q_bytes,
                                    at + S::keys + ring->stage * S::stage, &limit, a->c);
        }
        ring_release(ring);
    }
}

template <typename T, int D, int STAGES, bool GATED>
SPS_DEVICE void read_unions(const struct attend_args *a, const struct union_work *w,
                            const unsigned char *shared, int wg)
{
    using S = union_shape<D, STAGES>;
    uint32_t at = shared_address(shared);
    struct ring<STAGES> ring = {
        at + S::ring, 0, 0
    };
    int turn = 0;

    for (int i = blockIdx.x; i < w->tiles * a->groups; i += gridDim.x, turn ^= 1) {
        struct union_tile tile = union_tile_of(a, w, i);
        struct union_rows rows = union_rows_of(a, &tile.rows, wg);
        struct row_pair sums;
        float o[D / 2];
        start_rows(o, &sums);
        barrier_wait(at + S::q_full, turn);
        read_union<T, D>(a, &tile, &rows, shared, wg, &ring, o, &sums);
        if constexpr (GATED) {
            park_union(a, &w->gates, &rows, o, &sums);
            start_rows(o, &sums);
            read_window<T, D>(a, &tile.rows, at, wg, &ring, o, &sums);
        }
        warp_arrive(at + S::q_empty);
        if constexpr (GATED)
            finish_gated(a, &w->gates, &rows, o, &sums);
        else
#pragma unroll
            for (int x = 0; x < 2; x++)
                finish_row<true>(a, rows.place[x], o, &sums, x);
    }
}
#endif

template <typename T, int D, int STAGES, bool GATED>
__global__ void __launch_bounds__(UNION_THREADS, 1)
    union_kernel(const __grid_constant__ struct attend_args a,
                 const __grid_constant__ struct union_work w)
{
#ifdef SPS_SM90A
    using S = union_shape<D, STAGES>;
    extern __shared__ __align__(1024) unsigned char shared[];
    uint32_t at = shared_address(shared);
    int wg = warpgroup_index() - 1;

    if (threadIdx.x == 0) {
        barrier_init(at + S::q_full, 1);
        barrier_init(at + S::q_empty, UNION_READERS);
        ring_init<STAGES>(at + S::ring, UNION_READERS);
        barrier_fence_init();
    }
    __syncthreads();
    if (wg < 0) {
        registers_give<32>();
        if (warp_index() == 0)
            feed_unions<D, STAGES, GATED>(&a, &w, shared);
    } else {
        registers_take<160>();
        read_unions<T, D, STAGES, GATED>(&a, &w, shared, wg);
    }
#endif
}

template <typename T, int D, int STAGES, bool GATED>
static cudaError_t union_launch(const struct attend_args *a, const struct union_work *w,
                                cudaStream_t stream)
{
    using S = union_shape<D, STAGES>;

    return sm90_launch(union_kernel<T, D, STAGES, GATED>, w->ctas, (int)UNION_THREADS,
                       S::bytes, stream, *a, *w);
}

template <int D, int STAGES, bool GATED>
static cudaError_t union_any(const struct attend_args *a, const struct union_work *w,
                             cudaStream_t stream)
{
    return a->dtype == SPS_BF16
               ? union_launch<__nv_bfloat16, D, STAGES, GATED>(a, w, stream)
               : union_launch<__half, D, STAGES, GATED>(a, w, stream);
}

#endif
