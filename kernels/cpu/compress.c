/* compress.c - compressed keys by a linear map: one product per place in the window. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/column.h"
#include "kernels/cpu/cpu.h"

enum { KEYS_AT_ONCE = 256 };

struct job {
    const float *x, *pe, *w;
    const struct sps_shape *shape;
    const struct sps_compression *by;
    int64_t g, d;
    float *out;
    struct sps_scratch pages; /* [KEYS_AT_ONCE,d] a thread, where keys lie in pages */
};

/* bias[d] = flatten(pe) w of one kv head: what positions add to every compressed key. */
static void make_bias(const struct job *job, int64_t kv, float *bias)
{
    int64_t n = job->by->l * job->d;

    memset(bias, 0, (size_t)job->d * sizeof *bias);
    if (job->pe)
        sps_blas_mix(1, job->d, n, job->pe + kv * n, n, job->w + kv * n * job->d, job->d,
                     0, bias, job->d);
}

/* Tokens `from`, from + u, .. of a column: n rows, *stride apart. */
static const float *every_stride(const struct job *job, const struct sps_column *x,
                                 int64_t from, int64_t n, int64_t *stride)
{
    float *rows = x->pages ? sps_scratch_mine(&job->pages) : NULL;

    *stride = rows ? job->d : job->by->u * x->stride;
    for (int64_t m = 0; rows && m < n; m++)
        memcpy(rows + m * job->d, sps_column_at(x, from + m * job->by->u),
               (size_t)job->d * sizeof *rows);
    return rows ? rows : sps_column_at(x, from);
}

/* Compressed keys [from, from + n) of a sequence; x of place i in their windows is a
 * matrix. */
static void map_keys(const struct job *job, int64_t sequence, int64_t from, int64_t n,
                     int64_t kv, const float *bias)
{
    int64_t width = job->g * job->d, d = job->d, stride;
    struct sps_column x = sps_column_of(job->shape, sequence, job->x, job->g, kv, job->d);
    float *out = job->out + (job->by->cu[sequence] + from) * width + kv * d;

    for (int64_t m = 0; m < n; m++)
        memcpy(out + m * width, bias, (size_t)d * sizeof *out);
    for (int64_t i = 0; i < job->by->l; i++) {
        const float *rows = every_stride(job, &x, from * job->by->u + i, n, &stride);
        sps_blas_mix(n, d, d, rows, stride, job->w + (kv * job->by->l + i) * d * d, d, 1,
                     out, width);
    }
    for (int64_t m = 0; m < n; m++)
        sps_round_f32(out + m * width, d, job->by->rounded);
}

/* Pieces of a sequence start where its keys to make do, whatever the other sequences. */
static void map_head(const struct job *job, int64_t kv, const float *bias, int threads)
{
    const struct sps_compression *by = job->by;
    const int64_t *make = by->make ? by->make : by->cu;
    int64_t n = job->shape->n, most = 0;

    for (int64_t i = 0; i < n; i++)
        most = make[i + 1] - make[i] > most ? make[i + 1] - make[i] : most;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(threads)
    for (int64_t i = 0; i < n; i++)
        for (int64_t m = 0; m < most; m += KEYS_AT_ONCE) {
            int64_t left = make[i + 1] - make[i] - m;
            if (left > 0)
                map_keys(job, i, m + (by->first ? by->first[i] : 0),
                         left < KEYS_AT_ONCE ? left : KEYS_AT_ONCE, kv, bias);
        }
}

enum sps_status sps_cpu_compress_linear(struct sps_device *dev,
                                        const struct sps_shape *shape,
                                        const struct sps_tensor *x,
                                        const struct sps_tensor *pe,
                                        const struct sps_tensor *w,
                                        const struct sps_compression *by, float *out)
{
    struct job job = {.x = x->data,
                      .pe = pe ? pe->data : NULL,
                      .w = w->data,
                      .shape = shape,
                      .by = by,
                      .g = x->dim[1],
                      .d = x->dim[2],
                      .out = out};
    size_t floats = shape->pages ? (size_t)(KEYS_AT_ONCE * job.d) : 0;
    void *bias;

    dev->impl = "compress_linear_sgemm";
    if (sps_made_count(by, shape->n) == 0)
        return SPS_OK;
    SPS_TRY(sps_calloc((size_t)job.d * sizeof(float), &bias));
    enum sps_status status = sps_scratch_new(dev, floats * sizeof(float), &job.pages);
    for (int64_t kv = 0; status == SPS_OK && kv < job.g; kv++) {
        make_bias(&job, kv, bias);
        map_head(&job, kv, bias, dev->threads);
    }
    sps_scratch_free(&job.pages);
    free(bias);
    return status;
}
