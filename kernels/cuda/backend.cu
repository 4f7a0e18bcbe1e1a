/* backend.cu - the cuda backend: one GPU, one stream, events as marks. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/nvml.h"
#include "kernels/cuda/sm90/tma.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum sps_dtype accepts(enum sps_dtype wish)
{
    return wish == SPS_F16 || wish == SPS_BF16 ? wish : SPS_F32;
}

static void close_cuda(struct sps_device *dev)
{
    struct cuda_state *state = cuda_state_of(dev);

    if (!state)
        return;
    if (state->stream)
        cudaStreamSynchronize(state->stream);
    for (int i = 0; i < SPS_MARKS; i++)
        if (state->mark[i])
            cudaEventDestroy(state->mark[i]);
    cudaFreeHost(state->ring_host);
    cudaFree(state->ring);
    cudaFree(state->work);
    cudaFree(state->flush);
    cudaFreeHost(state->fault_host);
    cudaFree(state->fault);
    cudaFree(state->counter);
    if (state->stream)
        cudaStreamDestroy(state->stream);
    free(state->nvml);
    free(state);
    dev->state = NULL;
}

static enum sps_status fill_state(struct cuda_state *state)
{
    CUDA_TRY(cudaGetDeviceProperties(&state->prop, state->id));
    if (state->prop.major < 8)
        return sps_fail(SPS_ENOTSUP,
                        "%s has compute capability %d.%d: 8.0 or newer is needed",
                        state->prop.name, state->prop.major, state->prop.minor);
    CUDA_TRY(cudaStreamCreateWithFlags(&state->stream, cudaStreamNonBlocking));
    for (int i = 0; i < SPS_MARKS; i++)
        CUDA_TRY(cudaEventCreate(&state->mark[i]));
    state->flush_bytes = 2 * (size_t)state->prop.l2CacheSize;
    if (state->flush_bytes < (size_t)256 << 20)
        state->flush_bytes = (size_t)256 << 20;
    CUDA_TRY(cudaMalloc(&state->flush, state->flush_bytes));
    CUDA_TRY(cudaMallocHost((void **)&state->fault_host, sizeof *state->fault_host));
    CUDA_TRY(cudaMalloc((void **)&state->fault, sizeof *state->fault));
    return sps_sm90_open(state);
}

static void fill_kernels(struct sps_kernels *k, bool portable)
{
    k->dense = sps_cuda_dense;
    k->compress_mean = sps_cuda_compress_mean;
    k->compress_linear = sps_cuda_compress_linear;
    k->compressed = sps_cuda_compressed;
    k->gate = sps_cuda_gate;
    k->mass = sps_cuda_mass;
    k->noise = sps_cuda_noise;
    k->topk = sps_cuda_topk;
    k->share = sps_cuda_share;
    k->attend = sps_cuda_attend;
    k->combine = sps_cuda_combine;
    k->probs = sps_cuda_probs;
    k->compressed_select = sps_cuda_compressed_select;
    k->gate_select = sps_cuda_gate_select;
    if (!portable) {
        k->attend_gated_suits = sps_cuda_attend_gated_suits;
        k->attend_gated = sps_cuda_attend_gated;
    }
}

/* Memory left for a point: what is free, less the scratch that kernels may take. */
static enum sps_status fill_device(struct sps_device *dev)
{
    struct cuda_state *state = cuda_state_of(dev);
    size_t free_bytes, total, keep = sps_cuda_work_limit(dev) + SPS_CUDA_CHUNK;

    CUDA_TRY(cudaMemGetInfo(&free_bytes, &total));
    dev->memory_bytes = free_bytes > 2 * keep ? free_bytes - keep : free_bytes / 2;
    dev->cache_bytes = (size_t)state->prop.l2CacheSize;
    snprintf(dev->name, sizeof dev->name, "%.90s, sm_%d%d, %d multiprocessors",
             state->prop.name, state->prop.major, state->prop.minor,
             state->prop.multiProcessorCount);
    fill_kernels(&dev->kernels, state->portable);
    dev->impl = "";
    return SPS_OK;
}

static enum sps_status open_any(struct sps_device *dev, int threads, bool portable)
{
    struct cuda_state *state;
    void *mem;
    int count = 0;

    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
        cudaGetLastError();
        return sps_fail(SPS_EDEVICE, "no CUDA device");
    }
    SPS_TRY(sps_calloc(sizeof *state, &mem));
    dev->state = state = (struct cuda_state *)mem;
    state->portable = portable;
    dev->threads = threads > 0 ? threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    enum sps_status status = SPS_OK;
    if (cudaGetDevice(&state->id) != cudaSuccess)
        status = sps_fail(SPS_EDEVICE, "no usable CUDA device");
    if (status == SPS_OK)
        status = fill_state(state);
    if (status == SPS_OK)
        status = sps_cuda_forget_faults(dev);
    if (status == SPS_OK)
        status = fill_device(dev);
    if (status != SPS_OK)
        close_cuda(dev);
    return status;
}

static enum sps_status open_cuda(struct sps_device *dev, int threads)
{
    return open_any(dev, threads, false);
}

static enum sps_status open_portable(struct sps_device *dev, int threads)
{
    return open_any(dev, threads, true);
}

static enum sps_status alloc_cuda(struct sps_device *dev, size_t bytes, void **mem)
{
    cudaError_t error = cudaMalloc(mem, bytes ? bytes : 1);

    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return sps_fail(SPS_ENOMEM, "cannot allocate %zu bytes on %s", bytes, dev->name);
    }
    CUDA_TRY(error);
    CUDA_TRY(cudaMemsetAsync(*mem, 0, bytes ? bytes : 1, cuda_state_of(dev)->stream));
    return SPS_OK;
}

/* Who frees has what it wanted: a fault that nobody waited for is not the next one's. */
static void free_cuda(struct sps_device *dev, void *mem)
{
    if (cuda_state_of(dev)->fault_heads > 0)
        sps_cuda_forget_faults(dev);
    cudaFree(mem);
}

static enum sps_status copy(struct sps_device *dev, void *to, const void *from,
                            size_t bytes)
{
    struct cuda_state *state = cuda_state_of(dev);

    if (bytes > 0)
        CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, state->stream));
    CUDA_TRY(cudaStreamSynchronize(state->stream));
    return sps_cuda_faults(dev);
}

static enum sps_status mark(struct sps_device *dev, int slot)
{
    CUDA_TRY(cudaEventRecord(cuda_state_of(dev)->mark[slot], cuda_state_of(dev)->stream));
    return SPS_OK;
}

static enum sps_status elapsed(struct sps_device *dev, int from, int to, double *seconds)
{
    struct cuda_state *state = cuda_state_of(dev);
    float ms;

    CUDA_TRY(cudaEventSynchronize(state->mark[to]));
    CUDA_TRY(cudaEventElapsedTime(&ms, state->mark[from], state->mark[to]));
    *seconds = (double)ms * 1e-3;
    return sps_cuda_faults(dev);
}

static enum sps_status flush(struct sps_device *dev)
{
    struct cuda_state *state = cuda_state_of(dev);

    CUDA_TRY(cudaMemsetAsync(state->flush, 0, state->flush_bytes, state->stream));
    return SPS_OK;
}

SPS_BEGIN_DECLS
extern const struct sps_backend sps_backend_cuda, sps_backend_cuda_portable;
SPS_END_DECLS

/* Both are one code; the portable one leaves newer cards' own kernels aside. */
#define CUDA_BACKEND(name, summary, open)                                                \
    {                                                                                    \
        name, summary, accepts, open, close_cuda, alloc_cuda, free_cuda, copy, copy,     \
            mark, elapsed, sps_cuda_roofs, flush, 0, sps_nvml_health                     \
    }
const struct sps_backend sps_backend_cuda = CUDA_BACKEND(
    "cuda", "tensor-core kernels for NVIDIA GPUs of compute capability 8.0 and newer",
    open_cuda);
const struct sps_backend sps_backend_cuda_portable = CUDA_BACKEND(
    "cuda_portable", "the same without what only compute capability 9.0 can run",
    open_portable);
