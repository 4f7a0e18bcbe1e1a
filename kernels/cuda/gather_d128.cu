/* gather_d128.cu - attention over an index, block-outer, for heads of 65 to 128. */
#include "kernels/cuda/gather.cuh"

cudaError_t sps_cuda_gather_d128(const struct attend_args *a, const struct gather_work *w,
                                 cudaStream_t stream)
{
    return gather_any<128, 128, 2, 4, 64>(a, w, stream);
}
