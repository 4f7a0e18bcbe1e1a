/* score_d256.cu - scores for heads of up to 256. */
#include "kernels/cuda/score.cuh"

cudaError_t sps_cuda_score_d256(const struct score_args *a, cudaStream_t stream)
{
    return score_any<256, 2, 2, 32>(a, stream);
}
