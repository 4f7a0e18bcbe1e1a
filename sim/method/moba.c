/* moba.c - MoBA: each query head keeps the blocks whose mean key it likes best. */
#include <string.h>

#include "sim/method/select.h"

struct options {
    int64_t block, topk;
};

static const struct sps_option table[] = {
    {"block", SPS_OPT_SIZE, SPS_LIST_AXIS, offsetof(struct options, block), "512", 1,
     1 << 20, NULL, "block_size", "tokens a block"},
    {"topk", SPS_OPT_INT, SPS_LIST_AXIS, offsetof(struct options, topk), "3", 1, 65536,
     NULL, "topk", "blocks kept, the own one included"},
    {0},
};

/* Reads the keys of the blocks it makes once, writes the means; they carry no gradient.
 */
static struct sps_cost pool_cost(const struct sps_plan *plan)
{
    const struct sps_shape *s = &plan->problem->shape;
    double means = (double)(plan->made * s->g * s->dk), keys = means * (double)plan->by.l;

    if (plan->problem->backward)
        return (struct sps_cost){0};
    return (struct sps_cost){.flops = keys,
                             .bytes =
                                 keys * (double)sps_dtype_size(plan->problem->dtype) +
                                 means * sizeof(float)};
}

static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    double scored = sps_compress_pairs(plan) * (double)plan->problem->shape.h;

    cost[SPS_STAGE_COMPRESS] = pool_cost(plan);
    cost[SPS_STAGE_SCORE] = sps_cost_score(plan, scored);
    cost[SPS_STAGE_ATTEND] = sps_cost_attend(plan, pairs.both);
}

static enum sps_status plan(struct sps_plan *plan)
{
    const struct options *o = plan->options;
    const struct sps_shape *s = &plan->problem->shape;

    SPS_NEED(plan->dev, gate);
    SPS_NEED(plan->dev, attend);
    SPS_NEED_BACKWARD(plan, attend_backward);
    SPS_TRY(sps_select_check(plan));
    SPS_TRY(sps_compress_plan(plan, o->block, o->block));
    sps_select_plan(plan, s->h,
                    (struct sps_rule){.block = o->block, .count = o->topk, .local = 1});
    if (plan->dev->kernels.gate_select)
        plan->row_bytes = 0;
    plan->fixed_bytes = (size_t)(plan->compressed * s->g * s->dk) * sizeof(float);
    cost(plan, plan->pairs, plan->cost);
    return SPS_OK;
}

static enum sps_status pool(struct sps_call *call, const struct sps_compression *by)
{
    const struct sps_problem *p = call->plan->problem;

    SPS_RUN(call, SPS_STAGE_COMPRESS,
            call->dev->kernels.compress_mean(call->dev, &p->shape, &p->in.k, by,
                                             call->fixed));
    return SPS_OK;
}

static enum sps_status prepare(struct sps_call *call)
{
    return pool(call, &call->plan->kept);
}

static enum sps_status begin(struct sps_call *call)
{
    return pool(call, &call->plan->by);
}

static enum sps_status select(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_problem *p = plan->problem;
    const struct sps_kernels *kernels = &call->dev->kernels;

    if (kernels->gate_select) {
        SPS_RUN(call, SPS_STAGE_SCORE,
                kernels->gate_select(call->dev, &p->shape, &p->in.q, call->fixed,
                                     &plan->by, &plan->rule, rows, &call->index));
        return SPS_OK;
    }
    SPS_RUN(call, SPS_STAGE_SCORE,
            kernels->gate(call->dev, &p->shape, &p->in.q, call->fixed, &plan->by, rows,
                          call->scratch));
    return sps_select_topk(call, rows);
}

static bool peek(const struct sps_call *call, const char *name, struct sps_tensor *x)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_shape *s = &plan->problem->shape;

    if (strcmp(name, "k_cmp") != 0)
        return false;
    *x = sps_tensor_view(call->fixed, SPS_F32, plan->compressed, s->g, s->dk, 1);
    return true;
}

const struct sps_method sps_method_moba = {
    .name = "moba",
    .summary = "top-k blocks by query times mean key, per query head",
    .source = "Lu et al. 2025 (MoBA), arXiv 2502.13189, section 2",
    .options = table,
    .options_size = sizeof(struct options),
    .score = SPS_SCORE_LOGIT,
    .plan = plan,
    .prepare = prepare,
    .begin = begin,
    .select = select,
    .attend = sps_select_attend,
    .backward = sps_select_backward,
    .cost = cost,
    .peek = peek,
};
