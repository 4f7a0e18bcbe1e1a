/* rows_d192.cu - attention over an index, row-outer, for keys of up to 192 and values of
 * up to 128. */
#include "kernels/cuda/rows.cuh"

cudaError_t sps_cuda_rows_d192(const struct attend_args *a, cudaStream_t stream)
{
    return rows_any<192, 128, 2>(a, stream);
}
