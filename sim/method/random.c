/* random.c - the own block and k-1 seeded others: the floor of every selector. */
#include "sim/method/select.h"

static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    cost[SPS_STAGE_ATTEND] = sps_cost_attend(plan, pairs.both);
}

static enum sps_status plan(struct sps_plan *plan)
{
    SPS_NEED(plan->dev, noise);
    return sps_shared_plan(plan);
}

static enum sps_status select(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_plan *plan = call->plan;

    SPS_RUN(call, SPS_STAGE_SCORE,
            call->dev->kernels.noise(call->dev, &plan->problem->shape,
                                     plan->problem->seed, plan->index_block,
                                     plan->index_heads, rows, call->scratch));
    return sps_select_topk(call, rows);
}

const struct sps_method sps_method_random = {
    .name = "random",
    .summary = "the own block and random others: the floor of every selector",
    .source = "the usual baseline; keyed by seed, head and position",
    .options = sps_shared_options,
    .options_size = sizeof(struct sps_shared),
    .plan = plan,
    .select = select,
    .attend = sps_select_attend,
    .backward = sps_select_backward,
    .cost = cost,
};
