/* dense.cu - the dense slot on Hopper: tile shape, tensor maps, launch. */
#include "kernels/cuda/sm90/dense.h"

/* Tile shapes by head size: rows of queries, keys a step. */
struct tile_shape {
    dense90_run *run;
    const char *impl;
    int rows, keys;
};

static const struct tile_shape sizes[] = {
    {sps_sm90_dense_d64, "dense_wgmma_d64", DENSE90_WIDE, DENSE90_KEYS},
    {sps_sm90_dense_d128, "dense_wgmma_d128", DENSE90_WIDE, DENSE90_KEYS},
    {sps_sm90_dense_d192, "dense_wgmma_d192", DENSE90_NARROW, DENSE90_KEYS},
    {sps_sm90_dense_d256, "dense_wgmma_d256", DENSE90_NARROW, DENSE90_KEYS_D256},
};
static const struct tile_shape narrow = {
    sps_sm90_dense_d128_short, "dense_wgmma_d128_short", DENSE90_NARROW, DENSE90_KEYS};

/* Wide tiles waste rows where sequences are short, and leave multiprocessors idle
 * where there are few tiles. */
static const struct tile_shape *shape_of(struct sps_device *dev,
                                         const struct sps_shape *shape,
                                         struct sps_rows rows, int size)
{
    int64_t all = rows.end - rows.begin, each = all / shape->n;
    int64_t wide = (each + DENSE90_WIDE - 1) / DENSE90_WIDE * shape->n * shape->h;

    if (size != 1)
        return &sizes[size];
    if (each <= DENSE90_NARROW || wide < 2 * cuda_state_of(dev)->prop.multiProcessorCount)
        return &narrow;
    return &sizes[size];
}

static enum sps_status map(struct sps_device *dev, const struct sps_shape *shape,
                           const struct attend_args *a, int keys,
                           struct dense90_maps *maps)
{
    SPS_TRY(sps_sm90_map_rows(dev, &maps->q, a->q, a->dtype, shape->t, shape->h, a->dk,
                              a->p, a->at.tokens));
    SPS_TRY(sps_sm90_map_rows(dev, &maps->k, a->k, a->dtype, shape->s, shape->g, a->dk, 1,
                              keys));
    return sps_sm90_map_rows(dev, &maps->v, a->v, a->dtype, shape->s, shape->g, a->dv, 1,
                             keys);
}

enum sps_status sps_sm90_dense(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_band *band, struct sps_rows rows,
                               struct attend_args *a)
{
    const struct cuda_state *state = cuda_state_of(dev);
    const struct tile_shape *tile =
        shape_of(dev, shape, rows, sps_cuda_size(a->dk, a->dv));
    struct dense90_maps maps;

    dev->impl = tile->impl;
    a->p = sps_cuda_heads_a_tile(shape, rows, tile->rows);
    a->groups = (int)shape->h / a->p;
    a->section = sps_cuda_section(dev, shape, a->groups);
    SPS_TRY(
        sps_cuda_geometry(dev, shape, NULL, band, rows, tile->rows / a->p, 1, &a->at));
    SPS_TRY(map(dev, shape, a, tile->keys, &maps));
    int64_t tiles = (int64_t)a->at.tiles * a->groups;
    maps.counter = sps_sm90_counter(dev);
    int grid = state->prop.multiProcessorCount;
    CUDA_TRY(tile->run(a, &maps, tiles < grid ? (int)tiles : grid, state->stream));
    sps_sm90_draws(dev, tiles);
    return SPS_OK;
}
