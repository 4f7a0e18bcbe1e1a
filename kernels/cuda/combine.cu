/* combine.cu - the sum of branches, each weighted by a gate or a constant. */
#include "kernels/cuda/cuda.h"

enum { PARTS = 8 };

struct combine_args {
    const float *part[PARTS], *gate;
    float constant[PARTS];
    float *o;
    int64_t begin, end, dv; /* elements; columns a gate covers */
    int parts;
};

/* Elements a.begin + i * WIDE; WIDE divides dv. */
template <int WIDE>
static __global__ void combine(const __grid_constant__ struct combine_args a)
{
    int64_t i = a.begin + (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) * WIDE;
    float sum[WIDE] = {};

    if (i >= a.end)
        return;
#pragma unroll
    for (int b = 0; b < PARTS; b++) {
        if (b >= a.parts)
            break;
        float weight = a.gate ? a.gate[i / a.dv * a.parts + b] : a.constant[b];
        if (WIDE == 4) {
            float4 x = *(const float4 *)(a.part[b] + i);
            sum[0] += weight * x.x, sum[WIDE > 1] += weight * x.y;
            sum[WIDE > 2 ? 2 : 0] += weight * x.z, sum[WIDE > 3 ? 3 : 0] += weight * x.w;
        } else {
            sum[0] += weight * a.part[b][i];
        }
    }
    for (int e = 0; e < WIDE; e++)
        a.o[i + e] = sum[e];
}

enum sps_status sps_cuda_combine(struct sps_device *dev, const struct sps_shape *shape,
                                 int64_t parts, const float *const *part,
                                 const float *gate, const float *constant,
                                 struct sps_rows rows, float *o)
{
    cudaStream_t stream = cuda_state_of(dev)->stream;
    struct combine_args a = {};

    dev->impl = "combine";
    if (parts > PARTS)
        return sps_fail(SPS_ENOTSUP, "%lld branches: at most %d on cuda",
                        (long long)parts, PARTS);
    for (int64_t b = 0; b < parts; b++) {
        a.part[b] = part[b];
        a.constant[b] = gate ? 0 : constant[b];
    }
    a.gate = gate;
    a.o = o;
    a.parts = (int)parts;
    a.dv = shape->dv;
    a.begin = rows.begin * shape->h * shape->dv;
    a.end = rows.end * shape->h * shape->dv;
    int64_t count = a.end - a.begin;
    if (count <= 0)
        return SPS_OK;
    if (a.dv % 4 == 0)
        combine<4><<<(unsigned)((count / 4 + 255) / 256), 256, 0, stream>>>(a);
    else
        combine<1><<<(unsigned)((count + 255) / 256), 256, 0, stream>>>(a);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}
