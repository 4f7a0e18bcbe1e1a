/* rows_d256.cu - attention over an index, row-outer, for heads of up to 256. */
#include "kernels/cuda/rows.cuh"

cudaError_t sps_cuda_rows_d256(const struct attend_args *a, cudaStream_t stream)
{
    return rows_any<256, 256, 2>(a, stream);
}
