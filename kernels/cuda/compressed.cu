/* compressed.cu - attention over compressed keys with block scores, and with the choice
 * made from them: pass 1 is attention, pass 2 recomputes p = exp(c q.k - lse) and keeps
 * its sum over a group's heads, rows chunk by chunk, so that no [t,keys] matrix exists.
 * On Hopper one launch makes o and the choice (sm90/compressed.cuh).
 */
#include "kernels/check.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/sm90/compressed.h"

struct job {
    struct sps_device *dev;
    const struct sps_shape *shape;
    const struct sps_tensor *q;
    const float *k_cmp, *v_cmp;
    const struct sps_compression *by;
    int64_t block, columns, chunk; /* columns: compressed keys of the longest sequence */
    size_t fused;         /* bytes of scratch of the Hopper kernel; 0: portable kernels */
    void *high, *low, *v; /* two terms of k, one of v (terms.cuh) */
    uint32_t *top;        /* of k and of v */
    float *sums, *lse;    /* sums: or the scratch of the Hopper kernel */
    bool fits;
};

static void measure(struct job *job)
{
    for (int64_t i = 0; i < job->shape->n; i++)
        if (job->by->cu[i + 1] - job->by->cu[i] > job->columns)
            job->columns = job->by->cu[i + 1] - job->by->cu[i];
    job->fits = sps_cuda_fits(job->q->dtype, job->shape->dk, job->shape->dv);
}

/* The high term holds a rounded key, and the Hopper kernel can do with it alone. */
static bool one_term(const struct job *job)
{
    return job->fused > 0 && job->by->rounded != SPS_F32;
}

static enum sps_status prepare(struct job *job, struct sps_rows rows, float *lse)
{
    const struct sps_shape *shape = job->shape;
    int64_t m = job->by->cu[shape->n] * shape->g;
    int64_t pad = job->fused > 0 ? SPREAD_ROWS * shape->g : 0;
    size_t k = (size_t)((m + pad) * shape->dk) * 2,
           v = (size_t)((m + pad) * shape->dv) * 2;
    bool own = !lse && job->fused == 0; /* the second pass of chunks reads it */
    size_t l = own ? (size_t)((rows.end - rows.begin) * shape->h) * 4 : 0;
    size_t row = (size_t)(shape->g * job->columns) * 4;

    job->chunk = sps_cuda_chunk(rows, row, SPS_CUDA_CHUNK);
    size_t sums = job->fused > 0 ? job->fused : (size_t)job->chunk * row;
    SPS_TRY(sps_cuda_reserve(job->dev, 2 * sps_cuda_round(k) + sps_cuda_round(v) +
                                           sps_cuda_round(l) + 256 +
                                           sps_cuda_round(sums)));
    job->high = sps_cuda_take(job->dev, k);
    job->low = one_term(job) ? NULL : sps_cuda_take(job->dev, k);
    job->v = sps_cuda_take(job->dev, v);
    job->top = (uint32_t *)sps_cuda_take(job->dev, 2 * sizeof *job->top);
    job->lse = own ? (float *)sps_cuda_take(job->dev, l) - rows.begin * shape->h : lse;
    job->sums = (float *)sps_cuda_take(job->dev, sums);
    if (!job->fits)
        return SPS_OK;
    struct split_part parts[] = {
        {job->k_cmp, m * shape->dk, pad * shape->dk, job->high, job->low},
        {job->v_cmp, m * shape->dv, pad * shape->dv, job->v, NULL}};
    return sps_cuda_split(job->dev, parts, 2, job->top);
}

static struct attend_args attend_args_of(const struct job *job, float *o)
{
    struct sps_qkv in = {*job->q, {}, {}};
    struct attend_args a;

    in.k.data = job->fits ? job->high : (void *)job->k_cmp;
    in.v.data = job->fits ? job->v : (void *)job->v_cmp;
    in.k.dtype = in.v.dtype = job->fits ? job->q->dtype : SPS_F32;
    sps_cuda_attend_fill(job->shape, &in, o, job->lse, &a);
    a.k_low = job->fits ? job->low : NULL;
    a.k_top = job->top;
    a.v_top = job->top + 1;
    return a;
}

static enum sps_status attend(const struct job *job, struct sps_rows rows, float *o)
{
    struct attend_args a = attend_args_of(job, o);

    return sps_cuda_dense_run(job->dev, job->shape, job->by, NULL, rows, &a);
}

/* Sums of p over each group's heads: job->sums[r,g,columns]. */
static enum sps_status score(const struct job *job, struct sps_rows rows)
{
    struct score_args a = {};

    a.q = job->q->data;
    a.k = job->fits ? job->high : (void *)job->k_cmp;
    a.k_low = job->low;
    a.k_top = job->top;
    a.dtype = job->q->dtype;
    a.k_dtype = job->fits ? job->q->dtype : SPS_F32;
    a.kind = SCORE_GROUP;
    a.out = job->sums;
    a.lse = job->lse;
    a.width = job->columns;
    return sps_cuda_score_run(job->dev, job->shape, job->by, rows, job->shape->g, &a);
}

static struct score_source source_of(const struct job *job)
{
    struct score_source from = {job->sums, job->columns, job->by->l / job->by->u,
                                job->block / job->by->u};

    return from;
}

/* One block's score, as top-k sums it: written out, 0 for blocks not seen. */
static __global__ void write_scores(const __grid_constant__ struct geometry at,
                                    struct score_source from, int64_t g, int64_t blocks,
                                    int64_t count, float *scores)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

    if (i >= count)
        return;
    int64_t row = i / blocks / g, b = i % blocks;
    struct seq_view seq = geometry_find(&at, (int)row);
    int pos = geometry_pos(&at, &seq, (int)(at.begin + row - seq.row));
    int seen = geometry_visible(&at, &seq, pos);
    scores[i] = score_of(&from, i / blocks, (int)b, seen);
}

enum sps_status sps_cuda_compressed(struct sps_device *dev, const struct sps_shape *shape,
                                    const struct sps_tensor *q, const float *k_cmp,
                                    const float *v_cmp, const struct sps_compression *by,
                                    int64_t block, struct sps_rows rows, float *o,
                                    float *lse, float *scores)
{
    struct job job = {dev, shape, q, k_cmp, v_cmp, by, block};
    int64_t blocks = sps_shape_blocks(shape, block);

    SPS_TRY(sps_check_causal(shape, "compressed"));
    SPS_TRY(sps_check_strides(by, block));
    measure(&job);
    SPS_TRY(prepare(&job, rows, lse));
    SPS_TRY(attend(&job, rows, o));
    const char *impl = dev->impl;
    struct score_source from = source_of(&job);
    for (int64_t row = rows.begin; row < rows.end; row += job.chunk) {
        struct sps_rows part = {row,
                                row + job.chunk < rows.end ? row + job.chunk : rows.end};
        int64_t count = (part.end - part.begin) * shape->g * blocks;
        struct geometry at;
        SPS_TRY(score(&job, part));
        SPS_TRY(sps_cuda_geometry(dev, shape, by, NULL, part, 1, 1, &at));
        write_scores<<<(unsigned)((count + 255) / 256), 256, 0,
                       cuda_state_of(dev)->stream>>>(at, from, shape->g, blocks, count,
                                                     scores + (row - rows.begin) *
                                                                  shape->g * blocks);
        CUDA_TRY(cudaGetLastError());
    }
    dev->impl = impl;
    return SPS_OK;
}

/* Everything in one launch. */
static enum sps_status select_fused(const struct job *job, const struct sps_rule *rule,
                                    struct sps_rows rows, float *o,
                                    struct sps_index *index)
{
    struct compressed90_args a = {};
    struct score_source from = source_of(job);

    a.attend = attend_args_of(job, o);
    sps_cuda_topk_fill(job->dev, rule, &from, index, &a.choose);
    return sps_sm90_compressed(job->dev, job->shape, job->by, rows, job->columns,
                               job->sums, &a);
}

static enum sps_status select_chunks(const struct job *job, const struct sps_rule *rule,
                                     struct sps_rows rows, float *o,
                                     struct sps_index *index)
{
    struct score_source from = source_of(job);

    SPS_TRY(attend(job, rows, o));
    const char *impl = job->dev->impl;
    for (int64_t row = rows.begin; row < rows.end; row += job->chunk) {
        struct sps_rows part = {row, row + job->chunk < rows.end ? row + job->chunk
                                                                 : rows.end};
        SPS_TRY(score(job, part));
        SPS_TRY(
            sps_cuda_topk_run(job->dev, job->shape, &from, job->by, rule, part, index));
    }
    job->dev->impl = impl;
    return SPS_OK;
}

enum sps_status
sps_cuda_compressed_select(struct sps_device *dev, const struct sps_shape *shape,
                           const struct sps_tensor *q, const float *k_cmp,
                           const float *v_cmp, const struct sps_compression *by,
                           const struct sps_rule *rule, struct sps_rows rows, float *o,
                           float *lse, struct sps_index *index)
{
    struct job job = {dev, shape, q, k_cmp, v_cmp, by, rule->block};

    SPS_TRY(sps_check_causal(shape, "compressed"));
    SPS_TRY(sps_check_strides(by, rule->block));
    SPS_TRY(sps_check_rule(rule, index));
    measure(&job);
    job.fused =
        sps_sm90_compressed_bytes(dev, shape, by, q->dtype, rule->block, job.columns);
    SPS_TRY(prepare(&job, rows, lse));
    SPS_TRY(sps_cuda_choose(dev, index));
    return job.fused > 0 ? select_fused(&job, rule, rows, o, index)
                         : select_chunks(&job, rule, rows, o, index);
}
