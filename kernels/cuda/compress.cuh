/* compress.cuh - windows of tokens: which ones a compressed key covers. */
#ifndef SPS_KERNELS_CUDA_COMPRESS_CUH
#define SPS_KERNELS_CUDA_COMPRESS_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/simple.cuh"

/* out[.,g,d] of m compressed keys from windows of l tokens every u of x[s,g,d]. */
struct window_args {
    const void *x, *w, *pe;
    float *out;
    const float *shift; /* [g,d]: flatten(pe) w, or NULL */
    const int64_t *cu, *cu_k;
    const int64_t *make, *first; /* of struct sps_compression; first may be NULL */
    int64_t n, m, l, u, g, d;
    enum sps_dtype dtype, w_dtype, pe_dtype;
    enum sps_dtype rounded; /* of struct sps_compression */
};

/* x as the nearest number of the type that results are rounded to. */
SPS_DEVICE float rounded_to(enum sps_dtype dtype, float x)
{
    return dtype == SPS_BF16  ? __bfloat162float(__float2bfloat16_rn(x))
           : dtype == SPS_F16 ? __half2float(__float2half_rn(x))
                              : x;
}

/* The first packed token of the x-th key to make, and its place in out. */
struct window {
    int64_t token, key;
};

SPS_DEVICE struct window window_at(const struct window_args *a, int64_t x)
{
    int64_t low = 0, high = a->n - 1;

    while (low < high) {
        int64_t mid = (low + high + 1) / 2;
        if (a->make[mid] <= x)
            low = mid;
        else
            high = mid - 1;
    }
    int64_t m = x - a->make[low] + (a->first ? a->first[low] : 0);
    return {a->cu_k[low] + m * a->u, a->cu[low] + m};
}

enum sps_status sps_cuda_windows(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_tensor *x,
                                 const struct sps_compression *by, float *out,
                                 struct window_args *a);

#endif
