/* dense_d128.cu - dense attention for heads of 65 to 128. */
#include "kernels/cuda/dense.cuh"

cudaError_t sps_cuda_dense_d128(const struct attend_args *a, cudaStream_t stream)
{
    return dense_any<128, 128, 2, 4, 64>(a, stream);
}
