/* vector.c - loops over one row of float32, vectorised for the processor at hand. */
#include "kernels/cpu/vector.h"

#include <math.h>

static const float SMALLEST = 0x1p-100f;
static const float LOG_SMALLEST = -69.314718f;

/* exp of x in [-70, 0]: x = n ln 2 + r with |r| <= ln 2 / 2, exp(r) by the degree-6
 * polynomial of Cephes expf (S. Moshier), 2^n added to the exponent. */
__attribute__((always_inline)) static inline float exp_one(float x)
{
    union {
        float f;
        int32_t i;
    } y;
    float clamped = x > LOG_SMALLEST ? x : LOG_SMALLEST; /* a NaN is not above */
    float n = (clamped * 1.44269504f + 12582912.0f) - 12582912.0f; /* nearest integer */
    float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;

    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    y.f = p * r * r + r + 1.0f;
    y.i += (int32_t)n * (1 << 23);
    return x >= LOG_SMALLEST ? y.f : x < LOG_SMALLEST ? 0 : x;
}

SPS_CLONES float sps_row_max(const float *x, int64_t n)
{
    float max = -INFINITY;

#pragma omp simd reduction(max : max)
    for (int64_t j = 0; j < n; j++)
        max = x[j] > max ? x[j] : max;
    return max;
}

SPS_CLONES float sps_row_sum(const float *x, int64_t n)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++)
        sum += x[j];
    return sum;
}

SPS_CLONES float sps_row_exp(float *x, int64_t n, float shift)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) {
        float e = exp_one(x[j] - shift);
        x[j] = e;
        sum += e;
    }
    return sum;
}

SPS_CLONES void sps_row_scale(float *x, int64_t n, float by)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        x[j] *= by;
}

SPS_CLONES void sps_row_merge(float *x, int64_t n, float by, const float *y)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        x[j] = x[j] * by + y[j];
}

SPS_CLONES void sps_row_add(float *x, int64_t n, float by, const float *y)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        x[j] += by * y[j];
}

SPS_CLONES void sps_row_slope(float *x, float *w, int64_t n, float lse, float delta,
                              float scale)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        float p = exp_one(x[j] - lse);
        x[j] = p;
        w[j] = scale * p * (w[j] - delta);
    }
}

SPS_CLONES static void normalise(float *x, int64_t n, float by)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        float p = x[j] * by;
        x[j] = p < SMALLEST ? 0 : p;
    }
}

float sps_row_softmax(float *x, int64_t n)
{
    float max = sps_row_max(x, n), sum;

    if (max == -INFINITY && !isnan(sps_row_sum(x, n)))
        return -INFINITY;
    sum = sps_row_exp(x, n, max);
    normalise(x, n, 1 / sum);
    return max + logf(sum);
}
