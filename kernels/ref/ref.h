/* ref.h - the reference: double inside, one row at a time, float32 in and out.
 *
 * Written to be read beside docs/methods; speed comes second.  Rows run in parallel, each
 * on one thread, so the bits do not depend on how many there are.
 */
#ifndef SPS_KERNELS_REF_H
#define SPS_KERNELS_REF_H

#include <math.h>

#include "kernels/host.h"

SPS_BEGIN_DECLS

/* The slots of struct sps_kernels; another backend may borrow any of them. */
extern const struct sps_kernels sps_ref_kernels;

enum sps_status sps_ref_dense(struct sps_device *, const struct sps_shape *,
                              const struct sps_qkv *, const struct sps_band *,
                              struct sps_rows, float *o, float *lse);
enum sps_status sps_ref_compress_mean(struct sps_device *, const struct sps_shape *,
                                      const struct sps_tensor *x,
                                      const struct sps_compression *, float *out);
enum sps_status sps_ref_compress_linear(struct sps_device *, const struct sps_shape *,
                                        const struct sps_tensor *x,
                                        const struct sps_tensor *pe,
                                        const struct sps_tensor *w,
                                        const struct sps_compression *, float *out);
enum sps_status sps_ref_compressed(struct sps_device *, const struct sps_shape *,
                                   const struct sps_tensor *q, const float *k_cmp,
                                   const float *v_cmp, const struct sps_compression *,
                                   int64_t block, struct sps_rows, float *o, float *lse,
                                   float *scores);
enum sps_status sps_ref_gate(struct sps_device *, const struct sps_shape *,
                             const struct sps_tensor *q, const float *means,
                             const struct sps_compression *, struct sps_rows,
                             float *scores);
enum sps_status sps_ref_key_range(struct sps_device *, const struct sps_shape *,
                                  const struct sps_tensor *x,
                                  const struct sps_compression *, float *out);
enum sps_status sps_ref_key_bound(struct sps_device *, const struct sps_shape *,
                                  const struct sps_tensor *q, const float *ranges,
                                  const struct sps_compression *, struct sps_rows,
                                  float *scores);
enum sps_status sps_ref_block_max(struct sps_device *, const struct sps_shape *,
                                  const struct sps_qkv *, int64_t block, int64_t heads,
                                  struct sps_rows, float *scores);
enum sps_status sps_ref_indexer(struct sps_device *, const struct sps_shape *,
                                const struct sps_tensor *q, const struct sps_tensor *k,
                                const struct sps_tensor *w, struct sps_rows,
                                float *scores);
enum sps_status sps_ref_mass(struct sps_device *, const struct sps_shape *,
                             const struct sps_qkv *, int64_t block, int64_t heads,
                             struct sps_rows, float *scores);
enum sps_status sps_ref_share(struct sps_device *, const struct sps_shape *, int64_t tile,
                              int64_t block, int64_t heads, struct sps_rows,
                              float *scores);
enum sps_status sps_ref_noise(struct sps_device *, const struct sps_shape *,
                              uint64_t seed, int64_t block, int64_t heads,
                              struct sps_rows, float *scores);
enum sps_status sps_ref_topk(struct sps_device *, const struct sps_shape *,
                             const float *scores, const struct sps_rule *,
                             struct sps_rows, struct sps_index *);
enum sps_status sps_ref_topp(struct sps_device *, const struct sps_shape *,
                             const float *scores, const struct sps_rule *, double p,
                             struct sps_rows, struct sps_index *);
enum sps_status sps_ref_attend(struct sps_device *, const struct sps_shape *,
                               const struct sps_qkv *, const struct sps_index *,
                               const struct sps_band *, struct sps_rows, float *o,
                               float *lse);
enum sps_status sps_ref_combine(struct sps_device *, const struct sps_shape *,
                                int64_t parts, const float *const *part,
                                const float *gate, const float *constant, struct sps_rows,
                                float *o);
enum sps_status sps_ref_probs(struct sps_device *, const struct sps_shape *,
                              const struct sps_qkv *, int64_t head, struct sps_rows,
                              float *p);
enum sps_status sps_ref_dense_backward(struct sps_device *, const struct sps_shape *,
                                       const struct sps_qkv *, const struct sps_band *,
                                       struct sps_rows, const struct sps_output *,
                                       const struct sps_gradients *);
enum sps_status sps_ref_attend_backward(struct sps_device *, const struct sps_shape *,
                                        const struct sps_qkv *, const struct sps_index *,
                                        const struct sps_band *, struct sps_rows,
                                        const struct sps_output *,
                                        const struct sps_gradients *);
enum sps_status sps_ref_compressed_backward(struct sps_device *, const struct sps_shape *,
                                            const struct sps_tensor *q,
                                            const float *k_cmp, const float *v_cmp,
                                            const struct sps_compression *,
                                            struct sps_rows, const struct sps_output *,
                                            const struct sps_gradients *);
enum sps_status sps_ref_compress_mean_backward(struct sps_device *,
                                               const struct sps_shape *,
                                               const float *d_out,
                                               const struct sps_compression *,
                                               const struct sps_tensor *dx);
enum sps_status sps_ref_compress_linear_backward(
    struct sps_device *, const struct sps_shape *, const struct sps_tensor *x,
    const struct sps_tensor *pe, const struct sps_tensor *w, const float *d_out,
    const struct sps_compression *, const struct sps_tensor *dx, float *dw, float *dpe);
enum sps_status sps_ref_combine_backward(struct sps_device *, const struct sps_shape *,
                                         int64_t parts, const float *const *part,
                                         const float *gate, const float *constant,
                                         struct sps_rows, const float *d_o,
                                         float *const *d_part, float *dgate);

/* Where a packed row stands. */
struct sps_ref_row {
    int64_t row, sequence, pos, visible;
    int64_t keys; /* of its sequence */
};

struct sps_ref_row sps_ref_row(const struct sps_shape *shape, int64_t row);

/* Token j of a sequence in x[s,heads,d] or its pages: heads * d numbers. */
static inline const float *sps_ref_token(const struct sps_shape *shape,
                                         const struct sps_tensor *x, int64_t sequence,
                                         int64_t j)
{
    return (const float *)x->data +
           sps_shape_key(shape, sequence, j) * x->dim[1] * x->dim[2];
}

/* Keys of the longest sequence. */
int64_t sps_ref_longest(const struct sps_shape *shape);

double sps_ref_dot(const float *a, const float *b, int64_t n);

/* scores[r,h,blocks] = score(q, what stands for the block, dk): blocks[made,g,width].
 * Blocks that the row sees only in part score 0: theirs holds keys it must not see. */
typedef double sps_ref_score(const float *q, const float *block, int64_t dk);
enum sps_status sps_ref_score_blocks(struct sps_device *dev,
                                     const struct sps_shape *shape,
                                     const struct sps_tensor *q, const float *blocks,
                                     int64_t width, sps_ref_score *score,
                                     const struct sps_compression *by,
                                     struct sps_rows rows, float *scores);

/* x[at->keys] = c q.k of one head, -inf for keys not visible, or with reads[j] false
 * (reads NULL: every visible key). */
void sps_ref_logits(const struct sps_shape *shape, const struct sps_qkv *in,
                    const struct sps_ref_row *at, int64_t head, const bool *reads,
                    double *x);

/* Logits to probabilities in place; those below 2^-100 become 0.  Returns the log of the
 * sum of exp, -inf when every logit is.  A NaN makes all of them NaN. */
double sps_ref_softmax(double *x, int64_t n);

SPS_END_DECLS

#endif
