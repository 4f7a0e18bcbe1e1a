/* plain_metrics.c - every metric of one head by plain code, independent of analysis/. */
#include "tests/property/plain_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 128, SAMPLES = 1024 };

/* All that is known of one (row, head). */
struct seen {
    int64_t visible, pos, units, block;
    double p[KEYS], mass[KEYS];
    bool read[KEYS], chosen[KEYS]; /* tokens; units of the index */
};

static void see(const struct sample *p, const struct sps_quality_in *in, int64_t i,
                int64_t head, struct seen *x)
{
    const struct sps_shape *shape = in->shape;
    int64_t row = in->rows[i], n = sps_shape_sequence(shape, row), count = 0;

    memset(x, 0, sizeof *x);
    x->block = in->rule.block ? in->rule.block : in->atlas_block;
    x->pos = sps_shape_pos(shape, n, row);
    x->visible = sample_probs(p, row, head, x->p);
    x->units = (x->visible + x->block - 1) / x->block;
    for (int64_t j = 0; j < x->visible; j++) {
        x->mass[j / x->block] += x->p[j];
        x->read[j] = sps_band_has(&in->band, x->pos, j);
    }
    if (!in->index)
        return;
    const int32_t *list = sps_index_list(
        in->index, in->at[i], sps_index_head(in->index, shape->h, head), &count);
    for (int64_t c = 0; c < count; c++) {
        x->chosen[list[c]] = true;
        for (int64_t j = 0; j < x->visible; j++)
            x->read[j] = x->read[j] || j / in->index->block == list[c];
    }
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* Sum of the k largest of x[n]. */
static double top(const double *x, int64_t n, int64_t k)
{
    double y[KEYS], total = 0;

    memcpy(y, x, (size_t)n * sizeof *x);
    qsort(y, (size_t)n, sizeof *y, descending);
    for (int64_t i = 0; i < k && i < n; i++)
        total += y[i];
    return total;
}

/* Fewest that reach `share`, shares within 1e-6 of it counting. */
static double fewest(const double *x, int64_t n, double share)
{
    for (int64_t k = 1; k < n; k++)
        if (top(x, n, k) >= share - 1e-6)
            return (double)k;
    return (double)n;
}

/* Mean absolute difference of all pairs / (2 mean): Gini by its other definition. */
static double gini(const double *x, int64_t n)
{
    double apart = 0, total = 0;

    for (int64_t i = 0; i < n; i++) {
        total += x[i];
        for (int64_t j = 0; j < n; j++)
            apart += fabs(x[i] - x[j]);
    }
    return apart / (2 * (double)n * total);
}

static void plain_recall(const struct sps_quality_in *in, const struct seen *x,
                         double *value)
{
    double all = 0, slc = 0, win = 0, rest = 0, rest_read = 0;
    int64_t tokens = 0;

    for (int64_t j = 0; j < x->visible; j++) {
        tokens += x->read[j];
        all += x->read[j] * x->p[j];
        win += sps_band_has(&in->band, x->pos, j) * x->p[j];
        slc += in->index && x->chosen[j / in->index->block] ? x->p[j] : 0;
        rest += (j >= x->block) * x->p[j];
        rest_read += (j >= x->block) * x->read[j] * x->p[j];
    }
    value[SPS_Q_recall_mass] = all;
    value[SPS_Q_tokens_read] = (double)tokens;
    if (x->visible > x->block)
        value[SPS_Q_recall_mass_nosink] = rest_read / rest;
    if (tokens > 0)
        value[SPS_Q_recall_mass_rel] = all / top(x->p, x->visible, tokens);
    if (in->index && (in->band.window || in->band.sink || in->band.all))
        value[SPS_Q_recall_mass_slc] = slc, value[SPS_Q_recall_mass_win] = win;
}

static void plain_set(const struct sps_quality_in *in, const struct seen *x,
                      const double *mass, double *set, double *free_set, double *tie)
{
    const struct sps_rule *rule = &in->rule;
    bool best[KEYS], must[KEYS];
    double hits = 0, free_hits = 0, free_all = 0, ties = 0, least = INFINITY;

    if (x->units <= rule->count)
        return;
    plain_topk(rule, mass, x->units, best);
    plain_topk(&(struct sps_rule){rule->block, 0, rule->init, rule->local}, mass,
               x->units, must);
    for (int64_t u = 0; u < x->units; u++)
        if (best[u] && !must[u] && mass[u] < least)
            least = mass[u];
    for (int64_t u = 0; u < x->units; u++) {
        hits += x->chosen[u] && best[u];
        free_hits += x->chosen[u] && best[u] && !must[u];
        free_all += best[u] && !must[u];
        ties += x->chosen[u] && (must[u] || mass[u] >= least * (1 - 1e-6));
    }
    *set = hits / (double)rule->count;
    *tie = fmin(1, ties / (double)rule->count);
    if (free_all > 0)
        *free_set = free_hits / free_all;
}

static void plain_atlas(const struct sps_quality_in *in, const struct seen *x,
                        double *value)
{
    double entropy = 0, sink = 0, distant = 0;

    for (int64_t j = 0; j < x->visible; j++) {
        entropy -= x->p[j] * log(x->p[j]);
        sink += j < 4 ? x->p[j] : 0;
        distant += j >= 4 && x->visible - j > 64 ? x->p[j] : 0;
    }
    value[SPS_Q_entropy] = entropy;
    value[SPS_Q_sink_mass] = sink;
    value[SPS_Q_distant_mass] = distant;
    value[SPS_Q_gini] = gini(x->mass, x->units);
    value[SPS_Q_budget_90] = fewest(x->mass, x->units, 0.9);
    value[SPS_Q_budget_95] = fewest(x->mass, x->units, 0.95);
    if (in->rule.count)
        value[SPS_Q_mass_oracle_k] = top(x->mass, x->units, in->rule.count);
}

static void plain_needles(const struct sps_quality_in *in, const struct seen *x,
                          int64_t row, int64_t head, double *value)
{
    for (int64_t i = 0; i < in->needle_count; i++) {
        const struct sps_needle *needle = &in->needles[i];
        if (needle->row != row || needle->head != head)
            continue;
        value[SPS_Q_needle_hit] = x->read[needle->key];
        value[SPS_Q_needle_rank] = 1;
        for (int64_t u = 0; u < x->units; u++)
            value[SPS_Q_needle_rank] += x->mass[u] > x->mass[needle->key / x->block];
    }
}

static double plain_overlap(const struct sample *p, const struct sps_quality_in *in,
                            int64_t head, int64_t lag)
{
    struct seen a, b;
    double total = 0, n = 0;

    for (int64_t i = 0; i < in->count; i++)
        for (int64_t j = 0; j < in->count; j++) {
            double shared = 0, all = 0;
            if (in->rows[j] - in->rows[i] != lag ||
                sps_shape_sequence(in->shape, in->rows[i]) !=
                    sps_shape_sequence(in->shape, in->rows[j]))
                continue;
            see(p, in, i, head, &a), see(p, in, j, head, &b);
            for (int64_t u = 0; u < KEYS; u++)
                shared += a.chosen[u] && b.chosen[u], all += a.chosen[u] || b.chosen[u];
            if (all > 0)
                total += shared / all, n++;
        }
    return n > 0 ? total / n : NAN;
}

static double plain_chance(const struct sample *p, const struct sps_quality_in *in,
                           int64_t head)
{
    struct seen x;
    double total = 0, n = 0;

    for (int64_t i = 0; i < in->count; i++) {
        double k = 0;
        see(p, in, i, head, &x);
        double units = ceil((double)x.visible / (double)in->index->block);
        for (int64_t u = 0; u < KEYS; u++)
            k += x.chosen[u];
        if (k > 0)
            total += k / (2 * units - k), n++;
    }
    return n > 0 ? total / n : NAN;
}

int64_t plain_errors(const struct sps_quality_in *in, int64_t head, double *rows,
                     double *value)
{
    double d2 = 0, f2 = 0, o2 = 0, dot = 0, d1 = 0, f1 = 0, most = 0;
    int64_t dv = in->shape->dv, n = 0;

    for (int64_t i = 0; i < in->count; i++) {
        double row_d2 = 0, row_f2 = 0;
        for (int64_t d = 0; d < dv; d++) {
            double o = in->o[(in->at[i] * in->shape->h + head) * dv + d];
            double f = in->o_full[(i * in->shape->h + head) * dv + d];
            row_d2 += (f - o) * (f - o), row_f2 += f * f, o2 += o * o, dot += o * f;
            d1 += fabs(f - o), f1 += fabs(f);
            most = fabs(f - o) > most ? fabs(f - o) : most;
        }
        d2 += row_d2, f2 += row_f2;
        if (row_f2 > 0)
            rows[n++] = sqrt(row_d2) / sqrt(row_f2);
    }
    value[SPS_Q_error_rel_l2] = sqrt(d2) / sqrt(f2);
    value[SPS_Q_error_rel_l1] = d1 / f1;
    value[SPS_Q_error_cos] = dot / sqrt(f2) / sqrt(o2);
    value[SPS_Q_error_max_abs] = most;
    return n;
}

/* Type 7 by counting ranks instead of sorting in place. */
static double plain_quantile(const double *x, int64_t n, double q)
{
    double y[SAMPLES], at = (1 - q) * (double)(n - 1);

    memcpy(y, x, (size_t)n * sizeof *x);
    qsort(y, (size_t)n, sizeof *y, descending);
    int64_t low = (int64_t)floor(at), high = (int64_t)ceil(at);
    return n ? (1 - (at - (double)low)) * y[low] + (at - (double)low) * y[high] : NAN;
}

void plain_quantiles(const double *recall, int64_t recalls, const double *error,
                     int64_t errors, double *value)
{
    value[SPS_Q_recall_mass_min] = plain_quantile(recall, recalls, 0);
    value[SPS_Q_recall_mass_p01] = plain_quantile(recall, recalls, 0.01);
    value[SPS_Q_recall_mass_p05] = plain_quantile(recall, recalls, 0.05);
    value[SPS_Q_recall_mass_p50] = plain_quantile(recall, recalls, 0.5);
    value[SPS_Q_error_rel_l2_p50] = plain_quantile(error, errors, 0.5);
    value[SPS_Q_error_rel_l2_p95] = plain_quantile(error, errors, 0.95);
    value[SPS_Q_error_rel_l2_max] = plain_quantile(error, errors, 1);
}

static void all_nan(double *value)
{
    for (int m = 0; m < SPS_Q_COUNT; m++)
        value[m] = NAN;
}

static void plain_row(const struct sample *p, const struct sps_quality_in *in, int64_t i,
                      int64_t head, struct seen *x, double *value)
{
    double mass[KEYS] = {0}, unused = NAN, unused_tie = NAN;

    all_nan(value);
    for (int64_t other = 0; in->index && other < in->shape->h; other++)
        if (sps_index_head(in->index, in->shape->h, other) ==
            sps_index_head(in->index, in->shape->h, head)) {
            see(p, in, i, other, x);
            for (int64_t u = 0; u < x->units; u++)
                mass[u] += x->mass[u];
        }
    see(p, in, i, head, x);
    plain_recall(in, x, value);
    plain_atlas(in, x, value);
    plain_needles(in, x, in->rows[i], head, value);
    if (!in->index || in->rule.count == 0)
        return;
    plain_set(in, x, mass, &value[SPS_Q_recall_set], &value[SPS_Q_recall_set_free],
              &value[SPS_Q_recall_set_tie]);
    plain_set(in, x, x->mass, &value[SPS_Q_recall_set_head], &unused, &unused_tie);
}

void plain_head(const struct sample *p, const struct sps_quality_in *in, int64_t head,
                double *recall, double *value)
{
    double sum[SPS_Q_COUNT] = {0}, n[SPS_Q_COUNT] = {0}, visible = 0;

    for (int64_t i = 0; i < in->count; i++) {
        struct seen x;
        double row[SPS_Q_COUNT];
        plain_row(p, in, i, head, &x, row);
        visible += (double)x.visible;
        recall[i] = row[SPS_Q_recall_mass];
        for (int m = 0; m < SPS_Q_COUNT; m++)
            if (!isnan(row[m]))
                sum[m] += row[m], n[m]++;
    }
    for (int m = 0; m < SPS_Q_COUNT; m++)
        value[m] = n[m] > 0 ? sum[m] / n[m] : NAN;
    value[SPS_Q_n_rows] = (double)in->count;
    value[SPS_Q_density_row] = sum[SPS_Q_tokens_read] / visible;
    if (!in->index)
        return;
    if (in->rule.count)
        value[SPS_Q_n_rows_set] = n[SPS_Q_recall_set];
    value[SPS_Q_overlap_lag1] = plain_overlap(p, in, head, 1);
    value[SPS_Q_overlap_lag8] = plain_overlap(p, in, head, 8);
    value[SPS_Q_overlap_lag64] = plain_overlap(p, in, head, 64);
    value[SPS_Q_overlap_chance] = plain_chance(p, in, head);
}
