/* gather_d256.cu - attention over an index, block-outer, for heads of up to 256. */
#include "kernels/cuda/gather.cuh"

cudaError_t sps_cuda_gather_d256(const struct attend_args *a, const struct gather_work *w,
                                 cudaStream_t stream)
{
    return gather_any<256, 256, 1, 4, 64>(a, w, stream);
}
