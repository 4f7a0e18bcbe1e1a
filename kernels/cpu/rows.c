/* rows.c - whole rows of logits for a few query rows: scores need every probability. */
#include "kernels/cpu/rows.h"

#include <stdlib.h>

int64_t sps_logits_rows(const struct sps_shape *shape, int64_t keys)
{
    int64_t items = SPS_ROWS_FLOATS / (keys ? keys : 1);

    return sps_task_rows(shape, items < SPS_ROWS_ITEMS ? items : SPS_ROWS_ITEMS);
}

static int64_t padded_items(const struct sps_shape *shape, int64_t rows)
{
    return sps_round_up(rows * (shape->h / shape->g), SPS_STRIP);
}

size_t sps_logits_bytes(const struct sps_shape *shape, int64_t rows, int64_t keys,
                        int64_t extra)
{
    int64_t stride = sps_round_up(keys, SPS_PANEL);

    return (size_t)(padded_items(shape, rows) * (shape->dk + stride) +
                    SPS_TILE_KEYS * shape->dk + extra) *
           sizeof(float);
}

void sps_logits_place(struct sps_logits *logits, const struct sps_shape *shape,
                      int64_t rows, int64_t keys, void *mem)
{
    int64_t items = padded_items(shape, rows);

    logits->stride = sps_round_up(keys, SPS_PANEL);
    logits->x = mem;
    logits->pack = logits->x + items * logits->stride;
    logits->q = logits->pack + SPS_TILE_KEYS * shape->dk;
    logits->rest = logits->q + items * shape->dk;
}

enum sps_status sps_logits_tasks(struct sps_device *dev, const struct sps_shape *shape,
                                 struct sps_rows rows, int64_t keys, int64_t kvs,
                                 sps_logits_run *run, const void *job)
{
    int64_t size = sps_logits_rows(shape, keys), count;
    struct sps_scratch scratch;
    struct sps_task *tasks;

    SPS_TRY(sps_scratch_new(dev, sps_logits_bytes(shape, size, keys, 0), &scratch));
    enum sps_status status = sps_tasks_new(shape, rows, size, kvs, &tasks, &count);
    if (status == SPS_OK) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(dev->threads)
        for (int64_t i = 0; i < count; i++) {
            struct sps_logits logits;
            sps_logits_place(&logits, shape, size, keys, sps_scratch_mine(&scratch));
            run(job, &tasks[i], &logits);
        }
        free(tasks);
    }
    sps_scratch_free(&scratch);
    return status;
}

void sps_logits_multiply(struct sps_logits *logits, int64_t dk, double scale,
                         const struct sps_column *k, int64_t n)
{
    for (int64_t j = 0; j < n; j += SPS_TILE_KEYS) {
        int64_t some = n - j < SPS_TILE_KEYS ? n - j : SPS_TILE_KEYS;
        sps_pack_keys(k, j, some, dk, logits->pack);
        sps_product(logits->items, some, dk, (float)scale, logits->q, dk, logits->pack,
                    dk, logits->x + j, logits->stride);
    }
}

void sps_logits_fill(struct sps_logits *logits, const struct sps_shape *shape,
                     const float *q, struct sps_rows rows, int64_t head, int64_t heads,
                     double scale, const struct sps_column *k, int64_t n)
{
    logits->items = (rows.end - rows.begin) * heads;
    sps_gather_queries(shape, q, rows.begin, rows.end - rows.begin, head, heads,
                       logits->q);
    sps_logits_multiply(logits, shape->dk, scale, k, n);
}
