/* compressed_once_d128.cu - NSA's compressed branch on Hopper for heads of 65 to 128,
 * compressed keys rounded once. */
#include "kernels/cuda/sm90/compressed.cuh"

cudaError_t sps_sm90_compressed_once_d128(const struct compressed90_args *a,
                                          const struct compressed90_maps *maps, int grid,
                                          cudaStream_t stream)
{
    return compressed90_any<128, 1>(a, maps, grid, stream);
}
