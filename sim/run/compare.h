/* compare.h - how far two float tensors are apart; NaN is never near. */
#ifndef SPS_SIM_RUN_COMPARE_H
#define SPS_SIM_RUN_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

struct sps_difference {
    int64_t count; /* elements compared */
    double max_abs, rel_l2, cosine;
    int64_t worst;    /* element of max_abs, or of the first NaN or other infinity */
    bool masks_equal; /* the same elements are -inf, and none is NaN or +inf */
};

/* expected and got, element by element; keep[i / group] false leaves a group of elements
 * out (keep NULL: none).  Elements that are -inf in both count as equal. */
struct sps_difference sps_compare(const float *expected, const float *got, int64_t count,
                                  const bool *keep, int64_t group);

#endif
