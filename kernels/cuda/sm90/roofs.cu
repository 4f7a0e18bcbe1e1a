/* roofs.cu - what Hopper's matrix units do at best: wgmma from shared memory. */
#include "kernels/cuda/sm90/hopper.cuh"
#include "kernels/cuda/sm90/tma.h"

enum { TURNS = 256, DEPTH = 4, GROUPS = 2, COLUMNS = 256, SHARED = 65536 };

#ifdef SPS_SM90A
/* Small bf16 numbers of both signs, as of 16 random bits. */
SPS_DEVICE uint32_t noise_pair(uint32_t i)
{
    uint32_t x = i * 0x9e3779b9u;

    x = (x ^ x >> 15) * 0x85ebca6bu;
    return (x & 0x807f807fu) | 0x3f003f00u;
}
#endif

/* Each warpgroup multiplies its 64 x 64 tile by one of 64 x 256, over and over. */
static __global__ void __launch_bounds__(GROUPS * 128, 1) multiply90(float *out)
{
#ifdef SPS_SM90A
    extern __shared__ __align__(1024) unsigned char memory[];
    uint32_t shared = shared_address(memory);
    float d[COLUMNS / 2] = {};

    for (int i = threadIdx.x; i < SHARED / 4; i += blockDim.x)
        store_shared(shared + 4 * i, (int)noise_pair(i));
    fence_async();
    __syncthreads();
    uint64_t a = matrix_k(warp_uniform(shared + 32768 + warpgroup_index() * 8192));
    uint64_t b = matrix_k(shared);
    for (int turn = 0; turn < TURNS; turn++) {
        hold(d);
        wgmma_fence();
#pragma unroll
        for (int i = 0; i < 4 * DEPTH; i++)
            wgmma<__nv_bfloat16, COLUMNS>::both(d, a + (i & 3) * 2, b + (i & 3) * 2, 1);
        wgmma_commit();
        wgmma_wait<0>();
        hold(d);
    }
    float sum = 0;
    for (int i = 0; i < COLUMNS / 2; i++)
        sum += d[i];
    if (sum == 12345.f)
        *out = sum;
#endif
}

enum sps_status sps_sm90_multiply(struct sps_device *dev, float *out, double *flops)
{
    const struct cuda_state *state = cuda_state_of(dev);
    int ctas = 4 * state->prop.multiProcessorCount;

    CUDA_TRY(cudaFuncSetAttribute(multiply90, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  SHARED));
    multiply90<<<ctas, GROUPS * 128, SHARED, state->stream>>>(out);
    CUDA_TRY(cudaGetLastError());
    *flops = 2.0 * 64 * COLUMNS * 16 * (4 * DEPTH) * TURNS * GROUPS * ctas;
    return SPS_OK;
}
