/* union_d64.cu - attention over unions for heads of at most 64. */
#include "kernels/cuda/sm90/union.cuh"

cudaError_t sps_sm90_union_d64(const struct attend_args *a, const struct union_work *w,
                               cudaStream_t stream)
{
    return union_any<union_shape<64, 10, 14>, false>(a, w, stream);
}
