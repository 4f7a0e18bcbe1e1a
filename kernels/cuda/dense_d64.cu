/* dense_d64.cu - dense attention for heads of up to 64. */
#include "kernels/cuda/dense.cuh"

cudaError_t sps_cuda_dense_d64(const struct attend_args *a, cudaStream_t stream)
{
    return dense_any<64, 64, 2, 4, 64>(a, stream);
}
