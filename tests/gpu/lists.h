/* lists.h - lists of blocks on the reference and on the GPU, and their comparison. */
#ifndef SPS_TESTS_GPU_LISTS_H
#define SPS_TESTS_GPU_LISTS_H

#include "tests/gpu/problem.h"

struct lists {
    struct sps_index ref, gpu; /* bounded: [t,heads,width] */
    int32_t *got;              /* as much memory of the host */
    int64_t count;             /* elements of the range's lists */
};

/* Room for the lists of all rows, owned until lists_drop(). */
void lists_new(struct problem *p, int64_t heads, int64_t block, int64_t width,
               struct lists *l);
void lists_drop(struct lists *l);

/* The GPU's lists of the range against ref's, which were chosen by scores[r,heads,nb].
 * allowed 0: all are the same; else they may differ where the scores of what differs are
 * no further apart, relative to the list's largest |score|. */
void lists_compare(struct problem *p, struct lists *l, const float *scores, int64_t nb,
                   const char *what, double allowed);

#endif
