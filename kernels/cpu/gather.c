/* gather.c - attention over an index, row by row: collect the keys, then multiply.
 *
 * A row's tokens are its units clipped to what lies between sink and window, and those
 * two, so that a token of both index and band is read once.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/tile.h"

/* Keys and values on their way to `count` items that share one list. */
struct basket {
    struct sps_tile *tile;
    int64_t item, count;
    float *k, *v; /* [SPS_TILE_KEYS, dk], [SPS_TILE_KEYS, dv] */
    int64_t filled;
};

static void empty(struct basket *basket)
{
    struct sps_tile *tile = basket->tile;
    int64_t dk = tile->shape->dk, dv = tile->shape->dv, n = basket->filled;

    if (n == 0)
        return;
    sps_tile_score(tile, basket->item, basket->count, basket->k, dk, n);
    sps_tile_absorb(tile, basket->item, basket->count, basket->v, dv, n);
    basket->filled = 0;
}

/* Tokens [from, to). */
static void put(struct basket *basket, int64_t from, int64_t to)
{
    const struct sps_tile *tile = basket->tile;
    int64_t dk = tile->shape->dk, dv = tile->shape->dv;

    for (int64_t j = from; j < to; j++) {
        if (basket->filled == SPS_TILE_KEYS)
            empty(basket);
        memcpy(basket->k + basket->filled * dk, sps_column_at(&tile->k, j),
               (size_t)dk * sizeof(float));
        memcpy(basket->v + basket->filled * dv, sps_column_at(&tile->v, j),
               (size_t)dv * sizeof(float));
        basket->filled++;
    }
}

static void read_row(struct basket *basket, const struct sps_index *index,
                     const struct sps_band *band, int64_t row, int64_t head)
{
    const struct sps_shape *shape = basket->tile->shape;
    int64_t sequence = basket->tile->task->sequence, count;
    int64_t visible = sps_shape_visible(shape, sequence, row);
    int64_t sink = band->sink < visible ? band->sink : visible;
    int64_t low = visible > band->window ? visible - band->window : 0;
    const int32_t *list =
        sps_index_list(index, row, sps_index_head(index, shape->h, head), &count);

    if (low < sink)
        low = sink;
    put(basket, 0, sink);
    for (int64_t i = 0; i < count; i++) {
        int64_t from = list[i] * index->block, to = from + index->block;
        put(basket, from > sink ? from : sink, to < low ? to : low);
    }
    put(basket, low, visible);
    empty(basket);
}

/* One row of one kv head; its query heads in runs that share a list. */
static void read_group(struct sps_tile *tile, const struct sps_index *index,
                       const struct sps_band *band)
{
    int64_t share = tile->shape->h / index->heads, row = tile->task->rows.begin;
    struct basket basket = {.tile = tile, .k = tile->rest};

    if (share > tile->group)
        share = tile->group;
    basket.v = basket.k + SPS_TILE_KEYS * tile->shape->dk;
    basket.count = share;
    for (; basket.item < tile->group; basket.item += share)
        read_row(&basket, index, band, row, tile->task->kv * tile->group + basket.item);
}

enum sps_status sps_cpu_attend_gather(struct sps_device *dev,
                                      const struct sps_shape *shape,
                                      const struct sps_qkv *in,
                                      const struct sps_index *index,
                                      const struct sps_band *band, struct sps_rows rows,
                                      float *o, float *lse)
{
    int64_t floats = SPS_TILE_KEYS * (shape->dk + shape->dv), count;
    struct sps_scratch scratch;
    struct sps_task *tasks;

    dev->impl = "attend_gather_sgemm";
    SPS_TRY(sps_scratch_new(
        dev, sps_tile_bytes(shape, 1) + (size_t)floats * sizeof(float), &scratch));
    enum sps_status status = sps_tasks_new(shape, rows, 1, shape->g, &tasks, &count);
    if (status == SPS_OK) {
#pragma omp parallel for schedule(dynamic, 8) num_threads(dev->threads)
        for (int64_t i = 0; i < count; i++) {
            struct sps_tile tile;
            sps_tile_begin(&tile, shape, in, &tasks[i], sps_scratch_mine(&scratch), 1);
            read_group(&tile, index, band);
            sps_tile_end(&tile, o, lse);
        }
        free(tasks);
    }
    sps_scratch_free(&scratch);
    return status;
}
