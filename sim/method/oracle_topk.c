/* oracle_topk.c - the blocks with most true attention mass: what no selector can beat. */
#include "sim/method/select.h"

static enum sps_status plan(struct sps_plan *plan)
{
    SPS_NEED(plan->dev, mass);
    return sps_shared_plan(plan);
}

static enum sps_status select(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_problem *p = plan->problem;

    SPS_RUN(call, SPS_STAGE_SCORE,
            call->dev->kernels.mass(call->dev, &p->shape, &p->in, plan->index_block,
                                    plan->index_heads, rows, call->scratch));
    return sps_select_topk(call, rows);
}

const struct sps_method sps_method_oracle_topk = {
    .name = "oracle_topk",
    .summary = "top-k blocks by true attention mass: the ceiling of every selector",
    .source = "the exact block mass; compare lattice #483, SeerAttention's oracle_sparse",
    .options = sps_shared_options,
    .options_size = sizeof(struct sps_shared),
    .oracle = true,
    .plan = plan,
    .select = select,
    .attend = sps_select_attend,
    .backward = sps_select_backward,
    .cost = sps_oracle_cost,
};
