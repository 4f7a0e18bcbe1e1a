/* score_d192.cu - scores for keys of up to 192 and values of up to 128. */
#include "kernels/cuda/score.cuh"

cudaError_t sps_cuda_score_d192(const struct score_args *a, cudaStream_t stream)
{
    return score_any<192, 2, 4, 32>(a, stream);
}
