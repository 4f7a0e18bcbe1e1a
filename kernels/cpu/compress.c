/* compress.c - compressed keys by a linear map: one product per place in the window. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/cpu.h"

enum { KEYS_AT_ONCE = 256 };

struct job {
    const float *x, *pe, *w;
    const struct sps_shape *shape;
    const struct sps_compression *by;
    int64_t g, d;
    float *out;
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

/* Compressed keys [from, from + n) of a sequence; x of place i in their windows is a
 * matrix with rows u*g*d apart. */
static void map_keys(const struct job *job, int64_t sequence, int64_t from, int64_t n,
                     int64_t kv, const float *bias)
{
    int64_t width = job->g * job->d, d = job->d;
    int64_t token = job->shape->cu_k[sequence] + from * job->by->u;
    float *out = job->out + (job->by->cu[sequence] + from) * width + kv * d;

    for (int64_t m = 0; m < n; m++)
        memcpy(out + m * width, bias, (size_t)d * sizeof *out);
    for (int64_t i = 0; i < job->by->l; i++)
        sps_blas_mix(n, d, d, job->x + (token + i) * width + kv * d, job->by->u * width,
                     job->w + (kv * job->by->l + i) * d * d, d, 1, out, width);
}

static void map_sequence(const struct job *job, int64_t sequence, int64_t kv,
                         const float *bias, int threads)
{
    int64_t keys = job->by->cu[sequence + 1] - job->by->cu[sequence];

#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t m = 0; m < keys; m += KEYS_AT_ONCE)
        map_keys(job, sequence, m, keys - m < KEYS_AT_ONCE ? keys - m : KEYS_AT_ONCE, kv,
                 bias);
}

enum sps_status sps_cpu_compress_linear(struct sps_device *dev,
                                        const struct sps_shape *shape,
                                        const struct sps_tensor *x,
                                        const struct sps_tensor *pe,
                                        const struct sps_tensor *w,
                                        const struct sps_compression *by, float *out)
{
    struct job job = {
        x->data, pe ? pe->data : NULL, w->data, shape, by, x->dim[1], x->dim[2], out};
    void *bias;

    dev->impl = "compress_linear_sgemm";
    SPS_TRY(sps_calloc((size_t)job.d * sizeof(float), &bias));
    for (int64_t kv = 0; kv < job.g; kv++) {
        make_bias(&job, kv, bias);
        for (int64_t i = 0; i < shape->n; i++)
            map_sequence(&job, i, kv, bias, dev->threads);
    }
    free(bias);
    return SPS_OK;
}
