/* tile.h - a tile of query rows of one kv head, and its streaming softmax.
 *
 * An item is one query head of one row: item = (row - first row) * G + head of the group.
 * Each item carries its running maximum, the sum of exp, and the weighted sum of values,
 * so that keys can come in any pieces (Milakov and Gimelshein, arXiv 1805.02867).
 */
#ifndef SPS_KERNELS_CPU_TILE_H
#define SPS_KERNELS_CPU_TILE_H

#include "kernels/cpu/product.h"
#include "kernels/host.h"

SPS_BEGIN_DECLS

enum {
    SPS_TILE_KEYS = 256, /* keys taken at once */
    SPS_TILE_ITEMS = 480 /* items multiplied at once; their logits stay in cache */
};

/* Rows of one sequence under one kv head: what a thread takes at a time. */
struct sps_task {
    struct sps_rows rows;
    int64_t sequence, kv;
};

/* Cut a range into tasks of at most `size` rows, times `kvs` kv heads, the last rows
 * (which read most) first.  free() ends the list. */
enum sps_status sps_tasks_new(const struct sps_shape *shape, struct sps_rows rows,
                              int64_t size, int64_t kvs, struct sps_task **tasks,
                              int64_t *count);

/* Rows of one task whose items number at most `items`, at least 1. */
int64_t sps_task_rows(const struct sps_shape *shape, int64_t items);

struct sps_tile {
    const struct sps_shape *shape;
    const struct sps_qkv *in;
    const struct sps_task *task;
    int64_t group; /* G */
    struct sps_column k, v;
    float *q;      /* [items,dk] */
    float *max;    /* [items] */
    double *sum;   /* [items] */
    float *o;      /* [items,dv], not yet divided by sum */
    float *logits; /* [SPS_TILE_ITEMS or G, SPS_TILE_KEYS], rounded up to strips */
    float *pages;  /* [SPS_TILE_KEYS, dk or dv] keys from pages; else NULL */
    void *rest;    /* memory behind the tile, 64-byte aligned */
};

/* Memory of a tile of `rows` rows. */
size_t sps_tile_bytes(const struct sps_shape *shape, int64_t rows);

/* Copy the task's queries in and start with nothing read. */
void sps_tile_begin(struct sps_tile *tile, const struct sps_shape *shape,
                    const struct sps_qkv *in, const struct sps_task *task, void *mem,
                    int64_t rows);

/* Turn n logits of an item into weights in place; returns what its o must be scaled by.
 */
float sps_tile_weigh(struct sps_tile *tile, int64_t item, float *logits, int64_t n);

/* Logits of `count` items against n keys into tile->logits (row stride n), then, after
 * the caller's masking, the keys' values into the items' o. */
void sps_tile_score(struct sps_tile *tile, int64_t item, int64_t count, const float *k,
                    int64_t stride, int64_t n);
void sps_tile_absorb(struct sps_tile *tile, int64_t item, int64_t count, const float *v,
                     int64_t stride, int64_t n);

/* Read the band's tokens. */
void sps_tile_band(struct sps_tile *tile, const struct sps_band *band);

/* Write o and lse (may be NULL) of the task's rows. */
void sps_tile_end(struct sps_tile *tile, float *o, float *lse);

/* Query heads [head, head + heads) of rows [row, row + n): to[n * heads, dk]. */
void sps_gather_queries(const struct sps_shape *shape, const float *q, int64_t row,
                        int64_t n, int64_t head, int64_t heads, float *to);

SPS_END_DECLS

#endif
