/* attend.cu - the attend slots: attention over an index, by rows, blocks or unions; and
 * by unions with a window and gates behind it. */
#include "kernels/cuda/gather.h"
#include "kernels/cuda/sm90/union.h"

typedef cudaError_t launch(const struct attend_args *a, cudaStream_t stream);

static const struct {
    launch *run;
    const char *impl;
} sizes[] = {
    {sps_cuda_rows_d64, "rows_mma_d64"},
    {sps_cuda_rows_d128, "rows_mma_d128"},
    {sps_cuda_rows_d192, "rows_mma_d192"},
    {sps_cuda_rows_d256, "rows_mma_d256"},
};

static bool has_band(const struct sps_band *band)
{
    return band && (band->all || band->window > 0 || band->sink > 0);
}

/* Block-outer pays unless so many heads share a list that a tile of 16 rows holds one
 * token: rows of several tokens read the union of their blocks, nearly all of them, and
 * mask each key.  Enough rows of a chunk must choose each block to fill tiles.  The range
 * has no say: partials are rounded, and a row's bits must not depend on who comes with
 * it. */
static bool by_blocks(struct sps_device *dev, const struct sps_shape *shape,
                      const struct sps_index *index, const struct sps_band *band,
                      const struct attend_args *a)
{
    int64_t blocks = sps_shape_blocks(shape, index->block);
    struct sps_rows all = {0, shape->t};

    return !index->offset && !has_band(band) && index->heads >= shape->g && a->p <= 8 &&
           index->block >= 32 &&
           sps_cuda_gather_chunk(dev, shape, index, all, a) * index->width >= 64 * blocks;
}

static enum sps_status by_rows(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_index *index, const struct sps_band *band,
                               struct sps_rows rows, struct attend_args *a)
{
    struct sps_band none = {false, 0, 0};
    int size = sps_cuda_size(a->dk, a->dv);

    dev->impl = sizes[size].impl;
    a->lg = sps_cuda_log(a->p);
    a->section = sps_cuda_section(dev, shape, a->groups);
    SPS_TRY(sps_cuda_geometry(dev, shape, NULL, band ? band : &none, rows, 64 >> a->lg,
                              index->block, &a->at));
    CUDA_TRY(sizes[size].run(a, cuda_state_of(dev)->stream));
    return SPS_OK;
}

static void fill(const struct sps_shape *shape, const struct sps_qkv *in,
                 const struct sps_index *index, float *o, float *lse,
                 struct attend_args *a)
{
    sps_cuda_attend_fill(shape, in, o, lse, a);
    a->list = index->list;
    a->offset = index->offset;
    a->width = index->width;
    a->block = (int)index->block;
    a->index_heads = (int)index->heads;
    a->p = (int)(shape->h / (index->heads > shape->g ? index->heads : shape->g));
    a->groups = (int)shape->h / a->p;
}

enum sps_status sps_cuda_attend(struct sps_device *dev, const struct sps_shape *shape,
                                const struct sps_qkv *in, const struct sps_index *index,
                                const struct sps_band *band, struct sps_rows rows,
                                float *o, float *lse)
{
    struct sps_band none = {false, 0, 0};
    struct attend_args a;

    if (band && band->all)
        return sps_cuda_dense(dev, shape, in, band, rows, o, lse);
    if (!(shape->scale > 0))
        return sps_fail(SPS_ENOTSUP, "scale %g: must be positive on cuda", shape->scale);
    fill(shape, in, index, o, lse, &a);
    if (rows.begin >= rows.end)
        return SPS_OK;
    if (!sps_cuda_fits(a.dtype, a.dk, a.dv) || a.p > 64) {
        dev->impl = "attend_simple";
        SPS_TRY(sps_cuda_geometry(dev, shape, NULL, band ? band : &none, rows, 1,
                                  index->block, &a.at));
        CUDA_TRY(sps_cuda_simple_attend(&a, rows.end - rows.begin,
                                        cuda_state_of(dev)->stream));
        return SPS_OK;
    }
    /* Unions pay from 4 heads a list on: a warpgroup then holds 16 tokens at most.  With
     * fewer heads only where block-outer does not pay. */
    bool blocks = by_blocks(dev, shape, index, band, &a);
    if ((a.p >= 4 || !blocks) && sps_sm90_union_suits(dev, shape, index, band, &a))
        return sps_sm90_union(dev, shape, index, 0, NULL, rows, &a);
    if (blocks)
        return sps_cuda_gather(dev, shape, index, rows, &a);
    return by_rows(dev, shape, index, band, rows, &a);
}

/* Where unions pay whatever the lists hold. */
static bool gated_suits(struct sps_device *dev, const struct sps_shape *shape,
                        const struct sps_index *index, const struct attend_args *a)
{
    return shape->scale > 0 && a->p >= 4 && sps_cuda_fits(a->dtype, a->dk, a->dv) &&
           sps_sm90_union_suits(dev, shape, index, NULL, a);
}

bool sps_cuda_attend_gated_suits(struct sps_device *dev, const struct sps_shape *shape,
                                 enum sps_dtype dtype, const struct sps_index *index)
{
    struct sps_qkv in = {};
    struct attend_args a;

    in.q.dtype = in.k.dtype = dtype;
    fill(shape, &in, index, NULL, NULL, &a);
    return gated_suits(dev, shape, index, &a);
}

enum sps_status
sps_cuda_attend_gated(struct sps_device *dev, const struct sps_shape *shape,
                      const struct sps_qkv *in, const struct sps_index *index,
                      int64_t window, const float *first, const float *gate,
                      const float *constant, struct sps_rows rows, float *o)
{
    struct union_gates gates = {first, gate, {}};
    struct attend_args a;

    fill(shape, in, index, o, NULL, &a);
    if (!gated_suits(dev, shape, index, &a))
        return sps_fail(SPS_ENOTSUP, "attend_gated: shape or index not suited "
                                     "(ask attend_gated_suits first)");
    if (!first || (uintptr_t)first % 16 != 0 || (uintptr_t)o % 16 != 0)
        return sps_fail(SPS_ENOTSUP,
                        "attend_gated: first branch at %p, output at %p: "
                        "must stand on multiples of 16 bytes",
                        (const void *)first, (const void *)o);
    for (int b = 0; b < 3; b++)
        gates.constant[b] = gate ? 0 : constant[b];
    if (rows.begin >= rows.end)
        return SPS_OK;
    return sps_sm90_union(dev, shape, index, window, &gates, rows, &a);
}
