/* score_d64.cu - row sums and block mass on Hopper for heads of up to 64. */
#include "kernels/cuda/sm90/score.cuh"

cudaError_t sps_sm90_score_d64(const struct score_args *a,
                               const struct score90_maps *maps, int grid,
                               cudaStream_t stream)
{
    return score90_any<64>(a, maps, grid, stream);
}
