/* quest.c - each query head keeps the pages that may hold its largest q.k. */
#include <string.h>

#include "sim/method/select.h"

struct options {
    int64_t page, topk;
};

static const struct sps_option table[] = {
    {"page", SPS_OPT_SIZE, SPS_LIST_AXIS, offsetof(struct options, page), "16", 1,
     1 << 20, NULL, "page_size", "tokens a page"},
    {"topk", SPS_OPT_INT, SPS_LIST_AXIS, offsetof(struct options, topk), "64", 1, 65536,
     NULL, "topk", "pages kept, the own one included"},
    {0},
};

/* Two comparisons a number of k, of the pages it makes; largest and smallest are
 * written, and carry no gradient. */
static struct sps_cost range_cost(const struct sps_plan *plan)
{
    const struct sps_shape *s = &plan->problem->shape;
    double made = (double)(plan->made * s->g * s->dk);
    double keys = made * (double)plan->by.l, ranges = 2 * made;

    if (plan->problem->backward)
        return (struct sps_cost){0};
    return (struct sps_cost){.flops = 2 * keys,
                             .bytes =
                                 keys * (double)sps_dtype_size(plan->problem->dtype) +
                                 ranges * (double)sizeof(float)};
}

/* A page counts as two keys: it is multiplied by its largest and its smallest. */
static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    double scored = sps_compress_pairs(plan) * (double)plan->problem->shape.h;

    cost[SPS_STAGE_COMPRESS] = range_cost(plan);
    cost[SPS_STAGE_SCORE] = sps_cost_score(plan, 2 * scored);
    cost[SPS_STAGE_ATTEND] = sps_cost_attend(plan, pairs.both);
}

static enum sps_status plan(struct sps_plan *plan)
{
    const struct options *o = plan->options;
    const struct sps_shape *s = &plan->problem->shape;

    SPS_NEED(plan->dev, key_range);
    SPS_NEED(plan->dev, key_bound);
    SPS_NEED(plan->dev, topk);
    SPS_NEED(plan->dev, attend);
    SPS_NEED_BACKWARD(plan, attend_backward);
    SPS_TRY(sps_select_check(plan));
    SPS_TRY(sps_compress_plan(plan, o->page, o->page));
    sps_select_plan(plan, s->h,
                    (struct sps_rule){.block = o->page, .count = o->topk, .local = 1});
    plan->fixed_bytes = (size_t)(plan->compressed * s->g * 2 * s->dk) * sizeof(float);
    cost(plan, plan->pairs, plan->cost);
    return SPS_OK;
}

static enum sps_status find_ranges(struct sps_call *call,
                                   const struct sps_compression *by)
{
    const struct sps_problem *p = call->plan->problem;

    SPS_RUN(
        call, SPS_STAGE_COMPRESS,
        call->dev->kernels.key_range(call->dev, &p->shape, &p->in.k, by, call->fixed));
    return SPS_OK;
}

static enum sps_status prepare(struct sps_call *call)
{
    return find_ranges(call, &call->plan->kept);
}

static enum sps_status begin(struct sps_call *call)
{
    return find_ranges(call, &call->plan->by);
}

static enum sps_status select(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;

    SPS_RUN(call, SPS_STAGE_SCORE,
            call->dev->kernels.key_bound(call->dev, &p->shape, &p->in.q, call->fixed,
                                         &call->plan->by, rows, call->scratch));
    return sps_select_topk(call, rows);
}

static bool peek(const struct sps_call *call, const char *name, struct sps_tensor *x)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_shape *s = &plan->problem->shape;

    if (strcmp(name, "k_range") != 0)
        return false;
    *x = sps_tensor_view(call->fixed, SPS_F32, plan->compressed, s->g, 2, s->dk);
    return true;
}

const struct sps_method sps_method_quest = {
    .name = "quest",
    .summary = "top-k pages by an upper bound of q.k from each page's key ranges",
    .source = "Tang et al. 2024 (Quest), arXiv 2406.10774, section 3.3, algorithm 1",
    .options = table,
    .options_size = sizeof(struct options),
    .score = SPS_SCORE_BOUND,
    .plan = plan,
    .prepare = prepare,
    .begin = begin,
    .select = select,
    .attend = sps_select_attend,
    .backward = sps_select_backward,
    .cost = cost,
    .peek = peek,
};
