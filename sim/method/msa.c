/* msa.c - each kv group keeps the blocks that hold its largest q.k. */
#include "sim/method/select.h"

struct options {
    int64_t block, topk;
};

static const struct sps_option table[] = {
    {"block", SPS_OPT_SIZE, SPS_LIST_AXIS, offsetof(struct options, block), "128", 1,
     1 << 20, NULL, "block_size", "tokens a block"},
    {"topk", SPS_OPT_INT, SPS_LIST_AXIS, offsetof(struct options, topk), "16", 1, 65536,
     NULL, "topk", "blocks kept, the own one included"},
    {0},
};

/* Every query head meets every visible key: the scores cost half of full attention;
 * they carry no gradient. */
static struct sps_cost score_cost(const struct sps_plan *plan)
{
    const struct sps_shape *s = &plan->problem->shape;
    double size = (double)sps_dtype_size(plan->problem->dtype), dk = (double)s->dk;
    double pairs = sps_shape_pairs(s);

    if (plan->problem->backward)
        return (struct sps_cost){0};
    return (struct sps_cost){.flops = 2 * dk * pairs * (double)s->h,
                             .bytes = size * dk *
                                      ((double)(s->t * s->h) + pairs * (double)s->g)};
}

static void cost(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost)
{
    cost[SPS_STAGE_SCORE] = score_cost(plan);
    cost[SPS_STAGE_ATTEND] = sps_cost_attend(plan, pairs.both);
}

static enum sps_status plan(struct sps_plan *plan)
{
    const struct options *o = plan->options;

    SPS_NEED(plan->dev, block_max);
    SPS_NEED(plan->dev, topk);
    SPS_NEED(plan->dev, attend);
    SPS_NEED_BACKWARD(plan, attend_backward);
    SPS_TRY(sps_select_check(plan));
    sps_select_plan(plan, plan->problem->shape.g,
                    (struct sps_rule){.block = o->block, .count = o->topk, .local = 1});
    cost(plan, plan->pairs, plan->cost);
    return SPS_OK;
}

static enum sps_status select(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_plan *plan = call->plan;
    const struct sps_problem *p = plan->problem;

    SPS_RUN(call, SPS_STAGE_SCORE,
            call->dev->kernels.block_max(call->dev, &p->shape, &p->in, plan->index_block,
                                         plan->index_heads, rows, call->scratch));
    return sps_select_topk(call, rows);
}

const struct sps_method sps_method_msa = {
    .name = "msa",
    .summary = "top-k blocks by their largest q.k, one choice per key/value head",
    .source = "MiniMax 2026 (MSA), arXiv 2606.13392",
    .options = table,
    .options_size = sizeof(struct options),
    .score = SPS_SCORE_KEY,
    .plan = plan,
    .select = select,
    .attend = sps_select_attend,
    .backward = sps_select_backward,
    .cost = cost,
};
