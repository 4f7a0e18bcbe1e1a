/* null.c - does nothing: what remains is the time of the harness itself. */
#include "sim/method/method.h"

static enum sps_status plan(struct sps_plan *plan)
{
    plan->density_requested = 0;
    return SPS_OK;
}

static enum sps_status nothing(struct sps_call *call, struct sps_rows rows)
{
    (void)rows;
    call->dev->impl = "none";
    SPS_RUN(call, SPS_STAGE_ATTEND, SPS_OK);
    return SPS_OK;
}

static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    (void)plan, (void)pairs, (void)cost;
}

const struct sps_method sps_method_null = {
    .name = "null",
    .summary = "computes nothing: measures the harness",
    .source = "fio's null engine",
    .idle = true,
    .plan = plan,
    .attend = nothing,
    .backward = nothing,
    .cost = cost,
};
