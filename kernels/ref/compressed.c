/* compressed.c - reference attention over compressed keys, and the score it gives to
 * every selection block (NSA eq. 8-10, arXiv 2502.11089). */
#include <string.h>

#include "kernels/check.h"
#include "kernels/ref/ref.h"

struct job {
    const struct sps_shape *shape;
    const float *q, *k_cmp, *v_cmp;
    const struct sps_compression *by;
    int64_t block, blocks;
    float *o, *lse;
};

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How many strides of `block` both compressed key m and selection block b cover. */
static int64_t shared_strides(const struct job *job, int64_t m, int64_t b)
{
    int64_t window = job->by->l / job->by->u, block = job->block / job->by->u;

    return most(0, least(m + window, (b + 1) * block) - most(m, b * block));
}

/* p[visible] of one head; o and lse of that head are written. */
static void attend_head(const struct job *job, const struct sps_ref_row *at, int64_t head,
                        int64_t visible, double *p, double *sum)
{
    const struct sps_shape *shape = job->shape;
    int64_t g = shape->g, dk = shape->dk, dv = shape->dv, kv = head / (shape->h / g);
    int64_t i = at->row * shape->h + head, first = job->by->cu[at->sequence] * g + kv;
    double lse;

    for (int64_t m = 0; m < visible; m++)
        p[m] = shape->scale *
               sps_ref_dot(job->q + i * dk, job->k_cmp + (first + m * g) * dk, dk);
    lse = sps_ref_softmax(p, visible);
    memset(sum, 0, (size_t)dv * sizeof *sum);
    for (int64_t m = 0; m < visible; m++)
        for (int64_t d = 0; d < dv; d++)
            sum[d] += p[m] * job->v_cmp[(first + m * g) * dv + d];
    for (int64_t d = 0; d < dv; d++)
        job->o[i * dv + d] = (float)sum[d];
    if (job->lse)
        job->lse[i] = (float)lse;
}

/* The group's row: scores[blocks] of one kv head; total[] adds up p over its heads. */
static void attend_group(const struct job *job, const struct sps_ref_row *at, int64_t kv,
                         double *p, double *total, double *sum, float *scores)
{
    int64_t group = job->shape->h / job->shape->g;
    int64_t visible = sps_compressed_visible(at->pos, job->by->l, job->by->u);

    for (int64_t m = 0; m < visible; m++)
        total[m] = 0;
    for (int64_t head = kv * group; head < (kv + 1) * group; head++) {
        attend_head(job, at, head, visible, p, sum);
        for (int64_t m = 0; m < visible; m++)
            total[m] += p[m];
    }
    for (int64_t b = 0; b < job->blocks; b++) {
        double score = 0;
        int64_t from = (b * job->block - job->by->l) / job->by->u;
        for (int64_t m = most(0, from);
             m < least(visible, (b + 1) * job->block / job->by->u); m++)
            score += total[m] * (double)shared_strides(job, m, b);
        scores[b] = score < SPS_SCORE_LEAST ? 0 : (float)score;
    }
}

enum sps_status sps_ref_compressed(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_tensor *q, const float *k_cmp,
                                   const float *v_cmp, const struct sps_compression *by,
                                   int64_t block, struct sps_rows rows, float *o,
                                   float *lse, float *scores)
{
    struct job job = {shape, q->data, k_cmp, v_cmp, by, block, 0, o, lse};
    int64_t most_keys = sps_compressed_count(sps_ref_longest(shape), by->l, by->u);
    struct sps_scratch scratch;

    dev->impl = "compressed_ref";
    job.blocks = sps_shape_blocks(shape, block);
    SPS_TRY(sps_check_causal(shape, "compressed"));
    SPS_TRY(sps_check_strides(by, block));
    SPS_TRY(sps_scratch_new(dev, (size_t)(2 * most_keys + shape->dv) * sizeof(double),
                            &scratch));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        double *p = sps_scratch_mine(&scratch);
        for (int64_t kv = 0; kv < shape->g; kv++)
            attend_group(&job, &at, kv, p, p + most_keys, p + 2 * most_keys,
                         scores + ((row - rows.begin) * shape->g + kv) * job.blocks);
    }
    sps_scratch_free(&scratch);
    return SPS_OK;
}
