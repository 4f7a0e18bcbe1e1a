/* rounds.h - every tile of rows against every tile of keys, no two threads on one tile.
 *
 * In round f, tile r of a sequence's rows meets tile (r - f) mod F of its keys, F being
 * the larger of their numbers; a window needs the first rounds only.  Under one kv head
 * no two pairs of a round share rows or keys, so gradients of both add up without locks;
 * and the order in which a row meets keys, or a key rows, follows from the shape alone,
 * whatever the number of threads.
 */
#ifndef SPS_KERNELS_CPU_ROUNDS_H
#define SPS_KERNELS_CPU_ROUNDS_H

#include "kernels/cpu/tile.h"

SPS_BEGIN_DECLS

enum { SPS_ROUND_ROWS = 256, SPS_ROUND_KEYS = 256 };

/* Rows of a task and keys [begin, end) of its sequence. */
struct sps_pair {
    struct sps_task task;
    int64_t begin, end;
};

/* What the gradients of attention need, over tokens or compressed keys. */
struct sps_backward {
    const struct sps_shape *shape;
    const float *q, *k, *v;
    const int64_t *cu; /* [n+1] first key of each sequence */
    const struct sps_output *out;
    const struct sps_gradients *to;
    struct sps_rows rows;
    int64_t tile; /* keys of a tile, at most SPS_ROUND_KEYS */
    float *delta; /* [r,h] d_o . o; sps_rounds_run() makes it */
};

typedef void sps_meet(const struct sps_backward *job, const struct sps_pair *pair,
                      void *mem);

/* All pairs, each with `bytes` of a thread's memory. */
enum sps_status sps_rounds_run(struct sps_device *dev, struct sps_backward *job,
                               size_t bytes, sps_meet *meet);

SPS_END_DECLS

#endif
