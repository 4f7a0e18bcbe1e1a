/* dsa.c - the tokens that a trained indexer likes best, one choice for all heads. */
#include "sim/method/select.h"

struct options {
    int64_t topk;
};

static const struct sps_option table[] = {
    {"topk", SPS_OPT_SIZE, SPS_LIST_AXIS, offsetof(struct options, topk), "2048", 1,
     1 << 20, NULL, "topk", "tokens kept"},
    {0},
};

/* One choice serves all heads: every visible key is scored once, whatever h is.  The
 * indexer gets no gradient. */
static struct sps_cost score_cost(const struct sps_plan *plan)
{
    const struct sps_problem *p = plan->problem;
    double heads = (double)p->extra.q_idx.dim[1], size = (double)p->extra.q_idx.dim[2];
    double bytes = (double)sps_dtype_size(p->dtype), t = (double)p->shape.t;
    double pairs = sps_shape_pairs(&p->shape);

    if (p->backward)
        return (struct sps_cost){0};
    return (struct sps_cost){.flops = 2 * heads * (size + 1) * pairs,
                             .bytes = bytes * size * (t * heads + pairs) +
                                      t * heads * (double)sizeof(float)};
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

    SPS_NEED(plan->dev, indexer);
    SPS_NEED(plan->dev, topk);
    SPS_NEED(plan->dev, attend);
    SPS_NEED_BACKWARD(plan, attend_backward);
    SPS_TRY(sps_select_check(plan));
    if (!plan->problem->extra.q_idx.data)
        return sps_fail(SPS_ENOTSUP,
                        "dsa: the data has no indexer (q_idx, k_idx, w_idx)");
    sps_select_plan(plan, 1, (struct sps_rule){.block = 1, .count = o->topk});
    cost(plan, plan->pairs, plan->cost);
    return SPS_OK;
}

static enum sps_status select(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;

    SPS_RUN(call, SPS_STAGE_SCORE,
            call->dev->kernels.indexer(call->dev, &p->shape, &p->extra.q_idx,
                                       &p->extra.k_idx, &p->extra.w_idx, rows,
                                       call->scratch));
    return sps_select_topk(call, rows);
}

const struct sps_method sps_method_dsa = {
    .name = "dsa",
    .summary = "top-k tokens by a recorded lightning indexer, one choice for all heads",
    .source = "DeepSeek-AI 2025 (DeepSeek-V3.2-Exp), section 2.1, eq. 1 and 2",
    .options = table,
    .options_size = sizeof(struct options),
    .score = SPS_SCORE_INDEXER,
    .plan = plan,
    .select = select,
    .attend = sps_select_attend,
    .backward = sps_select_backward,
    .cost = cost,
};
