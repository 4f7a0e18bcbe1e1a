/* kernels_run.c - every kernel of a device once, on one problem. */
#include "tests/property/kernels_run.h"

#include <stdlib.h>

#include "base/rng.h"

const char *const output_name[OUTPUTS] = {
    "dense o",           "dense lse",      "band o",
    "band lse",          "compressed o",   "compressed lse",
    "compressed scores", "gate scores",    "bound scores",
    "largest q.k",       "indexer scores", "mass by head",
    "mass by group",     "noise",          "blocks o",
    "blocks lse",        "heads o",        "heads lse",
    "union o",           "union lse",      "tokens o",
    "tokens lse",        "combined",       "nsa index",
    "moba index",        "k mean",         "v mean",
    "k linear",          "block means",    "block ranges"};

void options_draw(uint64_t seed, struct options *options)
{
    static const int64_t kinds[][3] = {
        {32, 16, 64}, {16, 16, 16}, {32, 8, 32}, {8, 8, 24}, {16, 16, 288}};
    const int64_t *kind = kinds[problem_draw(seed, 100, 0, 4)];

    *options = (struct options){
        .l = kind[0],
        .u = kind[1],
        .block = kind[2],
        .init = problem_draw(seed, 101, 0, 1),
        .local = problem_draw(seed, 102, 0, 2),
        .topk = problem_draw(seed, 103, 1, 4),
        .band = {.window = problem_draw(seed, 104, 0, 1) * problem_draw(seed, 105, 1, 90),
                 .sink = problem_draw(seed, 106, 0, 1) * problem_draw(seed, 107, 1, 40)}};
    options->count = options->init + options->local + problem_draw(seed, 108, 1, 3);
}

static struct sps_index bounded(const struct problem *p, int64_t heads, int64_t block,
                                int64_t width, float *list)
{
    return (struct sps_index){.t = p->shape.t,
                              .heads = heads,
                              .block = block,
                              .width = width,
                              .list = (int32_t *)list};
}

struct sps_index nsa_index(const struct problem *p, const struct options *options,
                           float *list)
{
    return bounded(p, p->shape.g, options->block, options->count, list);
}

struct sps_index moba_index(const struct problem *p, const struct options *options,
                            float *list)
{
    return bounded(p, p->shape.h, options->block, options->topk, list);
}

static void allocate(const struct problem *p, const struct options *options,
                     const int64_t *by, const int64_t *whole, struct outputs *out)
{
    const struct sps_shape *shape = &p->shape;
    int64_t nb = sps_shape_blocks(shape, options->block);
    int64_t o = shape->h * shape->dv, lse = shape->h, m = by[shape->n],
            w = whole[shape->n];
    const int64_t width[OUTPUTS] = {[DENSE_O] = o,
                                    [DENSE_LSE] = lse,
                                    [BAND_O] = o,
                                    [BAND_LSE] = lse,
                                    [CMP_O] = o,
                                    [CMP_LSE] = lse,
                                    [CMP_SCORES] = shape->g * nb,
                                    [GATE_SCORES] = shape->h * nb,
                                    [BOUND_SCORES] = shape->h * nb,
                                    [MAX_SCORES] = shape->g * nb,
                                    [INDEXER_SCORES] = sps_shape_blocks(shape, 1),
                                    [MASS_H] = shape->h * nb,
                                    [MASS_G] = shape->g * nb,
                                    [NOISE] = shape->h * nb,
                                    [BLOCKS_O] = o,
                                    [BLOCKS_LSE] = lse,
                                    [HEADS_O] = o,
                                    [HEADS_LSE] = lse,
                                    [UNION_O] = o,
                                    [UNION_LSE] = lse,
                                    [TOKENS_O] = o,
                                    [TOKENS_LSE] = lse,
                                    [COMBINED] = o,
                                    [NSA_INDEX] = shape->g * options->count,
                                    [MOBA_INDEX] = shape->h * options->topk,
                                    [K_MEAN] = m * shape->g * shape->dk,
                                    [V_MEAN] = m * shape->g * shape->dv,
                                    [K_LINEAR] = m * shape->g * shape->dk,
                                    [MEANS] = w * shape->g * shape->dk,
                                    [RANGES] = w * shape->g * 2 * shape->dk};

    for (int i = 0; i < OUTPUTS; i++) {
        out->width[i] = width[i];
        out->x[i] = problem_floats(width[i] * (i < PER_ROW ? shape->t : 1) + 1);
    }
}

void outputs_free(struct outputs *out)
{
    for (int i = 0; i < OUTPUTS; i++)
        free(out->x[i]);
}

struct run {
    struct sps_device *dev;
    const struct problem *p;
    const struct options *options;
    const struct outputs *from; /* what later kernels read */
    struct outputs *out;
    struct sps_compression by, whole;
};

static float *at(struct outputs *out, enum output which, int64_t row)
{
    return out->x[which] + out->width[which] * row;
}

static enum sps_status compress(const struct run *run)
{
    const struct sps_shape *shape = &run->p->shape;
    const struct sps_kernels *kernels = &run->dev->kernels;
    const struct sps_tensor *k = &run->p->in.k;
    int64_t n = run->options->l * shape->dk;
    float *pe = problem_floats(shape->g * n),
          *w = problem_floats(shape->g * n * shape->dk);
    struct sps_tensor pe_view =
        sps_tensor_view(pe, SPS_F32, shape->g, run->options->l, shape->dk, 1);
    struct sps_tensor w_view = sps_tensor_view(w, SPS_F32, shape->g, n, shape->dk, 1);

    sps_normals(7, 1, 0, shape->g * n, pe);
    sps_normals(7, 2, 0, shape->g * n * shape->dk, w);
    enum sps_status status =
        kernels->compress_linear(run->dev, shape, k, run->p->seed % 2 ? &pe_view : NULL,
                                 &w_view, &run->by, run->out->x[K_LINEAR]);
    free(pe);
    free(w);
    SPS_TRY(status);
    SPS_TRY(kernels->compress_mean(run->dev, shape, k, &run->by, run->out->x[K_MEAN]));
    SPS_TRY(kernels->compress_mean(run->dev, shape, &run->p->in.v, &run->by,
                                   run->out->x[V_MEAN]));
    SPS_TRY(kernels->key_range(run->dev, shape, k, &run->whole, run->out->x[RANGES]));
    return kernels->compress_mean(run->dev, shape, k, &run->whole, run->out->x[MEANS]);
}

static enum sps_status score(const struct run *run, struct sps_rows rows)
{
    const struct sps_shape *shape = &run->p->shape;
    const struct sps_kernels *kernels = &run->dev->kernels;
    const struct sps_qkv *in = &run->p->in;
    struct outputs *out = run->out;
    int64_t block = run->options->block, r = rows.begin;

    SPS_TRY(kernels->compressed(run->dev, shape, &in->q, run->from->x[K_MEAN],
                                run->from->x[V_MEAN], &run->by, block, rows,
                                out->x[CMP_O], out->x[CMP_LSE], at(out, CMP_SCORES, r)));
    SPS_TRY(kernels->gate(run->dev, shape, &in->q, run->from->x[MEANS], &run->whole, rows,
                          at(out, GATE_SCORES, r)));
    SPS_TRY(kernels->key_bound(run->dev, shape, &in->q, run->from->x[RANGES], &run->whole,
                               rows, at(out, BOUND_SCORES, r)));
    SPS_TRY(kernels->block_max(run->dev, shape, in, block, shape->g, rows,
                               at(out, MAX_SCORES, r)));
    SPS_TRY(kernels->indexer(run->dev, shape, &run->p->q_idx, &run->p->k_idx,
                             &run->p->w_idx, rows, at(out, INDEXER_SCORES, r)));
    SPS_TRY(
        kernels->mass(run->dev, shape, in, block, shape->h, rows, at(out, MASS_H, r)));
    SPS_TRY(
        kernels->mass(run->dev, shape, in, block, shape->g, rows, at(out, MASS_G, r)));
    return kernels->noise(run->dev, shape, 5, block, shape->h, rows, at(out, NOISE, r));
}

static enum sps_status choose(const struct run *run, struct sps_rows rows)
{
    const struct options *options = run->options;
    struct sps_index nsa = nsa_index(run->p, options, run->out->x[NSA_INDEX]);
    struct sps_index moba = moba_index(run->p, options, run->out->x[MOBA_INDEX]);
    struct sps_rule nsa_rule = {options->block, options->count, options->init,
                                options->local};
    struct sps_rule moba_rule = {options->block, options->topk, 0, 1};
    struct outputs from = *run->from;

    SPS_TRY(run->dev->kernels.topk(run->dev, &run->p->shape,
                                   at(&from, CMP_SCORES, rows.begin), &nsa_rule, rows,
                                   &nsa));
    return run->dev->kernels.topk(run->dev, &run->p->shape,
                                  at(&from, GATE_SCORES, rows.begin), &moba_rule, rows,
                                  &moba);
}

/* The same lists read as tokens: block 1. */
static enum sps_status attend_tokens(const struct run *run, struct sps_rows rows)
{
    struct sps_index index = nsa_index(run->p, run->options, run->from->x[NSA_INDEX]);

    index.block = 1;
    return run->dev->kernels.attend(run->dev, &run->p->shape, &run->p->in, &index,
                                    &run->options->band, rows, run->out->x[TOKENS_O],
                                    run->out->x[TOKENS_LSE]);
}

static enum sps_status attend(const struct run *run, struct sps_rows rows)
{
    const struct sps_shape *shape = &run->p->shape;
    const struct sps_kernels *kernels = &run->dev->kernels;
    const struct sps_qkv *in = &run->p->in;
    const struct sps_band all = {.all = true}, none = {0};
    struct sps_index nsa = nsa_index(run->p, run->options, run->from->x[NSA_INDEX]);
    struct sps_index moba = moba_index(run->p, run->options, run->from->x[MOBA_INDEX]);
    float *const *x = run->out->x;
    const float *const part[] = {x[DENSE_O], x[BAND_O], x[BLOCKS_O]};
    static const float constant[] = {0.25f, -0.5f, 2};

    SPS_TRY(kernels->dense(run->dev, shape, in, &all, rows, x[DENSE_O], x[DENSE_LSE]));
    SPS_TRY(kernels->dense(run->dev, shape, in, &run->options->band, rows, x[BAND_O],
                           x[BAND_LSE]));
    SPS_TRY(kernels->attend(run->dev, shape, in, &nsa, &none, rows, x[BLOCKS_O],
                            x[BLOCKS_LSE]));
    SPS_TRY(kernels->attend(run->dev, shape, in, &moba, &none, rows, x[HEADS_O],
                            x[HEADS_LSE]));
    SPS_TRY(kernels->attend(run->dev, shape, in, &nsa, &run->options->band, rows,
                            x[UNION_O], x[UNION_LSE]));
    SPS_TRY(attend_tokens(run, rows));
    return kernels->combine(run->dev, shape, 3, part, NULL, constant, rows, x[COMBINED]);
}

static enum sps_status run_rows(const struct run *run, struct sps_rows rows)
{
    SPS_TRY(score(run, rows));
    SPS_TRY(choose(run, rows));
    return attend(run, rows);
}

enum sps_status outputs_make(struct sps_device *dev, const struct problem *p,
                             const struct options *options, const struct outputs *given,
                             struct outputs *out)
{
    int64_t by[PROBLEM_SEQUENCES + 1], whole[PROBLEM_SEQUENCES + 1];
    int64_t cut = p->shape.t > 100 ? 90 : p->shape.t / 3;
    struct run run = {dev,
                      p,
                      options,
                      given ? given : out,
                      out,
                      {.l = options->l, .u = options->u, .cu = by},
                      {.l = options->block, .u = options->block, .cu = whole}};

    sps_compressed_offsets(&p->shape, options->l, options->u, by);
    sps_compressed_offsets(&p->shape, options->block, options->block, whole);
    allocate(p, options, by, whole, out);
    SPS_TRY(compress(&run));
    SPS_TRY(run_rows(&run, (struct sps_rows){0, cut}));
    return run_rows(&run, (struct sps_rows){cut, p->shape.t});
}
