/* backend.c - the cpu backend: OpenBLAS, threads and streaming softmax on host memory. */
#include <stdio.h>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ref/ref.h"

/* What only streams memory is the reference's. */
static struct sps_kernels cpu_kernels(void)
{
    struct sps_kernels kernels = sps_ref_kernels;

    kernels.dense = sps_cpu_dense;
    kernels.compress_linear = sps_cpu_compress_linear;
    kernels.compressed = sps_cpu_compressed;
    kernels.gate = sps_cpu_gate;
    kernels.key_bound = sps_cpu_key_bound;
    kernels.block_max = sps_cpu_block_max;
    kernels.indexer = sps_cpu_indexer;
    kernels.mass = sps_cpu_mass;
    kernels.topk = sps_cpu_topk;
    kernels.attend = sps_cpu_attend;
    kernels.probs = sps_cpu_probs;
    kernels.dense_backward = sps_cpu_dense_backward;
    kernels.attend_backward = sps_cpu_attend_backward;
    kernels.compressed_backward = sps_cpu_compressed_backward;
    kernels.compress_linear_backward = sps_cpu_compress_linear_backward;
    return kernels;
}

static enum sps_status open_cpu(struct sps_device *dev, int threads)
{
    char what[48];

    SPS_TRY(sps_blas_open());
    snprintf(what, sizeof what, "OpenBLAS %s", sps_blas_core());
    SPS_TRY(sps_host_open(dev, threads, what));
    dev->kernels = cpu_kernels();
    return SPS_OK;
}

extern const struct sps_backend sps_backend_cpu;
const struct sps_backend sps_backend_cpu = {
    .name = "cpu",
    .summary = "float32 on the processor: OpenBLAS tiles, threads, streaming softmax",
    .accepts = sps_host_accepts,
    .open = open_cpu,
    .close = sps_host_close,
    .alloc = sps_host_alloc,
    .free = sps_host_free,
    .upload = sps_host_copy,
    .download = sps_host_copy,
    .mark = sps_host_mark,
    .elapsed = sps_host_elapsed,
    .roofs = sps_cpu_roofs,
    .flush = sps_host_flush,
    .step_rows = 4096,
    .paged = true,
};
