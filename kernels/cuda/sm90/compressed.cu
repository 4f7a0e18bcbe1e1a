/* compressed.cu - NSA's compressed branch on Hopper: which shapes suit, maps, launch. */
#include "kernels/cuda/sm90/compressed.h"

/* By head size; keys of two terms, of one. */
static const struct kernel {
    compressed90_run *run;
    const char *impl;
} kernels[][2] = {
    {{sps_sm90_compressed_d64, "compressed_wgmma_d64"},
     {sps_sm90_compressed_once_d64, "compressed_once_wgmma_d64"}},
    {{sps_sm90_compressed_d128, "compressed_wgmma_d128"},
     {sps_sm90_compressed_once_d128, "compressed_once_wgmma_d128"}},
};

/* Rows that a tile gives a token of a group of p heads, as a power of two.  Where p is
 * none, a token is loaded by itself and starts on 8 rows, as TMA's swizzle does. */
static int log_rows(int64_t p)
{
    int lg = sps_cuda_log(p);

    return p == (int64_t)1 << lg || lg > 3 ? lg : 3;
}

/* Where rows see as many tiles of keys as this, and tokens have whole warps, lists are
 * made by warps of their own; else these would be waited for. */
enum { ASIDE_TILES = 16 };

/* Rows of scores a CTA: one a token, or one for each of the warps that share a token. */
static int slots_of(int lg)
{
    return COMPRESSED90_ROWS >> (lg < 4 ? lg : 4);
}

/* Keys of whole tiles. */
static int64_t padded(int64_t keys)
{
    return (keys + COMPRESSED90_KEYS - 1) / COMPRESSED90_KEYS * COMPRESSED90_KEYS;
}

static int ctas_of(struct sps_device *dev)
{
    return cuda_state_of(dev)->prop.multiProcessorCount;
}

/* Bytes of all rows; behind them stand the sums of blocks. */
static size_t row_bytes(struct sps_device *dev, const struct compressed90_args *a)
{
    return sps_cuda_round((size_t)(ctas_of(dev) * a->slots * a->columns) * 4);
}

static size_t scratch_bytes(struct sps_device *dev, const struct compressed90_args *a)
{
    return row_bytes(dev, a) +
           (size_t)(ctas_of(dev) * a->sets * a->tiles) * TILE_WARPS * sizeof *a->sums;
}

/* Compressed terms take the rest of what one call may have. */
static size_t scratch_limit(struct sps_device *dev)
{
    return sps_cuda_work_limit(dev) / 2;
}

/* What a CTA has in scratch: rows of scores and, where sizes are the paper's, tiles of
 * sums of blocks (one more for the block after the last key); else sums of p for every
 * key before a row's scores. */
static void divide(struct sps_device *dev, const struct sps_shape *shape,
                   const struct sps_compression *by, int64_t block, int64_t keys,
                   struct compressed90_args *a)
{
    bool blocks = by->l == 2 * by->u && block == 4 * by->u;
    int lg = log_rows(shape->h / shape->g);

    a->slots = slots_of(lg);
    a->scores = blocks ? 0 : (int)padded(keys);
    a->columns = a->scores + (sps_shape_blocks(shape, block) + TILE_BLOCKS - 1) /
                                 TILE_BLOCKS * TILE_BLOCKS;
    a->tiles = blocks ? padded(keys) / COMPRESSED90_KEYS + 1 : 0;
    a->sets = lg >= 4 && a->tiles > ASIDE_TILES ? 2 : 1; /* one is of the last block */
    if (scratch_bytes(dev, a) > scratch_limit(dev))
        a->sets = 1;
}

size_t sps_sm90_compressed_bytes(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_compression *by, enum sps_dtype dtype,
                                 int64_t block, int64_t keys)
{
    int64_t group = shape->h / shape->g;
    bool suits = sps_cuda_fits(dtype, shape->dk, shape->dv) && shape->dk <= 128 &&
                 shape->dv <= 128 && group <= 64 && keys > 0 && shape->scale > 0;
    struct compressed90_args a;

    if (!suits || !sps_sm90_takes(dev, shape) || !cuda_state_of(dev)->spreads)
        return 0;
    divide(dev, shape, by, block, keys, &a);
    size_t bytes = scratch_bytes(dev, &a);
    return bytes <= scratch_limit(dev) ? bytes : 0;
}

static enum sps_status map(struct sps_device *dev, const struct sps_shape *shape,
                           const struct sps_compression *by, const struct attend_args *a,
                           struct compressed90_maps *maps)
{
    int64_t m = by->cu[shape->n];
    bool whole = a->p == 1 << a->lg; /* tokens follow each other without a gap */

    maps->box = whole ? a->at.tokens : 1;
    SPS_TRY(sps_sm90_map_rows(dev, &maps->q, a->q, a->dtype, shape->t, shape->h, a->dk,
                              a->p, maps->box));
    SPS_TRY(sps_sm90_map_spread(dev, &maps->high, a->k, m, shape->g, a->dk));
    SPS_TRY(sps_sm90_map_spread(dev, &maps->low, a->k_low ? a->k_low : a->k, m, shape->g,
                                a->dk));
    return sps_sm90_map_spread(dev, &maps->v, a->v, m, shape->g, a->dv);
}

enum sps_status sps_sm90_compressed(struct sps_device *dev, const struct sps_shape *shape,
                                    const struct sps_compression *by,
                                    struct sps_rows rows, int64_t keys, void *scratch,
                                    struct compressed90_args *args)
{
    struct attend_args *a = &args->attend;
    const struct kernel *kernel = &kernels[sps_cuda_size(a->dk, a->dv)][a->k_low ? 0 : 1];
    struct compressed90_maps maps;

    dev->impl = kernel->impl;
    if (rows.begin >= rows.end)
        return SPS_OK;
    a->p = (int)(shape->h / shape->g);
    a->lg = log_rows(a->p);
    a->groups = (int)shape->g;
    a->section = sps_cuda_section(dev, shape, a->groups);
    divide(dev, shape, by, args->choose.block, keys, args);
    args->rows = (float *)scratch;
    args->sums = (struct block_sums *)((char *)scratch + row_bytes(dev, args));
    SPS_TRY(sps_cuda_geometry(dev, shape, by, NULL, rows, COMPRESSED90_ROWS >> a->lg, 1,
                              &a->at));
    SPS_TRY(map(dev, shape, by, a, &maps));
    int64_t tiles = (int64_t)a->at.tiles * a->groups;
    maps.counter = sps_sm90_counter(dev);
    int grid = tiles < ctas_of(dev) ? (int)tiles : ctas_of(dev);
    CUDA_TRY(kernel->run(args, &maps, grid, cuda_state_of(dev)->stream));
    sps_sm90_draws(dev, tiles);
    return SPS_OK;
}
