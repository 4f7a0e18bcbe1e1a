/* full.c - full attention: softmax over every visible key. */
#include "sim/method/select.h"

static enum sps_status plan(struct sps_plan *plan)
{
    SPS_NEED(plan->dev, dense);
    SPS_NEED_BACKWARD(plan, dense_backward);
    plan->band.all = true;
    plan->density_requested = 1;
    plan->pairs.both =
        sps_shape_pairs(&plan->problem->shape) * (double)plan->problem->shape.h;
    plan->cost[SPS_STAGE_ATTEND] = sps_cost_attend(plan, plan->pairs.both);
    return SPS_OK;
}

static enum sps_status attend(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;

    SPS_RUN(call, SPS_STAGE_ATTEND,
            call->dev->kernels.dense(call->dev, &p->shape, &p->in, &call->plan->band,
                                     rows, call->o, call->lse));
    return SPS_OK;
}

static enum sps_status backward(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;
    struct sps_output out = sps_call_output(call);
    struct sps_gradients to = sps_call_gradients(call);

    SPS_RUN(call, SPS_STAGE_ATTEND,
            call->dev->kernels.dense_backward(call->dev, &p->shape, &p->in,
                                              &call->plan->band, rows, &out, &to));
    return SPS_OK;
}

static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    cost[SPS_STAGE_ATTEND] = sps_cost_attend(plan, pairs.both);
}

const struct sps_method sps_method_full = {
    .name = "full",
    .summary = "every visible key: the baseline",
    .source = "Vaswani et al. 2017, arXiv 1706.03762",
    .plan = plan,
    .attend = attend,
    .backward = backward,
    .cost = cost,
};
