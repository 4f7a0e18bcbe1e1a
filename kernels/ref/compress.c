/* compress.c - reference compressed keys and values: means, and a linear map. */
#include <string.h>

#include "kernels/ref/ref.h"

enum sps_status sps_ref_compress_mean(struct sps_device *dev,
                                      const struct sps_shape *shape,
                                      const struct sps_tensor *x,
                                      const struct sps_compression *by, float *out)
{
    int64_t width = x->dim[1] * x->dim[2], count = sps_made_count(by, shape->n);
    struct sps_scratch scratch;

    dev->impl = "compress_mean_ref";
    SPS_TRY(sps_scratch_new(dev, (size_t)width * sizeof(double), &scratch));
#pragma omp parallel for num_threads(dev->threads)
    for (int64_t i = 0; i < count; i++) {
        struct sps_made at = sps_made_at(by, shape->n, i);
        double *sum = sps_scratch_mine(&scratch);
        memset(sum, 0, (size_t)width * sizeof *sum);
        for (int64_t j = 0; j < by->l; j++) {
            const float *from = sps_ref_token(shape, x, at.sequence, at.token + j);
            for (int64_t d = 0; d < width; d++)
                sum[d] += from[d];
        }
        for (int64_t d = 0; d < width; d++)
            out[at.key * width + d] = (float)(sum[d] / (double)by->l);
        sps_round_f32(out + at.key * width, width, by->rounded);
    }
    sps_scratch_free(&scratch);
    return SPS_OK;
}

/* sum[d] += (x + pe) w of token i of a window, one head. */
static void map_token(const float *x, const float *pe, const float *w, int64_t i,
                      int64_t d, double *sum)
{
    for (int64_t a = 0; a < d; a++) {
        double value = (double)x[a] + (pe ? pe[i * d + a] : 0);
        for (int64_t b = 0; b < d; b++)
            sum[b] += value * w[(i * d + a) * d + b];
    }
}

enum sps_status sps_ref_compress_linear(struct sps_device *dev,
                                        const struct sps_shape *shape,
                                        const struct sps_tensor *x,
                                        const struct sps_tensor *pe,
                                        const struct sps_tensor *w,
                                        const struct sps_compression *by, float *out)
{
    int64_t g = x->dim[1], d = x->dim[2], l = by->l;
    int64_t count = sps_made_count(by, shape->n);
    const float *pe_data = pe ? pe->data : NULL;
    struct sps_scratch scratch;

    dev->impl = "compress_linear_ref";
    SPS_TRY(sps_scratch_new(dev, (size_t)d * sizeof(double), &scratch));
#pragma omp parallel for num_threads(dev->threads)
    for (int64_t i = 0; i < count; i++) {
        struct sps_made at = sps_made_at(by, shape->n, i);
        double *sum = sps_scratch_mine(&scratch);
        for (int64_t kv = 0; kv < g; kv++) {
            memset(sum, 0, (size_t)d * sizeof *sum);
            for (int64_t j = 0; j < l; j++)
                map_token(sps_ref_token(shape, x, at.sequence, at.token + j) + kv * d,
                          pe_data ? pe_data + kv * l * d : NULL,
                          (const float *)w->data + kv * l * d * d, j, d, sum);
            float *to = out + (at.key * g + kv) * d;
            for (int64_t b = 0; b < d; b++)
                to[b] = (float)sum[b];
            sps_round_f32(to, d, by->rounded);
        }
    }
    sps_scratch_free(&scratch);
    return SPS_OK;
}
