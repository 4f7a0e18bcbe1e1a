/* rows.h - whole rows of logits for a few query rows: scores need every probability.
 *
 * Softmax first, sums over blocks after: a row's logits stand together.  A task has
 * so few rows that they fit SPS_ROWS_FLOATS, whatever the number of keys.
 */
#ifndef SPS_KERNELS_CPU_ROWS_H
#define SPS_KERNELS_CPU_ROWS_H

#include "kernels/cpu/tile.h"

SPS_BEGIN_DECLS

enum { SPS_ROWS_FLOATS = 1 << 22, SPS_ROWS_ITEMS = 480 };

struct sps_logits {
    float *q;    /* [items,dk] */
    float *x;    /* [items,stride] */
    float *pack; /* keys on their way */
    float *rest; /* `extra` floats for the caller */
    int64_t items, stride;
};

/* Rows of a task whose logits against `keys` keys stay within bounds, at least 1. */
int64_t sps_logits_rows(const struct sps_shape *shape, int64_t keys);
size_t sps_logits_bytes(const struct sps_shape *shape, int64_t rows, int64_t keys,
                        int64_t extra);
void sps_logits_place(struct sps_logits *logits, const struct sps_shape *shape,
                      int64_t rows, int64_t keys, void *mem);

/* Do `run` for every task of the range, cut so that a row has `keys` logits, and for each
 * of `kvs` kv heads. */
typedef void sps_logits_run(const void *job, const struct sps_task *task,
                            struct sps_logits *logits);
enum sps_status sps_logits_tasks(struct sps_device *dev, const struct sps_shape *shape,
                                 struct sps_rows rows, int64_t keys, int64_t kvs,
                                 sps_logits_run *run, const void *job);

/* x = scale q k^T of query heads [head, head + heads) of the rows and the first n keys;
 * item = row * heads + head.  Equal keys get equal logits, bit for bit. */
void sps_logits_fill(struct sps_logits *logits, const struct sps_shape *shape,
                     const float *q, struct sps_rows rows, int64_t head, int64_t heads,
                     double scale, const struct sps_column *k, int64_t n);

/* The same for logits->items queries of dk numbers that stand in logits->q already. */
void sps_logits_multiply(struct sps_logits *logits, int64_t dk, double scale,
                         const struct sps_column *k, int64_t n);

SPS_END_DECLS

#endif
