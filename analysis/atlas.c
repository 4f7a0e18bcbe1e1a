/* atlas.c - how one row's attention is spread, whatever a method reads of it. */
#include "analysis/quality_parts.h"

#include <math.h>

enum { SINK_TOKENS = 4, RECENT_TOKENS = 64 }; /* of sink_mass and distant_mass */

/* Gini coefficient of n shares that sum to 1, largest first:
 * sum over ranks r, smallest 1, of (2r - n - 1) x_r / n. */
static double gini(const struct sps_unit *best, int64_t n)
{
    double weighted = 0;

    for (int64_t i = 0; i < n; i++)
        weighted += (double)(n - 1 - 2 * i) * best[i].mass;
    return fmax(0, weighted / (double)n);
}

/* Fewest units that hold `share` of the mass. */
static double budget(const struct sps_unit *best, int64_t n, double share)
{
    double held = 0;
    int64_t units = 0;

    while (units < n && held < share - SPS_MASS_EPSILON)
        held += best[units++].mass;
    return (double)units;
}

static double best_mass(const struct sps_unit *best, int64_t n, int64_t count)
{
    double held = 0;

    for (int64_t i = 0; i < n && i < count; i++)
        held += best[i].mass;
    return fmin(1, held);
}

void sps_row_atlas(const struct sps_rule *rule, const struct sps_row *row, double *value)
{
    double surprise = 0, sink = 0, distant = 0;

    for (int64_t j = 0; j < row->visible; j++) {
        double p = row->p[j] / row->total;
        if (p > 0)
            surprise -= p * log(p);
        if (j < SINK_TOKENS)
            sink += p;
        else if (j < row->visible - RECENT_TOKENS)
            distant += p;
    }
    value[SPS_Q_entropy] = fmax(0, surprise);
    value[SPS_Q_sink_mass] = fmin(1, sink);
    value[SPS_Q_distant_mass] = fmin(1, distant);
    value[SPS_Q_gini] = gini(row->best, row->units);
    value[SPS_Q_budget_90] = budget(row->best, row->units, 0.90);
    value[SPS_Q_budget_95] = budget(row->best, row->units, 0.95);
    if (rule->count > 0)
        value[SPS_Q_mass_oracle_k] = best_mass(row->best, row->units, rule->count);
}
