/* score.cu - the launch of score kernels, and the slots that are one or two of them:
 * gate, mass, probs. */
#include "kernels/check.h"
#include "kernels/cuda/sm90/gate.h"
#include "kernels/cuda/sm90/score.h"

typedef cudaError_t launch(const struct score_args *a, cudaStream_t stream);

static const struct {
    launch *run;
    int rows;
} sizes[] = {
    {sps_cuda_score_d64, 128},
    {sps_cuda_score_d128, 128},
    {sps_cuda_score_d192, 128},
    {sps_cuda_score_d256, 64},
};

enum sps_status sps_cuda_score_run(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_compression *by, struct sps_rows rows,
                                   int64_t heads, struct score_args *a)
{
    cudaStream_t stream = cuda_state_of(dev)->stream;
    int size = sps_cuda_size(shape->dk, 8);

    if (!(shape->scale > 0))
        return sps_fail(SPS_ENOTSUP, "scale %g: must be positive on cuda", shape->scale);
    a->h = shape->h;
    a->g = shape->g;
    a->dk = (int)shape->dk;
    a->c = (float)(shape->scale * 1.4426950408889634);
    a->p = a->kind == SCORE_PROBS ? 1 : (int)(shape->h / heads);
    a->groups = (int)heads;
    a->parts = (a->p + 31) / 32;
    a->lg = a->p > 32 ? 5 : sps_cuda_log(a->p);
    a->section = sps_cuda_section(dev, shape, a->groups);
    if (rows.begin >= rows.end)
        return SPS_OK;
    bool fits = sps_cuda_fits(a->dtype, shape->dk, 8) && a->k_dtype == a->dtype;
    if (fits && sps_sm90_scores(dev, shape, a))
        return sps_sm90_score(dev, shape, rows, a);
    int64_t tokens = fits ? sizes[size].rows >> a->lg : 1;
    SPS_TRY(sps_cuda_geometry(dev, shape, by, NULL, rows, tokens, 1, &a->at));
    if (fits)
        CUDA_TRY(sizes[size].run(a, stream));
    else
        CUDA_TRY(sps_cuda_simple_score(a, rows.end - rows.begin, stream));
    return SPS_OK;
}

static struct score_args args_of(const struct sps_tensor *q, const struct sps_tensor *k,
                                 enum score_kind kind, float *out)
{
    struct score_args a = {};

    a.q = q->data;
    a.dtype = q->dtype;
    if (k)
        a.k = k->data;
    a.k_dtype = k ? k->dtype : q->dtype;
    a.kind = kind;
    a.out = out;
    return a;
}

/* Scratch for [rows,h] row sums, as if it held all t rows. */
static enum sps_status row_lse(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_qkv *in, struct sps_rows rows,
                               float **lse)
{
    struct score_args a = args_of(&in->q, &in->k, SCORE_LSE, NULL);
    size_t bytes = (size_t)((rows.end - rows.begin) * shape->h) * sizeof(float);

    SPS_TRY(sps_cuda_reserve(dev, sps_cuda_round(bytes)));
    *lse = (float *)sps_cuda_take(dev, bytes) - rows.begin * shape->h;
    a.out = *lse;
    return sps_cuda_score_run(dev, shape, NULL, rows, shape->h, &a);
}

enum sps_status sps_cuda_mass(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_qkv *in, int64_t block, int64_t heads,
                              struct sps_rows rows, float *scores)
{
    struct score_args a = args_of(&in->q, &in->k, SCORE_MASS, scores);
    float *lse;

    SPS_TRY(sps_check_heads(shape, heads));
    dev->impl = sps_cuda_fits(a.dtype, shape->dk, 8) ? "mass_mma" : "mass_simple";
    SPS_TRY(row_lse(dev, shape, in, rows, &lse));
    a.lse = lse;
    a.block = (int)(block < 1 << 30 ? block : 1 << 30);
    a.width = sps_shape_blocks(shape, block);
    CUDA_TRY(cudaMemsetAsync(scores, 0,
                             (size_t)((rows.end - rows.begin) * heads * a.width) * 4,
                             cuda_state_of(dev)->stream));
    return sps_cuda_score_run(dev, shape, NULL, rows, heads, &a);
}

enum sps_status sps_cuda_probs(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_qkv *in, int64_t head,
                               struct sps_rows rows, float *p)
{
    struct score_args a = args_of(&in->q, &in->k, SCORE_PROBS, p);
    float *lse;

    SPS_TRY(sps_check_one_sequence(shape, rows));
    dev->impl = sps_cuda_fits(a.dtype, shape->dk, 8) ? "probs_mma" : "probs_simple";
    if (rows.begin >= rows.end)
        return SPS_OK;
    SPS_TRY(row_lse(dev, shape, in, rows, &lse));
    a.lse = lse;
    a.head = (int)head;
    a.width = sps_shape_keys(shape, sps_shape_sequence(shape, rows.begin));
    CUDA_TRY(cudaMemsetAsync(p, 0, (size_t)((rows.end - rows.begin) * a.width) * 4,
                             cuda_state_of(dev)->stream));
    return sps_cuda_score_run(dev, shape, NULL, rows, 1, &a);
}

/* Raw scores of rows into out; the means as two terms, or as they are. */
static enum sps_status raw_scores(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_tensor *q, const float *means,
                                  const void *high, const void *low, const uint32_t *top,
                                  const struct sps_compression *by, struct sps_rows rows,
                                  float *out)
{
    struct score_args a = args_of(q, NULL, SCORE_RAW, out);
    bool fits = sps_cuda_fits(q->dtype, shape->dk, 8);

    a.k = fits ? high : means;
    a.k_low = low;
    a.k_top = top;
    a.k_dtype = fits ? q->dtype : SPS_F32;
    a.width = sps_shape_blocks(shape, by->l);
    return sps_cuda_score_run(dev, shape, by, rows, shape->h, &a);
}

/* Split the means into scratch that has room for `more` bytes after them. */
static enum sps_status split_means(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_tensor *q, const float *means,
                                   const struct sps_compression *by, size_t more,
                                   void **high, void **low, uint32_t **top)
{
    int64_t count = by->cu[shape->n] * shape->g * shape->dk;
    size_t bytes = sps_cuda_round((size_t)count * 2);

    SPS_TRY(sps_cuda_reserve(dev, 2 * bytes + 256 + sps_cuda_round(more)));
    *high = sps_cuda_take(dev, bytes);
    *low = sps_cuda_take(dev, bytes);
    *top = (uint32_t *)sps_cuda_take(dev, sizeof **top);
    struct split_part part = {means, count, 0, *high, *low};
    return sps_cuda_fits(q->dtype, shape->dk, 8) ? sps_cuda_split(dev, &part, 1, *top)
                                                 : SPS_OK;
}

enum sps_status sps_cuda_gate(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_tensor *q, const float *means,
                              const struct sps_compression *by, struct sps_rows rows,
                              float *scores)
{
    uint32_t *top;
    void *high, *low;

    SPS_TRY(sps_check_causal(shape, "gate"));
    SPS_TRY(split_means(dev, shape, q, means, by, 0, &high, &low, &top));
    CUDA_TRY(cudaMemsetAsync(
        scores, 0,
        (size_t)((rows.end - rows.begin) * shape->h * sps_shape_blocks(shape, by->l)) * 4,
        cuda_state_of(dev)->stream));
    dev->impl = sps_cuda_fits(q->dtype, shape->dk, 8) ? "gate_mma" : "gate_simple";
    return raw_scores(dev, shape, q, means, high, low, top, by, rows, scores);
}

enum sps_status sps_cuda_gate_select(struct sps_device *dev,
                                     const struct sps_shape *shape,
                                     const struct sps_tensor *q, const float *means,
                                     const struct sps_compression *by,
                                     const struct sps_rule *rule, struct sps_rows rows,
                                     struct sps_index *index)
{
    int64_t blocks = sps_shape_blocks(shape, by->l);
    size_t row_bytes = (size_t)(shape->h * blocks) * 4;
    int64_t chunk = sps_cuda_chunk(rows, row_bytes, SPS_CUDA_CHUNK);
    uint32_t *top;
    void *high, *low;

    SPS_TRY(sps_check_causal(shape, "gate"));
    SPS_TRY(sps_check_rule(rule, index));
    SPS_TRY(sps_cuda_choose(dev, index));
    if (sps_sm90_gates(dev, shape, q->dtype, by, rule, index)) {
        SPS_TRY(split_means(dev, shape, q, means, by, 0, &high, &low, &top));
        return sps_sm90_gate(dev, shape, q, high, low, by, rule, rows, index);
    }
    SPS_TRY(split_means(dev, shape, q, means, by, (size_t)chunk * row_bytes, &high, &low,
                        &top));
    float *scores = (float *)sps_cuda_take(dev, (size_t)chunk * row_bytes);
    for (int64_t row = rows.begin; row < rows.end; row += chunk) {
        struct sps_rows part = {row, row + chunk < rows.end ? row + chunk : rows.end};
        struct score_source from = {scores, blocks, 0, 0};
        SPS_TRY(raw_scores(dev, shape, q, means, high, low, top, by, part, scores));
        SPS_TRY(sps_cuda_topk_run(dev, shape, &from, by, rule, part, index));
    }
    dev->impl =
        sps_cuda_fits(q->dtype, shape->dk, 8) ? "gate_select_mma" : "gate_select_simple";
    return SPS_OK;
}
