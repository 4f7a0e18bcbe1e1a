/* cuda.h - what the files of the cuda backend share: state, errors, launch arguments. */
#ifndef SPS_KERNELS_CUDA_CUDA_H
#define SPS_KERNELS_CUDA_CUDA_H

#include <cuda_runtime.h>

#include "kernels/backend.h"
#include "kernels/cuda/geometry.cuh"

/* Uploads that are found again instead of made again. */
enum { SPS_CUDA_RECENT = 16 };
struct cuda_upload {
    size_t at, bytes;
};

struct cuda_state {
    int id;
    cudaStream_t stream;
    cudaEvent_t mark[SPS_MARKS];
    struct cudaDeviceProp prop;
    char *ring_host, *ring; /* pinned, and its copy on the device: small uploads */
    size_t ring_bytes, ring_used;
    struct cuda_upload recent[SPS_CUDA_RECENT]; /* in the ring; bytes 0: none */
    int latest;                                 /* of them, the last one put */
    char *work; /* scratch of the call in flight; grows, never shrinks */
    size_t work_bytes, work_used;
    void *flush;
    size_t flush_bytes;
    int64_t *fault_host, *fault; /* place of the first bad number; -1: none */
    int64_t fault_heads;         /* heads of the choice to be asked about; 0: none */
    bool portable;               /* no sm90/ kernels */
    bool spreads;                /* maps of sps_sm90_map_spread() can be made */
    unsigned *counter;           /* of tiles handed out since open (sm90/) */
    unsigned drawn;              /* what it will be when all launches have run */
    void *encode;                /* the driver's tensor map encoder (sm90/) */
    struct nvml *nvml;           /* the sensors' library, once asked */
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

/* Copy `bytes` of host memory to the device in issue order, or find the same bytes there
 * from before; valid until the next call of this. */
enum sps_status sps_cuda_put(struct sps_device *dev, const void *from, size_t bytes,
                             const void **to);

/* Scratch for one call: reserve the sum of sps_cuda_round(bytes) first, then take. */
enum sps_status sps_cuda_reserve(struct sps_device *dev, size_t bytes);
void *sps_cuda_take(struct sps_device *dev, size_t bytes);
static inline size_t sps_cuda_round(size_t bytes)
{
    return (bytes + 255) & ~(size_t)255;
}

/* Geometry of rows in tiles of `tokens`; `by` NULL: keys are tokens; `band` NULL: all.
 * `block`: units of an index, or 1. */
enum sps_status sps_cuda_geometry(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_compression *by,
                                  const struct sps_band *band, struct sps_rows rows,
                                  int64_t tokens, int64_t block, struct geometry *at);

/* Head groups that a launch takes at a time: those whose keys fill 0.6 of L2, and as
 * many as keep every multiprocessor busy. */
int sps_cuda_section(struct sps_device *dev, const struct sps_shape *shape,
                     int64_t groups);

/* Heads a row tile of dense attention: 1, unless sequences have so few rows that a group
 * fills a tile of `tile` rows better. */
int sps_cuda_heads_a_tile(const struct sps_shape *shape, struct sps_rows rows, int tile);

/* log2 of the smallest power of two that is at least p. */
int sps_cuda_log(int64_t p);

/* True when the tensor-core kernels take these head sizes and type; else simple.cu. */
bool sps_cuda_fits(enum sps_dtype dtype, int64_t dk, int64_t dv);

/* Which of the four kernels: 0 d64, 1 d128, 2 d192/128, 3 d256. */
int sps_cuda_size(int64_t dk, int64_t dv);

/* Scratch that the kernels of one call may take, and what one chunk of scores may. */
size_t sps_cuda_work_limit(struct sps_device *dev);
enum { SPS_CUDA_CHUNK = 256 << 20 };

/* Rows a chunk: as many as fit into `bytes`, at least 128, at most all. */
int64_t sps_cuda_chunk(struct sps_rows rows, size_t row_bytes, size_t bytes);

/* One attention launch, dense or over an index. */
struct attend_args {
    const void *q, *k, *k_low, *v;
    const uint32_t *k_top, *v_top; /* with k_low: see terms.cuh */
    float *o, *lse;
    int64_t h, g;
    int dk, dv, lg, p, groups, section; /* 1 << lg >= p heads a token in a tile */
    float c;                            /* scale * log2(e) */
    enum sps_dtype dtype, kv_dtype; /* of q; of k and v (simple.cu alone mixes them) */
    struct geometry at;
    /* the index: block size, index heads, and its lists; list NULL: none */
    const int32_t *list;
    const int64_t *offset;
    int64_t width;
    int block, index_heads;
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
    const uint32_t *k_top; /* with k_low: see terms.cuh */
    float *out;
    const float *lse;    /* [t,h] natural log */
    int64_t h, g, width; /* width: columns of out */
    int dk, lg, p, parts, groups, section, block, head;
    float c;
    enum sps_dtype dtype, k_dtype; /* of q; of k (simple.cu alone mixes them) */
    enum score_kind kind;
    struct geometry at;
};

void sps_cuda_attend_fill(const struct sps_shape *shape, const struct sps_qkv *in,
                          float *o, float *lse, struct attend_args *a);

/* Dense attention over a->at's keys; on failure a status.  NULL lse: not wanted. */
enum sps_status sps_cuda_dense_run(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_compression *by,
                                   const struct sps_band *band, struct sps_rows rows,
                                   struct attend_args *a);

/* Scores of rows: fills a->at and the tile shape, then launches. */
enum sps_status sps_cuda_score_run(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_compression *by, struct sps_rows rows,
                                   int64_t heads, struct score_args *a);

/* x[count] of each part as one or two fp16 terms, scaled by what top[part] (written
 * first) says, with zeros behind; low NULL: one term (terms.cuh). */
enum { SPS_CUDA_PARTS = 2 };
struct split_part {
    const float *x;
    int64_t count, zeros;
    void *high, *low;
};
enum sps_status sps_cuda_split(struct sps_device *dev, const struct split_part *parts,
                               int count, uint32_t *top);

/* Top-k of rows into the index; `by`: of compressed keys, or NULL.  A NaN is noted on the
 * device. */
enum sps_status sps_cuda_topk_run(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct score_source *from,
                                  const struct sps_compression *by,
                                  const struct sps_rule *rule, struct sps_rows rows,
                                  struct sps_index *index);
struct topk_args;
void sps_cuda_topk_fill(struct sps_device *dev, const struct sps_rule *rule,
                        const struct score_source *from, const struct sps_index *index,
                        struct topk_args *a);

/* Before the lists of an index are chosen: a NaN that will be noted is to be told when
 * the host next waits, by sps_cuda_faults(), unless memory is freed first. */
enum sps_status sps_cuda_choose(struct sps_device *dev, const struct sps_index *index);
enum sps_status sps_cuda_faults(struct sps_device *dev);
enum sps_status sps_cuda_forget_faults(struct sps_device *dev);

/* The slots of struct sps_kernels. */
enum sps_status sps_cuda_dense(struct sps_device *, const struct sps_shape *,
                               const struct sps_qkv *, const struct sps_band *,
                               struct sps_rows, float *o, float *lse);
enum sps_status sps_cuda_attend(struct sps_device *, const struct sps_shape *,
                                const struct sps_qkv *, const struct sps_index *,
                                const struct sps_band *, struct sps_rows, float *o,
                                float *lse);
bool sps_cuda_attend_gated_suits(struct sps_device *, const struct sps_shape *,
                                 enum sps_dtype, const struct sps_index *);
enum sps_status sps_cuda_attend_gated(struct sps_device *, const struct sps_shape *,
                                      const struct sps_qkv *, const struct sps_index *,
                                      int64_t window, const float *first,
                                      const float *gate, const float *constant,
                                      struct sps_rows, float *o);
enum sps_status sps_cuda_compress_mean(struct sps_device *, const struct sps_shape *,
                                       const struct sps_tensor *x,
                                       const struct sps_compression *, float *out);
enum sps_status sps_cuda_compress_linear(struct sps_device *, const struct sps_shape *,
                                         const struct sps_tensor *x,
                                         const struct sps_tensor *pe,
                                         const struct sps_tensor *w,
                                         const struct sps_compression *, float *out);
enum sps_status sps_cuda_compressed(struct sps_device *, const struct sps_shape *,
                                    const struct sps_tensor *q, const float *k_cmp,
                                    const float *v_cmp, const struct sps_compression *,
                                    int64_t block, struct sps_rows, float *o, float *lse,
                                    float *scores);
enum sps_status sps_cuda_compressed_select(struct sps_device *, const struct sps_shape *,
                                           const struct sps_tensor *q, const float *k_cmp,
                                           const float *v_cmp,
                                           const struct sps_compression *,
                                           const struct sps_rule *, struct sps_rows,
                                           float *o, float *lse, struct sps_index *);
enum sps_status sps_cuda_gate(struct sps_device *, const struct sps_shape *,
                              const struct sps_tensor *q, const float *means,
                              const struct sps_compression *, struct sps_rows,
                              float *scores);
enum sps_status sps_cuda_gate_select(struct sps_device *, const struct sps_shape *,
                                     const struct sps_tensor *q, const float *means,
                                     const struct sps_compression *,
                                     const struct sps_rule *, struct sps_rows,
                                     struct sps_index *);
enum sps_status sps_cuda_mass(struct sps_device *, const struct sps_shape *,
                              const struct sps_qkv *, int64_t block, int64_t heads,
                              struct sps_rows, float *scores);
enum sps_status sps_cuda_noise(struct sps_device *, const struct sps_shape *,
                               uint64_t seed, int64_t block, int64_t heads,
                               struct sps_rows, float *scores);
enum sps_status sps_cuda_share(struct sps_device *, const struct sps_shape *,
                               int64_t tile, int64_t block, int64_t heads,
                               struct sps_rows, float *scores);
enum sps_status sps_cuda_topk(struct sps_device *, const struct sps_shape *,
                              const float *scores, const struct sps_rule *,
                              struct sps_rows, struct sps_index *);
enum sps_status sps_cuda_combine(struct sps_device *, const struct sps_shape *,
                                 int64_t parts, const float *const *part,
                                 const float *gate, const float *constant,
                                 struct sps_rows, float *o);
enum sps_status sps_cuda_probs(struct sps_device *, const struct sps_shape *,
                               const struct sps_qkv *, int64_t head, struct sps_rows,
                               float *p);

/* The backend's roofs: products (wgmma where sm90/ runs, else mma.sync), reads, copies.
 */
enum sps_status sps_cuda_roofs(struct sps_device *dev, struct sps_roofs *roofs);

/* Inputs that the tensor-core kernels do not take: one warp a row (simple.cu). */
cudaError_t sps_cuda_simple_attend(const struct attend_args *a, int64_t rows,
                                   cudaStream_t stream);
cudaError_t sps_cuda_simple_score(const struct score_args *a, int64_t rows,
                                  cudaStream_t stream);

cudaError_t sps_cuda_dense_d64(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_dense_d128(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_dense_d192(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_dense_d256(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_rows_d64(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_rows_d128(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_rows_d192(const struct attend_args *a, cudaStream_t stream);
cudaError_t sps_cuda_rows_d256(const struct attend_args *a, cudaStream_t stream);

cudaError_t sps_cuda_score_d64(const struct score_args *a, cudaStream_t stream);
cudaError_t sps_cuda_score_d128(const struct score_args *a, cudaStream_t stream);
cudaError_t sps_cuda_score_d192(const struct score_args *a, cudaStream_t stream);
cudaError_t sps_cuda_score_d256(const struct score_args *a, cudaStream_t stream);

#endif
