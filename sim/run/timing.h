/* timing.h - samples of a pass, dense attention interleaved.
 *
 * The total is timed as one; stages come from separate, traced passes.  Dense
 * samples are spread evenly among the others so that drift cancels.  Every pass,
 * dense ones too, reads the next of several equal sets of inputs (rotation.h).
 */
#ifndef SPS_SIM_RUN_TIMING_H
#define SPS_SIM_RUN_TIMING_H

#include "analysis/stats.h"
#include "sim/run/rotation.h"

enum { SPS_SAMPLES_MAX = 1000, SPS_TRACED_MAX = 5, SPS_DENSE_SAMPLES = 5 };

/* Seconds; the parts of a problem that runs head by head are added up. */
struct sps_samples {
    double total[SPS_SAMPLES_MAX], dense[SPS_SAMPLES_MAX];
    double stage[SPS_STAGE_COUNT][SPS_TRACED_MAX];
    int64_t n, dense_n, traced_n;
    int64_t parts;
    int64_t sets; /* of inputs, taken in turn; of the part that had the fewest */
    const char *impl[SPS_STAGE_COUNT];
    const char *dense_impl;
    double sm_mhz[SPS_SAMPLES_MAX]; /* after each sample; NaN: unknown */
    uint64_t held_back;             /* enum sps_held_back of all samples */
    int64_t dropped;
    double energy_j; /* of one pass; 0: unknown */
};

struct sps_schedule {
    /* What is timed: sps_pass_run(), or sps_pass_backward() of passes that have run. */
    enum sps_status (*run)(struct sps_pass *pass, struct sps_trace *trace);
    int64_t samples;
    double seconds; /* stop after this, whichever comes first; one sample at least */
    bool flush;     /* cold: caches emptied before each sample */
    bool energy;    /* measure joules too, where the device tells */
    struct sps_rotation *rotation; /* of the inputs of what is timed */
};

/* Warm up, then time `pass`, and `dense` between its samples unless NULL, adding to
 * *samples. */
enum sps_status sps_time(struct sps_pass *pass, struct sps_pass *dense,
                         const struct sps_schedule *schedule,
                         struct sps_samples *samples);

#endif
