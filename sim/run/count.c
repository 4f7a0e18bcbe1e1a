/* count.c - pairs and tiles of a pass, from its index or from packed lists in windows. */
#include "sim/run/count.h"

#include <stdlib.h>

#include "analysis/quality.h"

static void add(const struct sps_shape *shape, const struct sps_index *index,
                const struct sps_band *band, struct sps_counts *counts)
{
    double both, only;

    sps_count_pairs(shape, index, band, &both, &only);
    counts->pairs.both += both;
    counts->pairs.index += only;
    counts->tile_pairs +=
        sps_count_tile_pairs(shape, index, band, SPS_TILE_ROWS, SPS_TILE_KEYS);
}

/* Rows [begin, end) of one sequence as a problem of their own. */
static enum sps_status add_window(struct sps_pass *pass, int64_t sequence,
                                  struct sps_rows rows, int64_t *pos,
                                  struct sps_counts *counts)
{
    const struct sps_shape *whole = &pass->plan.problem->shape;
    const int64_t cu_q[] = {0, rows.end - rows.begin};
    const int64_t cu_k[] = {0, sps_shape_keys(whole, sequence)};
    struct sps_shape shape = *whole;
    struct sps_index index;

    for (int64_t r = rows.begin; r < rows.end; r++)
        pos[r - rows.begin] = sps_shape_pos(whole, sequence, r);
    shape.n = 1;
    shape.t = cu_q[1], shape.s = cu_k[1];
    shape.cu_q = cu_q, shape.cu_k = cu_k;
    shape.pos = pos;
    SPS_TRY(sps_pass_lists(pass, rows, &index));
    add(&shape, &index, &pass->plan.band, counts);
    sps_pass_index_free(&index);
    return SPS_OK;
}

/* Windows are whole tiles of rows, about a chunk. */
static enum sps_status add_windows(struct sps_pass *pass, struct sps_counts *counts)
{
    const struct sps_shape *shape = &pass->plan.problem->shape;
    int64_t tiles = pass->chunk / SPS_TILE_ROWS,
            step = SPS_TILE_ROWS * (tiles ? tiles : 1);
    enum sps_status status = SPS_OK;
    void *pos;

    SPS_TRY(sps_calloc((size_t)step * sizeof(int64_t), &pos));
    for (int64_t n = 0; n < shape->n; n++)
        for (int64_t r = shape->cu_q[n]; status == SPS_OK && r < shape->cu_q[n + 1];
             r += step) {
            int64_t end = r + step < shape->cu_q[n + 1] ? r + step : shape->cu_q[n + 1];
            status = add_window(pass, n, (struct sps_rows){r, end}, pos, counts);
        }
    free(pos);
    return status;
}

enum sps_status sps_count_pass(struct sps_pass *pass, const struct sps_index *index,
                               struct sps_counts *counts)
{
    *counts = (struct sps_counts){{0, 0}, 0};
    if (pass->plan.packed)
        return add_windows(pass, counts);
    add(&pass->plan.problem->shape, index->list ? index : NULL, &pass->plan.band, counts);
    return SPS_OK;
}
