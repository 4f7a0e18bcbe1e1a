/* column.h - the keys, or values, of one kv head of one sequence, wherever they lie. */
#ifndef SPS_KERNELS_CPU_COLUMN_H
#define SPS_KERNELS_CPU_COLUMN_H

#include "kernels/backend.h"

SPS_BEGIN_DECLS

struct sps_column {
    const float *x;       /* token 0; paged: slot 0 of page 0 */
    int64_t stride;       /* from a token, or slot, to the next */
    const int32_t *pages; /* of the sequence; NULL: contiguous */
    int64_t page;         /* tokens a page */
};

/* Tokens of x[s,heads,d], or of its pages, under one head. */
struct sps_column sps_column_of(const struct sps_shape *shape, int64_t sequence,
                                const float *x, int64_t heads, int64_t head, int64_t d);

/* Rows `stride` apart, whatever they are. */
struct sps_column sps_column_plain(const float *x, int64_t stride);

static inline const float *sps_column_at(const struct sps_column *column, int64_t j)
{
    if (column->pages)
        j = column->pages[j / column->page] * column->page + j % column->page;
    return column->x + j * column->stride;
}

/* Tokens [from, from + n): where they are if they lie `*stride` apart, else copied to
 * buffer[n,d]. */
const float *sps_column_run(const struct sps_column *column, int64_t from, int64_t n,
                            int64_t d, float *buffer, int64_t *stride);

SPS_END_DECLS

#endif
