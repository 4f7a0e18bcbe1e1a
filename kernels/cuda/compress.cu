/* compress.cu - compressed keys and values: means of windows, and the split of float32
 * into two fp16 terms. */
#include "kernels/cuda/compress.cuh"

#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/terms.cuh"

/* One output element a thread; windows are summed 16 tokens at a time, then the sums. */
static __global__ void mean_simple(const __grid_constant__ struct window_args a,
                                   int64_t count)
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
    a.out[window.key * width + i % width] = rounded_to(a.rounded, total / (float)a.l);
}

enum { MEAN_THREADS = 256, MEAN_TOKENS = 16, MEAN_SPLITS = 32 };

/* 16 bytes of x as float32. */
template <typename T> struct wide;

template <> struct wide<__nv_bfloat16> {
    enum { count = 8 };
    static __device__ __forceinline__ void add(float *sum, uint4 x)
    {
        uint32_t two[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            sum[2 * i] += __uint_as_float(two[i] << 16);
            sum[2 * i + 1] += __uint_as_float(two[i] & 0xffff0000u);
        }
    }
};

template <> struct wide<__half> {
    enum { count = 8 };
    static __device__ __forceinline__ void add(float *sum, uint4 x)
    {
        uint32_t two[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 pair = __half22float2(*(const __half2 *)&two[i]);
            sum[2 * i] += pair.x;
            sum[2 * i + 1] += pair.y;
        }
    }
};

template <> struct wide<float> {
    enum { count = 4 };
    static __device__ __forceinline__ void add(float *sum, uint4 x)
    {
        sum[0] += __uint_as_float(x.x), sum[1] += __uint_as_float(x.y);
        sum[2] += __uint_as_float(x.z), sum[3] += __uint_as_float(x.w);
    }
};

/* A load that stays in its order among others, so that several are on their way. */
SPS_DEVICE uint4 load_now(const uint4 *from)
{
    uint4 x;
    asm volatile("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "l"(from));
    return x;
}

/* Sum of tokens [from, from + MEAN_TOKENS), those below l, loads ahead of sums; x: the
 * window's first token, rows of `chunks` chunks of 16 bytes. */
template <typename T>
SPS_DEVICE void add_tokens(float *total, const uint4 *x, int64_t chunks, int64_t from,
                           int64_t l)
{
    uint4 chunk[MEAN_TOKENS];
    float sum[wide<T>::count] = {};

    x += from * chunks;
    if (from + MEAN_TOKENS <= l) {
#pragma unroll
        for (int j = 0; j < MEAN_TOKENS; j++)
            chunk[j] = load_now(x + j * chunks);
#pragma unroll
        for (int j = 0; j < MEAN_TOKENS; j++)
            wide<T>::add(sum, chunk[j]);
    } else {
        for (; from < l; from++, x += chunks)
            wide<T>::add(sum, *x);
    }
#pragma unroll
    for (int e = 0; e < wide<T>::count; e++)
        total[e] += sum[e];
}

/* A thread adds up 16 bytes of every `splits`-th run of 16 tokens of a window, threads
 * of one window and column by halves: the order follows from l alone.  Neighbouring
 * windows run together, so that what they share comes from cache. */
template <typename T>
static __global__ void __launch_bounds__(MEAN_THREADS)
    mean_wide(const __grid_constant__ struct window_args a, int64_t chunks, int splits)
{
    constexpr int n = wide<T>::count;
    __shared__ float sums[n][MEAN_THREADS];
    int wide_by = MEAN_THREADS / splits, part = threadIdx.x / wide_by;
    int64_t i = blockIdx.x * (int64_t)wide_by + threadIdx.x % wide_by;
    bool valid = i < a.m * chunks;
    struct window window = window_at(&a, valid ? i / chunks : 0);
    float total[n] = {};

    if (valid) {
        const uint4 *x = (const uint4 *)a.x + window.token * chunks + i % chunks;
        for (int64_t from = part * MEAN_TOKENS; from < a.l; from += splits * MEAN_TOKENS)
            add_tokens<T>(total, x, chunks, from, a.l);
    }
    for (int half = MEAN_THREADS / 2; half >= wide_by; half /= 2) {
        __syncthreads();
#pragma unroll
        for (int e = 0; e < n; e++)
            sums[e][threadIdx.x] = total[e];
        __syncthreads();
#pragma unroll
        for (int e = 0; e < n; e++)
            total[e] += (int)threadIdx.x < half ? sums[e][threadIdx.x + half] : 0;
    }
    if (!valid || part > 0)
        return;
#pragma unroll
    for (int e = 0; e < n; e++)
        total[e] = rounded_to(a.rounded, total[e] / (float)a.l);
#pragma unroll
    for (int e = 0; e < n; e += 4)
        *(float4 *)(a.out + (window.key * chunks + i % chunks) * n + e) =
            make_float4(total[e], total[e + 1], total[e + 2], total[e + 3]);
}

/* Threads a window and column: each has 64 tokens or more. */
static int splits_of(int64_t l)
{
    int splits = 1;

    while (splits < MEAN_SPLITS && (int64_t)splits * 8 * MEAN_TOKENS <= l)
        splits *= 2;
    return splits;
}

template <typename T>
static void launch_wide(const struct window_args *a, cudaStream_t stream)
{
    int64_t chunks = a->g * a->d / wide<T>::count;
    int splits = splits_of(a->l), wide_by = MEAN_THREADS / splits;
    int64_t grid = (a->m * chunks + wide_by - 1) / wide_by;

    mean_wide<T><<<(unsigned)grid, MEAN_THREADS, 0, stream>>>(*a, chunks, splits);
}

static void launch_mean(const struct window_args *a, cudaStream_t stream)
{
    int64_t width = a->g * a->d, count = a->m * width;

    if (width % 8 != 0 || (uintptr_t)a->x % 16 != 0 || (uintptr_t)a->out % 16 != 0)
        mean_simple<<<(unsigned)((count + 127) / 128), 128, 0, stream>>>(*a, count);
    else if (a->dtype == SPS_BF16)
        launch_wide<__nv_bfloat16>(a, stream);
    else if (a->dtype == SPS_F16)
        launch_wide<__half>(a, stream);
    else
        launch_wide<float>(a, stream);
}

/* Where sequences begin, by one upload: a second one might overwrite the first. */
static enum sps_status put_offsets(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_compression *by,
                                   struct window_args *a)
{
    int64_t n = shape->n + 1, *all;
    const int64_t *part[] = {by->cu, shape->cu_k, by->make ? by->make : by->cu};
    const void *to = NULL;
    void *mem;

    SPS_TRY(sps_calloc((size_t)(4 * n) * sizeof *all, &mem));
    all = (int64_t *)mem;
    for (int i = 0; i < 3; i++)
        memcpy(all + i * n, part[i], (size_t)n * sizeof *all);
    if (by->first)
        memcpy(all + 3 * n, by->first, (size_t)shape->n * sizeof *all);
    enum sps_status status = sps_cuda_put(dev, mem, (size_t)(4 * n) * sizeof *all, &to);
    free(mem);
    SPS_TRY(status);
    a->cu = (const int64_t *)to;
    a->cu_k = a->cu + n;
    a->make = a->cu + 2 * n;
    a->first = by->first ? a->cu + 3 * n : NULL;
    return SPS_OK;
}

enum sps_status sps_cuda_windows(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_tensor *x,
                                 const struct sps_compression *by, float *out,
                                 struct window_args *a)
{
    a->x = x->data;
    a->dtype = x->dtype;
    a->out = out;
    a->n = shape->n;
    a->m = sps_made_count(by, shape->n);
    a->l = by->l;
    a->u = by->u;
    a->rounded = by->rounded;
    a->g = x->dim[1];
    a->d = x->dim[2];
    return put_offsets(dev, shape, by, a);
}

enum sps_status sps_cuda_compress_mean(struct sps_device *dev,
                                       const struct sps_shape *shape,
                                       const struct sps_tensor *x,
                                       const struct sps_compression *by, float *out)
{
    struct window_args a = {};

    dev->impl = "compress_mean";
    SPS_TRY(sps_cuda_windows(dev, shape, x, by, out, &a));
    if (a.m * a.g * a.d > 0)
        launch_mean(&a, cuda_state_of(dev)->stream);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}

struct split_args {
    struct split_part part[SPS_CUDA_PARTS];
    uint32_t *top;
};

/* top[part] = float bits of the part's largest |x|. */
static __global__ void find_top(const __grid_constant__ struct split_args a)
{
    const struct split_part *part = &a.part[blockIdx.y];
    uint32_t most = 0;

    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < part->count;
         i += (int64_t)gridDim.x * blockDim.x) {
        uint32_t bits = __float_as_uint(part->x[i]) & 0x7fffffffu;
        most = most > bits ? most : bits;
    }
    most = __reduce_max_sync(~0u, most);
    if ((threadIdx.x & 31) == 0)
        atomicMax(a.top + blockIdx.y, most);
}

static __global__ void split(const __grid_constant__ struct split_args a)
{
    const struct split_part *part = &a.part[blockIdx.y];
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

    if (i >= part->count + part->zeros)
        return;
    float scaled = i < part->count ? part->x[i] * term_scale(a.top[blockIdx.y]) : 0;
    __half term = __float2half_rn(scaled);
    ((__half *)part->high)[i] = term;
    if (part->low)
        ((__half *)part->low)[i] = __float2half_rn(scaled - __half2float(term));
}

enum sps_status sps_cuda_split(struct sps_device *dev, const struct split_part *parts,
                               int count, uint32_t *top)
{
    cudaStream_t stream = cuda_state_of(dev)->stream;
    struct split_args a = {{}, top};
    int64_t most = 0;

    for (int i = 0; i < count; i++) {
        a.part[i] = parts[i];
        int64_t all = parts[i].count + parts[i].zeros;
        most = most > all ? most : all;
    }
    CUDA_TRY(cudaMemsetAsync(top, 0, (size_t)count * sizeof *top, stream));
    if (most == 0)
        return SPS_OK;
    find_top<<<dim3(256, (unsigned)count), 256, 0, stream>>>(a);
    split<<<dim3((unsigned)((most + 255) / 256), (unsigned)count), 256, 0, stream>>>(a);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}
