/* gather_d128.cu - attention over an index, block-outer, sm_90a, for heads of
 * 65 to 128. */
#include "kernels/cuda/sm90/gather.cuh"

enum sps_status sps_sm90_gather_d128(struct sps_device *dev,
                                     const struct sps_shape *shape,
                                     const struct attend_args *a,
                                     const struct gather_work *w)
{
    return gather_wgmma_any<128, 128>(dev, shape, a, w);
}
