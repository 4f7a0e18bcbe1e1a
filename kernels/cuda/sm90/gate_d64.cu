/* gate_d64.cu - MoBA's gate on Hopper for heads up to 64. */
#include "kernels/cuda/sm90/gate.cuh"

cudaError_t sps_sm90_gate_d64(const struct gate90_args *a, const struct gate90_maps *maps,
                              int grid, cudaStream_t stream)
{
    return gate90_any<64>(a, maps, grid, stream);
}
