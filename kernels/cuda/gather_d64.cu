/* gather_d64.cu - attention over an index, block-outer, for heads of up to 64. */
#include "kernels/cuda/gather.cuh"

cudaError_t sps_cuda_gather_d64(const struct attend_args *a, const struct gather_work *w,
                                cudaStream_t stream)
{
    return gather_any<64, 64, 2, 4, 64>(a, w, stream);
}
