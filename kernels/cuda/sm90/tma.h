/* tma.h - tensor maps for the sm_90a kernels, and whether this device runs them. */
#ifndef SPS_KERNELS_CUDA_SM90_TMA_H
#define SPS_KERNELS_CUDA_SM90_TMA_H

#include <cuda.h>

#include "kernels/cuda/cuda.h"

/* A launch's tiles: *at counts those that were drawn since open, base before it. */
struct tile_counter {
    unsigned *at, base;
};

/* At open: leaves state->portable unset when the device is of compute capability 9.0 and
 * sm_90a code was built in, finds what maps need, and sets state->spreads. */
enum sps_status sps_sm90_open(struct cuda_state *state);

/* True when this device runs the kernels of this folder. */
static inline bool sps_sm90_usable(struct sps_device *dev)
{
    return !cuda_state_of(dev)->portable;
}

/* True when it runs them on this shape: places of rows, and numbers of tiles, stay within
 * 32 bits even a tile, or a CTA's turn, past the last. */
static inline bool sps_sm90_takes(struct sps_device *dev, const struct sps_shape *shape)
{
    return sps_sm90_usable(dev) && (shape->t + 512) * shape->h < (int64_t)1 << 31;
}

/* Map of x[rows,heads,d] of a 16-bit type with boxes of `box_rows` rows of `box_heads`
 * heads, a slab of 64 columns each: coordinates (column, head, row). */
enum sps_status sps_sm90_map_rows(struct sps_device *dev, CUtensorMap *map, const void *x,
                                  enum sps_dtype dtype, int64_t rows, int64_t heads,
                                  int64_t d, int box_heads, int box_rows);

/* Map of fp16 x[rows,heads,d] with boxes of SPREAD_ROWS rows of one head, in the order in
 * which a thread of the four that share an accumulator's row has keys side by side: row
 * 8 n + 2 q + e of a box is row 32 q + 2 n + e from its first on.  x goes on for
 * SPREAD_ROWS rows more, of any numbers.  Coordinates: tma_load_spread().  Its strides do
 * not grow from dimension to dimension; whether the driver takes that is asked at open.
 */
enum { SPREAD_ROWS = 128 };
enum sps_status sps_sm90_map_spread(struct sps_device *dev, CUtensorMap *map,
                                    const void *x, int64_t rows, int64_t heads,
                                    int64_t d);

/* The counter that the next launch of the stream draws its tiles from. */
struct tile_counter sps_sm90_counter(struct sps_device *dev);

/* That launch was made, of `tiles` tiles and no more CTAs: it draws once for every tile.
 */
void sps_sm90_draws(struct sps_device *dev, int64_t tiles);

/* Launch a burst of matrix products; *flops: how many operations that is. */
enum sps_status sps_sm90_multiply(struct sps_device *dev, float *out, double *flops);

#endif
