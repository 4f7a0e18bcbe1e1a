/* dense_d64.cu - attention on Hopper for heads of up to 64. */
#include "kernels/cuda/sm90/dense.cuh"

cudaError_t sps_sm90_dense_d64(const struct attend_args *a,
                               const struct dense90_maps *maps, int grid,
                               cudaStream_t stream)
{
    return dense90_any<64, 64, DENSE90_WIDE, DENSE90_KEYS>(a, maps, grid, stream);
}
