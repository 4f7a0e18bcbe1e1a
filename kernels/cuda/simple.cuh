/* simple.cuh - elements of any input type as float32. */
#ifndef SPS_KERNELS_CUDA_SIMPLE_CUH
#define SPS_KERNELS_CUDA_SIMPLE_CUH

#include "kernels/cuda/geometry.cuh"

SPS_DEVICE float load_any(const void *x, enum sps_dtype dtype, int64_t i)
{
    if (dtype == SPS_BF16)
        return __bfloat162float(((const __nv_bfloat16 *)x)[i]);
    if (dtype == SPS_F16)
        return __half2float(((const __half *)x)[i]);
    return ((const float *)x)[i];
}

#endif
