/* compressed_blocks.cuh - scores of blocks from the one pass that makes o, where a block
 * is four strides and a compressed key covers two (the paper's 32, 16, 64).  Block J gets
 * p[4 J - 1] + 2 (p[4 J] + p[4 J + 1] + p[4 J + 2]) + p[4 J + 3] (NSA, arXiv 2502.11089,
 * eq. 9).
 *
 * What p is divided by is known at the end only: until then each head's sums are set
 * aside undivided.  Then they are weighed and added over the heads.
 *
 * Equal keys give equal scores to the bit unless a row's maximum moved between them: p is
 * rounded relative to the maximum that stands.
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_BLOCKS_CUH
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_BLOCKS_CUH

#include <float.h>

#include "kernels/cuda/geometry.cuh"
#include "kernels/cuda/sm90/block_sums.h"
#include "kernels/cuda/sm90/hopper.cuh"

/* What shared memory keeps of a row.  Its sums of blocks are relative to exp2(base). */
struct alignas(32) row_state {
    float c;  /* from products of scaled terms to base-2 logits */
    int seen; /* compressed keys */
    float base;
    float carry[4]; /* a lane each; the first's: the last key of the tile before */
};

#ifdef SPS_SM90A
/* A base that any logit passes. */
#define NO_BASE (-FLT_MAX)

/* How far a row's maximum may grow above the base: sums of p below 2^LAZY each stay
 * within float's range. */
enum { BASE_REACH = 100 };

/* The sums of a row of a warp, `tiles` tiles before `to`, times the square of `by`; q:
 * one of four lanes that do it together. */
SPS_DEVICE void rescale_sums(struct block_sums *to, int tiles, int row, int q, float by)
{
#pragma unroll 1
    for (int tile = 1; tile <= tiles; tile++) {
        float *x = to[-tile * TILE_WARPS].x[row] + 8 * q;
#pragma unroll 1
        for (int k = 0; k < 8; k++)
            x[k] = x[k] * by * by;
    }
}

/* Of the four lanes that share a row, lane q has 32 keys (tma.h), blocks 8 q to 8 q + 7.
 * The last key counts for the block after too: it is passed on.
 *
 * Set the sums of a tile aside: s is p relative to exp2(m); rows: the first of the
 * thread's. */
SPS_DEVICE void store_sums(const float (&s)[COMPRESSED90_KEYS / 2], const float (&m)[2],
                           int tile, struct row_state *rows, struct block_sums *to)
{
    int lane = threadIdx.x & 31, quad = lane & ~3, q = lane & 3;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        float base = rows[8 * i].base, carry = rows[8 * i].carry[q];
        bool beyond = m[i] - base > BASE_REACH;
        if (__any_sync(~0u, beyond)) {
            __syncwarp(); /* all lanes have read the base, and stored their sums */
            if (beyond) {
                /* in two steps: sums may be 2^BASE_REACH, and their product count */
                float half = exp2_fast(.5f * (base - m[i]));
                rescale_sums(to, tile, lane / 4 + 8 * i, q, half);
                carry = carry * half * half;
                base = m[i];
                if (q == 0)
                    rows[8 * i].base = base;
            }
        }
        float by = exp2_fast(m[i] - base), last = s[61 + 2 * i] * by,
              given = __shfl_sync(~0u, last, quad | ((q + 3) & 3)),
              past = q == 0 ? carry : given;
        rows[8 * i].carry[q] = given;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float y[4];
#pragma unroll
            for (int b = 0; b < 4; b++) {
                const float *x = s + 32 * half + 8 * b + 2 * i;
                float end = x[5] * by;
                y[b] = __fmaf_rn(x[0] + x[1] + x[4], 2 * by, end + past);
                past = end;
            }
            *(float4 *)&to->x[lane / 4 + 8 * i][16 * half + 4 * q] =
                make_float4(y[0], y[1], y[2], y[3]);
        }
    }
}

/* The block that begins where the last tile of keys ended: first of a tile of its own. */
SPS_DEVICE void store_carry(const struct row_state *rows, struct block_sums *to)
{
    int lane = threadIdx.x & 31, q = lane & 3;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        float4 *x = (float4 *)to->x[lane / 4 + 8 * i];
        float carry = q == 0 ? rows[8 * i].carry[0] : 0;
        x[q] = make_float4(carry, 0, 0, 0);
        x[4 + q] = make_float4(0, 0, 0, 0);
    }
}

/* Who the rows of a warp, or of a warpgroup, belong to: tokens of 1 << lg rows, or a part
 * of one token. */
struct warp_tokens {
    int first, count; /* in the tile; whole tokens or the one that has a part here */
    int sees, blocks; /* compressed keys and blocks of this lane's token, 0: none */
};

/* Four tiles of one token, eight lanes a tile, four blocks a lane. */
struct merge_item {
    const float4 *sums; /* the lane's, of the token's first row */
    int row, token;     /* that row, of the warp's (or warps') */
    int block;          /* the lane's first */
    bool counts;        /* the token sees it */
};

/* Item i of `count`; the last sums come first, for they are in L2. */
SPS_DEVICE struct merge_item merge_item_of(const struct block_sums *sums, int i,
                                           int count, int lg,
                                           const struct warp_tokens *tokens)
{
    int log_tokens = lg < 4 ? 4 - lg : 0, part = threadIdx.x & 7,
        round = (count - 1 - i) >> log_tokens, tile = 4 * round + (threadIdx.x & 31) / 8;
    struct merge_item item;

    item.token = i & ((1 << log_tokens) - 1);
    item.row = item.token << lg;
    item.block = TILE_BLOCKS * tile + 8 * (part & 3) + part / 4 * 4;
    int visible = __shfl_sync(~0u, tokens->blocks, item.token);
    item.counts = i < count && item.block < visible;
    item.sums = (const float4 *)sums[tile * TILE_WARPS].x[item.row] + part;
    return item;
}

/* Add rows [r, r + ROWS) of N items' tokens to y; weights: of rows. */
template <int ROWS, int N>
SPS_DEVICE void merge_rows(const struct merge_item (&item)[N], const float *weights,
                           int r, float4 (&y)[N])
{
    float4 x[ROWS][N];

#pragma unroll
    for (int j = 0; j < ROWS; j++)
#pragma unroll
        for (int k = 0; k < N; k++) {
            x[j][k] = make_float4(0, 0, 0, 0);
            if (item[k].counts)
                x[j][k] = __ldcg(&item[k].sums[(r + j) * (TILE_BLOCKS / 4)]);
        }
#pragma unroll
    for (int j = 0; j < ROWS; j++)
#pragma unroll
        for (int k = 0; k < N; k++) {
            float w = weights[item[k].row + r + j];
            y[k].x = __fmaf_rn(x[j][k].x, w, y[k].x);
            y[k].y = __fmaf_rn(x[j][k].y, w, y[k].y);
            y[k].z = __fmaf_rn(x[j][k].z, w, y[k].z);
            y[k].w = __fmaf_rn(x[j][k].w, w, y[k].w);
        }
}

/* Write scores[token][columns] of a warp's tokens from the sums of p rows a token, ROWS
 * of N items at a time; weights: of the CTA's rows.  Warps that share a token share its
 * blocks, and write them to the one row of scores. */
template <int ROWS, int N>
SPS_DEVICE void merge_sums(const struct block_sums *sums, const float *weights, int warp,
                           int lg, int p, const struct warp_tokens *tokens,
                           int64_t columns, float *scores)
{
    int warps = lg > 4 ? 1 << (lg - 4) : 1, share = warp & (warps - 1),
        first = warp - share;
    int most = __reduce_max_sync(~0u, tokens->blocks),
        rounds = (most + 4 * TILE_BLOCKS - 1) / (4 * TILE_BLOCKS),
        count = rounds << (lg < 4 ? 4 - lg : 0);

    weights += 16 * first;
#pragma unroll 1
    for (int from = share * N; from < count; from += warps * N) {
        struct merge_item item[N];
        float4 y[N];
        int r = 0;
#pragma unroll
        for (int k = 0; k < N; k++) {
            item[k] = merge_item_of(sums + first, from + k, count, lg, tokens);
            y[k] = make_float4(0, 0, 0, 0);
        }
#pragma unroll 1
        for (; r + ROWS <= p; r += ROWS)
            merge_rows<ROWS>(item, weights, r, y);
#pragma unroll 1
        for (; ROWS > 1 && r < p; r++)
            merge_rows<1>(item, weights, r, y);
#pragma unroll
        for (int k = 0; k < N; k++)
            if (item[k].counts)
                *(float4 *)(scores + item[k].token * columns + item[k].block) =
                    make_float4(block_score(y[k].x), block_score(y[k].y),
                                block_score(y[k].z), block_score(y[k].w));
    }
}

/* Four columns of a lane's rows of sums, a group of eight lanes a row: totals over the
 * warp's rows, of column 4 (lane % 8) + lane / 8 for this lane. */
SPS_DEVICE float add_rows(float4 y)
{
    bool high = threadIdx.x & 16, odd = threadIdx.x & 8;
    float first = high ? y.z : y.x, second = high ? y.w : y.y;

    first += __shfl_xor_sync(~0u, high ? y.x : y.z, 16);
    second += __shfl_xor_sync(~0u, high ? y.y : y.w, 16);
    return (odd ? second : first) + __shfl_xor_sync(~0u, odd ? first : second, 8);
}

/* The block of a tile whose totals add_rows() gives this lane. */
SPS_DEVICE int own_block(void)
{
    int lane = threadIdx.x & 31, q = lane & 3, half = lane >> 2 & 1;

    return 8 * q + 4 * half + lane / 8;
}

/* The row of scores of a warp's first token; warps that share a token share its row, that
 * of the first of them. */
SPS_DEVICE int score_slot(int warp, int lg)
{
    return lg > 4 ? warp & -(1 << (lg - 4)) : warp * 16 >> lg;
}

/* Scores of a warp's tokens to scores[slot][columns] of the CTA; tokens have p rows of
 * 1 << lg. */
SPS_DEVICE void write_scores(const struct block_sums *sums, const float *weights,
                             int warp, int lg, int p, const struct warp_tokens *tokens,
                             int64_t columns, float *scores)
{
    scores += score_slot(warp, lg) * columns;
    if (p < 4)
        merge_sums<1, 8>(sums, weights, warp, lg, p, tokens, columns, scores);
    else
        merge_sums<8, 4>(sums, weights, warp, lg, p, tokens, columns, scores);
}
#endif

#endif
