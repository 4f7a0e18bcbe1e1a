/* score_d128.cu - scores for heads of 65 to 128. */
#include "kernels/cuda/score.cuh"

cudaError_t sps_cuda_score_d128(const struct score_args *a, cudaStream_t stream)
{
    return score_any<128, 2, 4, 64>(a, stream);
}
