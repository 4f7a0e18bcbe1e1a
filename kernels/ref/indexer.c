/* indexer.c - reference scores of a token indexer. */
#include "kernels/check.h"
#include "kernels/ref/ref.h"

/* One key.  A NaN product stays one: top-k must see it. */
static double score(const float *q, const float *k, const float *w, int64_t heads,
                    int64_t size)
{
    double sum = 0;

    for (int64_t x = 0; x < heads; x++) {
        double product = sps_ref_dot(q + x * size, k, size);
        sum += w[x] * (product < 0 ? 0 : product);
    }
    return sum;
}

enum sps_status sps_ref_indexer(struct sps_device *dev, const struct sps_shape *shape,
                                const struct sps_tensor *q, const struct sps_tensor *k,
                                const struct sps_tensor *w, struct sps_rows rows,
                                float *scores)
{
    int64_t heads = q->dim[1], size = q->dim[2], longest = sps_ref_longest(shape);

    dev->impl = "indexer_ref";
    SPS_TRY(sps_check_causal(shape, "indexer"));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        const float *query = (const float *)q->data + row * heads * size;
        const float *weight = (const float *)w->data + row * heads;
        float *to = scores + (row - rows.begin) * longest;
        for (int64_t j = 0; j < longest; j++)
            to[j] = j < at.visible
                        ? (float)score(query, sps_ref_token(shape, k, at.sequence, j),
                                       weight, heads, size)
                        : 0;
    }
    return SPS_OK;
}
