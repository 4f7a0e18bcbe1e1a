/* read.h - the tokens that one row reads, as disjoint ascending spans.
 *
 * Units of an index, window and sink overlap; masses, pairs and tiles must count
 * a token once.  One walk over the sorted units merges them all, without a step
 * per token.
 */
#ifndef SPS_ANALYSIS_READ_H
#define SPS_ANALYSIS_READ_H

#include "kernels/backend.h"

/* Keys begin <= j < end of one sequence. */
struct sps_span {
    int64_t begin, end;
};

/* What is left to walk; begins with sps_read_begin(). */
struct sps_read {
    const int32_t *unit; /* ascending; those past the visible keys are not read */
    int64_t units, block, visible;
    struct sps_span band[2]; /* ascending, disjoint, visible */
    int64_t bands;
};

/* Packed row `row`, whose list is list `at` of index head `head`; index NULL: the
 * band alone; band NULL: the index alone. */
struct sps_read sps_read_begin(const struct sps_shape *shape, int64_t row,
                               const struct sps_index *index, int64_t at, int64_t head,
                               const struct sps_band *band);

/* The next maximal span; false at the end. */
bool sps_read_next(struct sps_read *read, struct sps_span *span);

/* How many tokens are left to walk. */
int64_t sps_read_count(struct sps_read read);

#endif
