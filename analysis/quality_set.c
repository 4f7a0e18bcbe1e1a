/* quality_set.c - chosen units against the oracle's, and against other rows'. */
#include "analysis/quality_parts.h"

#include <math.h>

#include "analysis/read.h"

/* The oracle keeps the forced units and the `free` best others, down to `last`. */
struct oracle {
    const struct sps_rule *rule;
    int64_t own, free;
    struct sps_unit last;
};

static bool forced(const struct oracle *oracle, int64_t unit)
{
    return unit < oracle->rule->init ||
           (unit <= oracle->own && unit > oracle->own - oracle->rule->local);
}

/* More units are visible than rule->count, which holds all forced ones. */
static struct oracle ask_oracle(const struct sps_rule *rule, const struct sps_row *row,
                                const struct sps_unit *best)
{
    struct oracle oracle = {rule, row->units - 1, rule->count, {0, 0}};

    for (int64_t u = 0; u < row->units; u++)
        oracle.free -= forced(&oracle, u);
    for (int64_t i = 0, left = oracle.free; left > 0; i++)
        if (!forced(&oracle, best[i].unit)) {
            oracle.last = best[i];
            left--;
        }
    return oracle;
}

/* True when an oracle with free choices chooses the free unit `unit` of mass `mass`. */
static bool chooses(const struct oracle *oracle, double mass, int64_t unit)
{
    return mass > oracle->last.mass ||
           (mass == oracle->last.mass && unit >= oracle->last.unit);
}

struct sps_set_recall sps_row_set(const struct sps_quality_in *in,
                                  const struct sps_row *row, const double *mass,
                                  const struct sps_unit *best)
{
    struct sps_set_recall recall = {NAN, NAN, NAN};
    int64_t k = in->rule.count, hits = 0, free_hits = 0, ties = 0;

    if (row->units <= k)
        return recall;
    struct oracle oracle = ask_oracle(&in->rule, row, best);
    struct sps_read chosen =
        sps_read_begin(in->shape, row->row, in->index, row->at,
                       sps_index_head(in->index, in->shape->h, row->head), NULL);
    double least = oracle.last.mass * (1 - SPS_MASS_EPSILON);
    for (int64_t i = 0; i < chosen.units; i++) {
        int64_t unit = chosen.unit[i];
        if (forced(&oracle, unit)) {
            hits++, ties++;
        } else if (oracle.free > 0) {
            bool hit = chooses(&oracle, mass[unit], unit);
            hits += hit, free_hits += hit;
            ties += mass[unit] >= least;
        }
    }
    recall.set = (double)hits / (double)k;
    recall.tie = fmin(1, (double)ties / (double)k);
    if (oracle.free > 0)
        recall.free = (double)free_hits / (double)oracle.free;
    return recall;
}

/* Shared units / all units of two ascending lists; NaN when both are empty. */
static double jaccard(const struct sps_read *a, const struct sps_read *b)
{
    int64_t i = 0, j = 0, shared = 0;

    while (i < a->units && j < b->units) {
        int64_t x = a->unit[i], y = b->unit[j];
        shared += x == y;
        i += x <= y;
        j += y <= x;
    }
    int64_t all = a->units + b->units - shared;
    return all > 0 ? (double)shared / (double)all : NAN;
}

static struct sps_read chosen_by(const struct sps_quality_in *in, int64_t i, int64_t list)
{
    return sps_read_begin(in->shape, in->rows[i], in->index, in->at[i], list, NULL);
}

/* Where measured row i stands: ascending, `lag` apart for positions that far apart in one
 * sequence, never near for rows of two. */
static int64_t place(const struct sps_quality_in *in, int64_t i)
{
    int64_t sequence = sps_shape_sequence(in->shape, in->rows[i]);

    return (sequence << 40) + sps_shape_pos(in->shape, sequence, in->rows[i]);
}

/* Mean Jaccard overlap of measured rows `lag` positions apart in one sequence. */
static double overlap(const struct sps_quality_in *in, int64_t list, int64_t lag)
{
    double total = 0;
    int64_t n = 0;

    for (int64_t i = 0, j = 0; i < in->count; i++) {
        while (j < in->count && place(in, j) < place(in, i) + lag)
            j++;
        if (j == in->count)
            break;
        if (place(in, j) != place(in, i) + lag)
            continue;
        struct sps_read a = chosen_by(in, i, list), b = chosen_by(in, j, list);
        double x = jaccard(&a, &b);
        if (!isnan(x))
            total += x, n++;
    }
    return n > 0 ? total / (double)n : NAN;
}

/* Mean of k / (2n - k) for rows that chose k of n visible units: to first order, the
 * overlap of two independent uniform choices. */
static double chance(const struct sps_quality_in *in, int64_t list)
{
    double total = 0;
    int64_t n = 0;

    for (int64_t i = 0; i < in->count; i++) {
        struct sps_read row = chosen_by(in, i, list);
        if (row.units == 0)
            continue;
        int64_t units = (row.visible + row.block - 1) / row.block;
        total += (double)row.units / (double)(2 * units - row.units);
        n++;
    }
    return n > 0 ? total / (double)n : NAN;
}

void sps_head_overlap(const struct sps_quality_in *in, int64_t head, double *value)
{
    if (!in->index)
        return;
    int64_t list = sps_index_head(in->index, in->shape->h, head);
    value[SPS_Q_overlap_lag1] = overlap(in, list, 1);
    value[SPS_Q_overlap_lag8] = overlap(in, list, 8);
    value[SPS_Q_overlap_lag64] = overlap(in, list, 64);
    value[SPS_Q_overlap_chance] = chance(in, list);
}
