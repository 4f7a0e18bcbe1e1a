/* roofs.cu - what the device does at best: mma.sync from registers (or what sm90/ has),
 * reading, copying. */
#include "kernels/cuda/sm90/tma.h"

enum { CHAINS = 8, TURNS = 2048, WARPS = 16 };

/* CHAINS independent products a warp; the result is written so that none is dropped. */
static __global__ void __launch_bounds__(WARPS * 32) multiply(float *out)
{
    float c[CHAINS][4] = {};
    uint32_t a[4] = {threadIdx.x * 0x9e3779b9u & 0x3fff3fffu, 0x3f803f81u, 0x3e993f01u,
                     0x3dcc3f11u};

    for (int turn = 0; turn < TURNS; turn++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            mma(__nv_bfloat16(), c[i], a, a[i & 3], a[(i + 1) & 3]);
    float sum = 0;
    for (int i = 0; i < CHAINS; i++)
        sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
    if (sum == 12345.f)
        *out = sum;
}

static __global__ void read_all(const uint4 *from, size_t count, uint4 *out)
{
    uint4 sum = {0, 0, 0, 0};

    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count;
         i += (size_t)gridDim.x * blockDim.x) {
        uint4 x = from[i];
        sum.x ^= x.x, sum.y ^= x.y, sum.z ^= x.z, sum.w ^= x.w;
    }
    if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == 1)
        *out = sum;
}

enum roof { ROOF_MATRIX, ROOF_READ, ROOF_COPY, ROOF_COUNT };

/* *work: operations or bytes of the launch. */
static enum sps_status issue(struct sps_device *dev, enum roof roof, char *mem,
                             size_t bytes, double *work)
{
    struct cuda_state *state = cuda_state_of(dev);
    int ctas = state->prop.multiProcessorCount * 4;

    *work = (double)bytes;
    if (roof == ROOF_MATRIX && sps_sm90_usable(dev))
        return sps_sm90_multiply(dev, (float *)mem, work);
    if (roof == ROOF_MATRIX) {
        multiply<<<ctas, WARPS * 32, 0, state->stream>>>((float *)mem);
        *work = (double)ctas * WARPS * TURNS * CHAINS * (2.0 * 16 * 8 * 16);
    } else if (roof == ROOF_READ)
        read_all<<<ctas * 4, 512, 0, state->stream>>>((const uint4 *)mem, bytes / 16,
                                                      (uint4 *)mem);
    else
        CUDA_TRY(cudaMemcpyAsync(mem, mem + bytes / 2, bytes / 2,
                                 cudaMemcpyDeviceToDevice, state->stream));
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}

/* The best rate of several runs, per second. */
static enum sps_status best(struct sps_device *dev, enum roof roof, char *mem,
                            size_t bytes, double *rate)
{
    *rate = 0;
    for (int i = 0; i < 12; i++) {
        double seconds, work;
        SPS_TRY(dev->backend->mark(dev, 0));
        SPS_TRY(issue(dev, roof, mem, bytes, &work));
        SPS_TRY(dev->backend->mark(dev, 1));
        SPS_TRY(dev->backend->elapsed(dev, 0, 1, &seconds));
        *rate = work / seconds > *rate ? work / seconds : *rate;
    }
    return SPS_OK;
}

enum sps_status sps_cuda_roofs(struct sps_device *dev, struct sps_roofs *roofs)
{
    size_t bytes = dev->memory_bytes / 4 < (size_t)2 << 30
                       ? dev->memory_bytes / 4 & ~(size_t)31
                       : (size_t)2 << 30;
    double rate[ROOF_COUNT];
    void *mem;

    SPS_TRY(dev->backend->alloc(dev, bytes, &mem));
    enum sps_status status = SPS_OK;
    for (int i = 0; i < ROOF_COUNT && status == SPS_OK; i++)
        status = best(dev, (enum roof)i, (char *)mem, bytes, &rate[i]);
    dev->backend->free(dev, mem);
    SPS_TRY(status);
    roofs->matrix_flops = rate[ROOF_MATRIX];
    roofs->read_bytes = rate[ROOF_READ];
    roofs->copy_bytes = rate[ROOF_COPY];
    return SPS_OK;
}
