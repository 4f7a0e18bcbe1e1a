/* select.c - scores to index, index to output, pairs to cost. */
#include "sim/method/select.h"

/* Scratch bytes of one row's scores over `heads` index heads. */
static size_t row_bytes(const struct sps_shape *shape, int64_t heads, int64_t block)
{
    return (size_t)(heads * sps_shape_blocks(shape, block)) * sizeof(float);
}

enum sps_status sps_select_check(const struct sps_plan *plan)
{
    if (!plan->problem->shape.causal)
        return sps_fail(SPS_ENOTSUP, "%s: causal attention only", plan->method->name);
    return SPS_OK;
}

/* Keys that are whole without the new tokens are kept; the others are made. */
static void split_kept(const struct sps_shape *shape, struct sps_plan *plan,
                       int64_t *first, int64_t *kept, int64_t *made)
{
    for (int64_t i = 0; i < shape->n; i++) {
        int64_t fresh = shape->cu_q[i + 1] - shape->cu_q[i];
        int64_t all = plan->by.cu[i + 1] - plan->by.cu[i];
        first[i] = sps_compressed_count(sps_shape_keys(shape, i) - fresh, plan->by.l,
                                        plan->by.u);
        kept[i + 1] = kept[i] + first[i];
        made[i + 1] = made[i] + all - first[i];
    }
    plan->kept = plan->by;
    plan->kept.make = kept;
    plan->by.first = first;
    plan->by.make = made;
}

enum sps_status sps_compress_plan(struct sps_plan *plan, int64_t l, int64_t u)
{
    const struct sps_shape *shape = &plan->problem->shape;
    int64_t *cu, size = shape->n + 1;
    void *mem;

    SPS_TRY(sps_calloc((size_t)(4 * size) * sizeof *cu, &mem));
    cu = mem;
    plan->by = (struct sps_compression){.l = l, .u = u, .cu = cu};
    plan->compressed = sps_compressed_offsets(shape, l, u, cu);
    if (plan->problem->decode)
        split_kept(shape, plan, cu + size, cu + 2 * size, cu + 3 * size);
    plan->made = sps_made_count(&plan->by, shape->n);
    return SPS_OK;
}

double sps_compress_pairs(const struct sps_plan *plan)
{
    const struct sps_shape *shape = &plan->problem->shape;
    double pairs = 0;

    for (int64_t i = 0; i < shape->n; i++)
        for (int64_t r = shape->cu_q[i]; r < shape->cu_q[i + 1]; r++)
            pairs += (double)sps_compressed_visible(sps_shape_pos(shape, i, r),
                                                    plan->by.l, plan->by.u);
    return pairs;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Pairs of one head that rows read when each keeps the rule's blocks: exact when every
 * row has count visible blocks or keeps all, for block-aligned choices. */
static double kept_pairs(const struct sps_shape *shape, const struct sps_rule *rule)
{
    double pairs = 0;

    for (int64_t i = 0; i < shape->n; i++)
        for (int64_t r = shape->cu_q[i]; r < shape->cu_q[i + 1]; r++) {
            int64_t pos = sps_shape_pos(shape, i, r), own = pos / rule->block;
            int64_t past = least(rule->count - 1, own);
            pairs += (double)(past * rule->block + pos % rule->block + 1);
        }
    return pairs;
}

void sps_select_plan(struct sps_plan *plan, int64_t heads, struct sps_rule rule)
{
    const struct sps_shape *shape = &plan->problem->shape;
    double longest = (double)sps_shape_blocks(shape, 1);
    double wished = (double)(rule.count * rule.block) / longest;

    plan->index_heads = heads;
    plan->index_block = rule.block;
    plan->index_width = rule.count;
    plan->unit = rule.block;
    plan->rule = rule;
    plan->row_bytes = row_bytes(shape, heads, rule.block);
    plan->density_requested = wished < 1 ? wished : 1;
    plan->pairs.index = kept_pairs(shape, &rule) * (double)shape->h;
    plan->pairs.both = plan->pairs.index;
}

enum sps_status sps_select_topk(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_plan *plan = call->plan;

    SPS_RUN(call, SPS_STAGE_SELECT,
            call->dev->kernels.topk(call->dev, &plan->problem->shape, call->scratch,
                                    &plan->rule, rows, &call->index));
    return SPS_OK;
}

enum sps_status sps_select_attend(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;

    SPS_RUN(call, SPS_STAGE_ATTEND,
            call->dev->kernels.attend(call->dev, &p->shape, &p->in, &call->index,
                                      &call->plan->band, rows, call->o, call->lse));
    return SPS_OK;
}

static struct sps_output output_of(const struct sps_call *call)
{
    return (struct sps_output){call->o, call->lse, call->d_o};
}

struct sps_gradients sps_call_gradients(const struct sps_call *call)
{
    return (struct sps_gradients){call->dq, call->dk, call->dv};
}

enum sps_status sps_select_backward(struct sps_call *call, struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;
    struct sps_output out = output_of(call);
    struct sps_gradients to = sps_call_gradients(call);

    SPS_RUN(call, SPS_STAGE_ATTEND,
            call->dev->kernels.attend_backward(call->dev, &p->shape, &p->in, &call->index,
                                               &call->plan->band, rows, &out, &to));
    return SPS_OK;
}

/* Five products of k's or v's size where forward has two.  q and o read and dq written
 * once; k and v read, and their float32 gradients read and written, once per pair of a
 * kv head's group. */
static struct sps_cost backward_cost(const struct sps_plan *plan, double pairs)
{
    const struct sps_shape *s = &plan->problem->shape;
    double size = (double)sps_dtype_size(plan->problem->dtype),
           sum = (double)(s->dk + s->dv);
    double group = (double)s->h / (double)s->g;

    return (struct sps_cost){
        .flops = (double)(6 * s->dk + 4 * s->dv) * pairs,
        .bytes = sum * ((size + 4) * (double)(s->t * s->h) + (size + 8) * pairs / group),
    };
}

enum sps_status sps_band_attend(struct sps_call *call, enum sps_stage stage,
                                struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;

    SPS_RUN(call, stage,
            call->dev->kernels.dense(call->dev, &p->shape, &p->in, &call->plan->band,
                                     rows, call->o, call->lse));
    return SPS_OK;
}

enum sps_status sps_band_backward(struct sps_call *call, enum sps_stage stage,
                                  struct sps_rows rows)
{
    const struct sps_problem *p = call->plan->problem;
    struct sps_output out = output_of(call);
    struct sps_gradients to = sps_call_gradients(call);

    SPS_RUN(call, stage,
            call->dev->kernels.dense_backward(call->dev, &p->shape, &p->in,
                                              &call->plan->band, rows, &out, &to));
    return SPS_OK;
}

/* q read and o written once; k and v once per pair of a kv head's group. */
struct sps_cost sps_cost_attend(const struct sps_plan *plan, double pairs)
{
    const struct sps_shape *s = &plan->problem->shape;
    double size = (double)sps_dtype_size(plan->problem->dtype),
           sum = (double)(s->dk + s->dv);
    double group = (double)s->h / (double)s->g;

    if (plan->problem->backward)
        return backward_cost(plan, pairs);
    return (struct sps_cost){
        .flops = 2 * sum * pairs,
        .bytes = size * sum * ((double)(s->t * s->h) + pairs / group),
    };
}

struct sps_cost sps_cost_score(const struct sps_plan *plan, double pairs)
{
    const struct sps_shape *s = &plan->problem->shape;
    double size = (double)sps_dtype_size(plan->problem->dtype);

    if (plan->problem->backward && !plan->packed)
        return (struct sps_cost){0};
    return (struct sps_cost){
        .flops = 2 * (double)s->dk * pairs,
        .bytes = size * (double)(s->t * s->h * s->dk) +
                 4 * (double)s->dk * pairs * (double)s->g / (double)s->h,
    };
}

const struct sps_option sps_shared_options[] = {
    {"block", SPS_OPT_SIZE, SPS_LIST_AXIS, offsetof(struct sps_shared, block), "64", 1,
     1 << 20, NULL, NULL, "tokens a block"},
    {"topk", SPS_OPT_INT, SPS_LIST_AXIS, offsetof(struct sps_shared, topk), "16", 1,
     65536, NULL, NULL, "blocks kept, the own one included"},
    {"share", SPS_OPT_CHOICE, SPS_LIST_AXIS, offsetof(struct sps_shared, share), "head",
     0, 0, "head|group", NULL, "one choice per query head, or one per key/value head"},
    {0},
};

enum sps_status sps_shared_plan(struct sps_plan *plan)
{
    const struct sps_shared *o = plan->options;
    const struct sps_shape *s = &plan->problem->shape;

    SPS_NEED(plan->dev, topk);
    SPS_NEED(plan->dev, attend);
    SPS_NEED_BACKWARD(plan, attend_backward);
    SPS_TRY(sps_select_check(plan));
    sps_select_plan(plan, o->share == SPS_SHARE_GROUP ? s->g : s->h,
                    (struct sps_rule){.block = o->block, .count = o->topk, .local = 1});
    plan->method->cost(plan, plan->pairs, plan->cost);
    return SPS_OK;
}

void sps_oracle_cost(const struct sps_plan *plan, struct sps_pairs pairs,
                     struct sps_cost *cost)
{
    const struct sps_shape *shape = &plan->problem->shape;

    cost[SPS_STAGE_SCORE] =
        sps_cost_score(plan, sps_shape_pairs(shape) * (double)shape->h);
    cost[SPS_STAGE_ATTEND] = sps_cost_attend(plan, pairs.both);
}
