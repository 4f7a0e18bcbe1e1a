/* union_d192.cu - attention over an index, query-outer, for keys of up to 192 and values of up to 128. */
#include "kernels/cuda/union.cuh"

cudaError_t sps_cuda_union_d192(const struct attend_args *a, cudaStream_t stream)
{
    return union_any<192, 128, 64, 3>(a, stream);
}
