/* compress_backward.c - gradients of compression by a linear map, one product per place
 * in the window.
 *
 * Tokens that two places touch lie a multiple of the stride apart in the window, so a
 * thread takes the places of one remainder.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

struct job {
    const float *x, *pe, *w, *d_out;
    const struct sps_shape *shape;
    const struct sps_compression *by;
    int64_t g, d;
    float *dx, *dw, *dpe;
    float *total; /* [g,d] sum of d_out over all compressed keys */
};

/* What pe adds to dw, and dpe: both see the sum of d_out only. */
static void add_place(const struct job *job, int64_t kv, int64_t i)
{
    int64_t d = job->d, place = kv * job->by->l + i;
    const float *total = job->total + kv * d;

    for (int64_t a = 0; job->pe && a < d; a++)
        sps_row_add(job->dw + (place * d + a) * d, d, job->pe[place * d + a], total);
    if (job->dpe)
        sps_blas_add_dots(1, d, d, total, d, job->w + place * d * d, d,
                          job->dpe + place * d, d);
}

/* Place i of the windows of one sequence: their tokens are rows u*g*d apart. */
static void map_place(const struct job *job, int64_t sequence, int64_t kv, int64_t i)
{
    const struct sps_compression *by = job->by;
    int64_t d = job->d, width = job->g * d,
            keys = by->cu[sequence + 1] - by->cu[sequence];
    int64_t token = (job->shape->cu_k[sequence] + i) * width + kv * d;
    const float *d_out = job->d_out + by->cu[sequence] * width + kv * d;
    int64_t weights = (kv * by->l + i) * d * d;

    if (keys == 0)
        return;
    sps_blas_add_dots(keys, d, d, d_out, width, job->w + weights, d, job->dx + token,
                      by->u * width);
    sps_blas_add_outer(d, d, keys, job->x + token, by->u * width, d_out, width,
                       job->dw + weights, d);
}

static void run(const struct job *job, int threads)
{
    int64_t u = job->by->u, l = job->by->l;

#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t r = 0; r < job->g * u; r++)
        for (int64_t i = r % u; i < l; i += u) {
            for (int64_t n = 0; n < job->shape->n; n++)
                map_place(job, n, r / u, i);
            add_place(job, r / u, i);
        }
}

static enum sps_status make_total(struct job *job)
{
    int64_t width = job->g * job->d, keys = job->by->cu[job->shape->n];
    void *mem;

    SPS_TRY(sps_calloc((size_t)width * sizeof *job->total, &mem));
    job->total = mem;
    for (int64_t b = 0; b < width; b++) {
        double sum = 0;
        for (int64_t m = 0; m < keys; m++)
            sum += job->d_out[m * width + b];
        job->total[b] = (float)sum;
    }
    return SPS_OK;
}

enum sps_status sps_cpu_compress_linear_backward(
    struct sps_device *dev, const struct sps_shape *shape, const struct sps_tensor *x,
    const struct sps_tensor *pe, const struct sps_tensor *w, const float *d_out,
    const struct sps_compression *by, const struct sps_tensor *dx, float *dw, float *dpe)
{
    struct job job = {.x = x->data,
                      .pe = pe ? pe->data : NULL,
                      .w = w->data,
                      .d_out = d_out,
                      .shape = shape,
                      .by = by,
                      .g = x->dim[1],
                      .d = x->dim[2],
                      .dx = dx->data,
                      .dw = dw,
                      .dpe = dpe};

    dev->impl = "compress_linear_backward_sgemm";
    SPS_TRY(make_total(&job));
    run(&job, dev->threads);
    free(job.total);
    return SPS_OK;
}
