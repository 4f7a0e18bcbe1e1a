/* blas.h - OpenBLAS as the cpu backend uses it: row-major float32, one thread a call. */
#ifndef SPS_KERNELS_CPU_BLAS_H
#define SPS_KERNELS_CPU_BLAS_H

#include <stdint.h>

#include "base/status.h"

SPS_BEGIN_DECLS

/* Make every call single-threaded; pick a better core than OpenBLAS did when it does not
 * know this processor and the user named none; check a product.  Call before any thread.
 */
enum sps_status sps_blas_open(void);

/* The core whose kernels run: "Haswell", "SkylakeX". */
const char *sps_blas_core(void);

/* c[m,n] = alpha a[m,k] b[n,k]^T: queries against keys. */
void sps_blas_dots(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc);

/* c[m,n] = a[m,k] b[k,n] + beta c: probabilities against values. */
void sps_blas_mix(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* c[m,n] += a[m,k] b[n,k]^T, and c[m,n] += a[k,m]^T b[k,n]: gradients. */
void sps_blas_add_dots(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                       const float *b, int64_t ldb, float *c, int64_t ldc);
void sps_blas_add_outer(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                        const float *b, int64_t ldb, float *c, int64_t ldc);

SPS_END_DECLS

#endif
