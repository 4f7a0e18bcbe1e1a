/* score_tile.cuh - what is made of a tile of q k^T: probabilities, their sums over a
 * group's heads, and over blocks.
 */
#ifndef SPS_KERNELS_CUDA_SCORE_TILE_CUH
#define SPS_KERNELS_CUDA_SCORE_TILE_CUH

#include "kernels/cuda/dense.cuh"

/* Which token and head a thread's row i is, and its place in the outputs. */
template <int MT> struct score_rows {
    int64_t at[2 * MT];  /* row of [t,h]; -1: none */
    int64_t out[2 * MT]; /* first element of its row of out */
    int visible[2 * MT];
};

template <int MT>
SPS_DEVICE struct score_rows<MT> score_rows_of(const struct score_args *a,
                                               const struct row_tile *tile, int first,
                                               int row, int group) {
    struct score_rows<MT> rows;

#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        int r = row + 8 * i, token = r >> a->lg, x = first + (r & ((1 << a->lg) - 1));
        bool valid = token < tile->count && x < a->p && (r & ((1 << a->lg) - 1)) < 32;
        int64_t t = tile->seq.row + tile->token + token;
        int pos = valid ? geometry_pos(&a->at, &tile->seq, tile->token + token) : 0;
        rows.at[i] = valid ? t * a->h + tile->head + x : -1;
        rows.out[i] = ((t - a->at.begin) * a->groups + group) * a->width;
        rows.visible[i] = valid ? geometry_visible(&a->at, &tile->seq, pos) : 0;
    }
    return rows;
}

/* p 2^-26 = exp2(s c - lse), 0 where not visible; `lse` is 26 more than the row's.  What
 * is below 2^-100 becomes 0 by itself: exp2_fast flushes below 2^-126. */
enum {
    P_SHIFT = 26
};
#define P_SCALE 0x1p26f

template <int MT, int BN>
SPS_DEVICE void probabilities(float (*s)[BN / 8][4], const struct score_rows<MT> *rows,
                              const float *lse, const float *c, int base, int end,
                              int least)
{
#pragma unroll
    for (int i = 0; i < 2 * MT; i++)
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float *x = &s[i >> 1][n][2 * (i & 1) + e];
                *x = exp2_fast(__fmaf_rn(*x, c[i], -lse[i]));
            }
    if (base + BN <= least && base + BN <= end)
        return;
#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        int limit = (rows->visible[i] < end ? rows->visible[i] : end) - base;
        limit -= 2 * (threadIdx.x & 3);
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (8 * n + e >= limit)
                    s[i >> 1][n][2 * (i & 1) + e] = 0;
    }
}

/* Write (or add to) one element. */
SPS_DEVICE void put(float *to, float x, bool add)
{
    *to = add ? *to + x : x;
}

/* How many of a token's lg row bits lie across lanes: a warp's lanes hold 8 rows. */
SPS_DEVICE int lane_row_bits(int lg)
{
    return lg < 3 ? lg : 3;
}

/* One row of BN / 8 x 2 values a thread, summed over the heads among the warp's rows (lg
 * of the row bits): after each halving a lane keeps half of the columns.  Returns the
 * first value kept, of BN / 4 >> lane_row_bits(lg). */
template <int BN> SPS_DEVICE int sum_group(float *v, int lg)
{
    constexpr int n0 = BN / 4;
    int lane = threadIdx.x & 31, from = 0;

#pragma unroll
    for (int level = 0; level < 3; level++) {
        int half = n0 >> (level + 1), bit = 4 << level;
        bool upper = lane & bit;
        if (level >= lg)
            break;
#pragma unroll
        for (int i = 0; i < n0 / 2; i++)
            if (i < half) {
                float give = upper ? v[i] : v[i + half],
                      keep = upper ? v[i + half] : v[i];
                v[i] = keep + __shfl_xor_sync(~0u, give, bit);
            }
        from += upper ? half : 0;
    }
    return from;
}

/* sum_group() and write. */
template <int BN>
SPS_DEVICE void write_group(float *v, int lg, float *out, bool valid, int columns,
                            bool add)
{
    constexpr int n0 = BN / 4;
    int lane = threadIdx.x & 31, from = sum_group<BN>(v, lg);

    if (lg >= 3) {
#pragma unroll
        for (int i = 0; i < n0 / 8; i++) {
            int column = (from + i) / 2 * 8 + 2 * (lane & 3) + ((from + i) & 1);
            if (valid && column < columns)
                put(out + column, v[i] * P_SCALE, add);
        }
        return;
    }
    int count = n0 >> lg;
#pragma unroll
    for (int i = 0; i < n0; i++) {
        int column = (from + i) / 2 * 8 + 2 * (lane & 3) + ((from + i) & 1);
        if (i < count && valid && column < columns)
            put(out + column, v[i] * P_SCALE, add);
    }
}

/* Sum p over the group's heads and write [r,g,keys]. */
template <int MT, int BN>
SPS_DEVICE void write_groups(const struct score_args *a,
                             const struct score_rows<MT> *rows, float (*s)[BN / 8][4],
                             int base, int end, bool add)
{
    int span = a->lg >= 5 ? 2 * MT : a->lg == 4 ? 2 : 1; /* thread rows of one token */

#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        float v[BN / 4];
        if (i % span)
            continue;
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float x = s[i >> 1][n][2 * (i & 1) + e];
                if (span >= 2)
                    x += s[i >> 1][n][2 + e];
                if (span >= 4)
                    x += s[MT - 1][n][e] + s[MT - 1][n][2 + e];
                v[2 * n + e] = x;
            }
        /* the first head's lane of a token knows whether the token is there */
        int64_t first =
            __shfl_sync(~0u, rows->at[i],
                        (threadIdx.x & 31) & ~((4 << (a->lg < 3 ? a->lg : 3)) - 4) & ~3);
        write_group<BN>(v, a->lg, a->out + rows->out[i] + base, first >= 0, end - base,
                        add);
    }
}

/* Sum sums[2 MT], one block's mass of each row, over the group's heads and write. */
template <int MT>
SPS_DEVICE void write_mass(const struct score_args *a, const struct score_rows<MT> *rows,
                           const float *sums, int unit, bool add)
{
    int span = a->lg >= 5 ? 2 * MT : a->lg == 4 ? 2 : 1, lane = threadIdx.x & 31;

#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        if (i % span)
            continue;
        float x = sums[i];
        if (span >= 2)
            x += sums[i + 1];
        if (span >= 4)
            x += sums[2 * MT - 2] + sums[2 * MT - 1];
        x = quad_sum(x);
        for (int bit = 4, level = 0; level < 3 && level < a->lg; level++, bit *= 2)
            x += __shfl_xor_sync(~0u, x, bit);
        if (rows->at[i] >= 0 && (lane & ((4 << (a->lg < 3 ? a->lg : 3)) - 1)) == 0)
            put(a->out + rows->out[i] + unit, x * P_SCALE, add);
    }
}

/* Add a tile's probabilities to the running block sums; write every block that ends. */
template <int MT, int BN>
SPS_DEVICE void add_mass(const struct score_args *a, const struct score_rows<MT> *rows,
                         float (*s)[BN / 8][4], float *sums, int unit, int many,
                         bool ends, bool add)
{
    int shift = 2 * (threadIdx.x & 3);

    if (many == 1 || a->block % 8 == 0) {
#pragma unroll
        for (int n = 0; n < BN / 8; n++) {
#pragma unroll
            for (int i = 0; i < 2 * MT; i++)
                sums[i] += s[i >> 1][n][2 * (i & 1)] + s[i >> 1][n][2 * (i & 1) + 1];
            bool last =
                many == 1 ? ends && n == BN / 8 - 1
                          : (n + 1) * 8 % a->block == 0 && (n + 1) * 8 / a->block <= many;
            if (last) {
                int which = unit + (many == 1 ? 0 : (n + 1) * 8 / a->block - 1);
                if (which < a->width)
                    write_mass<MT>(a, rows, sums, which, add);
                for (int i = 0; i < 2 * MT; i++)
                    sums[i] = 0;
            }
        }
        return;
    }
    for (int in = 0; in < many && unit + in < a->width; in++) {
        for (int i = 0; i < 2 * MT; i++)
            sums[i] = 0;
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int column = 8 * n + e + shift;
                bool here = column >= in * a->block && column < (in + 1) * a->block;
                for (int i = 0; i < 2 * MT; i++)
                    sums[i] += here ? s[i >> 1][n][2 * (i & 1) + e] : 0;
            }
        write_mass<MT>(a, rows, sums, unit + in, add);
    }
    for (int i = 0; i < 2 * MT; i++)
        sums[i] = 0;
}

#endif
