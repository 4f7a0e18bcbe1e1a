/* point.h - measure one point: quality, counts, costs, times. */
#ifndef SPS_SIM_RUN_POINT_H
#define SPS_SIM_RUN_POINT_H

#include "sim/run/count.h"
#include "sim/run/group.h"
#include "sim/run/timing.h"

struct sps_outcome {
    struct sps_quality quality;
    struct sps_pairs pairs; /* read, all rows run, all heads */
    double causal_pairs;    /* all heads */
    double tile_pairs;
    struct sps_cost counted[SPS_STAGE_COUNT], model[SPS_STAGE_COUNT];
    double flops_dense;
    double density_requested;
    double memory_predicted; /* bytes */
    double memory_peak;      /* bytes, before timing copies inputs; NaN: unknown */
    double error_full_ref;   /* NaN: not asked */
    int64_t t;               /* rows run */
    char note[64];           /* gates */
    int64_t *row_of;         /* [quality.count] packed row of the data; owned */
    double *row_error;       /* [heads, quality.count] error_rel_l2; owned, or NULL */
    struct sps_samples *cold, *hot; /* owned; NULL: not timed */
};

/* The group must have been entered for this point.  sps_outcome_free() ends
 * *outcome, also after a failure. */
enum sps_status sps_point_measure(const struct sps_point *point, struct sps_group *group,
                                  struct sps_outcome *outcome);
void sps_outcome_free(struct sps_outcome *outcome);

#endif
