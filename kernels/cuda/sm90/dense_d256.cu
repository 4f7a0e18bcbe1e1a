/* dense_d256.cu - attention on Hopper for heads of up to 256. */
#include "kernels/cuda/sm90/dense.cuh"

cudaError_t sps_sm90_dense_d256(const struct attend_args *a,
                                const struct dense90_maps *maps, int grid,
                                cudaStream_t stream)
{
    return dense90_any<256, 256, DENSE90_NARROW, DENSE90_KEYS_D256>(a, maps, grid,
                                                                    stream);
}
