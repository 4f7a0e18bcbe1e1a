/* score_d128.cu - row sums and block mass on Hopper for heads of 65 to 128. */
#include "kernels/cuda/sm90/score.cuh"

cudaError_t sps_sm90_score_d128(const struct score_args *a,
                                const struct score90_maps *maps, int grid,
                                cudaStream_t stream)
{
    return score90_any<128>(a, maps, grid, stream);
}
