/* score.cu - launches of row sums (log-sum-exp) and block mass on Hopper. */
#include "kernels/cuda/sm90/score.h"

enum { MOST_HEADS = 16 };

/* Blocks end with a group of 8 columns and with a key tile; heads of a token are lanes
 * of one warp. */
bool sps_sm90_scores(struct sps_device *dev, const struct sps_shape *shape,
                     const struct score_args *a)
{
    bool power = a->p <= MOST_HEADS && (a->p & (a->p - 1)) == 0;
    bool blocks =
        a->block % SCORE_KEYS == 0 || (a->block >= 8 && SCORE_KEYS % a->block == 0);

    if (!sps_sm90_takes(dev, shape) || shape->dk > 128)
        return false;
    return a->kind == SCORE_LSE || (a->kind == SCORE_MASS && power && blocks);
}

enum sps_status sps_sm90_score(struct sps_device *dev, const struct sps_shape *shape,
                               struct sps_rows rows, struct score_args *a)
{
    const struct cuda_state *state = cuda_state_of(dev);
    struct score90_maps maps;

    if (a->kind == SCORE_MASS)
        dev->impl = "mass_wgmma";
    SPS_TRY(
        sps_cuda_geometry(dev, shape, NULL, NULL, rows, SCORE_ROWS / a->p, 1, &a->at));
    SPS_TRY(sps_sm90_map_rows(dev, &maps.q, a->q, a->dtype, shape->t, shape->h, a->dk,
                              a->p, SCORE_ROWS / a->p));
    SPS_TRY(sps_sm90_map_rows(dev, &maps.k, a->k, a->dtype, shape->s, shape->g, a->dk, 1,
                              SCORE_KEYS));
    int64_t tiles = (int64_t)a->at.tiles * a->groups;
    maps.counter = sps_sm90_counter(dev);
    int grid = state->prop.multiProcessorCount;
    grid = tiles < grid ? (int)tiles : grid;
    CUDA_TRY((shape->dk <= 64 ? sps_sm90_score_d64 : sps_sm90_score_d128)(a, &maps, grid,
                                                                          state->stream));
    sps_sm90_draws(dev, tiles);
    return SPS_OK;
}
