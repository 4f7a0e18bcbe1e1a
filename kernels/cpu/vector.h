/* vector.h - loops over one row of float32, vectorised for the processor at hand. */
#ifndef SPS_KERNELS_CPU_VECTOR_H
#define SPS_KERNELS_CPU_VECTOR_H

#include <stdint.h>

#include "base/status.h"

/* One copy of a function for each level, chosen when the program starts.  Sanitizers
 * cannot follow the choice: it happens before they are ready. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) &&       \
    !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define SPS_CLONES __attribute__((target_clones("default", "fma", "avx2", "avx512f")))
#else
#define SPS_CLONES
#endif

SPS_BEGIN_DECLS

/* Largest element, -inf when n is 0. */
float sps_row_max(const float *x, int64_t n);
float sps_row_sum(const float *x, int64_t n);

/* x[j] = exp(x[j] - shift), 0 below 2^-100; returns the sum.  Needs x[j] <= shift and a
 * finite shift; relative error of each 2^-22. */
float sps_row_exp(float *x, int64_t n, float shift);

/* x *= by;  x = x * by + y. */
void sps_row_scale(float *x, int64_t n, float by);
void sps_row_merge(float *x, int64_t n, float by, const float *y);

/* x += by * y. */
void sps_row_add(float *x, int64_t n, float by, const float *y);

/* Backward of one row: logits x become p = exp(x - lse), 0 below 2^-100, and products
 * w = d_o . v become scale p (w - delta).  Needs a finite lse. */
void sps_row_slope(float *x, float *w, int64_t n, float lse, float delta, float scale);

/* Logits to probabilities in place, those below 2^-100 to 0; returns the log of the sum
 * of exp.  -inf and all 0 when n is 0.  A NaN makes all of them NaN. */
float sps_row_softmax(float *x, int64_t n);

SPS_END_DECLS

#endif
