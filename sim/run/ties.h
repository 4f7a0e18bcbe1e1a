/* ties.h - whether two selections differ only where scores tie.
 *
 * Two units are tied when the reference's scores differ by less than what correct
 * float32 rounding can move them (docs/methods.md, precision).
 */
#ifndef SPS_SIM_RUN_TIES_H
#define SPS_SIM_RUN_TIES_H

#include "sim/run/golden.h"
#include "sim/run/pass.h"
#include "sim/run/problem.h"

/* The golden file's method on the reference backend. */
struct sps_ties {
    struct sps_device dev;
    struct sps_input input;
    struct sps_pass pass;
};

/* sps_ties_close() ends *ties, also after a failure. */
enum sps_status sps_ties_open(const struct sps_golden *golden, struct sps_ties *ties);
void sps_ties_close(struct sps_ties *ties);

/* *tied: every unit that only one of the lists a and b has ties with every such unit
 * of the other, and both lists are equally long. */
enum sps_status sps_ties_explain(struct sps_ties *ties, int64_t row, int64_t head,
                                 const struct sps_index *a, const struct sps_index *b,
                                 bool *tied);

#endif
