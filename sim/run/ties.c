/* ties.c - reference scores of one row against the rounding that may move them. */
#include "sim/run/ties.h"

#include <math.h>

enum sps_status sps_ties_open(const struct sps_golden *golden, struct sps_ties *ties)
{
    struct sps_take all = {.kv_heads = golden->data.g};

    *ties = (struct sps_ties){0};
    SPS_TRY(sps_device_open("ref", 0, &ties->dev));
    SPS_TRY(sps_input_make(&golden->data, &all, SPS_F32, 0, &ties->dev, &ties->input));
    SPS_TRY(sps_pass_open(golden->method, golden->options, &ties->input.problem,
                          &ties->dev, &ties->pass));
    return golden->method->begin ? golden->method->begin(&ties->pass.call) : SPS_OK;
}

void sps_ties_close(struct sps_ties *ties)
{
    sps_pass_close(&ties->pass);
    if (ties->input.dev)
        sps_input_free(&ties->input);
    sps_device_close(&ties->dev);
}

/* sum |a||b|: what rounding of their dot product is relative to. */
static double size(const float *a, const float *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += fabs((double)a[i] * b[i]);
    return sum;
}

/* The largest sum behind any score of query head h. */
typedef double largest(const struct sps_ties *ties, int64_t row, int64_t h);

/* Keys [begin, end) of k[*,g,dk]. */
static double largest_of(const struct sps_ties *ties, int64_t row, int64_t h,
                         const float *k, int64_t begin, int64_t end)
{
    const struct sps_problem *p = &ties->input.problem;
    const struct sps_shape *s = &p->shape;
    const float *q = (const float *)p->in.q.data + (row * s->h + h) * s->dk;
    int64_t group = h * s->g / s->h;
    double most = 0;

    for (int64_t m = begin; m < end; m++)
        most = fmax(most, size(q, k + (m * s->g + group) * s->dk, s->dk));
    return most;
}

static double largest_compressed(const struct sps_ties *ties, int64_t row, int64_t h)
{
    const struct sps_plan *plan = &ties->pass.plan;
    int64_t sequence = sps_shape_sequence(&plan->problem->shape, row);
    struct sps_tensor k;

    plan->method->peek(&ties->pass.call, "k_cmp", &k);
    return largest_of(ties, row, h, k.data, plan->by.cu[sequence],
                      plan->by.cu[sequence + 1]);
}

static double largest_key(const struct sps_ties *ties, int64_t row, int64_t h)
{
    const struct sps_problem *p = &ties->input.problem;
    int64_t sequence = sps_shape_sequence(&p->shape, row);

    return largest_of(ties, row, h, p->in.k.data, p->shape.cu_k[sequence],
                      p->shape.cu_k[sequence + 1]);
}

static double largest_bound(const struct sps_ties *ties, int64_t row, int64_t h)
{
    const struct sps_plan *plan = &ties->pass.plan;
    const struct sps_shape *s = &plan->problem->shape;
    const float *q = (const float *)plan->problem->in.q.data + (row * s->h + h) * s->dk;
    int64_t sequence = sps_shape_sequence(s, row), group = h * s->g / s->h;
    struct sps_tensor k;
    double most = 0;

    plan->method->peek(&ties->pass.call, "k_range", &k);
    for (int64_t m = plan->by.cu[sequence]; m < plan->by.cu[sequence + 1]; m++) {
        const float *high = (const float *)k.data + (m * s->g + group) * 2 * s->dk;
        const float *low = high + s->dk;
        double sum = 0;
        for (int64_t i = 0; i < s->dk; i++)
            sum += fabs(q[i] * fmax(fabs(high[i]), fabs(low[i])));
        most = fmax(most, sum);
    }
    return most;
}

/* sum over index heads of |w| sum |q_idx||k_idx|, alike for every query head. */
static double largest_indexed(const struct sps_ties *ties, int64_t row, int64_t h)
{
    const struct sps_extras *extra = &ties->pass.plan.problem->extra;
    const struct sps_shape *s = &ties->pass.plan.problem->shape;
    int64_t heads = extra->q_idx.dim[1], n = extra->q_idx.dim[2];
    int64_t sequence = sps_shape_sequence(s, row);
    const float *q = (const float *)extra->q_idx.data + row * heads * n;
    const float *w = (const float *)extra->w_idx.data + row * heads;
    double most = 0;

    (void)h;
    for (int64_t j = s->cu_k[sequence]; j < s->cu_k[sequence + 1]; j++) {
        const float *k = (const float *)extra->k_idx.data + j * n;
        double sum = 0;
        for (int64_t x = 0; x < heads; x++)
            sum += fabs((double)w[x]) * size(q + x * n, k, n);
        most = fmax(most, sum);
    }
    return most;
}

static largest *const sums[] = {[SPS_SCORE_MASS] = largest_compressed,
                                [SPS_SCORE_LOGIT] = largest_compressed,
                                [SPS_SCORE_KEY] = largest_key,
                                [SPS_SCORE_BOUND] = largest_bound,
                                [SPS_SCORE_INDEXER] = largest_indexed};

/* How far apart two scores a and b may be and still tie. */
static double bound(const struct sps_ties *ties, int64_t row, int64_t head, double a,
                    double b)
{
    const struct sps_plan *plan = &ties->pass.plan;
    const struct sps_shape *s = &plan->problem->shape;
    int64_t G = s->h / plan->index_heads;
    double most = 0;

    for (int64_t h = head * G; h < (head + 1) * G; h++)
        most = fmax(most, sums[plan->method->score](ties, row, h));
    double rounding = 8 * 0x1p-24 * most;
    return plan->method->score == SPS_SCORE_MASS ? rounding * s->scale * fmax(a, b)
                                                 : rounding;
}

static bool has(const int32_t *list, int64_t count, int32_t unit)
{
    for (int64_t i = 0; i < count; i++)
        if (list[i] == unit)
            return true;
    return false;
}

/* Lowest and highest score of the units of x that y lacks. */
static void extremes(const float *scores, const int32_t *x, int64_t n, const int32_t *y,
                     int64_t m, double *low, double *high)
{
    for (int64_t i = 0; i < n; i++)
        if (!has(y, m, x[i])) {
            *low = fmin(*low, scores[x[i]]);
            *high = fmax(*high, scores[x[i]]);
        }
}

enum sps_status sps_ties_explain(struct sps_ties *ties, int64_t row, int64_t head,
                                 const struct sps_index *a, const struct sps_index *b,
                                 bool *tied)
{
    const struct sps_plan *plan = &ties->pass.plan;
    int64_t n, m, nb = sps_shape_blocks(&plan->problem->shape, plan->index_block);
    const int32_t *x = sps_index_list(a, row, head, &n),
                  *y = sps_index_list(b, row, head, &m);
    double low = INFINITY, high = -INFINITY;

    *tied = false;
    if (plan->method->score == SPS_SCORE_NONE || n != m)
        return SPS_OK;
    SPS_TRY(plan->method->select(&ties->pass.call, (struct sps_rows){row, row + 1}));
    const float *scores = (const float *)ties->pass.call.scratch + head * nb;
    extremes(scores, x, n, y, m, &low, &high);
    extremes(scores, y, m, x, n, &low, &high);
    *tied = high - low <= bound(ties, row, head, low, high);
    return SPS_OK;
}
