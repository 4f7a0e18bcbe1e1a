/* compressed_rows.cuh - what a warpgroup does with its 64 rows of queries: both passes
 * over the compressed keys, and the choice of blocks (compressed.cuh).
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_ROWS_CUH
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_ROWS_CUH

#include "kernels/cuda/sm90/compressed.h"
#include "kernels/cuda/sm90/compressed_blocks.cuh"
#include "kernels/cuda/sm90/softmax.cuh"
#include "kernels/cuda/sm90/terms.cuh"
#include "kernels/cuda/sm90/topk_stored.cuh"

/* Shared memory: queries, a ring of key and value tiles, row scales, and what warps and
 * barriers need.  TERMS of a key: 2, or 1 where the low term is 0.  BLOCKS: scores of
 * blocks are made at once (compressed_blocks.cuh), else from sums of p for every key. */
template <int D, int NWG, int BN, int TERMS, bool BLOCKS> struct compressed90_shape {
    static constexpr int terms = TERMS;
    static constexpr bool blocks = BLOCKS;
    static constexpr int rows = NWG * 64, threads = NWG * 128 + 128;
    static constexpr int q_bytes = rows * D * 2, tile_bytes = BN * D * 2;
    static constexpr int few_bytes = NWG * 4 * (int)sizeof(struct few_keys);
    static constexpr int rest = rows * 4 + few_bytes + 256;
    static constexpr int fit = (SM90_SHARED - q_bytes - rest) / tile_bytes;
    static constexpr int stages = fit < 8 ? fit : 8;
    static constexpr int tiles = q_bytes, unscale = tiles + stages * tile_bytes,
                         few = unscale + rows * 4, barriers = few + few_bytes,
                         bytes = barriers + 256;
};

#ifdef SPS_SM90A
/* A thread's two rows, lane/4 and lane/4 + 8 of its warp. */
struct row_view {
    int row;          /* the first, within the CTA */
    int seen[2];      /* compressed keys */
    int least;        /* of the warp's rows */
    float c[2];       /* from products of scaled terms to base-2 logits */
    float m[2], w[2]; /* p / P_SCALE = exp2(logit - m) w */
};

template <typename S>
SPS_DEVICE struct row_view view_pair(const struct attend_args *a,
                                     const struct row_tile *tile,
                                     const unsigned char *memory, int wg)
{
    const float *unscale = (const float *)(memory + S::unscale);
    struct row_view view;

    view.row = wg * 64 + (threadIdx.x >> 5 & 3) * 16 + (threadIdx.x & 31) / 4;
    for (int i = 0; i < 2; i++) {
        int r = view.row + 8 * i, token = r >> a->lg;
        token = token < tile->count ? token : tile->count - 1;
        int pos = geometry_pos(&a->at, &tile->seq, tile->token + token);
        view.seen[i] = geometry_visible(&a->at, &tile->seq, pos);
        view.c[i] = logit_scale(a->c, term_unscale(*a->k_top) * unscale[r]);
    }
    view.least = view.seen[0] < view.seen[1] ? view.seen[0] : view.seen[1];
    view.least = __reduce_min_sync(~0u, view.least);
    return view;
}

/* s = Q K^T of the tiles of terms at the ring's head, low ones first, which are given
 * back. */
template <typename S, int D, int BN>
SPS_DEVICE void multiply_terms(float (&s)[BN / 2], uint32_t q, uint32_t shared,
                               struct ring<S::stages> *tiles)
{
    struct ring<S::stages> at = *tiles;
    uint64_t a = matrix_k(q), b[S::terms];

#pragma unroll
    for (int term = 0; term < S::terms; term++) {
        ring_wait(&at);
        b[term] = matrix_k(shared + S::tiles + at.stage * S::tile_bytes);
        ring_next(&at);
    }
    hold(s);
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < S::terms * (D / 16); i++) {
        int k = i % (D / 16);
        wgmma<__half, BN>::both(s, a + (k & 3) * 2 + (k >> 2) * (S::rows * 8),
                                b[i / (D / 16)] + (k & 3) * 2 + (k >> 2) * (BN * 8),
                                i > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    hold(s);
#pragma unroll
    for (int term = 0; term < S::terms; term++)
        ring_release(tiles);
}

/* -inf where a thread's rows do not see the key. */
template <int R>
SPS_DEVICE void mask_pair(float (&s)[R], const struct row_view *view, int base)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int limit = view->seen[i] - base - 2 * (int)(threadIdx.x & 3);
#pragma unroll
        for (int j = 0; j < R / 4; j++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (8 * j + e >= limit)
                    s[4 * j + 2 * i + e] = -INFINITY;
    }
}

/* Write o and lse of a thread's rows; keep for pass 2 what p = exp(c q.k - lse) is made
 * of: lse itself, rounded, would cost a digit or two. */
template <int D>
SPS_DEVICE void finish_rows(const struct attend_args *a, const struct row_tile *tile,
                            const float (&o)[D / 2], const struct row_pair *pair,
                            struct row_view *view)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int r = view->row + 8 * i, token = r >> a->lg, x = r & ((1 << a->lg) - 1);
        bool valid = token < tile->count && x < a->p;
        float sum = quad_sum(pair->l[i]);
        float scale = sum > 0 ? term_unscale(*a->v_top) / sum : 0;
        view->m[i] = sum > 0 ? pair->m[i] : 0;
        view->w[i] = sum > 0 && valid ? 1 / P_SCALE / sum : 0;
        if (!valid)
            continue;
        int64_t at = (tile->seq.row + tile->token + token) * a->h + tile->head + x;
        write_row<false>(a, at, o, i, scale);
        if (a->lse && (threadIdx.x & 3) == 0)
            a->lse[at] = row_lse(pair->m[i], sum);
    }
}

/* Pass 1: o and lse. */
template <typename S, int D, int BN>
SPS_DEVICE void attend_rows(const struct attend_args *a, const struct row_tile *tile,
                            int steps, uint32_t q, uint32_t shared,
                            struct ring<S::stages> *tiles, struct row_view *view)
{
    struct row_pair pair;
    float s[BN / 2], o[D / 2], factor[2];
    uint32_t p[BN / 4];

    start_rows(o, &pair);
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        bool grew;
        multiply_terms<S, D, BN>(s, q, shared, tiles);
        if (step * BN + BN <= view->least) {
            grew = softmax_rows<false>(s, &pair, view->c, factor);
        } else {
            mask_pair(s, view, step * BN);
            grew = softmax_rows<true>(s, &pair, view->c, factor);
        }
        pack_tile<__half>(p, s);
        if (grew)
            scale_rows(o, factor);
        ring_wait(tiles);
        issue_pv<__half, D, BN>(o, p, shared + S::tiles + tiles->stage * S::tile_bytes);
        wgmma_wait<0>();
        hold(o);
        ring_release(tiles);
    }
    finish_rows<D>(a, tile, o, &pair, view);
}

/* a b + c, 0 below 2^-126. */
SPS_DEVICE float fma_flush(float a, float b, float c)
{
    float d;
    asm("fma.rn.ftz.f32 %0, %1, %2, %3;" : "=f"(d) : "f"(a), "f"(b), "f"(c));
    return d;
}

/* Add p = s w over the heads of each token among a warp's rows and hand the sums of BN
 * keys to put(values, which of the thread's two rows, slot).  As in probabilities(), what
 * is below 2^-100 becomes 0. */
template <int BN, typename P>
SPS_DEVICE void put_sums(const float (&s)[BN / 2], const float (&w)[2], int lg, int row,
                         P put)
{
    float v[BN / 4];

    if (lg >= 4) {
#pragma unroll
        for (int j = 0; j < BN / 4; j++) {
            const float *x = &s[4 * (j >> 1) + (j & 1)];
            v[j] = fma_flush(x[2], w[1], fma_flush(x[0], w[0], 0));
        }
        put(v, 0, row >> 4);
        return;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < BN / 4; j++)
            v[j] = fma_flush(s[4 * (j >> 1) + 2 * i + (j & 1)], w[i], 0);
        put(v, i, (row + 8 * i) >> lg);
    }
}

/* Where pass 2 writes: a row of `columns` words a slot, sums of p for every key and, from
 * `scores` on, scores of blocks; scores 0: these alone. */
struct score_rows90 {
    float *at;
    int64_t columns;
    int scores;
};

/* The block that begins where the last tile of keys ended, of a thread's rows. */
SPS_DEVICE void write_carries(struct lane_order order, const float (&carry)[2], int lg,
                              int row, const struct score_rows90 *to, int block)
{
    if (!order.first || (threadIdx.x & 3) != 3)
        return;
    if (lg < 4)
        to->at[((row + 8) >> lg) * to->columns + block] = carry[1] * P_SCALE;
    to->at[(row >> (lg < 4 ? lg : 4)) * to->columns + block] = carry[0] * P_SCALE;
}

/* Pass 2: sums of p (those of keys that a token does not see mean nothing), or at once
 * the scores of blocks. */
template <typename S, int D, int BN>
SPS_DEVICE void score_keys(int lg, int steps, uint32_t q, uint32_t shared,
                           struct ring<S::stages> *tiles, const struct row_view *view,
                           const struct score_rows90 *to)
{
    struct lane_order order = lane_order_of(lg);
    float s[BN / 2], carry[2] = {0, 0};

#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        multiply_terms<S, D, BN>(s, q, shared, tiles);
        if (S::blocks && step * BN + BN > view->least)
            mask_pair(s, view, step * BN);
#pragma unroll
        for (int j = 0; j < BN / 2; j++)
            s[j] = exp2_fast(__fmaf_rn(s[j], view->c[j >> 1 & 1], -view->m[j >> 1 & 1]));
        put_sums<BN>(s, view->w, lg, view->row, [&](float *v, int i, int slot) {
            float *out = to->at + slot * to->columns;
            if constexpr (S::blocks)
                write_blocks<BN>(v, lg, order, &carry[i],
                                 out + step * (BN / STRIDES_A_BLOCK));
            else
                write_group<BN>(v, lg, out + step * BN, true, BN, false);
        });
    }
    if constexpr (S::blocks)
        write_carries(order, carry, lg, view->row, to, steps * (BN / STRIDES_A_BLOCK));
}

/* Add to a token's row of `count` words those of the other warps that share it. */
SPS_DEVICE void add_parts(float *x, int64_t columns, int parts, int count)
{
#pragma unroll 1
    for (int k = threadIdx.x & 31; k < count; k += 32)
        for (int part = 1; part < parts; part++)
            x[k] += x[part * columns + k];
    __syncwarp();
}

/* Scores of a token's blocks from its sums of p. */
SPS_DEVICE void score_sums(struct score_source from, const float *sums,
                           const struct list_view *view, float *scores)
{
    from.x = sums;
#pragma unroll 1
    for (int b = threadIdx.x & 31; b < view->visible; b += 32)
        scores[b] = score_of(&from, 0, b, view->seen);
}

/* Lists of the tokens of one warp of the consumers: those of its 16 rows, or, where a
 * token's rows fill several warps, its first warp's.  few: one for each warp. */
template <bool BLOCKS>
SPS_DEVICE void choose_rows(const struct compressed90_args *a,
                            const struct row_tile *tile, int warp,
                            const struct score_rows90 *from, struct few_keys *few)
{
    const struct attend_args *at = &a->attend;
    int lg = at->lg, row = warp * 16, token = row >> lg, end = (row + 15) >> lg;

    if (lg > 4)
        named_sync(1 + warp / 4, 128);
    else
        __syncwarp();
    if (row & ((1 << lg) - 1) & ~15)
        return;
    end = end < tile->count ? end : tile->count - 1;
    int own = token + (threadIdx.x & 31); /* a lane knows what one token sees */
    int pos = geometry_pos(&at->at, &tile->seq, tile->token + (own < end ? own : end));
    int sees = geometry_visible(&at->at, &tile->seq, pos),
        blocks = geometry_blocks(pos, a->choose.block);
    int64_t list = (tile->seq.row + tile->token) * a->choose.heads + tile->head / at->p;
#pragma unroll 1
    for (int lane = 0; token <= end; lane++, token++) {
        struct list_view view = {list + token * a->choose.heads, 0,
                                 __shfl_sync(~0u, blocks, lane),
                                 __shfl_sync(~0u, sees, lane)};
        float *x = from->at + (lg > 4 ? warp : token) * from->columns,
              *scores = x + from->scores;

        if (lg > 4)
            add_parts(x, from->columns, 1 << (lg - 4), BLOCKS ? view.visible : view.seen);
        if constexpr (!BLOCKS)
            score_sums(a->choose.from, x, &view, scores);
        choose_stored(&a->choose, &view, scores, few + warp,
                      a->choose.list + view.list * a->choose.width);
    }
}
#endif

#endif
