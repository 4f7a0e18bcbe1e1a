/* backend.c - the ref backend: every kernel in double, on host memory. */
#include "kernels/ref/ref.h"

const struct sps_kernels sps_ref_kernels = {
    .dense = sps_ref_dense,
    .compress_mean = sps_ref_compress_mean,
    .compress_linear = sps_ref_compress_linear,
    .compressed = sps_ref_compressed,
    .gate = sps_ref_gate,
    .key_range = sps_ref_key_range,
    .key_bound = sps_ref_key_bound,
    .block_max = sps_ref_block_max,
    .indexer = sps_ref_indexer,
    .mass = sps_ref_mass,
    .noise = sps_ref_noise,
    .topk = sps_ref_topk,
    .share = sps_ref_share,
    .topp = sps_ref_topp,
    .attend = sps_ref_attend,
    .combine = sps_ref_combine,
    .probs = sps_ref_probs,
    .dense_backward = sps_ref_dense_backward,
    .attend_backward = sps_ref_attend_backward,
    .compressed_backward = sps_ref_compressed_backward,
    .compress_mean_backward = sps_ref_compress_mean_backward,
    .compress_linear_backward = sps_ref_compress_linear_backward,
    .combine_backward = sps_ref_combine_backward,
    .clear = sps_host_clear,
};

static enum sps_status open_ref(struct sps_device *dev, int threads)
{
    SPS_TRY(sps_host_open(dev, threads, "plain C in double"));
    dev->kernels = sps_ref_kernels;
    return SPS_OK;
}

extern const struct sps_backend sps_backend_ref;
const struct sps_backend sps_backend_ref = {
    .name = "ref",
    .summary =
        "plain C in double, one row at a time: what the others are checked against",
    .accepts = sps_host_accepts,
    .open = open_ref,
    .close = sps_host_close,
    .alloc = sps_host_alloc,
    .free = sps_host_free,
    .upload = sps_host_copy,
    .download = sps_host_copy,
    .mark = sps_host_mark,
    .elapsed = sps_host_elapsed,
    .flush = sps_host_flush,
    .step_rows = 4096,
    .paged = true,
};
