/* given.c - the index comes with the data: a learned router's, or anyone's. */
#include "sim/method/select.h"

static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    cost[SPS_STAGE_ATTEND] = sps_cost_attend(plan, pairs.both);
}

static enum sps_status plan(struct sps_plan *plan)
{
    const struct sps_index *given = &plan->problem->extra.given;
    const struct sps_shape *s = &plan->problem->shape;

    SPS_NEED(plan->dev, attend);
    SPS_NEED_BACKWARD(plan, attend_backward);
    SPS_TRY(sps_select_check(plan));
    if (!given->list)
        return sps_fail(SPS_ENOTSUP, "given: the data has no index");
    if (given->heads != s->h && given->heads != s->g && given->heads != 1)
        return sps_fail(SPS_ECONFIG,
                        "given: index has %lld heads: %lld, %lld or 1 is allowed",
                        (long long)given->heads, (long long)s->h, (long long)s->g);
    sps_select_plan(plan, given->heads,
                    (struct sps_rule){.block = given->block, .count = given->width});
    plan->row_bytes = 0;
    cost(plan, plan->pairs, plan->cost);
    return SPS_OK;
}

/* The lists were checked when they were read: ascending, visible, -1 last. */
static enum sps_status begin(struct sps_call *call)
{
    const struct sps_index *given = &call->plan->problem->extra.given;
    size_t count = (size_t)(given->t * given->heads * given->width);

    return call->dev->backend->upload(call->dev, call->index.list, given->list,
                                      count * sizeof(int32_t));
}

const struct sps_method sps_method_given = {
    .name = "given",
    .summary = "the index recorded with the data (a learned router, or anyone's)",
    .source = "docs/datasets.md, tensor layers.N.index",
    .plan = plan,
    .begin = begin,
    .attend = sps_select_attend,
    .backward = sps_select_backward,
    .cost = cost,
};
