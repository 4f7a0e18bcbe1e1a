/* block_max.c - reference largest q.k of every block. */
#include "kernels/check.h"
#include "kernels/ref/ref.h"

/* largest[blocks], -inf to begin with, over the keys that the row sees; a NaN stays. */
static void raise_to(const struct sps_shape *shape, const struct sps_qkv *in,
                     const struct sps_ref_row *at, int64_t head, int64_t block,
                     double *largest)
{
    int64_t dk = shape->dk, kv = head / (shape->h / shape->g);
    const float *q = (const float *)in->q.data + (at->row * shape->h + head) * dk;

    for (int64_t j = 0; j < at->visible; j++) {
        const float *k = sps_ref_token(shape, &in->k, at->sequence, j) + kv * dk;
        double x = sps_ref_dot(q, k, dk), *most = &largest[j / block];
        *most = x > *most || isnan(x) ? x : *most;
    }
}

enum sps_status sps_ref_block_max(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_qkv *in, int64_t block, int64_t heads,
                                  struct sps_rows rows, float *scores)
{
    int64_t blocks = sps_shape_blocks(shape, block), share = shape->h / heads;
    struct sps_scratch scratch;

    dev->impl = "block_max_ref";
    SPS_TRY(sps_check_causal(shape, "block_max"));
    SPS_TRY(sps_check_heads(shape, heads));
    SPS_TRY(sps_scratch_new(dev, (size_t)blocks * sizeof(double), &scratch));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        double *largest = sps_scratch_mine(&scratch);
        for (int64_t x = 0; x < heads; x++) {
            float *to = scores + ((row - rows.begin) * heads + x) * blocks;
            for (int64_t b = 0; b < blocks; b++)
                largest[b] = -INFINITY;
            for (int64_t head = x * share; head < (x + 1) * share; head++)
                raise_to(shape, in, &at, head, block, largest);
            for (int64_t b = 0; b < blocks; b++)
                to[b] = b * block < at.visible ? (float)largest[b] : 0;
        }
    }
    sps_scratch_free(&scratch);
    return SPS_OK;
}
