/* compressed_choose.cuh - scores of a warp's blocks and lists of its tokens, from what a
 * pass over compressed keys has set aside (compressed.cuh).
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_CHOOSE_CUH
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_CHOOSE_CUH

#include "kernels/cuda/score_tile.cuh"
#include "kernels/cuda/sm90/compressed.h"
#include "kernels/cuda/sm90/compressed_blocks.cuh"
#include "kernels/cuda/sm90/topk_stored.cuh"

#ifdef SPS_SM90A
/* What a CTA's lists of a row tile are chosen from. */
struct choice {
    struct block_sums *sums; /* [tiles, TILE_WARPS] */
    float *weights;          /* by row: what its sums are multiplied by */
    float *rows;             /* [slots, columns] */
    struct few_keys *few;    /* the choosing warp's */
};

SPS_DEVICE struct block_sums *sums_of(const struct compressed90_args *a, int stage)
{
    int64_t set = (int64_t)blockIdx.x * a->sets + stage % a->sets;

    return a->sums + set * a->tiles * TILE_WARPS;
}

SPS_DEVICE float *rows_of(const struct compressed90_args *a)
{
    return a->rows + blockIdx.x * a->slots * a->columns;
}

template <typename S> SPS_DEVICE float *weights_of(unsigned char *memory, int stage)
{
    return (float *)(memory + S::weights) + stage * S::rows;
}

/* Scores of a token's blocks from its sums of p in `parts` rows. */
SPS_DEVICE void score_sums(struct score_source from, float *sums, int64_t columns,
                           int parts, const struct list_view *view, float *scores)
{
#pragma unroll 1
    for (int k = threadIdx.x & 31; k < view->seen; k += 32)
        for (int part = 1; part < parts; part++)
            sums[k] += sums[part * columns + k];
    __syncwarp();
    from.x = sums;
#pragma unroll 1
    for (int b = threadIdx.x & 31; b < view->visible; b += 32)
        scores[b] = score_of(&from, 0, b, view->seen);
}

/* What each warp wrote, those that share its tokens have it from here on. */
SPS_DEVICE void sync_tokens(int lg, int warp)
{
    if (lg > 4)
        named_sync(1 + warp / 4, 128);
    else
        __syncwarp();
}

/* The tokens of `rows` rows, from `row` of a tile on. */
SPS_DEVICE struct warp_tokens tokens_of(const struct compressed90_args *a,
                                        const struct row_tile *tile, int row, int rows)
{
    const struct attend_args *at = &a->attend;
    int first = row >> at->lg, last = (row + rows - 1) >> at->lg,
        own = first + (threadIdx.x & 31);
    struct warp_tokens tokens = {first, 0, 0, 0};

    last = last < tile->count ? last : tile->count - 1;
    tokens.count = last - first + 1;
    if (own <= last) {
        int pos = geometry_pos(&at->at, &tile->seq, tile->token + own);
        tokens.sees = geometry_visible(&at->at, &tile->seq, pos);
        tokens.blocks = geometry_blocks(pos, a->choose.block);
    }
    return tokens;
}

/* The list of the first of them. */
SPS_DEVICE int64_t list_of(const struct compressed90_args *a, const struct row_tile *tile,
                           const struct warp_tokens *tokens)
{
    return (tile->seq.row + tile->token + tokens->first) * a->choose.heads +
           tile->head / a->attend.p;
}

/* Scores of a warp's tokens, from its sums. */
SPS_DEVICE void score_warp(const struct compressed90_args *a, const struct row_tile *tile,
                           int warp, const struct choice *from)
{
    const struct attend_args *at = &a->attend;
    struct warp_tokens tokens = tokens_of(a, tile, 16 * warp, 16);

    write_scores(from->sums, from->weights, warp, at->lg, at->p, &tokens, a->columns,
                 from->rows);
}

/* Lists of a warp's tokens from their rows of scores, or of sums and room for scores; of
 * warps that share a token the first makes its list. */
template <bool BLOCKS>
SPS_DEVICE void choose_warp(const struct compressed90_args *a,
                            const struct row_tile *tile, int warp,
                            const struct choice *from)
{
    const struct attend_args *at = &a->attend;
    struct warp_tokens tokens = tokens_of(a, tile, 16 * warp, 16);
    int64_t list = list_of(a, tile, &tokens);
    int parts = at->lg > 4 ? 1 << (at->lg - 4) : 1, slot = score_slot(warp, at->lg);

    if (at->lg > 4 && slot != warp)
        return;
#pragma unroll 1
    for (int i = 0; i < tokens.count; i++) {
        struct list_view view = {list + i * a->choose.heads, 0,
                                 __shfl_sync(~0u, tokens.blocks, i),
                                 __shfl_sync(~0u, tokens.sees, i)};
        float *x = from->rows + (slot + i) * a->columns, *scores = x + a->scores;

        if constexpr (!BLOCKS)
            score_sums(a->choose.from, x, a->columns, parts, &view, scores);
        choose_stored(&a->choose, &view, scores, from->few,
                      a->choose.list + view.list * a->choose.width);
    }
}
#endif

#endif
