/* gather_d64.cu - attention over an index, block-outer, for heads of up to 64. */
#include "kernels/cuda/gather.cuh"

enum sps_status sps_cuda_gather_d64(struct sps_device *dev, const struct sps_shape *,
                                    const struct attend_args *a,
                                    const struct gather_work *w)
{
    return gather_any<64, 64, 2, 4, 64>(dev, a, w);
}
