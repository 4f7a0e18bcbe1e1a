/* gather_d192.cu - attention over an index, block-outer, for keys of up to 192 and values
 * of up to 128. */
#include "kernels/cuda/gather.cuh"

cudaError_t sps_cuda_gather_d192(const struct attend_args *a, const struct gather_work *w,
                                 cudaStream_t stream)
{
    return gather_any<192, 128, 2, 4, 64>(a, w, stream);
}
