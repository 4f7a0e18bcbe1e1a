/* quality_parts.h - the parts of sps_quality_measure(), one file each.
 *
 * Everything about one (row, head) is computed from its vector of true
 * probabilities, written as value[SPS_Q_...]; NaN leaves the row out of that
 * metric's mean.  Masses are fractions of the vector's own sum, so that float32
 * rounding of p never makes a share exceed 1.
 */
#ifndef SPS_ANALYSIS_QUALITY_PARTS_H
#define SPS_ANALYSIS_QUALITY_PARTS_H

#include "analysis/quality.h"

/* Shares within this of a threshold reach it: float32 cannot tell them apart. */
#define SPS_MASS_EPSILON 1e-6

struct sps_unit {
    double mass;
    int64_t unit;
};

/* One measured row seen by one query head. */
struct sps_row {
    int64_t row, at, head; /* packed row; where it stands in index and o */
    int64_t visible;       /* keys */
    int64_t block, units;  /* tokens a unit; visible units, the last maybe partial */
    const float *p;        /* [visible] true probabilities */
    double total;          /* their sum */
    double *mass;          /* [units] share of each unit */
    struct sps_unit *best; /* [2 units] largest first, the more recent of equals first;
                              then room to sort */
};

/* Fill total and mass[] from p; SPS_ENUMERIC unless p sums to 1 within 1e-3. */
enum sps_status sps_row_masses(struct sps_row *row);

/* best[0 .. units) = units in order of mass[]; best[units .. 2 units) is overwritten. */
void sps_row_sort(struct sps_unit *best, const double *mass, int64_t units);

/* Sum of the k largest of p[n], 1 <= k <= n, all >= 0; O(n) whatever the values. */
double sps_top_sum(const float *p, int64_t n, int64_t k);

/* recall_mass and its kin but the quantiles, tokens_read. */
void sps_row_recall(const struct sps_quality_in *in, const struct sps_row *row,
                    double *value);

/* entropy, gini, budgets, mass_oracle_k, sink_mass, distant_mass; needs best[]. */
void sps_row_atlas(const struct sps_rule *rule, const struct sps_row *row, double *value);

/* needle_hit and needle_rank: mean over this row's needles. */
void sps_row_needles(const struct sps_quality_in *in, const struct sps_row *row,
                     double *value);

/* Chosen units against an oracle that knows mass[] (best[]: its order). */
struct sps_set_recall {
    double set, free, tie; /* NaN: left out */
};
struct sps_set_recall sps_row_set(const struct sps_quality_in *in,
                                  const struct sps_row *row, const double *mass,
                                  const struct sps_unit *best);

/* overlap_lag* and overlap_chance of query head `head`. */
void sps_head_overlap(const struct sps_quality_in *in, int64_t head, double *value);

/* error_* of one head but the row quantiles; relative error of each row whose full
 * output is not 0 to rows[*n].  Returns the first measured row (0..count-1) with a
 * NaN or Inf, or -1. */
int64_t sps_head_errors(const struct sps_quality_in *in, int64_t head, double *value,
                        double *rows, int64_t *n);

/* Every value NaN. */
void sps_values_clear(double *value);

/* Query heads [*first, *end) that read the same lists as `head`. */
void sps_heads_sharing(const struct sps_quality_in *in, int64_t head, int64_t *first,
                       int64_t *end);

struct sps_mean {
    double sum;
    int64_t n;
};

/* Values whose quantiles are wanted: those of head x stand from x * count, n[x] of them.
 */
struct sps_row_samples {
    double *x;
    int64_t *n;
};

struct sps_tally {
    const struct sps_quality_in *in;
    struct sps_mean (*mean)[SPS_Q_COUNT]; /* [h] */
    struct sps_row_samples recall, error; /* [h, count] */
    double visible;                       /* keys that the measured rows see, one head */
};

/* Of a zeroed tally; sps_tally_end() also after a failure. */
enum sps_status sps_tally_begin(const struct sps_quality_in *in, struct sps_tally *tally);
void sps_tally_end(struct sps_tally *tally);

/* Add one row's values to head `head`; what its list has in common, which only the
 * last head of those sharing it brings, to them all. */
void sps_tally_add(struct sps_tally *tally, int64_t head, const double *value);

/* Fill out->head and out->all; out->head already holds what rows do not bring. */
void sps_tally_finish(struct sps_tally *tally, struct sps_quality *out);

/* Fill q->all: means over the heads that have a value, the largest error_max_abs,
 * quantiles over the samples, which it sorts. */
void sps_quality_reduce(struct sps_quality *q);

#endif
