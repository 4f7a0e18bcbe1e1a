/* attend.c - attention over an index: the way that fits the shape. */
#include "kernels/check.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/tile.h"

enum { INVERTED_BLOCK = 16, INVERTED_ROWS = 64 };

/* Long blocks and many rows: each block is multiplied once with all rows that chose it.
 * Tokens, or few rows of a sequence (decode): each row collects its own keys. */
enum sps_status sps_cpu_attend(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_qkv *in, const struct sps_index *index,
                               const struct sps_band *band, struct sps_rows rows,
                               float *o, float *lse)
{
    SPS_TRY(sps_check_causal(shape, "attend"));
    if (band->all)
        return sps_cpu_dense(dev, shape, in, band, rows, o, lse);
    if (index->block >= INVERTED_BLOCK && rows.end - rows.begin >= INVERTED_ROWS &&
        shape->t / shape->n >= INVERTED_ROWS && shape->h / shape->g <= SPS_TILE_ITEMS)
        return sps_cpu_attend_inverted(dev, shape, in, index, band, rows, o, lse);
    return sps_cpu_attend_gather(dev, shape, in, index, band, rows, o, lse);
}
