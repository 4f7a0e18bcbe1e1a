/* compress.cu - compressed keys and values: means of windows, and the split of float32
 * into two fp16 terms. */
#include "kernels/cuda/compress.cuh"

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/terms.cuh"

/* One output element a thread; windows are summed 16 tokens at a time, then the sums. */
static __global__ void mean(const __grid_constant__ struct window_args a, int64_t count)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

    if (i >= count)
        return;
    int64_t width = a.g * a.d;
    struct window window = window_at(&a, i / width);
    int64_t at = window.token * width + i % width;
    float total = 0;
    for (int64_t from = 0; from < a.l; from += 16) {
        int64_t end = from + 16 < a.l ? from + 16 : a.l;
        float sum = 0;
        for (int64_t j = from; j < end; j++)
            sum += load_any(a.x, a.dtype, at + j * width);
        total += sum;
    }
    a.out[window.key * width + i % width] = total / (float)a.l;
}

enum sps_status sps_cuda_windows(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_tensor *x,
                                 const struct sps_compression *by, float *out,
                                 struct window_args *a)
{
    size_t bytes = (size_t)(shape->n + 1) * sizeof(int64_t);
    const void *to;

    a->x = x->data;
    a->dtype = x->dtype;
    a->out = out;
    a->n = shape->n;
    a->m = sps_made_count(by, shape->n);
    a->l = by->l;
    a->u = by->u;
    a->g = x->dim[1];
    a->d = x->dim[2];
    SPS_TRY(sps_cuda_put(dev, by->cu, bytes, &to));
    a->cu = (const int64_t *)to;
    SPS_TRY(sps_cuda_put(dev, shape->cu_k, bytes, &to));
    a->cu_k = (const int64_t *)to;
    a->make = a->cu;
    if (by->make) {
        SPS_TRY(sps_cuda_put(dev, by->make, bytes, &to));
        a->make = (const int64_t *)to;
    }
    if (by->first) {
        SPS_TRY(sps_cuda_put(dev, by->first, bytes - sizeof(int64_t), &to));
        a->first = (const int64_t *)to;
    }
    return SPS_OK;
}

enum sps_status sps_cuda_compress_mean(struct sps_device *dev,
                                       const struct sps_shape *shape,
                                       const struct sps_tensor *x,
                                       const struct sps_compression *by, float *out)
{
    struct window_args a = {};

    dev->impl = "compress_mean";
    SPS_TRY(sps_cuda_windows(dev, shape, x, by, out, &a));
    int64_t count = a.m * a.g * a.d;
    if (count > 0)
        mean<<<(unsigned)((count + 127) / 128), 128, 0, cuda_state_of(dev)->stream>>>(
            a, count);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}

/* *top = float bits of the largest |x|. */
static __global__ void find_top(const float *x, int64_t count, uint32_t *top)
{
    uint32_t most = 0;

    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        uint32_t bits = __float_as_uint(x[i]) & 0x7fffffffu;
        most = most > bits ? most : bits;
    }
    most = __reduce_max_sync(~0u, most);
    if ((threadIdx.x & 31) == 0)
        atomicMax(top, most);
}

static __global__ void split(const float *x, int64_t count, __half *high, __half *low,
                             const uint32_t *top)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

    if (i >= count)
        return;
    float scaled = x[i] * term_scale(*top);
    __half term = __float2half_rn(scaled);
    high[i] = term;
    if (low)
        low[i] = __float2half_rn(scaled - __half2float(term));
}

enum sps_status sps_cuda_split(struct sps_device *dev, const float *x, int64_t count,
                               void *high, void *low, uint32_t *top)
{
    cudaStream_t stream = cuda_state_of(dev)->stream;

    CUDA_TRY(cudaMemsetAsync(top, 0, sizeof *top, stream));
    if (count == 0)
        return SPS_OK;
    find_top<<<256, 256, 0, stream>>>(x, count, top);
    split<<<(unsigned)((count + 255) / 256), 256, 0, stream>>>(x, count, (__half *)high,
                                                               (__half *)low, top);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}
