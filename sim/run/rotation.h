/* rotation.h - equal inputs at several addresses, taken in turn by timed passes.
 *
 * A pass that is timed again and again on one set of inputs finds them where the pass
 * before left them, in the cache and in the predictors.  Taking turns, each pass reads
 * the set that was read longest ago; together the sets are to be twice the last-level
 * cache.
 *
 * Sets count by the bytes that they hold.  A method that reads few of them, such as one
 * step of decoding over chosen blocks, may still find what it reads in the cache; and so
 * may every method what is no input: lists, outputs, kept keys and other workspace of a
 * pass stand at one address for all sets.
 */
#ifndef SPS_SIM_RUN_ROTATION_H
#define SPS_SIM_RUN_ROTATION_H

#include "sim/run/pass.h"
#include "sim/run/problem.h"

enum { SPS_SETS_MAX = 6 };

struct sps_rotation {
    struct sps_input copy[SPS_SETS_MAX - 1]; /* of the passes' own; owned */
    int64_t sets;                            /* copies and the one copied */
    int64_t turn;
};

/* Sets of inputs of `bytes` each: two or more, as many as `room` bytes hold beside the
 * first; 1 when they hold none. */
int64_t sps_rotation_sets(size_t bytes, size_t cache_bytes, size_t room);

/* Copy `input` as often as `room` bytes of its device allow, or less often when the
 * device has not that much in truth; sps_rotation_close() ends *rotation, also after a
 * failure. */
enum sps_status sps_rotation_open(const struct sps_input *input, size_t room,
                                  struct sps_rotation *rotation);
void sps_rotation_close(struct sps_rotation *rotation);

/* run(pass, trace) on the next set; then the pass reads its own inputs again, those that
 * were copied. */
enum sps_status sps_rotation_run(struct sps_rotation *rotation,
                                 enum sps_status (*run)(struct sps_pass *,
                                                        struct sps_trace *),
                                 struct sps_pass *pass, struct sps_trace *trace);

#endif
