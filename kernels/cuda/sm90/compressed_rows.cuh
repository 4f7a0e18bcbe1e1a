/* compressed_rows.cuh - what a warpgroup does with its 64 rows of queries: one pass or
 * two over the compressed keys (compressed.cuh).
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_ROWS_CUH
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_ROWS_CUH

#include <limits.h>

#include "kernels/cuda/sm90/compressed_aside.cuh"
#include "kernels/cuda/sm90/softmax.cuh"
#include "kernels/cuda/sm90/terms.cuh"

/* Shared memory: queries, a ring of key and value tiles, row scales, and what warps and
 * barriers need.  TERMS of a key: 2, or 1 where the low term is 0.  BLOCKS: scores of
 * blocks are made in pass 1 (compressed_blocks.cuh), else pass 2 makes sums of p for
 * every key. */
template <int D, int NWG, int BN, int TERMS, bool BLOCKS> struct compressed90_shape {
    static constexpr int terms = TERMS;
    static constexpr bool blocks = BLOCKS;
    static constexpr int rows = NWG * 64, threads = NWG * 128 + 128;
    static constexpr int passes = BLOCKS ? 1 : 2;
    static constexpr int q_bytes = rows * D * 2, tile_bytes = BN * D * 2;
    static constexpr int few_bytes = NWG * 4 * (int)sizeof(struct few_keys),
                         chooser_bytes = NWG * (int)sizeof(struct chooser),
                         choice_bytes =
                             few_bytes > chooser_bytes ? few_bytes : chooser_bytes;
    static constexpr int state_bytes = rows * (int)sizeof(struct row_state),
                         weight_bytes = 2 * rows * 4, barrier_bytes = 384,
                         rest = state_bytes + weight_bytes + choice_bytes + barrier_bytes;
    static constexpr int shared = 195 * 1024; /* more would leave L1 next to nothing */
    static constexpr int fit = (shared - q_bytes - rest) / tile_bytes;
    static constexpr int stages = fit < 8 ? fit : 8;
    static constexpr int tiles = q_bytes, states = tiles + stages * tile_bytes,
                         weights = states + state_bytes, choices = weights + weight_bytes,
                         barriers = choices + choice_bytes,
                         bytes = barriers + barrier_bytes;
};

#ifdef SPS_SM90A
/* A thread's two rows, lane/4 and lane/4 + 8 of its warp. */
struct row_view {
    int row;                 /* the first, within the CTA */
    int least;               /* keys that all of the warp's rows see */
    struct row_state *state; /* of the first */
    float m[2], w[2];        /* p = exp2(logit - m) w */
};

template <typename S>
SPS_DEVICE struct row_view view_pair(const struct attend_args *a,
                                     const struct row_tile *tile, unsigned char *memory,
                                     const float *unscale, int wg)
{
    struct row_view view;

    view.row = wg * 64 + (threadIdx.x >> 5 & 3) * 16 + (threadIdx.x & 31) / 4;
    view.state = (struct row_state *)(memory + S::states) + view.row;
    view.least = INT_MAX;
    for (int i = 0; i < 2; i++) {
        int r = view.row + 8 * i, token = r >> a->lg;
        token = token < tile->count ? token : tile->count - 1;
        int pos = geometry_pos(&a->at, &tile->seq, tile->token + token),
            seen = geometry_visible(&a->at, &tile->seq, pos);
        view.least = view.least < seen ? view.least : seen;
        float c = logit_scale(a->c, term_unscale(*a->k_top) * unscale[r]);
        if ((threadIdx.x & 3) == 0)
            view.state[8 * i] = {c, seen, NO_BASE, {0, 0, 0, 0}};
    }
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

/* Lane q of the four that share a row has keys 32 q + k of a tile, k 0 to 31 (tma.h). */
SPS_DEVICE int own_key(int j)
{
    return 2 * (j / 4) + (j & 1);
}

/* -inf where a thread's rows do not see the key. */
template <int R>
SPS_DEVICE void mask_pair(float (&s)[R], const struct row_view *view, int base)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int limit = view->state[8 * i].seen - base - R / 2 * (int)(threadIdx.x & 3);
#pragma unroll
        for (int j = 0; j < R; j++)
            if ((j >> 1 & 1) == i && own_key(j) >= limit)
                s[j] = -INFINITY;
    }
}

/* Write o and lse of a thread's rows; keep for scores what p = exp(c q.k - lse) is made
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
        view->w[i] = !valid ? 0 : sum > 0 ? 1 / sum : sum; /* 0, or a NaN */
        if (!valid)
            continue;
        int64_t at = (tile->seq.row + tile->token + token) * a->h + tile->head + x;
        write_row<true>(a, at, o, i, scale);
        if (a->lse && (threadIdx.x & 3) == 0)
            a->lse[at] = row_lse(pair->m[i], sum);
    }
}

/* Pass 1: o and lse; sums of blocks, if wanted, go to the warp's `sums`, and the queries
 * are given back as soon as they have been read. */
template <typename S, int D, int BN>
SPS_DEVICE void attend_rows(const struct attend_args *a, const struct row_tile *tile,
                            int steps, uint32_t q, uint32_t shared,
                            struct ring<S::stages> *tiles, const struct ring<1> *queries,
                            struct row_view *view, struct block_sums *sums)
{
    struct row_pair pair;
    float s[BN / 2], o[D / 2], factor[2];
    uint32_t p[BN / 4];

    start_rows(o, &pair);
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        multiply_terms<S, D, BN>(s, q, shared, tiles);
        if (S::blocks && step == steps - 1)
            barrier_arrive(ring_empty(queries));
        const float c[2] = {view->state[0].c, view->state[8].c};
        if (step * BN + BN > view->least)
            mask_pair(s, view, step * BN);
        bool grew = softmax_rows<true>(s, &pair, c, factor);
        if (grew)
            scale_rows(o, factor);
        if constexpr (S::blocks) {
            hold(s); /* sums over pairs, made for `pair` too, are not kept */
            store_sums(s, pair.m, step, view->state, sums + step * TILE_WARPS);
        }
        pack_tile<__half>(p, s);
        ring_wait(tiles);
        issue_pv<__half, D, BN>(o, p, shared + S::tiles + tiles->stage * S::tile_bytes);
        wgmma_wait<0>();
        hold(o);
        ring_release(tiles);
    }
    if constexpr (S::blocks) {
        if (steps == 0)
            barrier_arrive(ring_empty(queries));
        store_carry(view->state, sums + steps * TILE_WARPS);
    }
    finish_rows<D>(a, tile, o, &pair, view);
}

/* What sums of the rows are multiplied by, to weights[row of the CTA]. */
SPS_DEVICE void weigh_rows(const struct row_view *view, float *weights)
{
    if ((threadIdx.x & 3) != 0)
        return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float base = view->state[8 * i].base;
        weights[view->row + 8 * i] = exp2_fast(base - view->m[i]) * view->w[i];
    }
}

/* a b + c, 0 below 2^-126. */
SPS_DEVICE float fma_flush(float a, float b, float c)
{
    float d;
    asm("fma.rn.ftz.f32 %0, %1, %2, %3;" : "=f"(d) : "f"(a), "f"(b), "f"(c));
    return d;
}

/* Sums over a group's heads to the row of a tile's keys. */
template <int BN> SPS_DEVICE void write_keys(float *v, int lg, float *out)
{
    int from = sum_group<BN>(v, lg), count = BN / 4 >> lane_row_bits(lg);

    out += BN / 4 * (threadIdx.x & 3) + from;
#pragma unroll
    for (int i = 0; i < BN / 4; i += 4)
        if (i < count)
            *(float4 *)(out + i) = make_float4(v[i] * P_SCALE, v[i + 1] * P_SCALE,
                                               v[i + 2] * P_SCALE, v[i + 3] * P_SCALE);
}

/* Add p = s w over the heads of each token among a warp's rows, and write the sums of BN
 * keys to out[slot][columns].  As in probabilities(), what is below 2^-100 becomes 0. */
template <int BN>
SPS_DEVICE void write_sums(const float (&s)[BN / 2], const float (&w)[2], int lg, int row,
                           float *out, int64_t columns)
{
    float v[BN / 4];

    if (lg >= 4) {
#pragma unroll
        for (int j = 0; j < BN / 4; j++) {
            const float *x = &s[4 * (j >> 1) + (j & 1)];
            v[j] = fma_flush(x[2], w[1], fma_flush(x[0], w[0], 0));
        }
        write_keys<BN>(v, lg, out + (row >> 4) * columns);
        return;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < BN / 4; j++)
            v[j] = fma_flush(s[4 * (j >> 1) + 2 * i + (j & 1)], w[i], 0);
        write_keys<BN>(v, lg, out + ((row + 8 * i) >> lg) * columns);
    }
}

/* Pass 2: sums of p to rows[slot][columns]; those of keys that a token does not see mean
 * nothing. */
template <typename S, int D, int BN>
SPS_DEVICE void sum_keys(int lg, int steps, uint32_t q, uint32_t shared,
                         struct ring<S::stages> *tiles, const struct row_view *view,
                         float *rows, int64_t columns)
{
    const float w[2] = {view->w[0] / P_SCALE, view->w[1] / P_SCALE},
                c[2] = {view->state[0].c, view->state[8].c};
    float s[BN / 2];

#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        multiply_terms<S, D, BN>(s, q, shared, tiles);
#pragma unroll
        for (int j = 0; j < BN / 2; j++)
            s[j] = exp2_fast(__fmaf_rn(s[j], c[j >> 1 & 1], -view->m[j >> 1 & 1]));
        write_sums<BN>(s, w, lg, view->row, rows + step * BN, columns);
    }
}
#endif

#endif
