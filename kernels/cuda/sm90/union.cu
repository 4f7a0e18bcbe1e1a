/* union.cu - which calls go by unions, their scratch and launches. */
#include "kernels/cuda/sm90/union.h"

#include "kernels/cuda/sm90/tma.h"

static const struct {
    union_run *run;
    const char *impl;
} sizes[][2] = {
    {{sps_sm90_union_d64, "union_wgmma_d64"},
     {sps_sm90_union_gated_d64, "union_gated_wgmma_d64"}},
    {{sps_sm90_union_d128, "union_wgmma_d128"},
     {sps_sm90_union_gated_d128, "union_gated_wgmma_d128"}},
};

/* Units whose bitmap and ranks take 32 KB of shared memory: 8 M keys. */
enum { UNITS_MOST = 1 << 17 };

bool sps_sm90_union_suits(struct sps_device *dev, const struct sps_shape *shape,
                          const struct sps_index *index, const struct sps_band *band,
                          const struct attend_args *a)
{
    bool banded = band && (band->window > 0 || band->sink > 0);

    return !index->offset && !banded && index->block % UNION_KEYS == 0 &&
           a->p <= UNION_ROWS && sps_cuda_size(a->dk, a->dv) < 2 &&
           sps_shape_blocks(shape, UNION_KEYS) <= UNITS_MOST &&
           sps_sm90_takes(dev, shape);
}

/* Bytes of scratch that a tile's unions take. */
static size_t tile_bytes(const struct attend_args *a, const struct union_work *w)
{
    return (size_t)a->index_heads * ((size_t)w->most * sizeof *w->entries + 4);
}

/* Bytes of scratch that CTAs park their unions' shares of o in, rows of the kernel's
 * width. */
static size_t parked_bytes(struct sps_device *dev, const struct attend_args *a)
{
    size_t width = sps_cuda_size(a->dk, a->dv) == 0 ? 64 : 128;

    return (size_t)cuda_state_of(dev)->prop.multiProcessorCount * UNION_WGS * UNION_ROWS *
           width * sizeof(float);
}

/* Maps, and room for the unions of as many tiles as the scratch may hold. */
static enum sps_status prepare(struct sps_device *dev, const struct sps_shape *shape,
                               const struct attend_args *a, struct union_work *w)
{
    int tokens = UNION_ROWS / a->p;
    int64_t units = sps_shape_blocks(shape, UNION_KEYS);

    SPS_TRY(sps_sm90_map_rows(dev, &w->q, a->q, a->dtype, shape->t, a->h, a->dk, a->p,
                              tokens));
    SPS_TRY(sps_sm90_map_rows(dev, &w->k, a->k, a->dtype, shape->s, a->g, a->dk, 1,
                              UNION_KEYS));
    SPS_TRY(sps_sm90_map_rows(dev, &w->v, a->v, a->dtype, shape->s, a->g, a->dv, 1,
                              UNION_KEYS));
    w->most = a->at.tokens * a->width * (a->block / UNION_KEYS);
    w->most = w->most < units ? w->most : units;
    size_t parked = w->gates.first ? parked_bytes(dev, a) : 0;
    int64_t fit = (int64_t)((sps_cuda_work_limit(dev) - parked) / tile_bytes(a, w));
    fit = fit < 1 ? 1 : fit;
    w->tiles = (int32_t)(fit < a->at.tiles ? fit : a->at.tiles);
    size_t lists = (size_t)w->tiles * (size_t)a->index_heads;
    size_t bytes = lists * (size_t)w->most * sizeof *w->entries;
    SPS_TRY(sps_cuda_reserve(dev, sps_cuda_round(bytes) + sps_cuda_round(lists * 4) +
                                      sps_cuda_round(parked)));
    w->entries = (struct union_entry *)sps_cuda_take(dev, bytes);
    w->count = (int32_t *)sps_cuda_take(dev, lists * 4);
    w->parked = (float4 *)sps_cuda_take(dev, parked);
    return SPS_OK;
}

enum sps_status sps_sm90_union(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_index *index, int64_t window,
                               const struct union_gates *gates, struct sps_rows rows,
                               struct attend_args *a)
{
    struct cuda_state *state = cuda_state_of(dev);
    struct sps_band band = {false, window, 0};
    const auto *by = &sizes[sps_cuda_size(a->dk, a->dv)][gates ? 1 : 0];
    struct union_work w = {};

    dev->impl = by->impl;
    if (gates)
        w.gates = *gates;
    SPS_TRY(sps_cuda_geometry(dev, shape, NULL, &band, rows,
                              UNION_WGS * (UNION_ROWS / a->p), index->block, &a->at));
    SPS_TRY(prepare(dev, shape, a, &w));
    int32_t chunk = w.tiles;
    for (w.first = 0; w.first < a->at.tiles; w.first += chunk) {
        int32_t left = a->at.tiles - w.first;
        w.tiles = left < chunk ? left : chunk;
        int64_t tiles = (int64_t)w.tiles * a->groups;
        int64_t most = state->prop.multiProcessorCount;
        w.ctas = (int)(tiles < most ? tiles : most);
        CUDA_TRY(sps_sm90_union_lists(a, &w, sps_shape_blocks(shape, UNION_KEYS),
                                      state->stream));
        w.counter = sps_sm90_counter(dev);
        CUDA_TRY(by->run(a, &w, state->stream));
        sps_sm90_draws(dev, tiles);
    }
    return SPS_OK;
}
