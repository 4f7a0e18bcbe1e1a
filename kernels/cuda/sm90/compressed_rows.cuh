/* compressed_rows.cuh - what a warpgroup does with its 64 rows of queries: both passes
 * over the compressed keys, and the choice of blocks (compressed.cuh).
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_ROWS_CUH
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_ROWS_CUH

#include "kernels/cuda/score_tile.cuh"
#include "kernels/cuda/sm90/compressed.h"
#include "kernels/cuda/sm90/softmax.cuh"
#include "kernels/cuda/sm90/terms.cuh"

/* Shared memory: queries, a ring of key and value tiles, row scales, and what warps and
 * barriers need. */
template <int D, int NWG, int BN> struct compressed90_shape {
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

/* s = Q K^T of the two tiles at the ring's head, low terms first, which are given back.
 */
template <typename S, int D, int BN>
SPS_DEVICE void multiply_terms(float (&s)[BN / 2], uint32_t q, uint32_t shared,
                               struct ring<S::stages> *tiles)
{
    struct ring<S::stages> second = *tiles;
    uint64_t a = matrix_k(q), low, high;

    ring_next(&second);
    ring_wait(tiles);
    ring_wait(&second);
    low = matrix_k(shared + S::tiles + tiles->stage * S::tile_bytes);
    high = matrix_k(shared + S::tiles + second.stage * S::tile_bytes);
    hold(s);
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < D / 8; i++) {
        int k = i % (D / 16);
        wgmma<__half, BN>::both(
            s, a + (k & 3) * 2 + (k >> 2) * (S::rows * 8),
            (i < D / 16 ? low : high) + (k & 3) * 2 + (k >> 2) * (BN * 8), i > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    hold(s);
    ring_release(tiles);
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
    int column = 2 * (threadIdx.x & 3);

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
        float *to = a->o + at * a->dv + column;
#pragma unroll
        for (int j = 0; j < D / 8; j++)
            if (8 * j + column < a->dv)
                *(float2 *)(to + 8 * j) =
                    make_float2(o[4 * j + 2 * i] * scale, o[4 * j + 2 * i + 1] * scale);
        if (a->lse && column == 0)
            a->lse[at] =
                sum > 0 ? pair->m[i] * 0.6931471805599453f + logf(sum) : -INFINITY;
    }
}

/* Pass 1: o and lse. */
template <typename S, int D, int BN>
SPS_DEVICE void attend_rows(const struct attend_args *a, const struct row_tile *tile,
                            int steps, uint32_t q, uint32_t shared,
                            struct ring<S::stages> *tiles, struct row_view *view)
{
    struct row_pair pair = {{-INFINITY, -INFINITY}, {0, 0}};
    float s[BN / 2], o[D / 2], factor[2];
    uint32_t p[BN / 4];

#pragma unroll
    for (int i = 0; i < D / 2; i++)
        o[i] = 0;
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

/* Add p = s w over the heads of each token among a warp's rows and write the sums of BN
 * keys.  As in probabilities(), what is below 2^-100 becomes 0. */
template <int BN>
SPS_DEVICE void write_sums(const float (&s)[BN / 2], const float (&w)[2], int lg, int row,
                           float *sums, int64_t columns)
{
    float v[BN / 4];

    if (lg >= 4) {
#pragma unroll
        for (int j = 0; j < BN / 4; j++) {
            const float *x = &s[4 * (j >> 1) + (j & 1)];
            v[j] = fma_flush(x[2], w[1], fma_flush(x[0], w[0], 0));
        }
        write_group<BN>(v, lg, sums + (row >> 4) * columns, true, BN, false);
        return;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < BN / 4; j++)
            v[j] = fma_flush(s[4 * (j >> 1) + 2 * i + (j & 1)], w[i], 0);
        write_group<BN>(v, lg, sums + ((row + 8 * i) >> lg) * columns, true, BN, false);
    }
}

/* Pass 2: sums of p.  Those of keys that a token does not see mean nothing. */
template <typename S, int D, int BN>
SPS_DEVICE void score_keys(int lg, int steps, uint32_t q, uint32_t shared,
                           struct ring<S::stages> *tiles, const struct row_view *view,
                           float *sums, int64_t columns)
{
    float s[BN / 2];

#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        multiply_terms<S, D, BN>(s, q, shared, tiles);
#pragma unroll
        for (int j = 0; j < BN / 2; j++)
            s[j] = exp2_fast(__fmaf_rn(s[j], view->c[j >> 1 & 1], -view->m[j >> 1 & 1]));
        write_sums<BN>(s, view->w, lg, view->row, sums + step * BN, columns);
    }
}

/* Lists of the tokens of one warp: those of its 16 rows, or, where a token's rows fill
 * several warps, its first warp's, which adds the other warps' sums to its own. */
SPS_DEVICE void choose_rows(const struct compressed90_args *a,
                            const struct row_tile *tile, int row, int wg, float *sums,
                            struct few_keys *few)
{
    const struct attend_args *at = &a->attend;
    int lg = at->lg, token = row >> lg, end = (row + 15) >> lg;
    int64_t columns = a->choose.from.columns;
    struct topk_args choose = a->choose;

    choose.from.x = sums;
    if (lg > 4)
        named_sync(1 + wg, 128);
    else
        __syncwarp();
    if (row & ((1 << lg) - 1) & ~15)
        return;
    for (; token <= end && token < tile->count; token++) {
        int64_t i = tile->seq.row + tile->token + token;
        int pos = geometry_pos(&at->at, &tile->seq, tile->token + token);
        int seen = geometry_visible(&at->at, &tile->seq, pos);
        int group = tile->head / at->p, slot = lg > 4 ? row >> 4 : token;
        struct list_view view = {i * choose.heads + group, slot,
                                 geometry_blocks(pos, choose.block), seen};
        int32_t *out = choose.list + view.list * choose.width;

        if (lg > 4) {
            float *x = sums + slot * columns;
            for (int k = threadIdx.x & 31; k < seen; k += 32)
                for (int part = 1; part < 1 << (lg - 4); part++)
                    x[k] += x[part * columns + k];
            __syncwarp();
        }
        choose_stored(&choose, &view, (uint32_t *)(sums + slot * columns + a->keys), few,
                      out);
    }
}
#endif

#endif
