/* product.c - small matrix products whose bits do not depend on what else they hold. */
#include "kernels/cpu/product.h"

#include <string.h>

#include "kernels/cpu/vector.h"

/* One packed row of b; in 512-bit registers, two of 256, or four of 128. */
typedef float lanes __attribute__((vector_size(4 * SPS_PANEL), aligned(4)));

enum { ROWS_IN_L1 = 48 };

void sps_pack_keys(const struct sps_column *keys, int64_t from, int64_t n, int64_t dk,
                   float *b)
{
    for (int64_t j = 0; j < sps_round_up(n, SPS_PANEL); j++) {
        float *to = b + j / SPS_PANEL * SPS_PANEL * dk + j % SPS_PANEL;
        const float *key = j < n ? sps_column_at(keys, from + j) : NULL;
        for (int64_t d = 0; d < dk; d++)
            to[d * SPS_PANEL] = key ? key[d] : 0;
    }
}

void sps_pack_values(const struct sps_column *values, int64_t from, int64_t n, int64_t dv,
                     float *b)
{
    for (int64_t d = 0; d < dv; d += SPS_PANEL) {
        size_t some = (size_t)(dv - d < SPS_PANEL ? dv - d : SPS_PANEL);
        for (int64_t j = 0; j < n; j++, b += SPS_PANEL) {
            memset(b, 0, SPS_PANEL * sizeof *b);
            memcpy(b, sps_column_at(values, from + j) + d, some * sizeof *b);
        }
    }
}

/* Six rows times `panels` panels; each row of b is loaded once, each number of a spread
 * to all lanes.  Twelve sums keep both multipliers of a processor busy: twelve of 256
 * bits in one panel, of 512 in two. */
__attribute__((always_inline)) static inline void
strip(int panels, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
      int64_t depth, float *c, int64_t ldc)
{
    lanes sum[SPS_STRIP][2] = {{{0}}};

    for (int64_t x = 0; x < k; x++)
#pragma GCC unroll 6
        for (int r = 0; r < SPS_STRIP; r++)
#pragma GCC unroll 2
            for (int p = 0; p < panels; p++)
                sum[r][p] +=
                    a[r * lda + x] * *(const lanes *)(b + (p * depth + x) * SPS_PANEL);
#pragma GCC unroll 6
    for (int r = 0; r < SPS_STRIP; r++)
#pragma GCC unroll 2
        for (int p = 0; p < panels; p++)
            *(lanes *)(c + r * ldc + p * SPS_PANEL) = alpha * sum[r][p];
}

/* Rows that stay in L1 meet `panels` panels at a time, the last one alone. */
__attribute__((always_inline)) static inline void
multiply(int panels, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
         int64_t lda, const float *b, int64_t depth, float *c, int64_t ldc)
{
    for (int64_t top = 0; top < m; top += ROWS_IN_L1) {
        int64_t end = top + ROWS_IN_L1 < m ? top + ROWS_IN_L1 : m, j = 0;
        for (; n - j > (panels - 1) * SPS_PANEL; j += panels * SPS_PANEL)
            for (int64_t i = top; i < end; i += SPS_STRIP)
                strip(panels, k, alpha, a + i * lda, lda, b + j * depth, depth,
                      c + i * ldc + j, ldc);
        for (; j < n; j += SPS_PANEL)
            for (int64_t i = top; i < end; i += SPS_STRIP)
                strip(1, k, alpha, a + i * lda, lda, b + j * depth, depth,
                      c + i * ldc + j, ldc);
    }
}

SPS_CLONES static void multiply_narrow(int64_t m, int64_t n, int64_t k, float alpha,
                                       const float *a, int64_t lda, const float *b,
                                       int64_t depth, float *c, int64_t ldc)
{
    multiply(1, m, n, k, alpha, a, lda, b, depth, c, ldc);
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void
multiply_wide(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
              const float *b, int64_t depth, float *c, int64_t ldc)
{
    multiply(2, m, n, k, alpha, a, lda, b, depth, c, ldc);
}

void sps_product(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                 int64_t lda, const float *b, int64_t depth, float *c, int64_t ldc)
{
    if (__builtin_cpu_supports("avx512f"))
        multiply_wide(m, n, k, alpha, a, lda, b, depth, c, ldc);
    else
        multiply_narrow(m, n, k, alpha, a, lda, b, depth, c, ldc);
}
#else
void sps_product(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                 int64_t lda, const float *b, int64_t depth, float *c, int64_t ldc)
{
    multiply_narrow(m, n, k, alpha, a, lda, b, depth, c, ldc);
}
#endif
