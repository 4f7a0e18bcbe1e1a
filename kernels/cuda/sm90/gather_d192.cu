/* gather_d192.cu - attention over an index, block-outer, sm_90a, for heads of
 * 129 to 192 with values of up to 128. */
#include "kernels/cuda/sm90/gather.cuh"

enum sps_status sps_sm90_gather_d192(struct sps_device *dev,
                                     const struct sps_shape *shape,
                                     const struct attend_args *a,
                                     const struct gather_work *w)
{
    return gather_wgmma_any<192, 128>(dev, shape, a, w);
}
