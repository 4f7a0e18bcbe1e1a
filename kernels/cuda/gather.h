/* gather.h - an index turned round: for every block, the rows that chose it. */
#ifndef SPS_KERNELS_CUDA_GATHER_H
#define SPS_KERNELS_CUDA_GATHER_H

#include "kernels/cuda/cuda.h"

/* A tile of gathered rows: entries[first .. first + count) of one block. */
struct gather_tile {
    int32_t seq, unit, index_head, first, count;
};

struct gather_work {
    struct gather_tile *tiles;
    int32_t *total;   /* tiles in use */
    int64_t most;     /* tiles at most */
    int32_t *entries; /* row of the chunk * width + slot */
    float *partial;   /* [chunk,h,width,dv] */
    float *lse;       /* [chunk,h,width], base 2 */
};

/* Attend rows in chunks whose partials fit; a->at is rebuilt for each chunk. */
enum sps_status sps_cuda_gather(struct sps_device *dev, const struct sps_shape *shape,
                                const struct sps_index *index, struct sps_rows rows,
                                struct attend_args *a);

cudaError_t sps_cuda_gather_d64(const struct attend_args *a, const struct gather_work *w,
                                cudaStream_t stream);
cudaError_t sps_cuda_gather_d128(const struct attend_args *a, const struct gather_work *w,
                                 cudaStream_t stream);
cudaError_t sps_cuda_gather_d192(const struct attend_args *a, const struct gather_work *w,
                                 cudaStream_t stream);
cudaError_t sps_cuda_gather_d256(const struct attend_args *a, const struct gather_work *w,
                                 cudaStream_t stream);

#endif
