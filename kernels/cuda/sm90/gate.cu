/* gate.cu - MoBA's gate on Hopper: which sizes suit, maps, launch. */
#include "kernels/cuda/sm90/gate.h"

bool sps_sm90_gates(struct sps_device *dev, const struct sps_shape *shape,
                    enum sps_dtype dtype, const struct sps_compression *by,
                    const struct sps_rule *rule, const struct sps_index *index)
{
    return sps_sm90_takes(dev, shape) && sps_cuda_fits(dtype, shape->dk, 8) &&
           shape->dk <= 128 && shape->h / shape->g <= GATE90_ROWS &&
           by->cu[shape->n] > 0 && by->l == rule->block && by->u == rule->block &&
           index->heads == shape->h && rule->count <= GATE90_KEPT;
}

enum sps_status sps_sm90_gate(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_tensor *q, const void *high,
                              const void *low, const struct sps_compression *by,
                              const struct sps_rule *rule, struct sps_rows rows,
                              struct sps_index *index)
{
    const struct cuda_state *state = cuda_state_of(dev);
    struct score_source none = {};
    struct gate90_args a = {};
    struct gate90_maps maps;
    bool narrow = shape->dk <= 64;
    int64_t m = by->cu[shape->n];

    dev->impl = narrow ? "gate_select_wgmma_d64" : "gate_select_wgmma_d128";
    if (rows.begin >= rows.end)
        return SPS_OK;
    a.p = (int)(shape->h / shape->g);
    a.groups = (int)shape->g;
    a.dtype = q->dtype;
    int tokens = GATE90_ROWS / a.p;
    sps_cuda_topk_fill(dev, rule, &none, index, &a.choose);
    SPS_TRY(sps_cuda_geometry(dev, shape, by, NULL, rows, tokens, 1, &a.at));
    SPS_TRY(sps_sm90_map_rows(dev, &maps.q, q->data, q->dtype, shape->t, shape->h,
                              shape->dk, a.p, tokens));
    SPS_TRY(sps_sm90_map_rows(dev, &maps.high, high, SPS_F16, m, shape->g, shape->dk, 1,
                              GATE90_KEYS));
    SPS_TRY(sps_sm90_map_rows(dev, &maps.low, low, SPS_F16, m, shape->g, shape->dk, 1,
                              GATE90_KEYS));
    int64_t tiles = (int64_t)a.at.tiles * a.groups;
    maps.counter = sps_sm90_counter(dev);
    int grid = state->prop.multiProcessorCount;
    grid = tiles < grid ? (int)tiles : grid;
    CUDA_TRY((narrow ? sps_sm90_gate_d64 : sps_sm90_gate_d128)(&a, &maps, grid,
                                                               state->stream));
    sps_sm90_draws(dev, tiles);
    return SPS_OK;
}
