/* dense.h - full and windowed attention on Hopper, one launch for each head size. */
#ifndef SPS_KERNELS_CUDA_SM90_DENSE_H
#define SPS_KERNELS_CUDA_SM90_DENSE_H

#include "kernels/cuda/sm90/tma.h"

/* Rows of queries a CTA holds; keys a step. */
enum {
    DENSE90_WIDE = 192,
    DENSE90_NARROW = 128,
    DENSE90_KEYS = 128,
    DENSE90_KEYS_D256 = 64
};

/* Where a launch reads: boxes of a tile's queries, of a key tile; the tile counter. */
struct dense90_maps {
    CUtensorMap q, k, v;
    struct tile_counter counter;
};

/* sps_cuda_dense_run() for a device that runs sm_90a code; keys have one term. */
enum sps_status sps_sm90_dense(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_band *band, struct sps_rows rows,
                               struct attend_args *a);

typedef cudaError_t dense90_run(const struct attend_args *a,
                                const struct dense90_maps *maps, int grid,
                                cudaStream_t stream);
dense90_run sps_sm90_dense_d64, sps_sm90_dense_d128, sps_sm90_dense_d128_short,
    sps_sm90_dense_d192, sps_sm90_dense_d256;

#endif
