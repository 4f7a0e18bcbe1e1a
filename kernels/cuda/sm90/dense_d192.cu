/* dense_d192.cu - attention on Hopper for heads of 192 with values of 128. */
#include "kernels/cuda/sm90/dense.cuh"

cudaError_t sps_sm90_dense_d192(const struct attend_args *a,
                                const struct dense90_maps *maps, int grid,
                                cudaStream_t stream)
{
    return dense90_any<192, 128, DENSE90_NARROW, DENSE90_KEYS>(a, maps, grid, stream);
}
