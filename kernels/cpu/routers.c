/* routers.c - scores of methods that route by more than a mean key: bounds, the largest
 * product, an indexer. */
#include <math.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

struct job {
    const struct sps_shape *shape;
    const float *q, *k;
    const float *w;                   /* indexer */
    const struct sps_compression *by; /* key_bound */
    int64_t blocks;
    int64_t block, heads; /* block_max */
    struct sps_rows rows;
    float *out;
};

/* to += w relu(x).  A NaN stays one: top-k must see it. */
static void add_rectified(float *to, const float *x, int64_t n, float w)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        to[j] += w * (x[j] < 0 ? 0 : x[j]);
}

/* The shape is the indexer's own: one kv head, every index head a query head. */
static void indexer_task(const void *what, const struct sps_task *task,
                         struct sps_logits *logits)
{
    const struct job *job = what;
    const struct sps_shape *shape = job->shape;
    int64_t heads = shape->h, size = shape->dk;
    int64_t last = sps_shape_visible(shape, task->sequence, task->rows.end - 1);
    struct sps_column k = sps_column_of(shape, task->sequence, job->k, 1, 0, size);

    sps_logits_fill(logits, shape, job->q, task->rows, 0, heads, 1, &k, last);
    for (int64_t row = task->rows.begin; row < task->rows.end; row++) {
        int64_t seen = sps_shape_visible(shape, task->sequence, row);
        float *to = job->out + (row - job->rows.begin) * job->blocks;
        memset(to, 0, (size_t)job->blocks * sizeof *to);
        for (int64_t x = 0; x < heads; x++)
            add_rectified(
                to, logits->x + ((row - task->rows.begin) * heads + x) * logits->stride,
                seen, job->w[row * heads + x]);
    }
}

enum sps_status sps_cpu_indexer(struct sps_device *dev, const struct sps_shape *shape,
                                const struct sps_tensor *q, const struct sps_tensor *k,
                                const struct sps_tensor *w, struct sps_rows rows,
                                float *scores)
{
    struct sps_shape own = *shape;
    int64_t keys = sps_shape_blocks(shape, 1);
    struct job job = {.shape = &own,
                      .q = q->data,
                      .k = k->data,
                      .w = w->data,
                      .blocks = keys,
                      .rows = rows,
                      .out = scores};

    dev->impl = "indexer_tiles";
    SPS_TRY(sps_check_causal(shape, "indexer"));
    own.h = q->dim[1];
    own.g = 1;
    own.dk = q->dim[2];
    return sps_logits_tasks(dev, &own, rows, keys, 1, indexer_task, &job);
}

/* Each query of d numbers becomes one of 2 d, in place: its positive part, then its
 * negative one.  Times (largest, smallest) that is the sum of max(q largest, q smallest).
 */
static void split_signs(float *q, int64_t items, int64_t d)
{
    for (int64_t i = items - 1; i >= 0; i--)
        for (int64_t x = d - 1; x >= 0; x--) {
            float value = q[i * d + x];
            q[(2 * i + 1) * d + x] = value < 0 ? value : 0;
            q[2 * i * d + x] = value < 0 ? 0 : value;
        }
}

/* The shape has the problem's heads and rows of 2 dk numbers. */
static void bound_task(const void *what, const struct sps_task *task,
                       struct sps_logits *logits)
{
    const struct job *job = what;
    struct sps_shape shape = *job->shape;
    int64_t group = shape.h / shape.g, width = shape.dk, l = job->by->l;
    int64_t n = task->rows.end - task->rows.begin;
    int64_t last = sps_shape_visible(&shape, task->sequence, task->rows.end - 1);
    struct sps_column ranges = sps_column_plain(
        job->k + (job->by->cu[task->sequence] * shape.g + task->kv) * width,
        shape.g * width);

    shape.dk = width / 2;
    logits->items = n * group;
    sps_gather_queries(&shape, job->q, task->rows.begin, n, task->kv * group, group,
                       logits->q);
    split_signs(logits->q, logits->items, shape.dk);
    sps_logits_multiply(logits, width, 1, &ranges, last / l);
    for (int64_t i = 0; i < logits->items; i++) {
        int64_t row = task->rows.begin + i / group, head = task->kv * group + i % group;
        int64_t whole = sps_shape_visible(&shape, task->sequence, row) / l;
        float *to = job->out + ((row - job->rows.begin) * shape.h + head) * job->blocks;
        memcpy(to, logits->x + i * logits->stride, (size_t)whole * sizeof *to);
        memset(to + whole, 0, (size_t)(job->blocks - whole) * sizeof *to);
    }
}

enum sps_status sps_cpu_key_bound(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_tensor *q, const float *ranges,
                                  const struct sps_compression *by, struct sps_rows rows,
                                  float *scores)
{
    struct sps_shape wide = *shape;
    struct job job = {.shape = &wide,
                      .q = q->data,
                      .k = ranges,
                      .by = by,
                      .blocks = sps_shape_blocks(shape, by->l),
                      .rows = rows,
                      .out = scores};

    dev->impl = "key_bound_tiles";
    SPS_TRY(sps_check_causal(shape, "key_bound"));
    wide.dk = 2 * shape->dk;
    return sps_logits_tasks(dev, &wide, rows, job.blocks, wide.g, bound_task, &job);
}

/* The largest of n > 0 numbers and `most`; a NaN stays one: top-k must see it. */
static float raise_to(float most, const float *x, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        most = x[j] > most || isnan(x[j]) ? x[j] : most;
    return most;
}

static void max_task(const void *what, const struct sps_task *task,
                     struct sps_logits *logits)
{
    const struct job *job = what;
    const struct sps_shape *shape = job->shape;
    int64_t group = shape->h / shape->g, share = shape->h / job->heads;
    int64_t block = job->block;
    struct sps_column k =
        sps_column_of(shape, task->sequence, job->k, shape->g, task->kv, shape->dk);

    sps_logits_fill(logits, shape, job->q, task->rows, task->kv * group, group, 1, &k,
                    sps_shape_visible(shape, task->sequence, task->rows.end - 1));
    for (int64_t i = 0; i < logits->items; i++) {
        int64_t row = task->rows.begin + i / group, head = task->kv * group + i % group;
        int64_t seen = sps_shape_visible(shape, task->sequence, row);
        const float *x = logits->x + i * logits->stride;
        float *to = job->out +
                    ((row - job->rows.begin) * job->heads + head / share) * job->blocks;
        if (head % share == 0)
            memset(to, 0, (size_t)job->blocks * sizeof *to);
        for (int64_t j = 0; j < seen; j += block)
            to[j / block] = raise_to(head % share == 0 ? x[j] : to[j / block], x + j,
                                     seen - j < block ? seen - j : block);
    }
}

enum sps_status sps_cpu_block_max(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_qkv *in, int64_t block, int64_t heads,
                                  struct sps_rows rows, float *scores)
{
    struct job job = {.shape = shape,
                      .q = in->q.data,
                      .k = in->k.data,
                      .blocks = sps_shape_blocks(shape, block),
                      .block = block,
                      .heads = heads,
                      .rows = rows,
                      .out = scores};

    dev->impl = "block_max_tiles";
    SPS_TRY(sps_check_causal(shape, "block_max"));
    SPS_TRY(sps_check_heads(shape, heads));
    return sps_logits_tasks(dev, shape, rows, sps_shape_blocks(shape, 1), shape->g,
                            max_task, &job);
}
