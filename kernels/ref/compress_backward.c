/* compress_backward.c - reference gradients of compression: means, and a linear map.
 *
 * Tokens own dx, places in the window own dw and dpe; each adds up its keys in order.
 */
#include <string.h>

#include "kernels/ref/ref.h"

/* One sequence: its tokens, its compressed keys, and how they lie over each other. */
struct span {
    int64_t token, key; /* the first of each, packed */
    int64_t tokens, keys, l, u;
};

static struct span span_of(const struct sps_shape *shape,
                           const struct sps_compression *by, int64_t sequence)
{
    return (struct span){.token = shape->cu_k[sequence],
                         .key = by->cu[sequence],
                         .tokens = sps_shape_keys(shape, sequence),
                         .keys = by->cu[sequence + 1] - by->cu[sequence],
                         .l = by->l,
                         .u = by->u};
}

/* Compressed keys [*begin, *end) of the sequence that cover its token j. */
static void covering(const struct span *span, int64_t j, int64_t *begin, int64_t *end)
{
    *begin = j < span->l ? 0 : (j - span->l) / span->u + 1;
    *end = j / span->u + 1 < span->keys ? j / span->u + 1 : span->keys;
}

static void spread_mean(const struct span *span, const float *d_out, int64_t width,
                        int64_t j, float *dx)
{
    int64_t begin, end;

    covering(span, j, &begin, &end);
    for (int64_t d = 0; d < width; d++) {
        double sum = 0;
        for (int64_t m = begin; m < end; m++)
            sum += d_out[(span->key + m) * width + d];
        dx[(span->token + j) * width + d] += (float)(sum / (double)span->l);
    }
}

enum sps_status sps_ref_compress_mean_backward(struct sps_device *dev,
                                               const struct sps_shape *shape,
                                               const float *d_out,
                                               const struct sps_compression *by,
                                               const struct sps_tensor *dx)
{
    dev->impl = "compress_mean_backward_ref";
    for (int64_t i = 0; i < shape->n; i++) {
        struct span span = span_of(shape, by, i);
#pragma omp parallel for num_threads(dev->threads)
        for (int64_t j = 0; j < span.tokens; j++)
            spread_mean(&span, d_out, dx->dim[1] * dx->dim[2], j, dx->data);
    }
    return SPS_OK;
}

struct job {
    int64_t g, d, l;
    const float *x, *pe, *w, *d_out;
    float *dx, *dw, *dpe;
};

/* dx of token j, one kv head: the row of w that took the token, times d_out. */
static void token_gradient(const struct job *job, const struct span *span, int64_t j,
                           int64_t kv)
{
    int64_t d = job->d, begin, end;
    float *dx = job->dx + ((span->token + j) * job->g + kv) * d;

    covering(span, j, &begin, &end);
    for (int64_t a = 0; a < d; a++) {
        double sum = 0;
        for (int64_t m = begin; m < end; m++) {
            int64_t place = kv * job->l + j - m * span->u;
            sum += sps_ref_dot(job->w + (place * d + a) * d,
                               job->d_out + ((span->key + m) * job->g + kv) * d, d);
        }
        dx[a] += (float)sum;
    }
}

/* dw and dpe of one place in the window, one kv head; sum[d + d * d]. */
static void add_place(const struct job *job, const struct span *span, int64_t kv,
                      int64_t i, double *sum)
{
    int64_t d = job->d, place = kv * job->l + i;

    for (int64_t m = 0; m < span->keys; m++) {
        const float *d_out = job->d_out + ((span->key + m) * job->g + kv) * d;
        const float *x = job->x + ((span->token + m * span->u + i) * job->g + kv) * d;
        for (int64_t a = 0; a < d; a++) {
            double value = (double)x[a] + (job->pe ? job->pe[place * d + a] : 0);
            for (int64_t b = 0; b < d; b++)
                sum[(a + 1) * d + b] += value * d_out[b];
            sum[a] += sps_ref_dot(job->w + (place * d + a) * d, d_out, d);
        }
    }
}

static void place_gradient(const struct job *job, const struct sps_shape *shape,
                           const struct sps_compression *by, int64_t place, double *sum)
{
    int64_t d = job->d;

    memset(sum, 0, (size_t)(d + d * d) * sizeof *sum);
    for (int64_t n = 0; n < shape->n; n++) {
        struct span span = span_of(shape, by, n);
        add_place(job, &span, place / job->l, place % job->l, sum);
    }
    for (int64_t a = 0; job->dpe && a < d; a++)
        job->dpe[place * d + a] += (float)sum[a];
    for (int64_t a = 0; a < d * d; a++)
        job->dw[place * d * d + a] += (float)sum[d + a];
}

enum sps_status sps_ref_compress_linear_backward(
    struct sps_device *dev, const struct sps_shape *shape, const struct sps_tensor *x,
    const struct sps_tensor *pe, const struct sps_tensor *w, const float *d_out,
    const struct sps_compression *by, const struct sps_tensor *dx, float *dw, float *dpe)
{
    struct job job = {x->dim[1], x->dim[2], by->l,    x->data, pe ? pe->data : NULL,
                      w->data,   d_out,     dx->data, dw,      dpe};
    struct sps_scratch scratch;

    dev->impl = "compress_linear_backward_ref";
    SPS_TRY(
        sps_scratch_new(dev, (size_t)(job.d + job.d * job.d) * sizeof(double), &scratch));
    for (int64_t i = 0; i < shape->n; i++) {
        struct span span = span_of(shape, by, i);
#pragma omp parallel for num_threads(dev->threads)
        for (int64_t j = 0; j < span.tokens * job.g; j++)
            token_gradient(&job, &span, j / job.g, j % job.g);
    }
#pragma omp parallel for num_threads(dev->threads)
    for (int64_t place = 0; place < job.g * job.l; place++)
        place_gradient(&job, shape, by, place, sps_scratch_mine(&scratch));
    sps_scratch_free(&scratch);
    return SPS_OK;
}
