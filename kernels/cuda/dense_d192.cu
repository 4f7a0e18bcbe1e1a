/* dense_d192.cu - dense attention for keys of up to 192 and values of up to 128. */
#include "kernels/cuda/dense.cuh"

cudaError_t sps_cuda_dense_d192(const struct attend_args *a, cudaStream_t stream)
{
    return dense_any<192, 128, 2, 4, 64>(a, stream);
}
