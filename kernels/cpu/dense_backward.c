/* dense_backward.c - gradients of attention over a band, or over compressed keys.
 *
 * Each query head of a tile of rows meets a tile of keys in five products (Dao, arXiv
 * 2307.08691, algorithm 2): logits and d_o v^T anew, then what they give to dq, dk, dv.
 */
#include <math.h>

#include "kernels/check.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rounds.h"
#include "kernels/cpu/vector.h"

/* Few compressed keys: smaller tiles, for threads.  Rows of a tile of which some keys are
 * masked go in smaller steps. */
enum { COMPRESSED_KEYS = 128, MASKED_ROWS = 64 };

struct job {
    struct sps_backward common;       /* first: a pointer to it points here */
    const struct sps_band *band;      /* of tokens */
    const struct sps_compression *by; /* NULL: keys are tokens */
};

/* Keys that one row reads: [0, sink) and [low, high). */
struct reach {
    int64_t sink, low, high;
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct reach row_reach(const struct job *job, int64_t sequence, int64_t row)
{
    const struct sps_shape *shape = job->common.shape;
    int64_t visible = sps_shape_visible(shape, sequence, row);
    int64_t pos = sps_shape_pos(shape, sequence, row);

    if (job->by)
        return (struct reach){0, 0, sps_compressed_visible(pos, job->by->l, job->by->u)};
    if (job->band->all)
        return (struct reach){0, 0, visible};
    int64_t low = pos - job->band->window + 1;
    return (struct reach){least(job->band->sink, visible), low > 0 ? low : 0,
                          job->band->window > 0 ? least(pos + 1, visible) : 0};
}

static bool meets(struct reach reach, const struct sps_pair *pair)
{
    return reach.sink > pair->begin ||
           (reach.high > pair->begin && reach.low < pair->end && reach.low < reach.high);
}

static bool covers(struct reach reach, const struct sps_pair *pair)
{
    return reach.sink >= pair->end ||
           (reach.low <= pair->begin && reach.high >= pair->end);
}

/* Drop the first and last rows that read none of the keys, then the first and last keys
 * that no row reads; false: nothing is left.  Later rows' limits are never lower. */
static bool trim(const struct job *job, struct sps_pair *pair)
{
    struct sps_rows *rows = &pair->task.rows;
    int64_t sequence = pair->task.sequence;

    while (rows->begin < rows->end && !meets(row_reach(job, sequence, rows->begin), pair))
        rows->begin++;
    while (rows->begin < rows->end &&
           !meets(row_reach(job, sequence, rows->end - 1), pair))
        rows->end--;
    if (rows->begin == rows->end)
        return false;
    struct reach first = row_reach(job, sequence, rows->begin);
    struct reach last = row_reach(job, sequence, rows->end - 1);
    pair->end = least(pair->end, last.high > last.sink ? last.high : last.sink);
    if (last.sink <= pair->begin && first.low > pair->begin)
        pair->begin = first.low;
    return true;
}

/* Logits x[n] and products w[n] of a row that reads some become p and c ds, 0 for keys
 * not read. */
static void slope_row(const struct job *job, const struct sps_pair *pair, int64_t row,
                      int64_t head, float *x, float *w)
{
    const struct sps_backward *b = &job->common;
    struct reach reach = row_reach(job, pair->task.sequence, row);
    int64_t n = pair->end - pair->begin, h = b->shape->h;
    int64_t high = reach.high > reach.sink ? reach.high : reach.sink;

    for (int64_t j = reach.sink > pair->begin ? reach.sink - pair->begin : 0;
         j < least(n, reach.low - pair->begin); j++)
        x[j] = -INFINITY;
    for (int64_t j = high > pair->begin ? high - pair->begin : 0; j < n; j++)
        x[j] = -INFINITY;
    sps_row_slope(x, w, n, b->out->lse[row * h + head],
                  b->delta[(row - b->rows.begin) * h + head], (float)b->shape->scale);
}

/* One query head; x and w hold [SPS_ROUND_ROWS, SPS_ROUND_KEYS] each. */
static void meet_head(const struct job *job, const struct sps_pair *pair, int64_t head,
                      float *x, float *w)
{
    const struct sps_backward *b = &job->common;
    const struct sps_shape *s = b->shape;
    int64_t row = pair->task.rows.begin, m = pair->task.rows.end - row;
    int64_t n = pair->end - pair->begin, g = s->g, dk = s->dk, dv = s->dv;
    int64_t key = (b->cu[pair->task.sequence] + pair->begin) * g + pair->task.kv;
    const float *q = b->q + (row * s->h + head) * dk, *k = b->k + key * dk;
    const float *d_o = b->out->d_o + (row * s->h + head) * dv, *v = b->v + key * dv;

    sps_blas_dots(m, n, dk, (float)s->scale, q, s->h * dk, k, g * dk, x, n);
    sps_blas_dots(m, n, dv, 1, d_o, s->h * dv, v, g * dv, w, n);
    for (int64_t r = 0; r < m; r++)
        slope_row(job, pair, row + r, head, x + r * n, w + r * n);
    sps_blas_add_outer(n, dv, m, x, n, d_o, s->h * dv, b->to->dv + key * dv, g * dv);
    sps_blas_add_outer(n, dk, m, w, n, q, s->h * dk, b->to->dk + key * dk, g * dk);
    sps_blas_mix(m, dk, n, w, n, k, g * dk, 1, b->to->dq + (row * s->h + head) * dk,
                 s->h * dk);
}

static void meet(const struct sps_backward *common, const struct sps_pair *whole,
                 void *mem)
{
    const struct job *job = (const struct job *)common;
    int64_t group = common->shape->h / common->shape->g, step = SPS_ROUND_ROWS;
    int64_t sequence = whole->task.sequence;
    struct sps_pair pair = *whole;
    float *x = mem;

    if (!trim(job, &pair))
        return;
    struct sps_rows rows = pair.task.rows;
    if (!covers(row_reach(job, sequence, rows.begin), &pair) ||
        !covers(row_reach(job, sequence, rows.end - 1), &pair))
        step = MASKED_ROWS;
    for (int64_t row = rows.begin; row < rows.end; row += step) {
        struct sps_pair part = pair;
        part.task.rows = (struct sps_rows){row, least(row + step, rows.end)};
        if (!trim(job, &part))
            continue;
        for (int64_t i = 0; i < group; i++)
            meet_head(job, &part, part.task.kv * group + i, x,
                      x + SPS_ROUND_ROWS * SPS_ROUND_KEYS);
    }
}

static enum sps_status run(struct sps_device *dev, struct job *job)
{
    return sps_rounds_run(dev, &job->common,
                          2 * SPS_ROUND_ROWS * SPS_ROUND_KEYS * sizeof(float), meet);
}

enum sps_status sps_cpu_dense_backward(struct sps_device *dev,
                                       const struct sps_shape *shape,
                                       const struct sps_qkv *in,
                                       const struct sps_band *band, struct sps_rows rows,
                                       const struct sps_output *out,
                                       const struct sps_gradients *to)
{
    struct job job = {.common = {.shape = shape,
                                 .q = in->q.data,
                                 .k = in->k.data,
                                 .v = in->v.data,
                                 .cu = shape->cu_k,
                                 .out = out,
                                 .to = to,
                                 .rows = rows,
                                 .tile = SPS_ROUND_KEYS},
                      .band = band};

    dev->impl = "dense_backward_sgemm";
    return run(dev, &job);
}

enum sps_status sps_cpu_compressed_backward(
    struct sps_device *dev, const struct sps_shape *shape, const struct sps_tensor *q,
    const float *k_cmp, const float *v_cmp, const struct sps_compression *by,
    struct sps_rows rows, const struct sps_output *out, const struct sps_gradients *to)
{
    struct job job = {.common = {.shape = shape,
                                 .q = q->data,
                                 .k = k_cmp,
                                 .v = v_cmp,
                                 .cu = by->cu,
                                 .out = out,
                                 .to = to,
                                 .rows = rows,
                                 .tile = COMPRESSED_KEYS},
                      .by = by};

    dev->impl = "compressed_backward_sgemm";
    SPS_TRY(sps_check_causal(shape, "compressed_backward"));
    return run(dev, &job);
}
