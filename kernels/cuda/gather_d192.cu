/* gather_d192.cu - attention over an index, block-outer, for keys of up to 192 and values
 * of up to 128. */
#include "kernels/cuda/gather.cuh"

enum sps_status sps_cuda_gather_d192(struct sps_device *dev, const struct sps_shape *,
                                     const struct attend_args *a,
                                     const struct gather_work *w)
{
    return gather_any<192, 128, 2, 4, 64>(dev, a, w);
}
