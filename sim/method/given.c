/* given.c - the index comes with the data: a learned router's, or anyone's. */
#include <stdlib.h>

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

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Sort one list, drop repeats and units that row position `pos` cannot see. */
static enum sps_status tidy(int32_t *list, int64_t width, int64_t units, int64_t last)
{
    int64_t kept = 0;

    for (int64_t i = 0; i < width; i++)
        if (list[i] < -1 || list[i] >= units)
            return sps_fail(SPS_ECONFIG, "entry %d: -1 to %lld is allowed", list[i],
                            (long long)units - 1);
    qsort(list, (size_t)width, sizeof *list, ascending);
    for (int64_t i = 0; i < width; i++)
        if (list[i] >= 0 && list[i] <= last && (!kept || list[i] != list[kept - 1]))
            list[kept++] = list[i];
    while (kept < width)
        list[kept++] = -1;
    return SPS_OK;
}

static enum sps_status tidy_rows(const struct sps_shape *s, const struct sps_index *given,
                                 int32_t *list)
{
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t r = s->cu_q[i]; r < s->cu_q[i + 1]; r++)
            for (int64_t x = 0; x < given->heads; x++) {
                int64_t units = (sps_shape_keys(s, i) + given->block - 1) / given->block;
                enum sps_status status =
                    tidy(list + (r * given->heads + x) * given->width, given->width,
                         units, sps_shape_pos(s, i, r) / given->block);
                if (status != SPS_OK)
                    return sps_wrap(status, "given: index[%lld, %lld]", (long long)r,
                                    (long long)x);
            }
    return SPS_OK;
}

static enum sps_status begin(struct sps_call *call)
{
    const struct sps_problem *p = call->plan->problem;
    const struct sps_index *given = &p->extra.given;
    size_t count = (size_t)(p->shape.t * given->heads * given->width);
    void *list;

    SPS_TRY(sps_calloc(count * sizeof(int32_t), &list));
    for (size_t i = 0; i < count; i++)
        ((int32_t *)list)[i] = given->list[i];
    enum sps_status status = tidy_rows(&p->shape, given, list);
    if (status == SPS_OK)
        status = call->dev->backend->upload(call->dev, call->index.list, list,
                                            count * sizeof(int32_t));
    free(list);
    return status;
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
