/* routers.c - scores of the methods that route by more than a mean key: an indexer. */
#include <string.h>

#include "kernels/check.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

struct job {
    const struct sps_shape *shape;
    const float *q, *k;
    const float *w; /* indexer */
    int64_t blocks;
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

    sps_logits_fill(logits, shape, job->q, task->rows, 0, heads, 1,
                    job->k + shape->cu_k[task->sequence] * size, size, last);
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
    struct job job = {&own, q->data, k->data, w->data, keys, rows, scores};

    dev->impl = "indexer_tiles";
    SPS_TRY(sps_check_causal(shape, "indexer"));
    own.h = q->dim[1];
    own.g = 1;
    own.dk = q->dim[2];
    return sps_logits_tasks(dev, &own, rows, keys, 1, indexer_task, &job);
}
