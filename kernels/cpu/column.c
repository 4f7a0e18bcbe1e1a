/* column.c - the keys, or values, of one kv head of one sequence, wherever they lie. */
#include "kernels/cpu/column.h"

#include <string.h>

struct sps_column sps_column_of(const struct sps_shape *shape, int64_t sequence,
                                const float *x, int64_t heads, int64_t head, int64_t d)
{
    const struct sps_pages *pages = shape->pages;
    struct sps_column column = {.x = x + head * d, .stride = heads * d};

    if (pages) {
        column.pages = pages->table + sequence * pages->width;
        column.page = pages->tokens;
    } else {
        column.x += shape->cu_k[sequence] * column.stride;
    }
    return column;
}

struct sps_column sps_column_plain(const float *x, int64_t stride)
{
    return (struct sps_column){.x = x, .stride = stride};
}

const float *sps_column_run(const struct sps_column *column, int64_t from, int64_t n,
                            int64_t d, float *buffer, int64_t *stride)
{
    if (!column->pages || from % column->page + n <= column->page) {
        *stride = column->stride;
        return sps_column_at(column, from);
    }
    for (int64_t j = 0; j < n; j++)
        memcpy(buffer + j * d, sps_column_at(column, from + j),
               (size_t)d * sizeof *buffer);
    *stride = d;
    return buffer;
}
