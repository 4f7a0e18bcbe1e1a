/* backward.c - reference gradients of attention, over tokens or over compressed keys.
 *
 * With p = exp(c q.k - lse) and delta = d_o.o of a row:  ds = p (d_o.v - delta),
 * dq += c ds k, dk += c ds q, dv += p d_o.  Each row owns its dq; each slice of keys owns
 * its dk and dv and takes the rows in order, so threads change no bit.
 */
#include <math.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/ref/ref.h"

enum { SLICE = 16 }; /* keys that one thread takes at a time */

struct job {
    const struct sps_shape *shape;
    const float *q, *k, *v;
    const struct sps_index *index;    /* NULL: the band alone */
    const struct sps_band *band;      /* NULL: every visible compressed key */
    const struct sps_compression *by; /* NULL: keys are tokens */
    const struct sps_output *out;
    const struct sps_gradients *to;
    struct sps_rows rows;
};

/* Keys [begin, end) of a sequence under one kv head. */
struct slice {
    int64_t sequence, kv, begin, end;
};

static int64_t first_key(const struct job *job, int64_t sequence)
{
    return job->by ? job->by->cu[sequence] : job->shape->cu_k[sequence];
}

static int64_t key_count(const struct job *job, int64_t sequence)
{
    return job->by ? job->by->cu[sequence + 1] - job->by->cu[sequence]
                   : sps_shape_keys(job->shape, sequence);
}

static int64_t visible_keys(const struct job *job, const struct sps_ref_row *at)
{
    return job->by ? sps_compressed_visible(at->pos, job->by->l, job->by->u)
                   : at->visible;
}

/* Whether the row's head reads key j, which it sees. */
static bool reads(const struct job *job, const struct sps_ref_row *at, int64_t head,
                  int64_t j)
{
    int64_t low = 0, count;

    if (!job->band || sps_band_has(job->band, at->pos, j))
        return true;
    if (!job->index)
        return false;
    const int32_t *list = sps_index_list(
        job->index, at->row, sps_index_head(job->index, job->shape->h, head), &count);
    for (int64_t high = count; low < high;) {
        int64_t mid = (low + high) / 2;
        if (list[mid] < j / job->index->block)
            low = mid + 1;
        else
            high = mid;
    }
    return low < count && list[low] == j / job->index->block;
}

static double delta_of(const struct job *job, int64_t i)
{
    int64_t dv = job->shape->dv;

    return sps_ref_dot(job->out->d_o + i * dv, job->out->o + i * dv, dv);
}

/* p and c ds of output row i = row * h + head and key = packed key * g + kv; false: p
 * counts as 0. */
static bool pair(const struct job *job, int64_t i, double delta, int64_t key, double *p,
                 double *ds)
{
    int64_t dk = job->shape->dk, dv = job->shape->dv;
    const float *d_o = job->out->d_o + i * dv;

    *p = exp(job->shape->scale * sps_ref_dot(job->q + i * dk, job->k + key * dk, dk) -
             job->out->lse[i]);
    *ds = job->shape->scale * *p * (sps_ref_dot(d_o, job->v + key * dv, dv) - delta);
    return *p >= 0x1p-100;
}

static void query_gradient(const struct job *job, const struct sps_ref_row *at,
                           int64_t head, double *sum)
{
    int64_t g = job->shape->g, dk = job->shape->dk, i = at->row * job->shape->h + head;
    int64_t first = first_key(job, at->sequence) * g + head / (job->shape->h / g);
    double p, ds, delta = delta_of(job, i);

    memset(sum, 0, (size_t)dk * sizeof *sum);
    for (int64_t j = 0; j < visible_keys(job, at); j++)
        if (reads(job, at, head, j) && pair(job, i, delta, first + j * g, &p, &ds))
            for (int64_t d = 0; d < dk; d++)
                sum[d] += ds * job->k[(first + j * g) * dk + d];
    for (int64_t d = 0; d < dk; d++)
        job->to->dq[i * dk + d] += (float)sum[d];
}

/* What one row and head adds to the slice: dk[SLICE,dk], dv[SLICE,dv]. */
static void add_row(const struct job *job, const struct slice *slice,
                    const struct sps_ref_row *at, int64_t head, double *dk, double *dv)
{
    const struct sps_shape *shape = job->shape;
    int64_t i = at->row * shape->h + head, seen = visible_keys(job, at);
    int64_t first = first_key(job, slice->sequence) * shape->g + slice->kv;
    double p, ds, delta = delta_of(job, i);

    for (int64_t j = slice->begin; j < slice->end && j < seen; j++) {
        if (!reads(job, at, head, j) ||
            !pair(job, i, delta, first + j * shape->g, &p, &ds))
            continue;
        for (int64_t d = 0; d < shape->dk; d++)
            dk[(j - slice->begin) * shape->dk + d] += ds * job->q[i * shape->dk + d];
        for (int64_t d = 0; d < shape->dv; d++)
            dv[(j - slice->begin) * shape->dv + d] +=
                p * job->out->d_o[i * shape->dv + d];
    }
}

static void key_gradient(const struct job *job, const struct slice *slice, double *sum)
{
    const struct sps_shape *shape = job->shape;
    int64_t n = slice->end - slice->begin, group = shape->h / shape->g;
    int64_t first = first_key(job, slice->sequence) + slice->begin;
    int64_t begin = shape->cu_q[slice->sequence], end = shape->cu_q[slice->sequence + 1];
    double *dk = sum, *dv = sum + SLICE * shape->dk;

    memset(sum, 0, (size_t)(SLICE * (shape->dk + shape->dv)) * sizeof *sum);
    begin = begin > job->rows.begin ? begin : job->rows.begin;
    end = end < job->rows.end ? end : job->rows.end;
    for (int64_t row = begin; row < end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        for (int64_t head = slice->kv * group; head < (slice->kv + 1) * group; head++)
            add_row(job, slice, &at, head, dk, dv);
    }
    for (int64_t j = 0; j < n; j++) {
        int64_t key = (first + j) * shape->g + slice->kv;
        for (int64_t d = 0; d < shape->dk; d++)
            job->to->dk[key * shape->dk + d] += (float)dk[j * shape->dk + d];
        for (int64_t d = 0; d < shape->dv; d++)
            job->to->dv[key * shape->dv + d] += (float)dv[j * shape->dv + d];
    }
}

static void all_keys(const struct job *job, int64_t sequence, int threads,
                     const struct sps_scratch *scratch)
{
    int64_t keys = key_count(job, sequence), slices = (keys + SLICE - 1) / SLICE;

#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t i = 0; i < slices * job->shape->g; i++) {
        int64_t begin = i % slices * SLICE, end = begin + SLICE;
        key_gradient(
            job, &(struct slice){sequence, i / slices, begin, end < keys ? end : keys},
            sps_scratch_mine(scratch));
    }
}

static enum sps_status run(struct sps_device *dev, const struct job *job)
{
    const struct sps_shape *shape = job->shape;
    struct sps_scratch scratch;

    SPS_TRY(sps_scratch_new(
        dev, (size_t)(SLICE * (shape->dk + shape->dv)) * sizeof(double), &scratch));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = job->rows.begin; row < job->rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        for (int64_t head = 0; head < shape->h; head++)
            query_gradient(job, &at, head, sps_scratch_mine(&scratch));
    }
    for (int64_t i = 0; i < shape->n; i++)
        all_keys(job, i, dev->threads, &scratch);
    sps_scratch_free(&scratch);
    return SPS_OK;
}

enum sps_status sps_ref_dense_backward(struct sps_device *dev,
                                       const struct sps_shape *shape,
                                       const struct sps_qkv *in,
                                       const struct sps_band *band, struct sps_rows rows,
                                       const struct sps_output *out,
                                       const struct sps_gradients *to)
{
    dev->impl = "dense_backward_ref";
    return run(dev, &(struct job){.shape = shape,
                                  .q = in->q.data,
                                  .k = in->k.data,
                                  .v = in->v.data,
                                  .band = band,
                                  .out = out,
                                  .to = to,
                                  .rows = rows});
}

enum sps_status
sps_ref_attend_backward(struct sps_device *dev, const struct sps_shape *shape,
                        const struct sps_qkv *in, const struct sps_index *index,
                        const struct sps_band *band, struct sps_rows rows,
                        const struct sps_output *out, const struct sps_gradients *to)
{
    dev->impl = "attend_backward_ref";
    SPS_TRY(sps_check_causal(shape, "attend_backward"));
    return run(dev, &(struct job){.shape = shape,
                                  .q = in->q.data,
                                  .k = in->k.data,
                                  .v = in->v.data,
                                  .index = index,
                                  .band = band,
                                  .out = out,
                                  .to = to,
                                  .rows = rows});
}

enum sps_status sps_ref_compressed_backward(
    struct sps_device *dev, const struct sps_shape *shape, const struct sps_tensor *q,
    const float *k_cmp, const float *v_cmp, const struct sps_compression *by,
    struct sps_rows rows, const struct sps_output *out, const struct sps_gradients *to)
{
    dev->impl = "compressed_backward_ref";
    SPS_TRY(sps_check_causal(shape, "compressed_backward"));
    return run(dev, &(struct job){.shape = shape,
                                  .q = q->data,
                                  .k = k_cmp,
                                  .v = v_cmp,
                                  .by = by,
                                  .out = out,
                                  .to = to,
                                  .rows = rows});
}
