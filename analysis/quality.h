/* quality.h - what a selection keeps of the true attention, and what that costs
 * in the output.  Definitions: docs/columns.md; sources: docs/methods and
 * the identities in docs/testing.md.
 */
#ifndef SPS_ANALYSIS_QUALITY_H
#define SPS_ANALYSIS_QUALITY_H

#include "analysis/columns.h"
#include "kernels/backend.h"

/* A row that must read key `key`; see datasets/dataset.h. */
struct sps_needle {
    int64_t row, head, key;
};

struct sps_quality_in {
    struct sps_device *dev;        /* computes the true probabilities */
    const struct sps_shape *shape; /* all t rows */
    const struct sps_qkv *in;      /* on dev */
    const int64_t *rows;           /* [count] measured packed rows, ascending */
    int64_t count;
    const int64_t *at;             /* [count] where each stands in index and o */
    const struct sps_index *index; /* host; NULL: the method has none */
    struct sps_band band;          /* read beside the index */
    struct sps_rule rule;          /* count 0: no unit, no recall_set */
    int64_t atlas_block;           /* unit of budgets and gini when rule.block is 0 */
    const float *o;                /* host [*, h, dv], by at[]; NULL: no errors */
    const float *o_full;           /* host [count, h, dv] */
    const struct sps_needle *needles;
    int64_t needle_count;
};

struct sps_quality {
    int64_t heads;
    double (*head)[SPS_Q_COUNT]; /* [heads]; NaN: not measured */
    double all[SPS_Q_COUNT];     /* over heads; quantiles over all (row, head) pairs */
    double pairs;           /* pairs read by index and band, measured rows, all heads */
    double *recall, *error; /* recall_mass, error_rel_l2 of each (row, head), sorted */
    int64_t recall_n, error_n;
};

/* Measure; sps_quality_free() ends `out`.  Threads: dev->threads. */
enum sps_status sps_quality_measure(const struct sps_quality_in *in,
                                    struct sps_quality *out);

/* The heads of parts[0 .. n) one after the other, and all of them together. */
enum sps_status sps_quality_merge(const struct sps_quality *parts, int64_t n,
                                  struct sps_quality *out);
void sps_quality_free(struct sps_quality *quality);

/* ---- counts over the whole index (host), all rows of shape ---- */

/* Pairs that the index and band read together, summed over query heads; and those
 * of the index alone.  Rows: all t of index->t. */
void sps_count_pairs(const struct sps_shape *shape, const struct sps_index *index,
                     const struct sps_band *band, double *both, double *index_only);

/* Causal pairs inside touched tiles of tile_rows x tile_keys, summed over heads. */
double sps_count_tile_pairs(const struct sps_shape *shape, const struct sps_index *index,
                            const struct sps_band *band, int64_t tile_rows,
                            int64_t tile_keys);

#endif
