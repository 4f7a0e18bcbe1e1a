/* attend.c - reference attention over the union of an index's tokens and a band. */
#include <string.h>

#include "kernels/check.h"
#include "kernels/ref/ref.h"

struct job {
    const struct sps_shape *shape;
    const struct sps_qkv *in;
    const struct sps_index *index; /* NULL: the band alone */
    const struct sps_band *band;
    float *o, *lse;
};

/* reads[j] for every visible key j of the row. */
static void mark_tokens(const struct job *job, const struct sps_ref_row *at, int64_t head,
                        bool *reads)
{
    const struct sps_index *index = job->index;
    int64_t count;

    for (int64_t j = 0; j < at->visible; j++)
        reads[j] = sps_band_has(job->band, at->pos, j);
    if (!index)
        return;
    const int32_t *list = sps_index_list(
        index, at->row, sps_index_head(index, job->shape->h, head), &count);
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = list[i] * index->block; j < (list[i] + 1) * index->block; j++)
            if (j < at->visible)
                reads[j] = true;
}

static void attend_head(const struct job *job, const struct sps_ref_row *at, int64_t head,
                        bool *reads, double *p, double *sum)
{
    const struct sps_shape *shape = job->shape;
    int64_t dv = shape->dv, kv = head / (shape->h / shape->g);
    int64_t i = at->row * shape->h + head;
    double lse;

    mark_tokens(job, at, head, reads);
    sps_ref_logits(shape, job->in, at, head, reads, p);
    lse = sps_ref_softmax(p, at->keys);
    memset(sum, 0, (size_t)dv * sizeof *sum);
    for (int64_t j = 0; j < at->visible; j++) {
        const float *v = sps_ref_token(shape, &job->in->v, at->sequence, j) + kv * dv;
        for (int64_t d = 0; p[j] != 0 && d < dv; d++)
            sum[d] += p[j] * v[d];
    }
    for (int64_t d = 0; d < dv; d++)
        job->o[i * dv + d] = (float)sum[d];
    if (job->lse)
        job->lse[i] = (float)lse;
}

static enum sps_status attend_rows(struct sps_device *dev, const struct job *job,
                                   struct sps_rows rows)
{
    size_t longest = (size_t)sps_ref_longest(job->shape), dv = (size_t)job->shape->dv;
    struct sps_scratch scratch;

    SPS_TRY(sps_scratch_new(dev, (longest + dv) * sizeof(double) + longest, &scratch));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(job->shape, row);
        double *p = sps_scratch_mine(&scratch), *sum = p + longest;
        for (int64_t head = 0; head < job->shape->h; head++)
            attend_head(job, &at, head, (bool *)(sum + dv), p, sum);
    }
    sps_scratch_free(&scratch);
    return SPS_OK;
}

enum sps_status sps_ref_dense(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_qkv *in, const struct sps_band *band,
                              struct sps_rows rows, float *o, float *lse)
{
    dev->impl = "dense_ref";
    return attend_rows(dev, &(struct job){shape, in, NULL, band, o, lse}, rows);
}

enum sps_status sps_ref_attend(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_qkv *in, const struct sps_index *index,
                               const struct sps_band *band, struct sps_rows rows,
                               float *o, float *lse)
{
    dev->impl = "attend_ref";
    SPS_TRY(sps_check_causal(shape, "attend"));
    return attend_rows(dev, &(struct job){shape, in, index, band, o, lse}, rows);
}
