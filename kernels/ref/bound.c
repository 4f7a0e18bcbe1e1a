/* bound.c - reference key ranges of blocks, and what no q.k inside can exceed. */
#include "kernels/check.h"
#include "kernels/ref/ref.h"

/* The range of each channel and head, [g,2,d], takes in one more key; a NaN stays one. */
static void widen(const float *key, int64_t g, int64_t d, bool first, float *range)
{
    for (int64_t i = 0; i < g * d; i++) {
        float x = key[i], *largest = range + i / d * 2 * d + i % d,
              *smallest = largest + d;
        *largest = first || x > *largest || isnan(x) ? x : *largest;
        *smallest = first || x < *smallest || isnan(x) ? x : *smallest;
    }
}

enum sps_status sps_ref_key_range(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_tensor *x,
                                  const struct sps_compression *by, float *out)
{
    int64_t g = x->dim[1], d = x->dim[2], count = sps_made_count(by, shape->n);

    dev->impl = "key_range_ref";
#pragma omp parallel for num_threads(dev->threads)
    for (int64_t m = 0; m < count; m++) {
        struct sps_made at = sps_made_at(by, shape->n, m);
        for (int64_t j = 0; j < by->l; j++)
            widen(sps_ref_token(shape, x, at.sequence, at.token + j), g, d, j == 0,
                  out + at.key * g * 2 * d);
    }
    return SPS_OK;
}

static double bound(const float *q, const float *range, int64_t d)
{
    double sum = 0;

    for (int64_t i = 0; i < d; i++) {
        double high = (double)q[i] * range[i], low = (double)q[i] * range[d + i];
        sum += high > low ? high : low;
    }
    return sum;
}

enum sps_status sps_ref_key_bound(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_tensor *q, const float *ranges,
                                  const struct sps_compression *by, struct sps_rows rows,
                                  float *scores)
{
    dev->impl = "key_bound_ref";
    SPS_TRY(sps_check_causal(shape, "key_bound"));
    return sps_ref_score_blocks(dev, shape, q, ranges, 2 * shape->dk, bound, by, rows,
                                scores);
}
