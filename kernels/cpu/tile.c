/* tile.c - a tile of query rows of one kv head, and its streaming softmax. */
#include "kernels/cpu/tile.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/vector.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t sps_task_rows(const struct sps_shape *shape, int64_t items)
{
    int64_t rows = items / (shape->h / shape->g);

    return rows < 1 ? 1 : rows;
}

enum sps_status sps_tasks_new(const struct sps_shape *shape, struct sps_rows rows,
                              int64_t size, int64_t kvs, struct sps_task **tasks,
                              int64_t *count)
{
    int64_t most = (rows.end - rows.begin) / size + 2 * shape->n, n = 0;
    void *mem;

    SPS_TRY(sps_calloc((size_t)(most * kvs) * sizeof **tasks, &mem));
    *tasks = mem;
    for (int64_t end = rows.end, begin; end > rows.begin; end = begin) {
        int64_t sequence = sps_shape_sequence(shape, end - 1);
        int64_t first = shape->cu_q[sequence];
        begin = first + (end - 1 - first) / size * size;
        if (begin < rows.begin)
            begin = rows.begin;
        for (int64_t kv = 0; kv < kvs; kv++)
            (*tasks)[n++] = (struct sps_task){{begin, end}, sequence, kv};
    }
    *count = n;
    return SPS_OK;
}

static int64_t logits_floats(int64_t group)
{
    int64_t items = group > SPS_TILE_ITEMS ? group : SPS_TILE_ITEMS;

    return (items + SPS_STRIP) * SPS_TILE_KEYS;
}

/* Room for keys, then values, from several pages. */
static int64_t page_floats(const struct sps_shape *shape)
{
    return shape->pages ? SPS_TILE_KEYS * (shape->dk > shape->dv ? shape->dk : shape->dv)
                        : 0;
}

size_t sps_tile_bytes(const struct sps_shape *shape, int64_t rows)
{
    int64_t group = shape->h / shape->g, items = sps_round_up(rows * group, 16);

    return (size_t)(items * (shape->dk + shape->dv + 3) + logits_floats(group) +
                    page_floats(shape)) *
           sizeof(float);
}

void sps_gather_queries(const struct sps_shape *shape, const float *q, int64_t row,
                        int64_t n, int64_t head, int64_t heads, float *to)
{
    int64_t width = heads * shape->dk;

    for (int64_t r = 0; r < n; r++)
        memcpy(to + r * width, q + ((row + r) * shape->h + head) * shape->dk,
               (size_t)width * sizeof *to);
}

void sps_tile_begin(struct sps_tile *tile, const struct sps_shape *shape,
                    const struct sps_qkv *in, const struct sps_task *task, void *mem,
                    int64_t rows)
{
    int64_t group = shape->h / shape->g, items = sps_round_up(rows * group, 16);
    int64_t n = task->rows.end - task->rows.begin;

    *tile = (struct sps_tile){.shape = shape, .in = in, .task = task, .group = group};
    tile->k =
        sps_column_of(shape, task->sequence, in->k.data, shape->g, task->kv, shape->dk);
    tile->v =
        sps_column_of(shape, task->sequence, in->v.data, shape->g, task->kv, shape->dv);
    tile->sum = mem;
    tile->q = (float *)(tile->sum + items);
    tile->max = tile->q + items * shape->dk;
    tile->o = tile->max + items;
    tile->logits = tile->o + items * shape->dv;
    tile->pages = shape->pages ? tile->logits + logits_floats(group) : NULL;
    tile->rest = tile->logits + logits_floats(group) + page_floats(shape);
    sps_gather_queries(shape, in->q.data, task->rows.begin, n, task->kv * group, group,
                       tile->q);
    for (int64_t i = 0; i < n * group; i++) {
        tile->max[i] = -INFINITY;
        tile->sum[i] = 0;
    }
    memset(tile->o, 0, (size_t)(n * group * shape->dv) * sizeof *tile->o);
}

float sps_tile_weigh(struct sps_tile *tile, int64_t item, float *logits, int64_t n)
{
    float max = sps_row_max(logits, n), old = tile->max[item], by = 1;

    if (max == -INFINITY && !isnan(sps_row_sum(logits, n))) {
        memset(logits, 0, (size_t)n * sizeof *logits);
        return 1;
    }
    if (max > old) {
        by = expf(old - max);
        tile->sum[item] *= by;
        tile->max[item] = max;
    }
    tile->sum[item] += sps_row_exp(logits, n, tile->max[item]);
    return by;
}

void sps_tile_score(struct sps_tile *tile, int64_t item, int64_t count, const float *k,
                    int64_t stride, int64_t n)
{
    int64_t dk = tile->shape->dk;

    sps_blas_dots(count, n, dk, (float)tile->shape->scale, tile->q + item * dk, dk, k,
                  stride, tile->logits, n);
}

void sps_tile_absorb(struct sps_tile *tile, int64_t item, int64_t count, const float *v,
                     int64_t stride, int64_t n)
{
    int64_t dv = tile->shape->dv;
    float *o = tile->o + item * dv;

    for (int64_t i = 0; i < count; i++) {
        float by = sps_tile_weigh(tile, item + i, tile->logits + i * n, n);
        if (by != 1)
            sps_row_scale(o + i * dv, dv, by);
    }
    sps_blas_mix(count, dv, n, tile->logits, n, v, stride, 1, o, dv);
}

/* Keys that one row reads through a band: [0, sink) and [low, high). */
struct reach {
    int64_t sink, low, high;
};

static struct reach band_reach(const struct sps_tile *tile, const struct sps_band *band,
                               int64_t row)
{
    int64_t sequence = tile->task->sequence;
    int64_t visible = sps_shape_visible(tile->shape, sequence, row);
    int64_t pos = sps_shape_pos(tile->shape, sequence, row);
    int64_t low = pos - band->window + 1;

    if (band->all)
        return (struct reach){0, 0, visible};
    return (struct reach){least(band->sink, visible), low > 0 ? low : 0,
                          band->window > 0 ? least(pos + 1, visible) : 0};
}

/* -inf wherever the row does not read keys [from, from + n). */
static void mask_row(struct reach reach, int64_t from, int64_t n, float *logits)
{
    for (int64_t j = reach.sink > from ? reach.sink - from : 0;
         j < least(n, reach.low - from); j++)
        logits[j] = -INFINITY;
    int64_t high = reach.high > reach.sink ? reach.high : reach.sink;
    for (int64_t j = high > from ? high - from : 0; j < n; j++)
        logits[j] = -INFINITY;
}

/* Rows [row, row + n) against keys [from, to). */
static void read_keys(struct sps_tile *tile, const struct sps_band *band, int64_t row,
                      int64_t n, int64_t from, int64_t to)
{
    int64_t dk = tile->shape->dk, dv = tile->shape->dv, stride;
    int64_t item = (row - tile->task->rows.begin) * tile->group;

    for (int64_t j = from; j < to; j += SPS_TILE_KEYS) {
        int64_t keys = least(to - j, SPS_TILE_KEYS);
        const float *k = sps_column_run(&tile->k, j, keys, dk, tile->pages, &stride);
        sps_tile_score(tile, item, n * tile->group, k, stride, keys);
        for (int64_t r = 0; r < n; r++) {
            struct reach reach = band_reach(tile, band, row + r);
            for (int64_t x = 0; x < tile->group; x++)
                mask_row(reach, j, keys, tile->logits + (r * tile->group + x) * keys);
        }
        const float *v = sps_column_run(&tile->v, j, keys, dv, tile->pages, &stride);
        sps_tile_absorb(tile, item, n * tile->group, v, stride, keys);
    }
}

void sps_tile_band(struct sps_tile *tile, const struct sps_band *band)
{
    int64_t step = sps_task_rows(tile->shape, SPS_TILE_ITEMS);
    struct sps_rows rows = tile->task->rows;

    for (int64_t row = rows.begin; row < rows.end; row += step) {
        int64_t n = least(step, rows.end - row);
        struct reach first = band_reach(tile, band, row);
        struct reach last = band_reach(tile, band, row + n - 1);
        if (first.low <= last.sink) {
            read_keys(tile, band, row, n, 0,
                      last.high > last.sink ? last.high : last.sink);
        } else {
            read_keys(tile, band, row, n, 0, last.sink);
            read_keys(tile, band, row, n, first.low, last.high);
        }
    }
}

void sps_tile_end(struct sps_tile *tile, float *o, float *lse)
{
    int64_t dv = tile->shape->dv, group = tile->group, h = tile->shape->h;
    int64_t n = (tile->task->rows.end - tile->task->rows.begin) * group;

    for (int64_t i = 0; i < n; i++) {
        int64_t to =
            (tile->task->rows.begin + i / group) * h + tile->task->kv * group + i % group;
        double sum = tile->sum[i];
        sps_row_scale(tile->o + i * dv, dv, sum == 0 ? 0 : (float)(1 / sum));
        memcpy(o + to * dv, tile->o + i * dv, (size_t)dv * sizeof *o);
        if (lse)
            lse[to] = sum == 0 ? -INFINITY : (float)(tile->max[i] + log(sum));
    }
}
