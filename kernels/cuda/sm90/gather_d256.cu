/* gather_d256.cu - attention over an index, block-outer, sm_90a, for heads of
 * up to 256. */
#include "kernels/cuda/sm90/gather.cuh"

enum sps_status sps_sm90_gather_d256(struct sps_device *dev,
                                     const struct sps_shape *shape,
                                     const struct attend_args *a,
                                     const struct gather_work *w)
{
    return gather_wgmma_any<256, 256>(dev, shape, a, w);
}
