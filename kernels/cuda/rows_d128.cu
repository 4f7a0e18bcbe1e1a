/* rows_d128.cu - attention over an index, row-outer, for heads of 65 to 128. */
#include "kernels/cuda/rows.cuh"

cudaError_t sps_cuda_rows_d128(const struct attend_args *a, cudaStream_t stream)
{
    return rows_any<128, 128, 2>(a, stream);
}
