/* check.h - what a kernel refuses, in the same words on every backend. */
#ifndef SPS_KERNELS_CHECK_H
#define SPS_KERNELS_CHECK_H

#include "kernels/backend.h"

SPS_BEGIN_DECLS

/* Selection needs causal rows. */
enum sps_status sps_check_causal(const struct sps_shape *shape, const char *kernel);

/* `heads` of an index or of scores: a multiple of g that divides h. */
enum sps_status sps_check_heads(const struct sps_shape *shape, int64_t heads);

/* Forced blocks fit into count, count fits into the index. */
enum sps_status sps_check_rule(const struct sps_rule *rule,
                               const struct sps_index *index);

/* Stride divides both the compressed key's tokens and the selection block. */
enum sps_status sps_check_strides(const struct sps_compression *by, int64_t block);

/* The range lies in one sequence. */
enum sps_status sps_check_one_sequence(const struct sps_shape *shape,
                                       struct sps_rows rows);

/* The message of top-k's NaN. */
enum sps_status sps_fail_nan(int64_t row, int64_t head);

SPS_END_DECLS

#endif
