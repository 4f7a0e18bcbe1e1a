/* dense.cu - the dense slot: full and windowed attention, and compressed attention's
 * first pass. */
#include "kernels/cuda/sm90/dense.h"

typedef cudaError_t launch(const struct attend_args *a, cudaStream_t stream);

static const struct {
    launch *run;
    const char *impl, *low;
    int rows; /* of a tile */
} sizes[] = {
    {sps_cuda_dense_d64, "dense_mma_d64", "compressed_mma_d64", 128},
    {sps_cuda_dense_d128, "dense_mma_d128", "compressed_mma_d128", 128},
    {sps_cuda_dense_d192, "dense_mma_d192", "compressed_mma_d192", 128},
    {sps_cuda_dense_d256, "dense_mma_d256", "compressed_mma_d256", 64},
};

enum sps_status sps_cuda_dense_run(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_compression *by,
                                   const struct sps_band *band, struct sps_rows rows,
                                   struct attend_args *a)
{
    cudaStream_t stream = cuda_state_of(dev)->stream;
    int size = sps_cuda_size(a->dk, a->dv);

    if (!(shape->scale > 0))
        return sps_fail(SPS_ENOTSUP, "scale %g: must be positive on cuda", shape->scale);
    if (rows.begin >= rows.end)
        return SPS_OK;
    if (!sps_cuda_fits(a->dtype, a->dk, a->dv) || a->kv_dtype != a->dtype) {
        dev->impl = "dense_simple";
        a->p = 1, a->groups = (int)shape->h;
        SPS_TRY(sps_cuda_geometry(dev, shape, by, band, rows, 1, 1, &a->at));
        CUDA_TRY(sps_cuda_simple_attend(a, rows.end - rows.begin, stream));
        return SPS_OK;
    }
    if (!a->k_low && sps_sm90_takes(dev, shape))
        return sps_sm90_dense(dev, shape, band, rows, a);
    dev->impl = a->k_low ? sizes[size].low : sizes[size].impl;
    a->p = sps_cuda_heads_a_tile(shape, rows, sizes[size].rows);
    a->lg = sps_cuda_log(a->p);
    a->groups = (int)shape->h / a->p;
    a->section = sps_cuda_section(dev, shape, a->groups);
    SPS_TRY(sps_cuda_geometry(dev, shape, by, band, rows, sizes[size].rows >> a->lg, 1,
                              &a->at));
    CUDA_TRY(sizes[size].run(a, stream));
    return SPS_OK;
}

enum sps_status sps_cuda_dense(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_qkv *in, const struct sps_band *band,
                               struct sps_rows rows, float *o, float *lse)
{
    struct attend_args a;

    sps_cuda_attend_fill(shape, in, o, lse, &a);
    return sps_cuda_dense_run(dev, shape, NULL, band, rows, &a);
}

void sps_cuda_attend_fill(const struct sps_shape *shape, const struct sps_qkv *in,
                          float *o, float *lse, struct attend_args *a)
{
    *a = {};
    a->q = in->q.data;
    a->k = in->k.data;
    a->v = in->v.data;
    a->o = o;
    a->lse = lse;
    a->h = shape->h;
    a->g = shape->g;
    a->dk = (int)shape->dk;
    a->dv = (int)shape->dv;
    a->c = (float)(shape->scale * 1.4426950408889634);
    a->dtype = in->q.dtype;
    a->kv_dtype = in->k.dtype;
}
