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

/* Six rows times one panel: twelve 256-bit sums, or six of 512 bits. */
__attribute__((always_inline)) static inline void strip(int64_t k, float alpha,
                                                        const float *a, int64_t lda,
                                                        const float *b, float *c,
                                                        int64_t ldc)
{
    lanes sum[SPS_STRIP] = {{0}};

    for (int64_t x = 0; x < k; x++) {
        lanes y = *(const lanes *)(b + x * SPS_PANEL);
#pragma GCC unroll 6
        for (int r = 0; r < SPS_STRIP; r++)
            sum[r] += a[r * lda + x] * y;
    }
#pragma GCC unroll 6
    for (int r = 0; r < SPS_STRIP; r++)
        *(lanes *)(c + r * ldc) = alpha * sum[r];
}

SPS_CLONES void sps_product(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                            int64_t lda, const float *b, float *c, int64_t ldc)
{
    for (int64_t top = 0; top < m; top += ROWS_IN_L1) {
        int64_t end = top + ROWS_IN_L1 < m ? top + ROWS_IN_L1 : m;
        for (int64_t j = 0; j < n; j += SPS_PANEL)
            for (int64_t i = top; i < end; i += SPS_STRIP)
                strip(k, alpha, a + i * lda, lda, b + j * k, c + i * ldc + j, ldc);
    }
}
