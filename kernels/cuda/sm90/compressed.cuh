/* compressed.cuh - NSA's compressed branch on Hopper in one launch (Yuan et al. 2025,
 * arXiv 2502.11089, eq. 7 to 12): attention over compressed keys, block scores, top-k.
 *
 * A CTA holds 64 rows of queries a warpgroup: whole kv groups of some tokens, 1 << lg
 * rows a token.  Pass 1 streams the terms of keys (terms.cuh) and values, and leaves o,
 * lse and, at the paper's sizes, each row's sums over blocks (compressed_blocks.cuh).  At
 * other sizes pass 2 streams the terms again and adds p = exp2(c q.k - lse) over the
 * heads of a token into its row of sums.  All this is in scratch that only this CTA uses;
 * from it each warp chooses its tokens' blocks or, where sequences are long, others do
 * while it goes on (compressed_aside.cuh).  One thread loads; CTAs stay and draw tiles.
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_CUH
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_CUH

#include "kernels/cuda/sm90/compressed_rows.cuh"

template <typename S> struct compressed90_rings {
    struct ring<S::stages> tiles;
    struct ring<1> q;
    struct ring<2> work;        /* row tiles: full once their sums are set aside, empty
                                   once the lists of all warps are made */
    struct row_tile *row_tiles; /* by stage of `work`; count 0: no more */
};

template <typename S>
SPS_DEVICE struct compressed90_rings<S> compressed90_rings_at(unsigned char *memory) {
    uint32_t at = shared_address(memory) + S::barriers;
    static_assert(176 + 2 * sizeof(struct row_tile) <= S::bytes - S::barriers, "fit");
    struct compressed90_rings<S> r = {
        {at, 0, 0}, {at + 128, 0, 0}, {at + 144, 0, 0},
            (struct row_tile *)(memory + S::barriers + 176)
    };

    return r;
}

/* Key tiles that the last row of a row tile, hence every row, sees. */
template <int BN>
SPS_DEVICE int compressed90_steps(const struct geometry *at, const struct row_tile *tile)
{
    int pos = geometry_pos(at, &tile->seq, tile->token + tile->count - 1);

    return (geometry_visible(at, &tile->seq, pos) + BN - 1) / BN;
}

#ifdef SPS_SM90A
/* Which of `total` tiles is drawn as number `number`: CTAs begin with tiles from all over
 * the list, hence of all lengths, for those that begin with like ones empty their scratch
 * at the same time ever after; then the rest go in order. */
SPS_DEVICE int mixed_tile(int number, int total)
{
    int ctas = (int)gridDim.x, step = total / ctas, rest = number - ctas;

    if (step < 2 || number >= ctas * step)
        return number;
    return rest < 0 ? number * step : rest + rest / (step - 1) + 1;
}

/* ---- loads: one thread ---- */

template <typename S, int D>
SPS_DEVICE void
load_query_tile(const struct attend_args *a, const struct compressed90_maps *maps,
                const struct row_tile *tile, uint32_t shared, const struct ring<1> *q)
{
    int tokens = S::rows >> a->lg;

    barrier_expect(ring_full(q), (uint32_t)(tokens * a->p * D * 2));
    for (int i = 0; i < tokens; i += maps->box)
        tma_load_slabs<D>(shared + (uint32_t)(i << a->lg) * 128, S::rows, &maps->q,
                          ring_full(q), tile->head,
                          (int)(tile->seq.row + tile->token + i), KEEP_NOT);
}

template <typename S, int D, int BN>
SPS_DEVICE void load_tile(const CUtensorMap *map, uint32_t shared,
                          struct ring<S::stages> *tiles, int head, int key)
{
    ring_begin(tiles, S::tile_bytes);
    tma_load_spread<D>(shared + S::tiles + tiles->stage * S::tile_bytes, map,
                       ring_full(tiles), head, key, KEEP_LONG);
    ring_next(tiles);
}

/* Wait until queries and what is known of a row tile may be overwritten. */
template <typename S> SPS_DEVICE void wait_tile(const struct compressed90_rings<S> *r)
{
    ring_free(&r->work);
    ring_free(&r->q);
}

template <typename S, int D, int BN>
SPS_DEVICE void compressed90_load(const struct attend_args *a,
                                  const struct compressed90_maps *maps, uint32_t shared,
                                  struct compressed90_rings<S> r)
{
    int total = a->at.tiles * a->groups, number = blockIdx.x;

    while (number < total) {
        struct row_tile tile =
            row_tile_of(&a->at, mixed_tile(number, total), a->groups, a->section, a->p);
        int steps = compressed90_steps<BN>(&a->at, &tile), kv = tile.head / a->p,
            key = (int)tile.seq.key;

        wait_tile(&r);
        r.row_tiles[r.work.stage] = tile;
        load_query_tile<S, D>(a, maps, &tile, shared, &r.q);
        ring_next(&r.q);
        ring_next(&r.work);
        number = draw_tile(&maps->counter);
        for (int i = 0; i < S::passes * steps; i++) {
            int base = key + (i < steps ? i : i - steps) * BN;
            if (S::terms == 2)
                load_tile<S, D, BN>(&maps->low, shared, &r.tiles, kv, base);
            load_tile<S, D, BN>(&maps->high, shared, &r.tiles, kv, base);
            if (i < steps)
                load_tile<S, D, BN>(&maps->v, shared, &r.tiles, kv, base);
        }
    }
    wait_tile(&r);
    r.row_tiles[r.work.stage].count = 0;
    barrier_arrive(ring_full(&r.q));
}

/* ---- lists: warps 1 to 3, a consumers' warpgroup each ---- */

template <typename S>
SPS_DEVICE void compressed90_choose(const struct compressed90_args *a,
                                    unsigned char *memory, struct compressed90_rings<S> r)
{
    int wg = warp_index() - 1;
    struct chooser *own = (struct chooser *)(memory + S::choices) + wg;

    for (;; ring_next(&r.work)) {
        ring_wait(&r.work);
        const struct row_tile *tile = r.row_tiles + r.work.stage;
        if (tile->count == 0)
            break;
        choose_tokens(a, tile, wg, sums_of(a, r.work.stage),
                      weights_of<S>(memory, r.work.stage), own);
        barrier_arrive(ring_empty(&r.work));
    }
}

/* ---- products: the other warpgroups ---- */

template <typename T, typename S, int D, int BN>
SPS_DEVICE void compressed90_tile(const struct compressed90_args *a,
                                  const struct row_tile *tile, unsigned char *memory,
                                  struct compressed90_rings<S> *r)
{
    const struct attend_args *at = &a->attend;
    int wg = warpgroup_index() - 1;
    uint32_t shared = shared_address(memory), q = warp_uniform(shared + wg * 64 * 128);
    int steps = compressed90_steps<BN>(&at->at, tile), warp = warp_index() - 4,
        lg = at->lg, stage = r->q.phase;
    float *unscale = weights_of<S>(memory, stage); /* room that is free until the end */
    struct ring<2> work = r->work;

    work.stage = stage;
    scale_query_rows<T, D, S::rows>(memory, wg, unscale);
    struct row_view view = view_pair<S>(at, tile, memory, unscale, wg);
    __syncwarp();
    attend_rows<S, D, BN>(at, tile, steps, q, shared, &r->tiles, &r->q, &view,
                          sums_of(a, stage) + warp);
    if constexpr (!S::blocks) {
        sum_keys<S, D, BN>(lg, steps, q, shared, &r->tiles, &view, rows_of(a),
                           a->columns);
        barrier_arrive(ring_empty(&r->q));
    }
    ring_next(&r->q);

    if constexpr (S::blocks)
        weigh_rows(&view, weights_of<S>(memory, stage));
    if (S::blocks && a->sets == 2) { /* the lists are left to others */
        barrier_arrive(ring_full(&work));
    } else {
        struct choice choice = {sums_of(a, stage), weights_of<S>(memory, stage),
                                rows_of(a),
                                (struct few_keys *)(memory + S::choices) + warp};
        sync_tokens(lg, warp);
        if (S::blocks)
            score_warp(a, tile, warp, &choice);
        sync_tokens(lg, warp);
        choose_warp<S::blocks>(a, tile, warp, &choice);
        barrier_arrive(ring_empty(&work));
    }
}
#endif

template <typename T, int D, int NWG, int BN, int TERMS, bool BLOCKS>
__global__ void __launch_bounds__(NWG * 128 + 128, 1)
    compressed90_kernel(const __grid_constant__ struct compressed90_args a,
                        const __grid_constant__ struct compressed90_maps maps)
{
#ifdef SPS_SM90A
    using S = compressed90_shape<D, NWG, BN, TERMS, BLOCKS>;
    extern __shared__ __align__(1024) unsigned char memory[];
    uint32_t shared = shared_address(memory);
    struct compressed90_rings<S> r = compressed90_rings_at<S>(memory);

    if (threadIdx.x == 0) {
        ring_init<S::stages>(r.tiles.at, NWG * 4);
        /* all threads read queries and have rows; they make the lists, or three warps do
         */
        ring_init<1>(r.q.at, NWG * 128);
        ring_init<2>(r.work.at, NWG * (S::blocks && a.sets == 2 ? 32 : 128), NWG * 128);
        barrier_fence_init();
    }
    for (int i = threadIdx.x; i < S::q_bytes / 16; i += S::threads) /* rows of no head */
        ((uint4 *)memory)[i] = make_uint4(0, 0, 0, 0);
    fence_async();
    __syncthreads();
    if (warpgroup_index() == 0) {
        registers_give<32>();
        if (threadIdx.x == 0)
            compressed90_load<S, D, BN>(&a.attend, &maps, shared, r);
        else if (S::blocks && threadIdx.x >= 32 && a.sets == 2)
            compressed90_choose<S>(&a, memory, r);
    } else {
        registers_take<160>();
        for (;;) {
            ring_wait(&r.q);
            const struct row_tile *tile = r.row_tiles + r.q.phase;
            if (tile->count == 0)
                break;
            compressed90_tile<T, S, D, BN>(&a, tile, memory, &r);
        }
        r.work.stage = r.q.phase;
        if (S::blocks && a.sets == 2)
            barrier_arrive(ring_full(&r.work));
    }
#endif
}

template <typename T, int D, int TERMS, bool BLOCKS>
static cudaError_t compressed90_launch(const struct compressed90_args *a,
                                       const struct compressed90_maps *maps, int grid,
                                       cudaStream_t stream)
{
    constexpr int wgs = COMPRESSED90_ROWS / 64, keys = COMPRESSED90_KEYS;
    using S = compressed90_shape<D, wgs, keys, TERMS, BLOCKS>;

    static_assert(S::bytes <= SM90_SHARED && S::stages >= 3, "tiles fit");
    return sm90_launch(compressed90_kernel<T, D, wgs, keys, TERMS, BLOCKS>, grid,
                       S::threads, S::bytes, stream, *a, *maps);
}

template <typename T, int D, int TERMS>
static cudaError_t compressed90_scores(const struct compressed90_args *a,
                                       const struct compressed90_maps *maps, int grid,
                                       cudaStream_t stream)
{
    return a->tiles > 0 ? compressed90_launch<T, D, TERMS, true>(a, maps, grid, stream)
                        : compressed90_launch<T, D, TERMS, false>(a, maps, grid, stream);
}

template <int D, int TERMS>
static cudaError_t compressed90_any(const struct compressed90_args *a,
                                    const struct compressed90_maps *maps, int grid,
                                    cudaStream_t stream)
{
    return a->attend.dtype == SPS_BF16
               ? compressed90_scores<__nv_bfloat16, D, TERMS>(a, maps, grid, stream)
               : compressed90_scores<__half, D, TERMS>(a, maps, grid, stream);
}

#endif
