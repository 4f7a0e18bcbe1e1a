/* nsa_gate.c - NSA's workspace, its gates, and fitting them to full attention. */
#include "sim/method/nsa.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool nsa_fused(const struct sps_plan *plan)
{
    const struct sps_kernels *kernels = &plan->dev->kernels;
    const struct sps_problem *p = plan->problem;
    const struct sps_index form = {.t = p->shape.t,
                                   .heads = plan->index_heads,
                                   .block = plan->index_block,
                                   .width = plan->index_width};

    return ((const struct nsa_options *)plan->options)->combine == NSA_GATED &&
           !nsa_fits(plan->options) && !p->backward && !p->keep &&
           kernels->attend_gated &&
           kernels->attend_gated_suits(plan->dev, &p->shape, p->dtype, &form);
}

/* A branch's part of the workspace, unless it is fused away. */
static float *branch(bool fused, void *base, size_t *used, size_t bytes)
{
    return fused ? NULL : sps_arena_take(base, used, bytes);
}

size_t nsa_cut(const struct sps_plan *plan, void *base, struct nsa_work *work)
{
    const struct sps_shape *s = &plan->problem->shape;
    size_t used = 0, row = (size_t)(s->t * s->h) * sizeof(float);
    size_t key = (size_t)(plan->compressed * s->g) * sizeof(float);
    bool fused = nsa_fused(plan);

    work->k_cmp = sps_arena_take(base, &used, key * (size_t)s->dk);
    work->v_cmp = sps_arena_take(base, &used, key * (size_t)s->dv);
    work->o_cmp = sps_arena_take(base, &used, row * (size_t)s->dv);
    work->o_slc = branch(fused, base, &used, row * (size_t)s->dv);
    work->o_win = branch(fused, base, &used, row * (size_t)s->dv);
    work->lse_cmp = sps_arena_take(base, &used, row);
    work->lse_slc = branch(fused, base, &used, row);
    work->lse_win = branch(fused, base, &used, row);
    work->gate =
        nsa_fits(plan->options) ? sps_arena_take(base, &used, row * NSA_BRANCHES) : NULL;
    work->dgate = NULL;
    if (!plan->problem->backward)
        return used;
    for (int b = 0; b < NSA_BRANCHES; b++)
        work->d_part[b] = sps_arena_take(base, &used, row * (size_t)s->dv);
    work->dgate = sps_arena_take(base, &used, row * NSA_BRANCHES);
    return used;
}

const float *nsa_gates(const struct sps_plan *plan, const float **constant)
{
    static const float equal[NSA_BRANCHES] = {1 / 3.0f, 1 / 3.0f, 1 / 3.0f};
    const struct nsa_options *o = plan->options;

    *constant = equal;
    return o->gate == NSA_GATE_AUTO ? plan->problem->extra.gate.data : NULL;
}

enum sps_status nsa_combine(struct sps_call *call, const struct nsa_work *work,
                            const float *gate, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;
    const float *const part[NSA_BRANCHES] = {work->o_cmp, work->o_slc, work->o_win};
    const float *constant, *given = nsa_gates(call->plan, &constant);

    return call->dev->kernels.combine(call->dev, &p->shape, NSA_BRANCHES, part,
                                      gate ? gate : given, constant, rows, call->o);
}

bool nsa_fits(const void *options)
{
    const struct nsa_options *o = options;
    return o->gate == NSA_GATE_FIT && o->combine == NSA_GATED;
}

/* LAPACK: solve the symmetric positive definite a x = b; column major. */
extern void dposv_(const char *uplo, const int *n, const int *nrhs, double *a,
                   const int *lda, double *b, const int *ldb, int *info);

/* Normal equations of one head, summed over the rows given. */
struct normal {
    double a[NSA_BRANCHES * NSA_BRANCHES], b[NSA_BRANCHES];
};

static void accumulate(struct normal *eq, const float *const part[NSA_BRANCHES],
                       const float *target, int64_t dv)
{
    for (int i = 0; i < NSA_BRANCHES; i++)
        for (int64_t x = 0; x < dv; x++) {
            eq->b[i] += (double)part[i][x] * target[x];
            for (int j = 0; j < NSA_BRANCHES; j++)
                eq->a[i * NSA_BRANCHES + j] += (double)part[i][x] * part[j][x];
        }
}

/* A tiny ridge keeps a branch that is empty, or equal to another, solvable. */
static enum sps_status solve(struct normal *eq)
{
    const int n = NSA_BRANCHES, one = 1;
    double trace = 0;
    int info;

    for (int i = 0; i < n; i++)
        trace += eq->a[i * n + i];
    for (int i = 0; i < n; i++)
        eq->a[i * n + i] += 1e-9 * trace + 1e-30;
    dposv_("U", &n, &one, eq->a, &n, eq->b, &n, &info);
    if (info != 0)
        return sps_fail(SPS_ENUMERIC, "nsa: gates cannot be fitted: dposv info %d", info);
    return SPS_OK;
}

/* Add `rows` of all heads to eq[h]; part rows are fetched one at a time. */
static enum sps_status gather(struct sps_call *call, const struct nsa_work *work,
                              const int64_t *rows, int64_t count, const float *o_full,
                              float *buffer, struct normal *eq)
{
    const struct sps_shape *s = &call->plan->problem->shape;
    const float *const branch[NSA_BRANCHES] = {work->o_cmp, work->o_slc, work->o_win};
    int64_t size = s->h * s->dv;

    for (int64_t r = 0; r < count; r++) {
        for (int i = 0; i < NSA_BRANCHES; i++)
            SPS_TRY(call->dev->backend->download(call->dev, buffer + i * size,
                                                 branch[i] + rows[r] * size,
                                                 (size_t)size * sizeof(float)));
        for (int64_t x = 0; x < s->h; x++) {
            const float *at = buffer + x * s->dv;
            const float *const part[NSA_BRANCHES] = {at, at + size, at + 2 * size};
            accumulate(&eq[x], part, o_full + r * size + x * s->dv, s->dv);
        }
    }
    return SPS_OK;
}

/* The same three constants for every row of a head: gate[t,h,3] to the device. */
static enum sps_status broadcast(struct sps_call *call, const struct normal *eq,
                                 float *gate)
{
    const struct sps_shape *s = &call->plan->problem->shape;
    size_t row = (size_t)(s->h * NSA_BRANCHES);
    void *all;

    SPS_TRY(sps_calloc((size_t)s->t * row * sizeof(float), &all));
    float *out = all;
    for (int64_t r = 0; r < s->t; r++)
        for (size_t i = 0; i < row; i++)
            *out++ = (float)eq[i / NSA_BRANCHES].b[i % NSA_BRANCHES];
    enum sps_status status = call->dev->backend->upload(
        call->dev, gate, all, (size_t)s->t * row * sizeof(float));
    free(all);
    return status;
}

static void describe(const struct normal *eq, int64_t h, char *note, size_t size)
{
    double mean[NSA_BRANCHES] = {0};

    for (int64_t x = 0; x < h; x++)
        for (int i = 0; i < NSA_BRANCHES; i++)
            mean[i] += eq[x].b[i] / (double)h;
    snprintf(note, size, "fit %.3f %.3f %.3f (mean of heads)", mean[0], mean[1], mean[2]);
}

static enum sps_status fit(struct sps_call *call, const int64_t *rows, int64_t count,
                           const float *o_full, struct normal *eq, float *buffer)
{
    const struct sps_shape *s = &call->plan->problem->shape;
    struct nsa_work work;

    nsa_cut(call->plan, call->fixed, &work);
    SPS_TRY(gather(call, &work, rows, count, o_full, buffer, eq));
    for (int64_t x = 0; x < s->h; x++)
        SPS_TRY(solve(&eq[x]));
    SPS_TRY(broadcast(call, eq, work.gate));
    return nsa_combine(call, &work, work.gate, (struct sps_rows){0, s->t});
}

enum sps_status nsa_fit(struct sps_call *call, const int64_t *rows, int64_t count,
                        const float *o_full, char *note, size_t size)
{
    const struct sps_shape *s = &call->plan->problem->shape;
    struct normal *eq = calloc((size_t)s->h, sizeof *eq);
    float *buffer = calloc((size_t)(NSA_BRANCHES * s->h * s->dv), sizeof *buffer);
    enum sps_status status = SPS_OK;

    if (!eq || !buffer)
        status = sps_fail(SPS_ENOMEM, "nsa: cannot allocate the fit's buffers");
    else
        status = fit(call, rows, count, o_full, eq, buffer);
    if (status == SPS_OK)
        describe(eq, s->h, note, size);
    free(eq);
    free(buffer);
    return status;
}

bool nsa_peek(const struct sps_call *call, const char *name, struct sps_tensor *x)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_shape *s = &plan->problem->shape;
    const struct sps_extras *extra = &plan->problem->extra;
    struct nsa_gradients d;
    struct nsa_work w;

    nsa_cut(plan, call->fixed, &w);
    nsa_cut_gradients(plan, call->gradients, &d);
    const struct {
        const char *name;
        float *data;
        int64_t dim[3];
    } views[] = {
        {"k_cmp", w.k_cmp, {plan->compressed, s->g, s->dk}},
        {"v_cmp", w.v_cmp, {plan->compressed, s->g, s->dv}},
        {"o_cmp", w.o_cmp, {s->t, s->h, s->dv}},
        {"o_slc", w.o_slc, {s->t, s->h, s->dv}},
        {"o_win", w.o_win, {s->t, s->h, s->dv}},
        {"lse_cmp", w.lse_cmp, {s->t, s->h, 1}},
        {"dgate", w.dgate, {s->t, s->h, NSA_BRANCHES}},
        {"dw_k", d.w_k, {s->g, extra->w_k.dim[1], s->dk}},
        {"dw_v", d.w_v, {s->g, extra->w_v.dim[1], s->dv}},
        {"dpe_k", d.pe_k, {s->g, extra->pe_k.dim[1], s->dk}},
    };
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        if (strcmp(views[i].name, name) == 0)
            return *x = sps_tensor_view(views[i].data, SPS_F32, views[i].dim[0],
                                        views[i].dim[1], views[i].dim[2], 1),
                   x->data != NULL;
    return false;
}
