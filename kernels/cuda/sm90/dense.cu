/* dense.cu - the dense slot on Hopper: tile shape, tensor maps, launch. */
#include "kernels/cuda/sm90/dense.h"

/* Tile shapes by head size: rows of queries, keys a step. */
struct tile_shape {
    dense90_run *run;
    const char *impl;
    int rows, keys;
};

static const struct tile_shape sizes[] = {
    {sps_sm90_dense_d64, "dense_wgmma_d64", 192, 128},
    {sps_sm90_dense_d128, "dense_wgmma_d128", 192, 128},
    {sps_sm90_dense_d192, "dense_wgmma_d192", 128, 128},
    {sps_sm90_dense_d256, "dense_wgmma_d256", 128, 64},
};
static const struct tile_shape narrow = {sps_sm90_dense_d128_short,
                                         "dense_wgmma_d128_short", 128, 128};

/* Tiles of 192 rows waste rows where sequences are short, and leave multiprocessors idle
 * where there are few tiles. */
static const struct tile_shape *shape_of(struct sps_device *dev,
                                         const struct sps_shape *shape,
                                         struct sps_rows rows, int size)
{
    int64_t all = rows.end - rows.begin, each = all / shape->n;
    int64_t wide = (each + 191) / 192 * shape->n * shape->h;

    if (size != 1)
        return &sizes[size];
    if (each <= 128 || wide < 2 * cuda_state_of(dev)->prop.multiProcessorCount)
        return &narrow;
    return &sizes[size];
}

/* One head a tile, unless sequences have so few rows that a group fills it better. */
static int heads_a_tile(const struct sps_shape *shape, struct sps_rows rows, int tile)
{
    int64_t group = shape->h / shape->g, each = (rows.end - rows.begin) / shape->n;

    return each * 2 <= tile && group <= tile ? (int)group : 1;
}

static enum sps_status map(struct sps_device *dev, const struct sps_shape *shape,
                           const struct attend_args *a, int keys,
                           struct dense90_maps *maps)
{
    SPS_TRY(sps_sm90_map_rows(dev, &maps->q, a->q, a->dtype, shape->t, shape->h, a->dk,
                              a->p, a->at.tokens));
    SPS_TRY(sps_sm90_map_rows(dev, &maps->k, a->k, a->dtype, shape->s, shape->g, a->dk, 1,
                              keys));
    SPS_TRY(sps_sm90_map_rows(dev, &maps->v, a->v, a->dtype, shape->s, shape->g, a->dv, 1,
                              keys));
    return sps_sm90_counter(dev, &maps->counter);
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
    a->p = heads_a_tile(shape, rows, tile->rows);
    a->groups = (int)shape->h / a->p;
    a->section = sps_cuda_section(dev, shape, a->groups);
    SPS_TRY(
        sps_cuda_geometry(dev, shape, NULL, band, rows, tile->rows / a->p, 1, &a->at));
    SPS_TRY(map(dev, shape, a, tile->keys, &maps));
    int64_t tiles = (int64_t)a->at.tiles * a->groups;
    int grid = state->prop.multiProcessorCount;
    CUDA_TRY(tile->run(a, &maps, tiles < grid ? (int)tiles : grid, state->stream));
    return SPS_OK;
}
