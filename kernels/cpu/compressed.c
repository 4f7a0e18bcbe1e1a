/* compressed.c - attention over compressed keys, and the score it gives to every
 * selection block (NSA eq. 8-10, arXiv 2502.11089). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vector.h"

struct job {
    const struct sps_shape *shape;
    const float *q, *k_cmp, *v_cmp;
    const struct sps_compression *by;
    int64_t block, blocks, size, keys;
    struct sps_rows rows;
    float *o, *lse, *scores;
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t visible_keys(const struct job *job, const struct sps_task *task,
                            int64_t row)
{
    return sps_compressed_visible(sps_shape_pos(job->shape, task->sequence, row),
                                  job->by->l, job->by->u);
}

/* Logits of the first `visible` keys become probabilities, the rest 0. */
static void softmax_items(const struct job *job, const struct sps_task *task,
                          struct sps_logits *logits, int64_t n)
{
    int64_t group = job->shape->h / job->shape->g;

    for (int64_t i = 0; i < logits->items; i++) {
        int64_t row = task->rows.begin + i / group, seen = visible_keys(job, task, row);
        float *x = logits->x + i * logits->stride;
        float lse = sps_row_softmax(x, seen);
        memset(x + seen, 0, (size_t)(n - seen) * sizeof *x);
        if (job->lse)
            job->lse[row * job->shape->h + task->kv * group + i % group] = lse;
    }
}

static void write_o(const struct job *job, const struct sps_task *task,
                    struct sps_logits *logits, int64_t n)
{
    int64_t group = job->shape->h / job->shape->g, g = job->shape->g, dv = job->shape->dv;
    const float *v = job->v_cmp + (job->by->cu[task->sequence] * g + task->kv) * dv;

    if (n == 0)
        memset(logits->rest, 0, (size_t)(logits->items * dv) * sizeof *logits->rest);
    else
        sps_blas_mix(logits->items, dv, n, logits->x, logits->stride, v, g * dv, 0,
                     logits->rest, dv);
    for (int64_t i = 0; i < logits->items; i += group)
        memcpy(job->o +
                   ((task->rows.begin + i / group) * job->shape->h + task->kv * group) *
                       dv,
               logits->rest + i * dv, (size_t)(group * dv) * sizeof *job->o);
}

/* scores[blocks] from p[n], the group's sum: each key counts for the strides it shares
 * with the block. */
static void score_blocks(const struct job *job, const float *p, int64_t n, float *scores)
{
    int64_t window = job->by->l / job->by->u, wide = job->block / job->by->u;

    for (int64_t b = 0; b < job->blocks; b++) {
        int64_t begin = b * wide, end = begin + wide;
        double sum = 0;
        for (int64_t m = begin > window - 1 ? begin - window + 1 : 0; m < least(end, n);
             m++)
            sum += p[m] * (double)(least(m + window, end) - (m > begin ? m : begin));
        scores[b] = sum < SPS_SCORE_LEAST ? 0 : (float)sum;
    }
}

/* The group's p adds up in its first head's row. */
static void write_scores(const struct job *job, const struct sps_task *task,
                         struct sps_logits *logits)
{
    int64_t group = job->shape->h / job->shape->g;

    for (int64_t i = 0; i < logits->items; i += group) {
        int64_t row = task->rows.begin + i / group, n = visible_keys(job, task, row);
        float *p = logits->x + i * logits->stride;
        for (int64_t x = 1; x < group; x++)
            sps_row_merge(p, n, 1, p + x * logits->stride);
        score_blocks(job, p, n,
                     job->scores + ((row - job->rows.begin) * job->shape->g + task->kv) *
                                       job->blocks);
    }
}

static void run_task(const struct job *job, const struct sps_task *task, void *mem)
{
    int64_t g = job->shape->g, dk = job->shape->dk, group = job->shape->h / g;
    int64_t n = visible_keys(job, task, task->rows.end - 1);
    struct sps_column k = sps_column_plain(
        job->k_cmp + (job->by->cu[task->sequence] * g + task->kv) * dk, g * dk);
    struct sps_logits logits;

    sps_logits_place(&logits, job->shape, job->size, job->keys, mem);
    sps_logits_fill(&logits, job->shape, job->q, task->rows, task->kv * group, group,
                    job->shape->scale, &k, n);
    softmax_items(job, task, &logits, n);
    write_o(job, task, &logits, n);
    write_scores(job, task, &logits);
}

enum sps_status sps_cpu_compressed(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_tensor *q, const float *k_cmp,
                                   const float *v_cmp, const struct sps_compression *by,
                                   int64_t block, struct sps_rows rows, float *o,
                                   float *lse, float *scores)
{
    struct job job = {.shape = shape,
                      .q = q->data,
                      .k_cmp = k_cmp,
                      .v_cmp = v_cmp,
                      .by = by,
                      .block = block,
                      .rows = rows,
                      .o = o,
                      .lse = lse,
                      .scores = scores};
    struct sps_scratch scratch;
    struct sps_task *tasks;
    int64_t count;

    dev->impl = "compressed_tiles";
    SPS_TRY(sps_check_causal(shape, "compressed"));
    SPS_TRY(sps_check_strides(by, block));
    job.blocks = sps_shape_blocks(shape, block);
    job.keys = sps_compressed_count(sps_shape_blocks(shape, 1), by->l, by->u);
    job.size = sps_logits_rows(shape, job.keys);
    int64_t extra = job.size * (shape->h / shape->g) * shape->dv;
    SPS_TRY(sps_scratch_new(dev, sps_logits_bytes(shape, job.size, job.keys, extra),
                            &scratch));
    enum sps_status status =
        sps_tasks_new(shape, rows, job.size, shape->g, &tasks, &count);
    if (status == SPS_OK) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(dev->threads)
        for (int64_t i = 0; i < count; i++)
            run_task(&job, &tasks[i], sps_scratch_mine(&scratch));
        free(tasks);
    }
    sps_scratch_free(&scratch);
    return status;
}
