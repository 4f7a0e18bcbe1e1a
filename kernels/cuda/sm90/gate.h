/* gate.h - MoBA's gate on Hopper: scores of block means and the choice of blocks in one
 * launch.
 */
#ifndef SPS_KERNELS_CUDA_SM90_GATE_H
#define SPS_KERNELS_CUDA_SM90_GATE_H

#include "kernels/cuda/sm90/tma.h"
#include "kernels/cuda/topk.cuh"

/* Rows of queries a CTA holds; block means a step; most blocks that a list keeps. */
enum { GATE90_ROWS = 192, GATE90_KEYS = 64, GATE90_KEPT = 16 };

/* Where a launch reads: boxes of a tile's queries, of a tile of means in either term; the
 * tile counter. */
struct gate90_maps {
    CUtensorMap q, high, low;
    struct tile_counter counter;
};

/* Lists of `at`'s rows; p heads share their means, `groups` such groups. */
struct gate90_args {
    struct geometry at;
    struct topk_args choose; /* all but the score source */
    int p, groups;
    enum sps_dtype dtype;
};

/* True when the kernels here take these sizes. */
bool sps_sm90_gates(struct sps_device *dev, const struct sps_shape *shape,
                    enum sps_dtype dtype, const struct sps_compression *by,
                    const struct sps_rule *rule, const struct sps_index *index);

/* The slot gate_select for such sizes, the means given as two fp16 terms. */
enum sps_status sps_sm90_gate(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_tensor *q, const void *high,
                              const void *low, const struct sps_compression *by,
                              const struct sps_rule *rule, struct sps_rows rows,
                              struct sps_index *index);

typedef cudaError_t gate90_run(const struct gate90_args *a,
                               const struct gate90_maps *maps, int grid,
                               cudaStream_t stream);
gate90_run sps_sm90_gate_d64, sps_sm90_gate_d128;

#endif
