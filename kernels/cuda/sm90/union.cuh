/* union.cuh - attention over the unions of union.h.  A producer warp brings K and V of a
 * tile's union and tells each of three warpgroups by tickets which of it they read.  A
 * row that did not choose a unit which its warpgroup reads gets P = 0 there, so that its
 * bits are those of its own list alone.
 *
 * Key heads are taken one after another: K and V of one stay in L2.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_CUH

#include "kernels/cuda/sm90/union_gated.cuh"

#ifdef SPS_SM90A

/* ---- producer: one warp ---- */

/* The tile after those of this CTA so far; all lanes. */
SPS_DEVICE int draw_union(const struct union_work *w)
{
    int number = 0;

    if ((threadIdx.x & 31) == 0)
        number = draw_tile(&w->counter);
    return __shfl_sync(~0u, number, 0);
}

template <class S, bool GATED>
SPS_DEVICE void feed_unions(const struct attend_args *a, const struct union_work *w,
                            uint32_t shared)
{
    struct ring<UNION_TILES> tiles = {
        shared + S::tile_ring, 0, 0
    };
    struct union_feeder<S> f = {
        shared, 0, 0, {shared + S::key_ring, 0, 0}, {shared + S::value_ring, 0, 0},
            tickets_of<S>(shared, threadIdx.x & 31)
    };
    int total = w->tiles * a->groups, number = blockIdx.x;

    while (number < total) {
        struct union_tile tile = union_tile_of(a, w, number);
        f.kv = tile.rows.head / ((int)a->h / (int)a->g);
        f.key = (int)tile.rows.seq.key;
        ring_free(&tiles);
        feed_tile(&f, number);
        number = draw_union(w);
        feed_union(w, &tile, &f);
        if constexpr (GATED)
            feed_window(a, w, &tile.rows, &f);
        ring_next(&tiles);
    }
    ring_free(&tiles);
    feed_tile(&f, -1);
}

/* ---- consumers: a warpgroup of 64 rows each ---- */

/* The warpgroup's rows of tile i, if it is one, into its Q, which it has read. */
template <class S>
SPS_DEVICE void load_queries(const struct attend_args *a, const struct union_work *w,
                             uint32_t shared, int wg, int i)
{
    int tokens = UNION_ROWS / a->p;
    uint32_t full = shared + S::q_full + 8 * wg;

    if ((threadIdx.x & 127) != 0 || i < 0)
        return;
    struct row_tile tile = union_tile_of(a, w, i).rows;
    barrier_expect(full, tokens * a->p * S::d * 2);
    tma_load_slabs<S::d>(shared + wg * S::q_bytes, UNION_ROWS, &w->q, full, tile.head,
                         (int)tile.seq.row + tile.token + wg * tokens, KEEP_NOT);
}

template <typename T, class S, bool GATED>
SPS_DEVICE void read_unions(const struct attend_args *a, const struct union_work *w,
                            uint32_t shared, int wg)
{
    struct union_reader reader = {shared, shared + wg * S::q_bytes, wg,
                                  tickets_of<S>(shared, wg)};
    struct ring<UNION_TILES> tiles = {
        shared + S::tile_ring, 0, 0
    };
    int number = take_tile<S>(shared, wg, &reader.queue);

    load_queries<S>(a, w, shared, wg, number);
    for (int turn = 0; number >= 0; turn ^= 1) {
        struct row_tile tile = union_tile_of(a, w, number).rows;
        struct union_rows rows = union_rows_of(a, &tile, wg);
        struct row_pair sums;
        float o[S::d / 2];
        start_rows(o, &sums);
        barrier_wait(shared + S::q_full + 8 * wg, turn);
        read_units<T, S, false>(&reader, o, &sums, a->c, [&](const struct ticket *t) {
            int base = t->unit * UNION_KEYS;
            struct key_limits limit = {};
            for (int x = 0; x < 2; x++)
                limit.high[x] = t->chosen >> rows.token[x] & 1 ? rows.seen[x] - base : 0;
            return limit;
        });
        if constexpr (GATED) {
            park_union(w, &rows, o, &sums);
            start_rows(o, &sums);
            struct key_limits row = window_limits(a, &tile, wg);
            read_units<T, S, true>(&reader, o, &sums, a->c, [&](const struct ticket *t) {
                int base = t->unit * UNION_KEYS;
                return key_limits{{row.low[0] - base, row.low[1] - base},
                                  {row.high[0] - base, row.high[1] - base}};
            });
        }
        ring_release(&tiles);
        named_sync(1 + wg, 32 * WG_WARPS);
        number = take_tile<S>(shared, wg, &reader.queue);
        load_queries<S>(a, w, shared, wg, number);
        if constexpr (GATED) {
            add_parked(w, &rows, o, &sums);
            finish_gated(a, &w->gates, &rows, o);
        } else {
#pragma unroll
            for (int x = 0; x < 2; x++)
                finish_row<true>(a, rows.place[x], o, &sums, x);
        }
    }
}
#endif

template <typename T, class S, bool GATED>
__global__ void __launch_bounds__(UNION_THREADS, 1)
    union_kernel(const __grid_constant__ struct attend_args a,
                 const __grid_constant__ struct union_work w)
{
#ifdef SPS_SM90A
    extern __shared__ __align__(1024) unsigned char shared[];
    uint32_t at = shared_address(shared);
    int wg = warpgroup_index() - 1;

    if (threadIdx.x == 0)
        init_barriers<S>(at);
    __syncthreads();
    if (wg < 0) {
        registers_give<32>();
        if (warp_index() == 0)
            feed_unions<S, GATED>(&a, &w, at);
    } else {
        registers_take<160>();
        read_unions<T, S, GATED>(&a, &w, at, wg);
    }
#endif
}

template <typename T, class S, bool GATED>
static cudaError_t union_launch(const struct attend_args *a, const struct union_work *w,
                                cudaStream_t stream)
{
    return sm90_launch(union_kernel<T, S, GATED>, w->ctas, (int)UNION_THREADS, S::bytes,
                       stream, *a, *w);
}

template <class S, bool GATED>
static cudaError_t union_any(const struct attend_args *a, const struct union_work *w,
                             cudaStream_t stream)
{
    return a->dtype == SPS_BF16 ? union_launch<__nv_bfloat16, S, GATED>(a, w, stream)
                                : union_launch<__half, S, GATED>(a, w, stream);
}

#endif
