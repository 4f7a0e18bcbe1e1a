/* nsa_backward.c - NSA's gradients: through the gates to the three branches, and from the
 * compressed keys and values to the tokens and to the map that made them. */
#include "sim/method/nsa.h"
#include "sim/method/select.h"

static bool is_union(const struct sps_plan *plan)
{
    return ((const struct nsa_options *)plan->options)->combine == NSA_UNION;
}

static bool is_linear(const struct sps_plan *plan)
{
    return ((const struct nsa_options *)plan->options)->compress == NSA_LINEAR;
}

enum sps_status nsa_need_backward(const struct sps_plan *plan)
{
    if (!plan->problem->backward)
        return SPS_OK;
    if (nsa_fits(plan->options))
        return sps_fail(SPS_ENOTSUP,
                        "nsa: gate fit has no backward pass: auto and equal have");
    SPS_NEED(plan->dev, attend_backward);
    SPS_NEED(plan->dev, dense_backward);
    SPS_NEED(plan->dev, compressed_backward);
    SPS_NEED(plan->dev, combine_backward);
    if (is_linear(plan))
        SPS_NEED(plan->dev, compress_linear_backward);
    else
        SPS_NEED(plan->dev, compress_mean_backward);
    return SPS_OK;
}

size_t nsa_cut_gradients(const struct sps_plan *plan, void *base,
                         struct nsa_gradients *gradients)
{
    const struct sps_shape *s = &plan->problem->shape;
    const struct sps_extras *extra = &plan->problem->extra;
    size_t used = 0, key = (size_t)(plan->compressed * s->g) * sizeof(float);

    *gradients = (struct nsa_gradients){0};
    if (!plan->problem->backward || is_union(plan))
        return 0;
    gradients->k_cmp = sps_arena_take(base, &used, key * (size_t)s->dk);
    gradients->v_cmp = sps_arena_take(base, &used, key * (size_t)s->dv);
    if (!is_linear(plan))
        return used;
    gradients->w_k = sps_arena_take(
        base, &used, (size_t)sps_tensor_count(&extra->w_k) * sizeof(float));
    gradients->w_v = sps_arena_take(
        base, &used, (size_t)sps_tensor_count(&extra->w_v) * sizeof(float));
    if (extra->pe_k.data)
        gradients->pe_k = sps_arena_take(
            base, &used, (size_t)sps_tensor_count(&extra->pe_k) * sizeof(float));
    return used;
}

/* Each branch's share of d_o, then from each branch to q and to the keys it read. */
static enum sps_status branches_backward(struct sps_call *call, struct sps_rows rows)
{
    static const struct sps_band none;
    const struct sps_plan *plan = call->plan;
    const struct sps_problem *p = plan->problem;
    const struct sps_kernels *kernels = &call->dev->kernels;
    struct sps_gradients to = sps_call_gradients(call);
    struct nsa_gradients d;
    struct nsa_work w;

    nsa_cut(plan, call->fixed, &w);
    nsa_cut_gradients(plan, call->gradients, &d);
    const float *const part[NSA_BRANCHES] = {w.o_cmp, w.o_slc, w.o_win};
    const float *constant, *gate = nsa_gates(plan, &constant);
    struct sps_output cmp = {w.o_cmp, w.lse_cmp, w.d_part[0]};
    struct sps_output slc = {w.o_slc, w.lse_slc, w.d_part[1]};
    struct sps_output win = {w.o_win, w.lse_win, w.d_part[2]};
    struct sps_gradients to_cmp = {call->dq, d.k_cmp, d.v_cmp};

    SPS_RUN(call, SPS_STAGE_COMBINE,
            kernels->combine_backward(call->dev, &p->shape, NSA_BRANCHES, part, gate,
                                      constant, rows, call->d_o, w.d_part, w.dgate));
    SPS_RUN(call, SPS_STAGE_ATTEND,
            kernels->attend_backward(call->dev, &p->shape, &p->in, &call->index, &none,
                                     rows, &slc, &to));
    if (plan->band.window)
        SPS_RUN(call, SPS_STAGE_WINDOW,
                kernels->dense_backward(call->dev, &p->shape, &p->in, &plan->band, rows,
                                        &win, &to));
    SPS_RUN(call, SPS_STAGE_SCORE,
            kernels->compressed_backward(call->dev, &p->shape, &p->in.q, w.k_cmp, w.v_cmp,
                                         &plan->by, rows, &cmp, &to_cmp));
    return SPS_OK;
}

enum sps_status nsa_backward(struct sps_call *call, struct sps_rows rows)
{
    return is_union(call->plan) ? sps_select_backward(call, rows)
                                : branches_backward(call, rows);
}

static enum sps_status
compress_backward(struct sps_call *call, const struct sps_tensor *x,
                  const struct sps_tensor *pe, const struct sps_tensor *w,
                  const float *d_out, const struct sps_tensor *dx, float *dw, float *dpe)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_shape *shape = &plan->problem->shape;
    const struct sps_kernels *kernels = &call->dev->kernels;

    if (!is_linear(plan))
        return kernels->compress_mean_backward(call->dev, shape, d_out, &plan->by, dx);
    return kernels->compress_linear_backward(call->dev, shape, x, pe, w, d_out, &plan->by,
                                             dx, dw, dpe);
}

enum sps_status nsa_backward_end(struct sps_call *call)
{
    static const struct sps_tensor none;
    const struct sps_problem *p = call->plan->problem;
    const struct sps_shape *s = &p->shape;
    struct nsa_gradients d;

    if (is_union(call->plan))
        return SPS_OK;
    nsa_cut_gradients(call->plan, call->gradients, &d);
    struct sps_tensor dk = sps_tensor_view(call->dk, SPS_F32, s->s, s->g, s->dk, 1);
    struct sps_tensor dv = sps_tensor_view(call->dv, SPS_F32, s->s, s->g, s->dv, 1);
    SPS_RUN(call, SPS_STAGE_COMPRESS,
            compress_backward(call, &p->in.k, &p->extra.pe_k, &p->extra.w_k, d.k_cmp, &dk,
                              d.w_k, d.pe_k));
    SPS_RUN(call, SPS_STAGE_COMPRESS,
            compress_backward(call, &p->in.v, &none, &p->extra.w_v, d.v_cmp, &dv, d.w_v,
                              NULL));
    return SPS_OK;
}
