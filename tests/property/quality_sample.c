/* quality_sample.c - problems, lists and probabilities by the plainest code. */
#include "tests/property/quality_sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"

static void need(enum sps_status status)
{
    if (status != SPS_OK) {
        printf("Bail out! %s\n", sps_error());
        exit(99);
    }
}

static struct sps_tensor normals(uint64_t seed, uint64_t stream, int64_t rows,
                                 int64_t heads, int64_t size)
{
    struct sps_tensor x;

    need(sps_tensor_new(SPS_F32, rows, heads, size, 1, &x));
    sps_normals(seed, stream, 0, rows * heads * size, x.data);
    return x;
}

void sample_open(struct sample *p, const char *backend, const struct sample_size *size,
                 uint64_t seed)
{
    *p = (struct sample){0};
    need(sps_device_open(backend, 1, &p->dev));
    for (int i = 0; i < SAMPLE_SEQUENCES; i++) {
        p->cu_q[i + 1] = p->cu_q[i] + size->t[i];
        p->cu_k[i + 1] = p->cu_k[i] + size->s[i];
    }
    p->shape = (struct sps_shape){.h = size->h,
                                  .g = size->g,
                                  .t = p->cu_q[SAMPLE_SEQUENCES],
                                  .s = p->cu_k[SAMPLE_SEQUENCES],
                                  .dk = size->dk,
                                  .dv = size->dv,
                                  .n = SAMPLE_SEQUENCES,
                                  .cu_q = p->cu_q,
                                  .cu_k = p->cu_k,
                                  .causal = true,
                                  .scale = 2 / sqrt((double)size->dk)};
    p->q = normals(seed, 0, p->shape.t, size->h, size->dk);
    p->k = normals(seed, 1, p->shape.s, size->g, size->dk);
    p->v = normals(seed, 2, p->shape.s, size->g, size->dv);
    p->in = (struct sps_qkv){p->q, p->k, p->v};
    need(sps_tensor_new(SPS_F32, p->shape.t, size->h, size->dv, 1, &p->o_full));
    sample_attend(p, NULL, &(struct sps_band){.all = true}, p->o_full.data);
    need(sps_calloc((size_t)p->shape.t * sizeof *p->rows, (void **)&p->rows));
    for (int64_t i = 0; i < p->shape.t; i++)
        p->rows[i] = i;
}

void sample_close(struct sample *p)
{
    sps_tensor_free(&p->q), sps_tensor_free(&p->k), sps_tensor_free(&p->v);
    sps_tensor_free(&p->o_full);
    free(p->rows);
    sps_device_close(&p->dev);
}

struct sps_quality_in sample_in(struct sample *p)
{
    return (struct sps_quality_in){.dev = &p->dev,
                                   .shape = &p->shape,
                                   .in = &p->in,
                                   .rows = p->rows,
                                   .count = p->shape.t,
                                   .at = p->rows,
                                   .atlas_block = 8};
}

int64_t sample_probs(const struct sample *p, int64_t row, int64_t head, double *probs)
{
    const struct sps_shape *shape = &p->shape;
    int64_t n = sps_shape_sequence(shape, row), kv = head / (shape->h / shape->g);
    int64_t visible = sps_shape_visible(shape, n, row);
    const float *q = (const float *)p->q.data + (row * shape->h + head) * shape->dk;
    double total = 0;

    for (int64_t j = 0; j < visible; j++) {
        const float *k =
            (const float *)p->k.data + ((p->cu_k[n] + j) * shape->g + kv) * shape->dk;
        double dot = 0;
        for (int64_t d = 0; d < shape->dk; d++)
            dot += (double)q[d] * k[d];
        total += probs[j] =
            exp(shape->scale * dot); /* logits of a few units: no overflow */
    }
    for (int64_t j = 0; j < visible; j++)
        probs[j] /= total;
    return visible;
}

void plain_topk(const struct sps_rule *rule, const double *score, int64_t units,
                bool *take)
{
    int64_t left = rule->count;

    for (int64_t u = 0; u < units; u++) {
        take[u] = u < rule->init || u > units - 1 - rule->local;
        left -= take[u];
    }
    for (; left > 0; left--) {
        int64_t best = -1;
        for (int64_t u = 0; u < units; u++)
            if (!take[u] && (best < 0 || score[u] >= score[best]))
                best = u;
        if (best < 0)
            return;
        take[best] = true;
    }
}

/* Random scores, or true mass summed over the heads that share list `list`. */
static void fill_scores(const struct sample *p, int64_t row, int64_t list, int64_t heads,
                        int64_t block, const uint64_t *seed, double *score)
{
    int64_t share = p->shape.h / heads;
    double probs[p->shape.s];

    for (int64_t u = 0; u <= p->shape.s / block; u++) {
        uint32_t word[4];
        sps_philox(seed ? *seed : 0, 7, (uint64_t)((row * heads + list) * 4096 + u),
                   word);
        score[u] = seed ? sps_uniform(word[0]) : 0;
    }
    for (int64_t head = list * share; !seed && head < (list + 1) * share; head++) {
        int64_t visible = sample_probs(p, row, head, probs);
        for (int64_t j = 0; j < visible; j++)
            score[j / block] += probs[j];
    }
}

static void index_by(const struct sample *p, const struct sps_rule *rule, int64_t heads,
                     const uint64_t *seed, struct sps_index *index)
{
    const struct sps_shape *shape = &p->shape;
    double score[shape->s + 1];
    bool take[shape->s + 1];

    *index = (struct sps_index){shape->t, heads, rule->block, rule->count, NULL, NULL};
    need(sps_calloc((size_t)(shape->t * heads * rule->count) * sizeof *index->list,
                    (void **)&index->list));
    for (int64_t i = 0; i < shape->t * heads; i++) {
        int64_t row = i / heads, at = 0;
        int64_t visible = sps_shape_visible(shape, sps_shape_sequence(shape, row), row);
        int64_t units = (visible + rule->block - 1) / rule->block;
        fill_scores(p, row, i % heads, heads, rule->block, seed, score);
        plain_topk(rule, score, units, take);
        for (int64_t u = 0; u < units; u++)
            if (take[u])
                index->list[i * rule->count + at++] = (int32_t)u;
        while (at < rule->count)
            index->list[i * rule->count + at++] = -1;
    }
}

void index_random(const struct sample *p, const struct sps_rule *rule, int64_t heads,
                  uint64_t seed, struct sps_index *index)
{
    index_by(p, rule, heads, &seed, index);
}

void index_oracle(const struct sample *p, const struct sps_rule *rule, int64_t heads,
                  struct sps_index *index)
{
    index_by(p, rule, heads, NULL, index);
}

void index_dropped(const struct sample *p, const struct sps_index *index,
                   const struct sps_band *band, struct sps_index *dropped)
{
    const struct sps_shape *shape = &p->shape;
    int64_t lists = shape->t * shape->h, n = 0;

    *dropped = (struct sps_index){shape->t, shape->h, 1, 0, NULL, NULL};
    need(sps_calloc((size_t)(lists + 1) * sizeof *dropped->offset,
                    (void **)&dropped->offset));
    need(sps_calloc((size_t)(lists * shape->s) * sizeof *dropped->list,
                    (void **)&dropped->list));
    for (int64_t i = 0; i < lists; i++) {
        int64_t row = i / shape->h;
        int64_t visible = sps_shape_visible(shape, sps_shape_sequence(shape, row), row);
        for (int64_t j = 0; j < visible; j++)
            if (!plain_reads(shape, index, band, row, i % shape->h, j))
                dropped->list[n++] = (int32_t)j;
        dropped->offset[i + 1] = n;
    }
}

void index_free(struct sps_index *index)
{
    free(index->list), free(index->offset);
    *index = (struct sps_index){0};
}

bool plain_reads(const struct sps_shape *shape, const struct sps_index *index,
                 const struct sps_band *band, int64_t row, int64_t head, int64_t j)
{
    int64_t n = sps_shape_sequence(shape, row), count;

    if (j >= sps_shape_visible(shape, n, row))
        return false;
    if (band && sps_band_has(band, sps_shape_pos(shape, n, row), j))
        return true;
    if (!index)
        return false;
    const int32_t *list =
        sps_index_list(index, row, sps_index_head(index, shape->h, head), &count);
    for (int64_t i = 0; i < count; i++)
        if (list[i] == j / index->block)
            return true;
    return false;
}

void sample_attend(struct sample *p, const struct sps_index *index,
                   const struct sps_band *band, float *o)
{
    struct sps_rows rows = {0, p->shape.t};

    if (index)
        need(p->dev.kernels.attend(&p->dev, &p->shape, &p->in, index, band, rows, o,
                                   NULL));
    else
        need(p->dev.kernels.dense(&p->dev, &p->shape, &p->in, band, rows, o, NULL));
}
