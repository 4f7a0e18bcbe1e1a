/* compress_linear.cu - compressed keys by a linear map of the flattened window: a matrix
 * product whose left rows overlap, so that they are gathered from x and never stored.
 * flatten(x + pe) w = flatten(x) w + flatten(pe) w; the second term is one row a head.
 */
#include "kernels/cuda/compress.cuh"

enum { ROWS = 64, COLUMNS = 128, DEPTH = 64, THREADS = 128 };
enum {
    A_BYTES = ROWS * DEPTH * 2,
    B_BYTES = DEPTH * COLUMNS * 2,
    STAGE = A_BYTES + B_BYTES
};

/* shift[g,d] = sum over i of pe[g,i] w[g,i,d]; a CTA of 32 columns x 32 parts. */
static __global__ void shift_rows(const __grid_constant__ struct window_args a,
                                  float *shift)
{
    __shared__ float part[32][33];
    int64_t d = blockIdx.x * 32 + threadIdx.x, g = blockIdx.y, depth = a.l * a.d;
    float sum = 0;

    if (d < a.d)
        for (int64_t i = threadIdx.y; i < depth; i += 32)
            sum = __fmaf_rn(load_any(a.pe, a.pe_dtype, g * depth + i),
                            load_any(a.w, a.w_dtype, (g * depth + i) * a.d + d), sum);
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || d >= a.d)
        return;
    for (int i = 1; i < 32; i++)
        sum += part[i][threadIdx.x];
    shift[g * a.d + d] = sum;
}

/* One DEPTH of the product: rows of token `token` of each window, columns from `from`. */
template <typename T>
SPS_DEVICE void load_stage(const struct window_args *a, const int64_t *first, int64_t kv,
                           int64_t token, int from, int column, uint32_t to)
{
    const T *x = (const T *)a->x, *w = (const T *)a->w;

#pragma unroll
    for (int k = 0; k < ROWS * DEPTH / 8 / THREADS; k++) {
        int i = threadIdx.x + k * THREADS, r = i / (DEPTH / 8), c = i % (DEPTH / 8),
            d = from + c * 8;
        bool valid = first[r] >= 0 && d < a->d;
        cp_async16(to + tile_at<DEPTH>(r, c),
                   valid ? x + ((first[r] + token) * a->g + kv) * a->d + d : x, valid);
    }
#pragma unroll
    for (int k = 0; k < DEPTH * COLUMNS / 8 / THREADS; k++) {
        int i = threadIdx.x + k * THREADS, r = i / (COLUMNS / 8), c = i % (COLUMNS / 8),
            d = column + c * 8;
        bool valid = from + r < a->d && d < a->d;
        int64_t row = (kv * a->l + token) * a->d + from + r;
        cp_async16(to + A_BYTES + tile_at<COLUMNS>(r, c), valid ? w + row * a->d + d : w,
                   valid);
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    linear(const __grid_constant__ struct window_args a)
{
    extern __shared__ __align__(1024) unsigned char shared[];
    __shared__ int64_t first[ROWS], key[ROWS];
    uint32_t stages = shared_address(shared);
    int warp = threadIdx.x / 32, lane = threadIdx.x & 31, column = blockIdx.z * COLUMNS;
    int64_t kv = blockIdx.y, cuts = (a.d + DEPTH - 1) / DEPTH, steps = a.l * cuts;
    float o[COLUMNS / 8][4] = {};

    if (threadIdx.x < ROWS) {
        int64_t m = blockIdx.x * (int64_t)ROWS + threadIdx.x;
        struct window at = {-1, -1};
        if (m < a.m)
            at = window_at(&a, m);
        first[threadIdx.x] = at.token;
        key[threadIdx.x] = at.key;
    }
    __syncthreads();
    for (int64_t step = -1; step < steps; step++) {
        int64_t next = step + 1;
        if (step >= 0) {
            cp_wait<0>();
            __syncthreads();
        }
        if (next < steps)
            load_stage<T>(&a, first, kv, next / cuts, (int)(next % cuts) * DEPTH, column,
                          stages + (next & 1) * STAGE);
        cp_commit();
        if (step < 0)
            continue;
        uint32_t at = stages + (step & 1) * STAGE;
        float part[COLUMNS / 8][4] = {}; /* tensor cores truncate: add up outside */
#pragma unroll
        for (int kk = 0; kk < DEPTH / 16; kk++) {
            uint32_t left[4];
            ldmatrix4(left,
                      at + tile_at<DEPTH>(warp * 16 + (lane & 15), kk * 2 + lane / 16));
#pragma unroll
            for (int n = 0; n < COLUMNS / 16; n++) {
                uint32_t b[4];
                ldmatrix4_t(
                    b, at + A_BYTES +
                           tile_at<COLUMNS>((lane & 15) + kk * 16, n * 2 + lane / 16));
                mma(T(), part[2 * n], left, b[0], b[1]);
                mma(T(), part[2 * n + 1], left, b[2], b[3]);
            }
        }
#pragma unroll
        for (int n = 0; n < COLUMNS / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                o[n][e] += part[n][e];
    }
    cp_wait<0>();
    for (int e = 0; e < 4; e++) {
        int64_t m = key[warp * 16 + lane / 4 + 8 * (e >> 1)];
        for (int n = 0; n < COLUMNS / 8; n++) {
            int64_t d = column + 8 * n + 2 * (lane & 3) + (e & 1);
            if (m >= 0 && d < a.d)
                a.out[(m * a.g + kv) * a.d + d] = rounded_to(
                    a.rounded, o[n][e] + (a.shift ? a.shift[kv * a.d + d] : 0));
        }
    }
}

/* Any types: one output element a thread. */
static __global__ void linear_simple(const __grid_constant__ struct window_args a,
                                     int64_t count)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

    if (i >= count)
        return;
    int64_t d = i % a.d, kv = i / a.d % a.g;
    struct window at = window_at(&a, i / a.d / a.g);
    float total = 0;
    for (int64_t j = 0; j < a.l; j++) {
        float sum = 0;
        for (int64_t c = 0; c < a.d; c++)
            sum = __fmaf_rn(
                load_any(a.x, a.dtype, ((at.token + j) * a.g + kv) * a.d + c),
                load_any(a.w, a.w_dtype, ((kv * a.l + j) * a.d + c) * a.d + d), sum);
        total += sum;
    }
    a.out[(at.key * a.g + kv) * a.d + d] =
        rounded_to(a.rounded, total + (a.shift ? a.shift[kv * a.d + d] : 0));
}

template <typename T>
static cudaError_t launch_linear(const struct window_args *a, cudaStream_t stream)
{
    dim3 grid((unsigned)((a->m + ROWS - 1) / ROWS), (unsigned)a->g,
              (unsigned)((a->d + COLUMNS - 1) / COLUMNS));

    cudaError_t error = cudaFuncSetAttribute(
        linear<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, 2 * STAGE);

    if (error != cudaSuccess)
        return error;
    linear<T><<<grid, THREADS, 2 * STAGE, stream>>>(*a);
    return cudaGetLastError();
}

static enum sps_status put_shift(struct sps_device *dev, const struct sps_tensor *pe,
                                 struct window_args *a)
{
    size_t bytes = (size_t)(a->g * a->d) * sizeof(float);
    dim3 grid((unsigned)((a->d + 31) / 32), (unsigned)a->g);

    if (!pe || !pe->data)
        return SPS_OK;
    a->pe = pe->data;
    a->pe_dtype = pe->dtype;
    SPS_TRY(sps_cuda_reserve(dev, sps_cuda_round(bytes)));
    float *shift = (float *)sps_cuda_take(dev, bytes);
    shift_rows<<<grid, dim3(32, 32), 0, cuda_state_of(dev)->stream>>>(*a, shift);
    CUDA_TRY(cudaGetLastError());
    a->shift = shift;
    return SPS_OK;
}

enum sps_status sps_cuda_compress_linear(struct sps_device *dev,
                                         const struct sps_shape *shape,
                                         const struct sps_tensor *x,
                                         const struct sps_tensor *pe,
                                         const struct sps_tensor *w,
                                         const struct sps_compression *by, float *out)
{
    cudaStream_t stream = cuda_state_of(dev)->stream;
    struct window_args a = {};

    SPS_TRY(sps_cuda_windows(dev, shape, x, by, out, &a));
    a.w = w->data;
    a.w_dtype = w->dtype;
    int64_t count = a.m * a.g * a.d;
    if (count == 0)
        return SPS_OK;
    SPS_TRY(put_shift(dev, pe, &a));
    if (x->dtype == w->dtype && x->dtype != SPS_F32 && a.d % 8 == 0) {
        dev->impl = "compress_linear_mma";
        CUDA_TRY(x->dtype == SPS_BF16 ? launch_linear<__nv_bfloat16>(&a, stream)
                                      : launch_linear<__half>(&a, stream));
        return SPS_OK;
    }
    dev->impl = "compress_linear_simple";
    linear_simple<<<(unsigned)((count + 127) / 128), 128, 0, stream>>>(a, count);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}
