/* union_d256.cu - attention over an index, query-outer, for heads of up to 256. */
#include "kernels/cuda/union.cuh"

cudaError_t sps_cuda_union_d256(const struct attend_args *a, cudaStream_t stream)
{
    return union_any<256, 256, 32, 4>(a, stream);
}
