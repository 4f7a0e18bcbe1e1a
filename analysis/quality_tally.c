/* quality_tally.c - from the values of rows to one value a head, and one for all.
 *
 * Rows are added in the order in which they come, so that sums do not depend on
 * threads.
 */
#include "analysis/quality_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stats.h"

void sps_values_clear(double *value)
{
    for (int m = 0; m < SPS_Q_COUNT; m++)
        value[m] = NAN;
}

void sps_heads_sharing(const struct sps_quality_in *in, int64_t head, int64_t *first,
                       int64_t *end)
{
    int64_t group = in->index ? in->shape->h / in->index->heads : 1;

    *first = head / group * group;
    *end = *first + group;
}

static enum sps_status samples_begin(int64_t heads, int64_t count,
                                     struct sps_row_samples *s)
{
    SPS_TRY(sps_calloc((size_t)(heads * count) * sizeof *s->x, (void **)&s->x));
    return sps_calloc((size_t)heads * sizeof *s->n, (void **)&s->n);
}

enum sps_status sps_tally_begin(const struct sps_quality_in *in, struct sps_tally *t)
{
    t->in = in;
    SPS_TRY(sps_calloc((size_t)in->shape->h * sizeof *t->mean, (void **)&t->mean));
    SPS_TRY(samples_begin(in->shape->h, in->count, &t->recall));
    return samples_begin(in->shape->h, in->count, &t->error);
}

void sps_tally_end(struct sps_tally *t)
{
    free(t->mean), free(t->recall.x), free(t->recall.n);
    free(t->error.x), free(t->error.n);
}

void sps_tally_add(struct sps_tally *t, int64_t head, const double *value)
{
    double recall = value[SPS_Q_recall_mass];
    int64_t first, end;

    sps_heads_sharing(t->in, head, &first, &end);
    for (int m = 0; m < SPS_Q_COUNT; m++) {
        bool shared = m == SPS_Q_recall_set || m == SPS_Q_recall_set_free ||
                      m == SPS_Q_recall_set_tie;
        for (int64_t to = shared ? first : head; !isnan(value[m]) && to <= head; to++) {
            t->mean[to][m].sum += value[m];
            t->mean[to][m].n++;
        }
    }
    if (!isnan(recall))
        t->recall.x[head * t->in->count + t->recall.n[head]++] = recall;
}

static void recall_quantiles(double *x, int64_t n, double *value)
{
    value[SPS_Q_recall_mass_min] = sps_quantile(x, (size_t)n, 0);
    value[SPS_Q_recall_mass_p01] = sps_quantile(x, (size_t)n, 0.01);
    value[SPS_Q_recall_mass_p05] = sps_quantile(x, (size_t)n, 0.05);
    value[SPS_Q_recall_mass_p50] = sps_quantile(x, (size_t)n, 0.50);
}

static void error_quantiles(double *x, int64_t n, double *value)
{
    value[SPS_Q_error_rel_l2_p50] = sps_quantile(x, (size_t)n, 0.50);
    value[SPS_Q_error_rel_l2_p95] = sps_quantile(x, (size_t)n, 0.95);
    value[SPS_Q_error_rel_l2_max] = sps_quantile(x, (size_t)n, 1);
}

static void finish_head(struct sps_tally *t, int64_t head, double *value)
{
    const struct sps_mean *mean = t->mean[head];
    int64_t at = head * t->in->count;

    for (int m = 0; m < SPS_Q_COUNT; m++)
        if (mean[m].n > 0)
            value[m] = mean[m].sum / (double)mean[m].n;
    value[SPS_Q_n_rows] = (double)t->in->count;
    if (t->in->index && t->in->rule.count > 0)
        value[SPS_Q_n_rows_set] = (double)mean[SPS_Q_recall_set].n;
    if (t->visible > 0)
        value[SPS_Q_density_row] = mean[SPS_Q_tokens_read].sum / t->visible;
    recall_quantiles(t->recall.x + at, t->recall.n[head], value);
    error_quantiles(t->error.x + at, t->error.n[head], value);
}

/* Close the gaps between heads; returns how many samples there are. */
static int64_t gather(struct sps_row_samples *samples, int64_t heads, int64_t count)
{
    int64_t n = 0;

    for (int64_t head = 0; head < heads; head++) {
        memmove(samples->x + n, samples->x + head * count,
                (size_t)samples->n[head] * sizeof(double));
        n += samples->n[head];
    }
    return n;
}

/* The samples of all heads without gaps, now owned by *x. */
static void hand_over(struct sps_row_samples *samples, const struct sps_tally *t,
                      int64_t heads, double **x, int64_t *n)
{
    *n = gather(samples, heads, t->in->count);
    *x = samples->x;
    samples->x = NULL;
}

void sps_quality_reduce(struct sps_quality *q)
{
    sps_values_clear(q->all);
    for (int m = 0; m < SPS_Q_COUNT; m++) {
        struct sps_mean mean = {0};
        for (int64_t head = 0; head < q->heads; head++)
            if (!isnan(q->head[head][m]))
                mean.sum += q->head[head][m], mean.n++;
        if (mean.n > 0)
            q->all[m] = mean.sum / (double)mean.n;
    }
    for (int64_t head = 0; head < q->heads; head++)
        q->all[SPS_Q_error_max_abs] =
            fmax(q->all[SPS_Q_error_max_abs], q->head[head][SPS_Q_error_max_abs]);
    recall_quantiles(q->recall, q->recall_n, q->all);
    error_quantiles(q->error, q->error_n, q->all);
}

void sps_tally_finish(struct sps_tally *t, struct sps_quality *out)
{
    for (int64_t head = 0; head < out->heads; head++)
        finish_head(t, head, out->head[head]);
    for (int64_t head = 0; head < out->heads; head++)
        out->pairs += t->mean[head][SPS_Q_tokens_read].sum;
    hand_over(&t->recall, t, out->heads, &out->recall, &out->recall_n);
    hand_over(&t->error, t, out->heads, &out->error, &out->error_n);
    sps_quality_reduce(out);
}
