/* oracle_topp.c - the fewest blocks that hold a share of the true attention mass. */
#include <math.h>

#include "sim/method/select.h"

struct options {
    int64_t block, share;
    double p;
};

static const struct sps_option table[] = {
    {"block", SPS_OPT_SIZE, SPS_LIST_AXIS, offsetof(struct options, block), "64", 1,
     1 << 20, NULL, NULL, "tokens a block"},
    {"p", SPS_OPT_REAL, SPS_LIST_AXIS, offsetof(struct options, p), "0.95", 0.01, 1, NULL,
     NULL, "attention mass that each list holds"},
    {"share", SPS_OPT_CHOICE, SPS_LIST_AXIS, offsetof(struct options, share), "head", 0,
     0, "head|group", NULL, "one choice per query head, or one per key/value head"},
    {0},
};

/* What will be read depends on the data: the prediction is the bound, everything. */
static enum sps_status plan(struct sps_plan *plan)
{
    const struct options *o = plan->options;
    const struct sps_shape *s = &plan->problem->shape;
    int64_t blocks = sps_shape_blocks(s, o->block);

    SPS_NEED(plan->dev, mass);
    SPS_NEED(plan->dev, topp);
    SPS_NEED(plan->dev, attend);
    SPS_NEED_BACKWARD(plan, attend_backward);
    SPS_TRY(sps_select_check(plan));
    sps_select_plan(plan, o->share == SPS_SHARE_GROUP ? s->g : s->h,
                    (struct sps_rule){.block = o->block, .count = blocks, .local = 1});
    plan->packed = true;
    plan->rule.count = 0;
    plan->density_requested = NAN;
    sps_oracle_cost(plan, plan->pairs, plan->cost);
    return SPS_OK;
}

static enum sps_status select(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_plan *plan = call->plan;
    const struct options *o = plan->options;
    const struct sps_problem *p = plan->problem;

    SPS_RUN(call, SPS_STAGE_SCORE,
            call->dev->kernels.mass(call->dev, &p->shape, &p->in, plan->index_block,
                                    plan->index_heads, rows, call->scratch));
    SPS_RUN(call, SPS_STAGE_SELECT,
            call->dev->kernels.topp(call->dev, &p->shape, call->scratch, &plan->rule,
                                    o->p, rows, &call->index));
    return SPS_OK;
}

const struct sps_method sps_method_oracle_topp = {
    .name = "oracle_topp",
    .summary = "fewest blocks that hold a share p of the true attention mass",
    .source = "the exact block mass; nucleus choice as in Twilight, arXiv 2502.02770",
    .options = table,
    .options_size = sizeof(struct options),
    .oracle = true,
    .plan = plan,
    .select = select,
    .attend = sps_select_attend,
    .backward = sps_select_backward,
    .cost = sps_oracle_cost,
};
