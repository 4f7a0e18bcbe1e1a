/* union_d128.cu - attention over an index, query-outer, for heads of 65 to 128. */
#include "kernels/cuda/union.cuh"

cudaError_t sps_cuda_union_d128(const struct attend_args *a, cudaStream_t stream)
{
    return union_any<128, 128, 64, 4>(a, stream);
}
