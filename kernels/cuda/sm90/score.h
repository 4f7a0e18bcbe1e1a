/* score.h - row sums and block mass on Hopper. */
#ifndef SPS_KERNELS_CUDA_SM90_SCORE_H
#define SPS_KERNELS_CUDA_SM90_SCORE_H

#include "kernels/cuda/sm90/tma.h"

/* Rows of queries a CTA holds; keys a step. */
enum { SCORE_ROWS = 192, SCORE_KEYS = 128 };

/* Where a launch reads: boxes of a tile's queries, of a key tile; the tile counter. */
struct score90_maps {
    CUtensorMap q, k;
    struct tile_counter counter;
};

/* True when the kernels here take a's kind, sizes and blocks. */
bool sps_sm90_scores(struct sps_device *dev, const struct sps_shape *shape,
                     const struct score_args *a);

/* sps_cuda_score_run() for such a launch: p, groups, c and sizes are set. */
enum sps_status sps_sm90_score(struct sps_device *dev, const struct sps_shape *shape,
                               struct sps_rows rows, struct score_args *a);

typedef cudaError_t score90_run(const struct score_args *a,
                                const struct score90_maps *maps, int grid,
                                cudaStream_t stream);
score90_run sps_sm90_score_d64, sps_sm90_score_d128;

#endif
