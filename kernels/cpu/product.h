/* product.h - small matrix products whose bits do not depend on what else they hold.
 *
 * OpenBLAS adds up an element in an order that depends on where its row and column stand
 * (Haswell's sgemm alternates between two every six columns).  Where the rows of
 * a product depend on what other rows chose, as in attention by blocks, or where equal
 * keys must score equal, that would let a later query change the bits of an earlier one.
 * Here every element is the sum over x = 0, 1, .. k-1 in this order, wherever it stands.
 */
#ifndef SPS_KERNELS_CPU_PRODUCT_H
#define SPS_KERNELS_CPU_PRODUCT_H

#include "kernels/cpu/column.h"

SPS_BEGIN_DECLS

enum {
    SPS_PANEL = 16, /* columns: a packed b lies as [n / 16][k][16], zero-padded */
    SPS_STRIP = 6   /* rows: a is read and c written up to the next multiple of 6 */
};

static inline int64_t sps_round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* Pack n keys from `from` on (k = dk, columns are keys), or n values (k = n, columns are
 * dv). */
void sps_pack_keys(const struct sps_column *keys, int64_t from, int64_t n, int64_t dk,
                   float *b);
void sps_pack_values(const struct sps_column *values, int64_t from, int64_t n, int64_t dv,
                     float *b);

/* c[m,n] = alpha a[m,k] b[k,n] with the first k of `depth` packed rows of b;
 * ldc >= n rounded up to 16. */
void sps_product(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                 int64_t lda, const float *b, int64_t depth, float *c, int64_t ldc);

SPS_END_DECLS

#endif
