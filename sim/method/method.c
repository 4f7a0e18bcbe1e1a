/* method.c - the registry of methods, and what all of them share. */
#include "sim/method/method.h"

#include <stdlib.h>
#include <string.h>

/* Every method, in the order that --help and reports show them. */
#define SPS_METHODS(X)                                                                   \
    X(full)                                                                              \
    X(window)                                                                            \
    X(nsa)                                                                               \
    X(moba)                                                                              \
    X(dsa)                                                                               \
    X(msa)                                                                               \
    X(quest)                                                                             \
    X(given)                                                                             \
    X(oracle_topk)                                                                       \
    X(oracle_topp)                                                                       \
    X(random)                                                                            \
    X(null)

#define X(name) extern const struct sps_method sps_method_##name;
SPS_METHODS(X)
#undef X

#define X(name) &sps_method_##name,
const struct sps_method *const sps_methods[] = {SPS_METHODS(X) NULL};
#undef X

const struct sps_method *sps_method_find(const char *name)
{
    for (const struct sps_method *const *m = sps_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0)
            return *m;
    return NULL;
}

enum sps_status sps_plan_make(const struct sps_method *method, const void *options,
                              const struct sps_problem *problem, struct sps_device *dev,
                              struct sps_plan *plan)
{
    *plan = (struct sps_plan){
        .method = method, .options = options, .problem = problem, .dev = dev};
    if (problem->backward && !method->backward)
        return sps_fail(SPS_ENOTSUP, "%s has no backward pass", method->name);
    if (problem->backward)
        SPS_NEED(dev, clear);
    if (problem->shape.pages && problem->backward)
        return sps_fail(SPS_ENOTSUP, "cache paged: no backward pass, contiguous has");
    if (problem->shape.pages && !dev->backend->paged)
        return sps_fail(SPS_ENOTSUP,
                        "cache paged: not on backend %s, only on ref and cpu",
                        dev->backend->name);
    return method->plan(plan);
}

void sps_plan_free(struct sps_plan *plan)
{
    free((void *)plan->by.cu);
    plan->by.cu = NULL;
}

const char *sps_stage_name(enum sps_stage stage)
{
    static const char *const names[SPS_STAGE_COUNT] = {
        "compress", "score", "select", "invert", "attend", "window", "combine"};
    return names[stage];
}

enum { MARK_BEGIN = 0, MARK_END = 1 };

enum sps_status sps_stage_begin(struct sps_call *call, enum sps_stage stage)
{
    (void)stage;
    return call->trace ? call->dev->backend->mark(call->dev, MARK_BEGIN) : SPS_OK;
}

enum sps_status sps_stage_end(struct sps_call *call, enum sps_stage stage)
{
    double seconds;

    if (!call->trace)
        return SPS_OK;
    SPS_TRY(call->dev->backend->mark(call->dev, MARK_END));
    SPS_TRY(call->dev->backend->elapsed(call->dev, MARK_BEGIN, MARK_END, &seconds));
    call->trace->seconds[stage] += seconds;
    call->trace->impl[stage] = call->dev->impl;
    return SPS_OK;
}

void *sps_arena_take(void *base, size_t *used, size_t bytes)
{
    size_t at = (*used + 255) & ~(size_t)255;

    *used = at + bytes;
    return base ? (char *)base + at : NULL;
}
