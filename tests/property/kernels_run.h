/* kernels_run.h - every kernel of a device once, on one problem. */
#ifndef SPS_TESTS_KERNELS_RUN_H
#define SPS_TESTS_KERNELS_RUN_H

#include "tests/problem.h"

/* What kernels write.  PER_ROW ones lead with t, so a row's part can be compared. */
enum output {
    DENSE_O,
    DENSE_LSE,
    BAND_O,
    BAND_LSE,
    CMP_O,
    CMP_LSE,
    CMP_SCORES,
    GATE_SCORES,
    BOUND_SCORES,
    MAX_SCORES,
    INDEXER_SCORES,
    MASS_H,
    MASS_G,
    NOISE,
    BLOCKS_O,
    BLOCKS_LSE,
    HEADS_O,
    HEADS_LSE,
    UNION_O,
    UNION_LSE,
    TOKENS_O,
    TOKENS_LSE,
    COMBINED,
    NSA_INDEX,  /* [t,g,count] */
    MOBA_INDEX, /* [t,h,topk] */
    PER_ROW,
    K_MEAN = PER_ROW, /* compressed keys, values, and means and ranges of whole blocks */
    V_MEAN,
    K_LINEAR,
    MEANS,
    RANGES,
    OUTPUTS
};

extern const char *const output_name[OUTPUTS];

struct options {
    int64_t l, u, block, count, topk, init, local;
    struct sps_band band;
};

struct outputs {
    float *x[OUTPUTS];
    int64_t width[OUTPUTS]; /* elements of a row; all of them from PER_ROW on */
};

void options_draw(uint64_t seed, struct options *options);

/* Run all.  Compressed keys, scores and indices that later kernels read come from
 * `given`, or when that is NULL from this run.  Ranges of rows are cut in two. */
enum sps_status outputs_make(struct sps_device *dev, const struct problem *p,
                             const struct options *options, const struct outputs *given,
                             struct outputs *out);
void outputs_free(struct outputs *out);

/* An index over one of the two selections. */
struct sps_index nsa_index(const struct problem *p, const struct options *options,
                           float *list);
struct sps_index moba_index(const struct problem *p, const struct options *options,
                            float *list);

#endif
