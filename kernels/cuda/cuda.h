/* cuda.h - what the files of the cuda backend share: state, errors, launch arguments. */
#ifndef SPS_KERNELS_CUDA_CUDA_H
#define SPS_KERNELS_CUDA_CUDA_H

#include <cuda_runtime.h>

#include "kernels/backend.h"
#include "kernels/cuda/geometry.cuh"

struct cuda_state {
    int id;
    cudaStream_t stream;
    cudaEvent_t mark[SPS_MARKS];
    struct cudaDeviceProp prop;
    char *ring_host, *ring; /* pinned, and its copy on the device: small uploads */
    size_t ring_bytes, ring_used;
    char *work; /* scratch of the call in flight; grows, never shrinks */
    size_t work_bytes, work_used;
    void *flush;
    size_t flush_bytes;
    int64_t *fault_host, *fault; /* place of the first bad number; -1: none */
};

/* Return SPS_EDEVICE from this function unless the CUDA call succeeds. */
#define CUDA_TRY(call)                                                                   \
    do {                                                                                 \
        cudaError_t cuda_try_ = (call);                                                  \
        if (cuda_try_ != cudaSuccess)                                                    \
            return sps_fail(SPS_EDEVICE, "cuda: %s (%s)", cudaGetErrorString(cuda_try_), \
                            cudaGetErrorName(cuda_try_));                                \
    } while (0)

static inline struct cuda_state *cuda_state_of(struct sps_device *dev)
{
    return (struct cuda_state *)dev->state;
}

/* Copy `bytes` of host memory to the device in issue order; valid until the call ends. */
enum sps_status sps_cuda_put(struct sps_device *dev, const void *from, size_t bytes,
                             const void **to);

/* Scratch for one call: reserve the sum of sps_cuda_round(bytes) first, then take. */
enum sps_status sps_cuda_reserve(struct sps_device *dev, size_t bytes);
void *sps_cuda_take(struct sps_device *dev, size_t bytes);
static inline size_t sps_cuda_round(size_t bytes)
{
    return (bytes + 255) & ~(size_t)255;
}

/* Geometry of rows in tiles of `tokens`; `by` NULL: keys are tokens.  `block`: units of
 * the index, or 1. */
enum sps_status sps_cuda_geometry(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_compression *by,
                                  const struct sps_band *band, struct sps_rows rows,
                                  int tokens, int64_t block, struct geometry *at);

/* One attention launch, dense or over an index. */
struct attend_args {
    const void *q, *k, *k_low, *v;
    float *o, *lse;
    int64_t h, g;
    int dk, dv, lg, p, groups, section; /* 1 << lg >= p heads a token in a tile */
    float c;                            /* scale * log2(e) */
    enum sps_dtype dtype;
    struct geometry at;
    /* the index: block size, index heads, and its lists; list NULL: none */
    const int32_t *list;
    const int64_t *offset;
    int64_t width;
    int block, index_heads;
    size_t shared_bytes; /* what one CTA may use on this device */
};

/* One score launch: q k^T, and what becomes of it. */
enum score_kind {
    SCORE_RAW,   /* out[r,h,keys] = q.k */
    SCORE_LSE,   /* out[t,h] = log-sum-exp in base 2 */
    SCORE_GROUP, /* out[r,g,keys] = p summed over the group */
    SCORE_MASS,  /* out[r,h/p,nb] = p summed over blocks and p heads */
    SCORE_PROBS  /* out[r,keys] = p of one head */
};

struct score_args {
    const void *q, *k, *k_low;
    float *out;
    const float *lse; /* [t,h] natural log */
    int64_t h, g, width; /* width: columns of out */
    int dk, lg, p, parts, groups, section, block, head;
    float c;
    bool ahead; /* RAW: also keys that the row does not see */
    enum sps_dtype dtype;
    enum score_kind kind;
    struct geometry at;
};

cudaError_t sps_cuda_dense_d64(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_dense_d128(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_dense_d192(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_dense_d256(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_union_d64(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_union_d128(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_union_d192(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_union_d256(const struct attend_args *a, cudaStream_t stream);


cudaError_t sps_cuda_score_d64(const struct score_args *a, cudaStream_t stream);
cudaError_t sps_cuda_score_d128(const struct score_args *a, cudaStream_t stream);
cudaError_t sps_cuda_score_d192(const struct score_args *a, cudaStream_t stream);
cudaError_t sps_cuda_score_d256(const struct score_args *a, cudaStream_t stream);

#endif
