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

/* Rows of scores a CTA: one a token, or one for each of the warps that share a token. */
static int slots_of(int lg)
{
    return COMPRESSED90_ROWS >> (lg < 4 ? lg : 4);
}

static int64_t padded(int64_t keys)
{
    return (keys + COMPRESSED90_KEYS - 1) / COMPRESSED90_KEYS * COMPRESSED90_KEYS;
}

/* Whether blocks are scored without sums of p in memory (compressed_blocks.cuh). */
static bool scores_blocks(const struct sps_compression *by, int64_t block)
{
    return by->l == 2 * by->u && block == 4 * by->u;
}

/* Words of a slot before its scores. */
static int64_t sums_of(const struct sps_compression *by, int64_t block, int64_t keys)
{
    return scores_blocks(by, block) ? 0 : padded(keys);
}

/* Words of a slot: a tile of keys more than there are may be written, and a block after.
 */
static int64_t words_of(const struct sps_shape *shape, const struct sps_compression *by,
                        int64_t block, int64_t keys)
{
    int64_t blocks = sps_shape_blocks(shape, block), own = padded(keys) / 4 + 1;

    if (!scores_blocks(by, block))
        return padded(keys) + blocks;
    return own > blocks ? own : blocks;
}

static int ctas_of(struct sps_device *dev)
{
    return cuda_state_of(dev)->prop.multiProcessorCount;
}

size_t sps_sm90_compressed_bytes(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_compression *by, enum sps_dtype dtype,
                                 int64_t block, int64_t keys)
{
    int64_t group = shape->h / shape->g;
    bool suits = sps_cuda_fits(dtype, shape->dk, shape->dv) && shape->dk <= 128 &&
                 shape->dv <= 128 && group <= 64 && keys > 0 && shape->scale > 0;

    if (!suits || !sps_sm90_takes(dev, shape))
        return 0;
    size_t bytes = (size_t)(ctas_of(dev) * slots_of(log_rows(group)) *
                            words_of(shape, by, block, keys)) *
                   4;
    return bytes <= SPS_CUDA_CHUNK ? bytes : 0;
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
    SPS_TRY(sps_sm90_map_rows(dev, &maps->high, a->k, SPS_F16, m, shape->g, a->dk, 1,
                              COMPRESSED90_KEYS));
    SPS_TRY(sps_sm90_map_rows(dev, &maps->low, a->k_low ? a->k_low : a->k, SPS_F16, m,
                              shape->g, a->dk, 1, COMPRESSED90_KEYS));
    return sps_sm90_map_rows(dev, &maps->v, a->v, SPS_F16, m, shape->g, a->dv, 1,
                             COMPRESSED90_KEYS);
}

enum sps_status sps_sm90_compressed(struct sps_device *dev, const struct sps_shape *shape,
                                    const struct sps_compression *by,
                                    struct sps_rows rows, int64_t keys,
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
    args->slots = slots_of(a->lg);
    args->scores = (int)sums_of(by, args->choose.block, keys);
    args->columns = words_of(shape, by, args->choose.block, keys);
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
