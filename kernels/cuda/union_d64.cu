/* union_d64.cu - attention over an index, query-outer, for heads of up to 64. */
#include "kernels/cuda/union.cuh"

cudaError_t sps_cuda_union_d64(const struct attend_args *a, cudaStream_t stream)
{
    return union_any<64, 64, 64, 4>(a, stream);
}
