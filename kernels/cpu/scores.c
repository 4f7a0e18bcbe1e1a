/* scores.c - block scores against mean keys, exact attention mass, rows of probabilities.
 *
 * Three readings of the same thing: logits of a few rows against all keys they see.
 */
#include <string.h>

#include "kernels/check.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vector.h"

struct job {
    const struct sps_shape *shape;
    int64_t keys; /* of the longest row */
    const float *q, *k;
    const struct sps_compression *by; /* gate */
    int64_t block, blocks, heads;     /* mass */
    int64_t head;                     /* probs */
    struct sps_rows rows;
    float *out;
};

/* Blocks that the row sees only in part score 0. */
static void gate_task(const void *what, const struct sps_task *task,
                      struct sps_logits *logits)
{
    const struct job *job = what;
    const struct sps_shape *shape = job->shape;
    int64_t group = shape->h / shape->g, g = shape->g, dk = shape->dk, l = job->by->l;
    int64_t last = sps_shape_visible(shape, task->sequence, task->rows.end - 1);
    struct sps_column means = sps_column_plain(
        job->k + (job->by->cu[task->sequence] * g + task->kv) * dk, g * dk);

    sps_logits_fill(logits, shape, job->q, task->rows, task->kv * group, group, 1, &means,
                    last / l);
    for (int64_t i = 0; i < logits->items; i++) {
        int64_t row = task->rows.begin + i / group, head = task->kv * group + i % group;
        int64_t whole = sps_shape_visible(shape, task->sequence, row) / l;
        float *to = job->out + ((row - job->rows.begin) * shape->h + head) * job->blocks;
        memcpy(to, logits->x + i * logits->stride, (size_t)whole * sizeof *to);
        memset(to + whole, 0, (size_t)(job->blocks - whole) * sizeof *to);
    }
}

enum sps_status sps_cpu_gate(struct sps_device *dev, const struct sps_shape *shape,
                             const struct sps_tensor *q, const float *means,
                             const struct sps_compression *by, struct sps_rows rows,
                             float *scores)
{
    struct job job = {
        .shape = shape, .q = q->data, .k = means, .by = by, .rows = rows, .out = scores};

    dev->impl = "gate_tiles";
    SPS_TRY(sps_check_causal(shape, "gate"));
    job.blocks = job.keys = sps_shape_blocks(shape, by->l);
    return sps_logits_tasks(dev, shape, rows, job.keys, shape->g, gate_task, &job);
}

/* p of query heads [head, head + heads) over the keys that each row of the task sees. */
static void softmax_task(const struct job *job, const struct sps_task *task, int64_t head,
                         int64_t heads, struct sps_logits *logits)
{
    const struct sps_shape *shape = job->shape;
    int64_t kv = head / (shape->h / shape->g);
    struct sps_column k =
        sps_column_of(shape, task->sequence, job->k, shape->g, kv, shape->dk);

    sps_logits_fill(logits, shape, job->q, task->rows, head, heads, shape->scale, &k,
                    sps_shape_visible(shape, task->sequence, task->rows.end - 1));
    for (int64_t i = 0; i < logits->items; i++)
        sps_row_softmax(
            logits->x + i * logits->stride,
            sps_shape_visible(shape, task->sequence, task->rows.begin + i / heads));
}

static void mass_task(const void *what, const struct sps_task *task,
                      struct sps_logits *logits)
{
    const struct job *job = what;
    const struct sps_shape *shape = job->shape;
    int64_t group = shape->h / shape->g, share = shape->h / job->heads;

    softmax_task(job, task, task->kv * group, group, logits);
    for (int64_t i = 0; i < logits->items; i++) {
        int64_t row = task->rows.begin + i / group, head = task->kv * group + i % group;
        int64_t seen = sps_shape_visible(shape, task->sequence, row);
        float *to = job->out +
                    ((row - job->rows.begin) * job->heads + head / share) * job->blocks;
        if (head % share == 0)
            memset(to, 0, (size_t)job->blocks * sizeof *to);
        for (int64_t j = 0; j < seen; j += job->block)
            to[j / job->block] +=
                sps_row_sum(logits->x + i * logits->stride + j,
                            seen - j < job->block ? seen - j : job->block);
    }
}

enum sps_status sps_cpu_mass(struct sps_device *dev, const struct sps_shape *shape,
                             const struct sps_qkv *in, int64_t block, int64_t heads,
                             struct sps_rows rows, float *scores)
{
    struct job job = {.shape = shape,
                      .q = in->q.data,
                      .k = in->k.data,
                      .block = block,
                      .heads = heads,
                      .rows = rows,
                      .out = scores};

    dev->impl = "mass_tiles";
    SPS_TRY(sps_check_heads(shape, heads));
    job.blocks = sps_shape_blocks(shape, block);
    job.keys = sps_shape_blocks(shape, 1);
    return sps_logits_tasks(dev, shape, rows, job.keys, shape->g, mass_task, &job);
}

static void probs_task(const void *what, const struct sps_task *task,
                       struct sps_logits *logits)
{
    const struct job *job = what;
    int64_t keys = sps_shape_keys(job->shape, task->sequence);

    softmax_task(job, task, job->head, 1, logits);
    for (int64_t i = 0; i < logits->items; i++) {
        int64_t row = task->rows.begin + i;
        int64_t seen = sps_shape_visible(job->shape, task->sequence, row);
        float *to = job->out + (row - job->rows.begin) * keys;
        memcpy(to, logits->x + i * logits->stride, (size_t)seen * sizeof *to);
        memset(to + seen, 0, (size_t)(keys - seen) * sizeof *to);
    }
}

enum sps_status sps_cpu_probs(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_qkv *in, int64_t head,
                              struct sps_rows rows, float *p)
{
    struct job job = {.shape = shape,
                      .q = in->q.data,
                      .k = in->k.data,
                      .head = head,
                      .rows = rows,
                      .out = p};

    dev->impl = "probs_tiles";
    SPS_TRY(sps_check_one_sequence(shape, rows));
    job.keys = sps_shape_blocks(shape, 1);
    return sps_logits_tasks(dev, shape, rows, job.keys, 1, probs_task, &job);
}
