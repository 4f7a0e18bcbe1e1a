/* count.h - what a finished pass read: pairs and tiles, all rows and heads. */
#ifndef SPS_SIM_RUN_COUNT_H
#define SPS_SIM_RUN_COUNT_H

#include "sim/run/pass.h"

enum { SPS_TILE_ROWS = 64, SPS_TILE_KEYS = 64 }; /* of density_tiles */

struct sps_counts {
    struct sps_pairs pairs;
    double tile_pairs; /* causal pairs inside touched tiles */
};

/* index: the pass's, on the host.  Packed lists are selected again, some rows at a time,
 * so that they never stand in memory together. */
enum sps_status sps_count_pass(struct sps_pass *pass, const struct sps_index *index,
                               struct sps_counts *counts);

#endif
