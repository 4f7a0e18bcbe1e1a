/* gate_d128.cu - MoBA's gate on Hopper for heads of 65 to 128. */
#include "kernels/cuda/sm90/gate.cuh"

cudaError_t sps_sm90_gate_d128(const struct gate90_args *a,
                               const struct gate90_maps *maps, int grid,
                               cudaStream_t stream)
{
    return gate90_any<128>(a, maps, grid, stream);
}
