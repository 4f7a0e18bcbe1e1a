/* nsa.c - Native Sparse Attention: compressed keys score blocks, a window is kept. */
#include "sim/method/nsa.h"

#include <string.h>

#include "sim/method/select.h"

static const struct sps_option table[] = {
#define AT(field) offsetof(struct nsa_options, field)
    {"compress_block", SPS_OPT_INT, SPS_LIST_AXIS, AT(l), "32", 1, 4096, NULL,
     "cmp_block", "tokens a compressed key covers (l)"},
    {"compress_stride", SPS_OPT_INT, SPS_LIST_AXIS, AT(u), "16", 1, 4096, NULL,
     "cmp_stride", "tokens between compressed keys (u); divides both blocks"},
    {"compress", SPS_OPT_CHOICE, SPS_LIST_AXIS, AT(compress), "mean", 0, 0, "mean|linear",
     "compress", "how l keys become one; linear takes w_k, w_v, pe_k from the data"},
    {"select_block", SPS_OPT_INT, SPS_LIST_AXIS, AT(block), "64", 1, 4096, NULL,
     "slc_block", "tokens a selected block (l')"},
    {"select_count", SPS_OPT_INT, SPS_LIST_AXIS, AT(count), "16", 1, 65536, NULL,
     "slc_count", "blocks kept, forced ones included (n)"},
    {"select_share", SPS_OPT_INT, SPS_LIST_AXIS, AT(share), "1", 1, 64, NULL, NULL,
     "neighbouring rows that choose together; divides select_block"},
    {"init_blocks", SPS_OPT_INT, SPS_LIST_AXIS, AT(init), "1", 0, 65536, NULL,
     "init_blocks", "first blocks that are always kept"},
    {"local_blocks", SPS_OPT_INT, SPS_LIST_AXIS, AT(local), "2", 0, 65536, NULL,
     "local_blocks", "own block and predecessors always kept; 0: the own block competes"},
    {"window", SPS_OPT_SIZE, SPS_LIST_AXIS, AT(window), "512", 0, 1 << 30, NULL, "window",
     "latest keys of the window branch, tokens; 0: no such branch"},
    {"gate", SPS_OPT_CHOICE, SPS_LIST_AXIS, AT(gate), "auto", 0, 0, "auto|equal|fit",
     NULL,
     "branch weights: the data's if it has them, 1/3 each, or fitted to full attention"},
    {"combine", SPS_OPT_CHOICE, SPS_LIST_AXIS, AT(combine), "gate", 0, 0, "gate|union",
     NULL, "gated branches, or one softmax over chosen blocks and window together"},
    {"keep", SPS_OPT_CHOICE, SPS_LIST_AXIS, AT(keep), "float32", 0, 0, "float32|input",
     NULL, "compressed keys and values as made, or rounded to the type of the input"},
    {0},
#undef AT
};

static bool shares(const void *options)
{
    return ((const struct nsa_options *)options)->share > 1;
}

static bool is_union(const struct sps_plan *plan)
{
    return ((const struct nsa_options *)plan->options)->combine == NSA_UNION;
}

static enum sps_status check(const struct sps_plan *plan)
{
    const struct nsa_options *o = plan->options;
    const struct sps_extras *extra = &plan->problem->extra;

    SPS_TRY(sps_select_check(plan));
    if (o->l % o->u || o->block % o->u)
        return sps_fail(SPS_ECONFIG,
                        "nsa: compress_stride %lld must divide compress_block %lld and "
                        "select_block %lld",
                        (long long)o->u, (long long)o->l, (long long)o->block);
    if (o->block % o->share)
        return sps_fail(SPS_ECONFIG,
                        "nsa: select_share %lld must divide select_block %lld",
                        (long long)o->share, (long long)o->block);
    if (shares(o) && plan->problem->decode)
        return sps_fail(SPS_ENOTSUP,
                        "nsa: select_share %lld: a decode step has one row, without "
                        "neighbours to choose with",
                        (long long)o->share);
    if (o->count < o->init + o->local)
        return sps_fail(
            SPS_ECONFIG,
            "nsa: select_count %lld is below init_blocks + local_blocks = %lld",
            (long long)o->count, (long long)(o->init + o->local));
    if (o->compress == NSA_LINEAR && (!extra->w_k.data || !extra->w_v.data))
        return sps_fail(SPS_ENOTSUP,
                        "nsa: compress linear needs w_k and w_v in the data");
    return SPS_OK;
}

static double window_pairs(const struct sps_plan *plan)
{
    const struct sps_shape *s = &plan->problem->shape;
    int64_t window = plan->band.window;
    double pairs = 0;

    for (int64_t i = 0; i < s->n; i++)
        for (int64_t r = s->cu_q[i]; r < s->cu_q[i + 1]; r++) {
            int64_t visible = sps_shape_visible(s, i, r);
            pairs += (double)(visible < window ? visible : window);
        }
    return pairs * (double)s->h;
}

/* k and v of every window of l tokens.  Backward: their gradients, and w's. */
static struct sps_cost compress_cost(const struct sps_plan *plan)
{
    const struct nsa_options *o = plan->options;
    const struct sps_shape *s = &plan->problem->shape;
    double read = (double)(plan->made * s->g * o->l * (s->dk + s->dv));
    double wrote = (double)(plan->made * s->g * (s->dk + s->dv));
    double per_read = o->compress == NSA_LINEAR ? (double)(s->dk + s->dv) : 1;

    if (plan->problem->backward)
        return (struct sps_cost){.flops = read * per_read *
                                          (o->compress == NSA_LINEAR ? 2 : 1),
                                 .bytes = (read + wrote) * sizeof(float)};
    return (struct sps_cost){.flops = read * per_read,
                             .bytes =
                                 read * (double)sps_dtype_size(plan->problem->dtype) +
                                 wrote * sizeof(float)};
}

/* Forward three products and sums, backward three of each kind (d_part, dgate). */
static struct sps_cost combine_cost(const struct sps_plan *plan)
{
    const struct sps_shape *s = &plan->problem->shape;
    double gated = (double)(s->t * s->h * s->dv);

    if (plan->problem->backward)
        return (struct sps_cost){.flops = 9 * gated, .bytes = 28 * gated};
    return (struct sps_cost){.flops = 6 * gated, .bytes = 16 * gated};
}

/* What separate stages move and a fused one does not: o_slc and o_win written to memory
 * and read again, as sps_cost_attend() and combine_cost() count them, and q read twice.
 */
static struct sps_cost fused_cost(const struct sps_plan *plan,
                                  const struct sps_cost *parts)
{
    const struct sps_shape *s = &plan->problem->shape;
    double size = (double)sps_dtype_size(plan->problem->dtype),
           rows = (double)(s->t * s->h), dv = (double)s->dv;
    struct sps_cost cost = {0};

    for (int i = 0; i < NSA_BRANCHES; i++) {
        cost.flops += parts[i].flops;
        cost.bytes += parts[i].bytes;
    }
    cost.bytes -= rows * (size * ((double)s->dk + 2 * dv) + 8 * dv);
    return cost;
}

/* With union the compressed branch scores and nothing more: no gradient. */
static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    const struct sps_shape *s = &plan->problem->shape;
    bool compressed = !is_union(plan) || !plan->problem->backward;

    cost[SPS_STAGE_ATTEND] =
        sps_cost_attend(plan, is_union(plan) ? pairs.both : pairs.index);
    if (compressed) {
        cost[SPS_STAGE_COMPRESS] = compress_cost(plan);
        cost[SPS_STAGE_SCORE] =
            sps_cost_attend(plan, sps_compress_pairs(plan) * (double)s->h);
    }
    if (is_union(plan))
        return;
    struct sps_cost window = sps_cost_attend(plan, window_pairs(plan)),
                    combine = combine_cost(plan);
    if (nsa_fused(plan)) {
        const struct sps_cost parts[] = {cost[SPS_STAGE_ATTEND], window, combine};
        cost[SPS_STAGE_ATTEND] = fused_cost(plan, parts);
        return;
    }
    cost[SPS_STAGE_WINDOW] = window;
    cost[SPS_STAGE_COMBINE] = combine;
}

static void note_gate(struct sps_plan *plan)
{
    const struct nsa_options *o = plan->options;
    bool file = o->gate == NSA_GATE_AUTO && plan->problem->extra.gate.data;

    strcpy(plan->note, is_union(plan) ? "" : file ? "file" : "equal");
}

/* Half of the window lies outside the forced local blocks, at a guess. */
static double union_pairs(const struct sps_plan *plan)
{
    const struct nsa_options *o = plan->options;
    double local = (double)(o->local * o->block), window = (double)o->window;
    double beyond = window > local ? (window - local) / window : 0;

    return plan->pairs.index + beyond * window_pairs(plan);
}

/* Scores and choice are one kernel, which has each row choose for itself. */
static bool selects_fused(const struct sps_plan *plan)
{
    return plan->dev->kernels.compressed_select && !shares(plan->options);
}

static enum sps_status plan(struct sps_plan *plan)
{
    const struct nsa_options *o = plan->options;

    SPS_NEED(plan->dev, compressed);
    SPS_NEED(plan->dev, attend);
    SPS_NEED(plan->dev, combine);
    if (shares(o))
        SPS_NEED(plan->dev, share);
    SPS_TRY(check(plan));
    SPS_TRY(nsa_need_backward(plan));
    SPS_TRY(sps_compress_plan(plan, o->l, o->u));
    if (o->keep == NSA_KEEP_INPUT)
        plan->by.rounded = plan->kept.rounded = plan->problem->dtype;
    sps_select_plan(
        plan, plan->problem->shape.g,
        (struct sps_rule){
            .block = o->block, .count = o->count, .init = o->init, .local = o->local});
    plan->tile = o->share;
    if (selects_fused(plan))
        plan->row_bytes = 0;
    plan->band.window = o->window;
    plan->pairs.both = union_pairs(plan);
    plan->fixed_bytes = nsa_cut(plan, NULL, &(struct nsa_work){0});
    plan->gradient_bytes = nsa_cut_gradients(plan, NULL, &(struct nsa_gradients){0});
    note_gate(plan);
    cost(plan, plan->pairs, plan->cost);
    return SPS_OK;
}

static enum sps_status compress(struct sps_call *call, const struct sps_compression *by,
                                const struct sps_tensor *x, const struct sps_tensor *pe,
                                const struct sps_tensor *w, float *out)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_shape *shape = &plan->problem->shape;
    const struct sps_kernels *kernels = &call->dev->kernels;

    if (((const struct nsa_options *)plan->options)->compress == NSA_MEAN)
        return kernels->compress_mean(call->dev, shape, x, by, out);
    return kernels->compress_linear(call->dev, shape, x, pe, w, by, out);
}

static enum sps_status compress_both(struct sps_call *call,
                                     const struct sps_compression *by)
{
    const struct sps_problem *p = call->plan->problem;
    static const struct sps_tensor none;
    struct nsa_work work;

    nsa_cut(call->plan, call->fixed, &work);
    SPS_RUN(call, SPS_STAGE_COMPRESS,
            compress(call, by, &p->in.k, &p->extra.pe_k, &p->extra.w_k, work.k_cmp));
    SPS_RUN(call, SPS_STAGE_COMPRESS,
            compress(call, by, &p->in.v, &none, &p->extra.w_v, work.v_cmp));
    return SPS_OK;
}

static enum sps_status prepare(struct sps_call *call)
{
    return compress_both(call, &call->plan->kept);
}

static enum sps_status begin(struct sps_call *call)
{
    return compress_both(call, &call->plan->by);
}

static enum sps_status select(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_problem *p = plan->problem;
    const struct sps_kernels *kernels = &call->dev->kernels;
    struct nsa_work work;

    nsa_cut(plan, call->fixed, &work);
    if (selects_fused(plan)) {
        SPS_RUN(call, SPS_STAGE_SCORE,
                kernels->compressed_select(call->dev, &p->shape, &p->in.q, work.k_cmp,
                                           work.v_cmp, &plan->by, &plan->rule, rows,
                                           work.o_cmp, work.lse_cmp, &call->index));
        return SPS_OK;
    }
    SPS_RUN(call, SPS_STAGE_SCORE,
            kernels->compressed(call->dev, &p->shape, &p->in.q, work.k_cmp, work.v_cmp,
                                &plan->by, plan->index_block, rows, work.o_cmp,
                                work.lse_cmp, call->scratch));
    if (shares(plan->options))
        SPS_RUN(call, SPS_STAGE_SELECT,
                kernels->share(call->dev, &p->shape, plan->tile, plan->index_block,
                               plan->index_heads, rows, call->scratch));
    return sps_select_topk(call, rows);
}

static enum sps_status attend_fused(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_problem *p = plan->problem;
    const float *constant, *gate = nsa_gates(plan, &constant);
    struct nsa_work work;

    nsa_cut(plan, call->fixed, &work);
    SPS_RUN(call, SPS_STAGE_ATTEND,
            call->dev->kernels.attend_gated(call->dev, &p->shape, &p->in, &call->index,
                                            plan->band.window, work.o_cmp, gate, constant,
                                            rows, call->o));
    return SPS_OK;
}

static enum sps_status attend_apart(struct sps_call *call, struct sps_rows rows)
{
    static const struct sps_band none;
    const struct sps_plan *plan = call->plan;
    const struct sps_problem *p = plan->problem;
    const struct sps_kernels *kernels = &call->dev->kernels;
    struct nsa_work work;

    nsa_cut(plan, call->fixed, &work);
    SPS_RUN(call, SPS_STAGE_ATTEND,
            kernels->attend(call->dev, &p->shape, &p->in, &call->index, &none, rows,
                            work.o_slc, work.lse_slc));
    if (plan->band.window)
        SPS_RUN(call, SPS_STAGE_WINDOW,
                kernels->dense(call->dev, &p->shape, &p->in, &plan->band, rows,
                               work.o_win, work.lse_win));
    SPS_RUN(call, SPS_STAGE_COMBINE, nsa_combine(call, &work, NULL, rows));
    return SPS_OK;
}

static enum sps_status attend(struct sps_call *call, struct sps_rows rows)
{
    if (is_union(call->plan))
        return sps_select_attend(call, rows);
    return nsa_fused(call->plan) ? attend_fused(call, rows) : attend_apart(call, rows);
}

const struct sps_method sps_method_nsa = {
    .name = "nsa",
    .summary = "compressed attention scores blocks; selected blocks, window and gates",
    .source = "Yuan et al. 2025 (NSA), arXiv 2502.11089, section 3",
    .options = table,
    .options_size = sizeof(struct nsa_options),
    .score = SPS_SCORE_MASS,
    .plan = plan,
    .prepare = prepare,
    .begin = begin,
    .select = select,
    .attend = attend,
    .backward = nsa_backward,
    .backward_end = nsa_backward_end,
    .cost = cost,
    .shares = shares,
    .fits = nsa_fits,
    .fit = nsa_fit,
    .peek = nsa_peek,
};
