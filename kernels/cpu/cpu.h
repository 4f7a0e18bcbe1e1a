/* cpu.h - the kernels of the cpu backend that differ from the reference's. */
#ifndef SPS_KERNELS_CPU_H
#define SPS_KERNELS_CPU_H

#include "kernels/host.h"

SPS_BEGIN_DECLS

enum sps_status sps_cpu_dense(struct sps_device *, const struct sps_shape *,
                              const struct sps_qkv *, const struct sps_band *,
                              struct sps_rows, float *o, float *lse);
enum sps_status sps_cpu_compress_linear(struct sps_device *, const struct sps_shape *,
                                        const struct sps_tensor *x,
                                        const struct sps_tensor *pe,
                                        const struct sps_tensor *w,
                                        const struct sps_compression *, float *out);
enum sps_status sps_cpu_compressed(struct sps_device *, const struct sps_shape *,
                                   const struct sps_tensor *q, const float *k_cmp,
                                   const float *v_cmp, const struct sps_compression *,
                                   int64_t block, struct sps_rows, float *o, float *lse,
                                   float *scores);
enum sps_status sps_cpu_gate(struct sps_device *, const struct sps_shape *,
                             const struct sps_tensor *q, const float *means,
                             const struct sps_compression *, struct sps_rows,
                             float *scores);
enum sps_status sps_cpu_key_bound(struct sps_device *, const struct sps_shape *,
                                  const struct sps_tensor *q, const float *ranges,
                                  const struct sps_compression *, struct sps_rows,
                                  float *scores);
enum sps_status sps_cpu_block_max(struct sps_device *, const struct sps_shape *,
                                  const struct sps_qkv *, int64_t block, int64_t heads,
                                  struct sps_rows, float *scores);
enum sps_status sps_cpu_indexer(struct sps_device *, const struct sps_shape *,
                                const struct sps_tensor *q, const struct sps_tensor *k,
                                const struct sps_tensor *w, struct sps_rows,
                                float *scores);
enum sps_status sps_cpu_mass(struct sps_device *, const struct sps_shape *,
                             const struct sps_qkv *, int64_t block, int64_t heads,
                             struct sps_rows, float *scores);
enum sps_status sps_cpu_topk(struct sps_device *, const struct sps_shape *,
                             const float *scores, const struct sps_rule *,
                             struct sps_rows, struct sps_index *);
enum sps_status sps_cpu_attend(struct sps_device *, const struct sps_shape *,
                               const struct sps_qkv *, const struct sps_index *,
                               const struct sps_band *, struct sps_rows, float *o,
                               float *lse);
enum sps_status sps_cpu_probs(struct sps_device *, const struct sps_shape *,
                              const struct sps_qkv *, int64_t head, struct sps_rows,
                              float *p);
enum sps_status sps_cpu_dense_backward(struct sps_device *, const struct sps_shape *,
                                       const struct sps_qkv *, const struct sps_band *,
                                       struct sps_rows, const struct sps_output *,
                                       const struct sps_gradients *);
enum sps_status sps_cpu_attend_backward(struct sps_device *, const struct sps_shape *,
                                        const struct sps_qkv *, const struct sps_index *,
                                        const struct sps_band *, struct sps_rows,
                                        const struct sps_output *,
                                        const struct sps_gradients *);
enum sps_status sps_cpu_compressed_backward(struct sps_device *, const struct sps_shape *,
                                            const struct sps_tensor *q,
                                            const float *k_cmp, const float *v_cmp,
                                            const struct sps_compression *,
                                            struct sps_rows, const struct sps_output *,
                                            const struct sps_gradients *);
enum sps_status sps_cpu_compress_linear_backward(
    struct sps_device *, const struct sps_shape *, const struct sps_tensor *x,
    const struct sps_tensor *pe, const struct sps_tensor *w, const float *d_out,
    const struct sps_compression *, const struct sps_tensor *dx, float *dw, float *dpe);

/* The two ways to attend over an index; sps_cpu_attend() chooses by shape. */
enum sps_status sps_cpu_attend_inverted(struct sps_device *, const struct sps_shape *,
                                        const struct sps_qkv *, const struct sps_index *,
                                        const struct sps_band *, struct sps_rows,
                                        float *o, float *lse);
enum sps_status sps_cpu_attend_gather(struct sps_device *, const struct sps_shape *,
                                      const struct sps_qkv *, const struct sps_index *,
                                      const struct sps_band *, struct sps_rows, float *o,
                                      float *lse);

/* The roofs slot of struct sps_backend. */
enum sps_status sps_cpu_roofs(struct sps_device *dev, struct sps_roofs *roofs);

SPS_END_DECLS

#endif
