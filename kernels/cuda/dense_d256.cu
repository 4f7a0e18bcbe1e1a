/* dense_d256.cu - dense attention for heads of up to 256. */
#include "kernels/cuda/dense.cuh"

cudaError_t sps_cuda_dense_d256(const struct attend_args *a, cudaStream_t stream)
{
    return dense_any<256, 256, 1, 4, 64>(a, stream);
}
