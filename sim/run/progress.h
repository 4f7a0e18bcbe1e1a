/* progress.h - what is being done, on stderr: a bar on a terminal, else a line a
 * minute, nothing when quiet. */
#ifndef SPS_SIM_RUN_PROGRESS_H
#define SPS_SIM_RUN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct sps_progress {
    bool quiet, terminal;
    int64_t done, total;
    double began, said; /* seconds */
};

void sps_progress_start(struct sps_progress *progress, int64_t total, bool quiet);
/* About to work on `what`. */
void sps_progress_step(struct sps_progress *progress, const char *what);
void sps_progress_finish(struct sps_progress *progress);

#endif
