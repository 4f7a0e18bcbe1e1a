/* score_d64.cu - scores for heads of up to 64. */
#include "kernels/cuda/score.cuh"

cudaError_t sps_cuda_score_d64(const struct score_args *a, cudaStream_t stream)
{
    return score_any<64, 2, 4, 64>(a, stream);
}
