/* window.c - the last W keys and the first n: StreamingLLM's window and sinks. */
#include "sim/method/select.h"

struct options {
    int64_t window, sink;
};

static const struct sps_option table[] = {
    {"window", SPS_OPT_SIZE, SPS_LIST_AXIS, offsetof(struct options, window), "512", 1,
     1 << 30, NULL, "window", "latest keys kept, the own one included, tokens"},
    {"sink", SPS_OPT_SIZE, SPS_LIST_AXIS, offsetof(struct options, sink), "0", 0, 1 << 30,
     NULL, "sink", "first keys kept, tokens"},
    {0},
};

static double row_pairs(const struct options *o, int64_t visible)
{
    int64_t both = o->window + o->sink;
    return (double)(visible < both ? visible : both);
}

static double band_pairs(const struct sps_shape *shape, const struct options *o)
{
    double pairs = 0;

    for (int64_t i = 0; i < shape->n; i++)
        for (int64_t r = shape->cu_q[i]; r < shape->cu_q[i + 1]; r++)
            pairs += row_pairs(o, sps_shape_visible(shape, i, r));
    return pairs;
}

static enum sps_status plan(struct sps_plan *plan)
{
    const struct options *o = plan->options;
    const struct sps_shape *shape = &plan->problem->shape;

    SPS_NEED(plan->dev, dense);
    SPS_NEED_BACKWARD(plan, dense_backward);
    SPS_TRY(sps_select_check(plan));
    plan->band = (struct sps_band){.window = o->window, .sink = o->sink};
    int64_t longest = sps_shape_blocks(shape, 1);
    plan->density_requested = row_pairs(o, longest) / (double)longest;
    plan->pairs.both = band_pairs(shape, o) * (double)shape->h;
    plan->cost[SPS_STAGE_WINDOW] = sps_cost_attend(plan, plan->pairs.both);
    return SPS_OK;
}

static enum sps_status attend(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;

    SPS_RUN(call, SPS_STAGE_WINDOW,
            call->dev->kernels.dense(call->dev, &p->shape, &p->in, &call->plan->band,
                                     rows, call->o, call->lse));
    return SPS_OK;
}

static enum sps_status backward(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;
    struct sps_output out = sps_call_output(call);
    struct sps_gradients to = sps_call_gradients(call);

    SPS_RUN(call, SPS_STAGE_WINDOW,
            call->dev->kernels.dense_backward(call->dev, &p->shape, &p->in,
                                              &call->plan->band, rows, &out, &to));
    return SPS_OK;
}

static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    cost[SPS_STAGE_WINDOW] = sps_cost_attend(plan, pairs.both);
}

const struct sps_method sps_method_window = {
    .name = "window",
    .summary = "the latest keys and the first ones (sliding window, attention sinks)",
    .source = "Xiao et al. 2023 (StreamingLLM), arXiv 2309.17453, section 3",
    .options = table,
    .options_size = sizeof(struct options),
    .plan = plan,
    .attend = attend,
    .backward = backward,
    .cost = cost,
};
