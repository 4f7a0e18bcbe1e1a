/* softmax.cuh - what becomes of an accumulator of scores: masks, online softmax, P for
 * the next product, and the end of a row.
 */
#ifndef SPS_KERNELS_CUDA_SM90_SOFTMAX_CUH
#define SPS_KERNELS_CUDA_SM90_SOFTMAX_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/tile.cuh"

/* What a thread keeps of its two rows, lane/4 and lane/4 + 8: largest score times c so
 * far, and its share of the sum. */
struct row_pair {
    float m[2], l[2];
};

enum { LAZY = 8 };

/* Online softmax in base 2 of 64 x 2R scores: s becomes exp2(s c - m).  m stays as it is
 * while the row grows by less than 2^LAZY (FlashAttention-4's lazy rescaling), so that
 * most tiles leave o alone.  Returns true when some row of the warp must be rescaled by
 * factor[2]; a row's own factor depends on nothing but that row.  MASKED: s has -inf.
 * c: each row's own, or one for both. */
template <bool MASKED, int R>
SPS_DEVICE bool softmax_rows(float (&s)[R], struct row_pair *rows, const float (&c)[2],
                             float (&factor)[2])
{
    float top[2] = {s[0], s[2]}, base[2], sum[2] = {0, 0};

#pragma unroll
    for (int j = 0; j < R / 4; j++)
#pragma unroll
        for (int i = 0; i < 2; i++)
            top[i] = fmaxf(top[i], fmaxf(s[4 * j + 2 * i], s[4 * j + 2 * i + 1]));
#pragma unroll
    for (int x = 1; x <= 2; x *= 2)
#pragma unroll
        for (int i = 0; i < 2; i++)
            top[i] = fmaxf(top[i], __shfl_xor_sync(~0u, top[i], x));
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float most = top[i] * c[i], m = most > rows->m[i] + LAZY ? most : rows->m[i];
        base[i] = MASKED && m == -INFINITY ? 0 : m;
        factor[i] = exp2_fast(rows->m[i] - base[i]);
        rows->m[i] = m;
    }
#pragma unroll
    for (int j = 0; j < R / 4; j++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float *x = s + 4 * j + 2 * i;
            x[0] = exp2_fast(__fmaf_rn(x[0], c[i], -base[i]));
            x[1] = exp2_fast(__fmaf_rn(x[1], c[i], -base[i]));
            sum[i] += x[0] + x[1];
        }
#pragma unroll
    for (int i = 0; i < 2; i++)
        rows->l[i] = __fmaf_rn(rows->l[i], factor[i], sum[i]);
    return __any_sync(~0u, factor[0] != 1 || factor[1] != 1);
}

template <bool MASKED, int R>
SPS_DEVICE bool softmax_rows(float (&s)[R], struct row_pair *rows, float c,
                             float (&factor)[2])
{
    const float both[2] = {c, c};

    return softmax_rows<MASKED>(s, rows, both, factor);
}

template <int R> SPS_DEVICE void scale_rows(float (&o)[R], const float (&factor)[2])
{
#pragma unroll
    for (int j = 0; j < R; j++)
        o[j] *= factor[j >> 1 & 1];
}

/* Probabilities as the A operand of P V. */
template <typename T, int R>
SPS_DEVICE void pack_tile(uint32_t (&p)[R / 2], const float (&s)[R])
{
#pragma unroll
    for (int i = 0; i < R / 2; i++)
        p[i] = pack(T(), s[2 * i], s[2 * i + 1]);
}

/* Keys [low, high) of a tile that each of a thread's two rows reads. */
struct key_limits {
    int low[2], high[2];
};

/* -inf in the columns that a row does not read; without LOW it reads from 0. */
template <bool LOW, int R>
SPS_DEVICE void mask_limits(float (&s)[R], const struct key_limits *limit)
{
    int column = 2 * (threadIdx.x & 3);

#pragma unroll
    for (int j = 0; j < R; j++) {
        int key = j / 4 * 8 + (j & 1) + column, i = j >> 1 & 1;
        if (key >= limit->high[i] || (LOW && key < limit->low[i]))
            s[j] = -INFINITY;
    }
}

/* Before its first score a row has seen nothing. */
template <int R> SPS_DEVICE void start_rows(float (&o)[R], struct row_pair *sums)
{
    *sums = {{-INFINITY, -INFINITY}, {0, 0}};
#pragma unroll
    for (int j = 0; j < R; j++)
        o[j] = 0;
}

/* Row i of o times `scale` to a->o, 32 bytes a quad at a time; STREAM: not to be read
 * again soon. */
template <bool STREAM, int R>
SPS_DEVICE void write_row(const struct attend_args *a, int64_t place, const float (&o)[R],
                          int i, float scale)
{
    int column = 2 * (threadIdx.x & 3);
    float *to = a->o + place * a->dv + column;

#pragma unroll
    for (int j = 0; j < R / 4; j++)
        if (8 * j + column < a->dv) {
            float2 x =
                make_float2(o[4 * j + 2 * i] * scale, o[4 * j + 2 * i + 1] * scale);
            if (STREAM)
                __stcs((float2 *)(to + 8 * j), x);
            else
                *(float2 *)(to + 8 * j) = x;
        }
}

/* lse of a row with maximum m (base 2) and sum l. */
SPS_DEVICE float row_lse(float m, float l)
{
    return l > 0 ? m * LN2 + logf(l) : -INFINITY;
}

/* Divide row i by its sum, write it and its lse; place -1: nowhere. */
template <bool STREAM, int R>
SPS_DEVICE void finish_row(const struct attend_args *a, int64_t place,
                           const float (&o)[R], const struct row_pair *sums, int i)
{
    float sum = quad_sum(sums->l[i]);

    if (place < 0)
        return;
    write_row<STREAM>(a, place, o, i, sum > 0 ? 1 / sum : 0);
    if (a->lse && (threadIdx.x & 3) == 0)
        a->lse[place] = row_lse(sums->m[i], sum);
}

#endif
