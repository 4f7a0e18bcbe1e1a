/* union_d128.cu - attention over unions for heads of 65 to 128. */
#include "kernels/cuda/sm90/union.cuh"

cudaError_t sps_sm90_union_d128(const struct attend_args *a, const struct union_work *w,
                                cudaStream_t stream)
{
    return union_any<union_shape<128, 5, 6>, false>(a, w, stream);
}
