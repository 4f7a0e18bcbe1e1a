/* rows_d64.cu - attention over an index, row-outer, for heads of up to 64. */
#include "kernels/cuda/rows.cuh"

cudaError_t sps_cuda_rows_d64(const struct attend_args *a, cudaStream_t stream)
{
    return rows_any<64, 64, 2>(a, stream);
}
