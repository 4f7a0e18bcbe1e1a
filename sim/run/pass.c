/* pass.c - allocate for a plan, walk the rows in chunks, fetch the results. */
#include "sim/run/pass.h"

#include <signal.h>
#include <stdlib.h>

enum { SCRATCH_BYTES = 64 << 20, CHUNK_MIN = 16 };

static volatile sig_atomic_t interrupted;

void sps_interrupt(void)
{
    interrupted = 1;
}

bool sps_interrupted(void)
{
    return interrupted;
}

/* Rows between two looks for Ctrl-C. */
static int64_t step_rows(const struct sps_plan *plan)
{
    int64_t t = plan->problem->shape.t, step = plan->dev->backend->step_rows;

    return step && step < t ? step : t;
}

static int64_t chunk_rows(const struct sps_plan *plan)
{
    int64_t chunk = step_rows(plan);
    int64_t fits = plan->row_bytes ? (int64_t)(SCRATCH_BYTES / plan->row_bytes) : chunk;

    fits = fits < CHUNK_MIN ? CHUNK_MIN : fits;
    return fits < chunk ? fits : chunk;
}

static size_t index_bytes(const struct sps_plan *plan)
{
    return (size_t)(plan->problem->shape.t * plan->index_heads * plan->index_width) *
           sizeof(int32_t);
}

static size_t output_bytes(const struct sps_plan *plan)
{
    const struct sps_shape *s = &plan->problem->shape;
    return (size_t)(s->t * s->h * s->dv) * sizeof(float);
}

/* dq, dk, dv and the method's own, one after the other: zeroed as one. */
static size_t cut_gradients(const struct sps_plan *plan, void *base,
                            struct sps_call *call)
{
    const struct sps_shape *s = &plan->problem->shape;
    size_t used = 0;

    if (!plan->problem->backward)
        return 0;
    call->dq = sps_arena_take(base, &used, (size_t)(s->t * s->h * s->dk) * sizeof(float));
    call->dk = sps_arena_take(base, &used, (size_t)(s->s * s->g * s->dk) * sizeof(float));
    call->dv = sps_arena_take(base, &used, (size_t)(s->s * s->g * s->dv) * sizeof(float));
    call->gradients = sps_arena_take(base, &used, plan->gradient_bytes);
    return used;
}

size_t sps_pass_bytes(const struct sps_plan *plan, int64_t *chunk)
{
    const struct sps_shape *s = &plan->problem->shape;

    *chunk = chunk_rows(plan);
    return index_bytes(plan) + plan->fixed_bytes + plan->row_bytes * (size_t)*chunk +
           output_bytes(plan) + (size_t)(s->t * s->h) * sizeof(float) +
           cut_gradients(plan, NULL, &(struct sps_call){0});
}

static enum sps_status allocate_gradients(struct sps_pass *pass)
{
    const struct sps_plan *plan = &pass->plan;
    size_t bytes = cut_gradients(plan, NULL, &pass->call);
    void *mem;

    if (!bytes)
        return SPS_OK;
    SPS_TRY(plan->dev->backend->alloc(plan->dev, bytes, &mem));
    cut_gradients(plan, mem, &pass->call);
    pass->call.d_o = plan->problem->extra.d_o.data;
    return SPS_OK;
}

static enum sps_status allocate(struct sps_pass *pass)
{
    const struct sps_plan *plan = &pass->plan;
    const struct sps_shape *s = &plan->problem->shape;
    struct sps_device *dev = plan->dev;
    struct sps_call *call = &pass->call;
    void *list = NULL, *o, *lse;

    if (plan->index_heads)
        SPS_TRY(dev->backend->alloc(dev, index_bytes(plan), &list));
    call->index = (struct sps_index){.t = s->t,
                                     .heads = plan->index_heads,
                                     .block = plan->index_block,
                                     .width = plan->index_width,
                                     .list = list};
    if (plan->fixed_bytes)
        SPS_TRY(dev->backend->alloc(dev, plan->fixed_bytes, &call->fixed));
    if (plan->row_bytes)
        SPS_TRY(dev->backend->alloc(dev, plan->row_bytes * (size_t)pass->chunk,
                                    &call->scratch));
    SPS_TRY(dev->backend->alloc(dev, output_bytes(plan), &o));
    call->o = o;
    SPS_TRY(dev->backend->alloc(dev, (size_t)(s->t * s->h) * sizeof(float), &lse));
    call->lse = lse;
    return allocate_gradients(pass);
}

enum sps_status sps_pass_open(const struct sps_method *method, const void *options,
                              const struct sps_problem *problem, struct sps_device *dev,
                              struct sps_pass *pass)
{
    *pass = (struct sps_pass){0};
    SPS_TRY(sps_plan_make(method, options, problem, dev, &pass->plan));
    pass->call = (struct sps_call){.plan = &pass->plan, .dev = dev};
    const struct sps_qkv *in = &problem->in;
    size_t inputs = sps_tensor_bytes(&in->q) + sps_tensor_bytes(&in->k) +
                    sps_tensor_bytes(&in->v) + sps_tensor_bytes(&problem->extra.d_o);
    size_t bytes = sps_pass_bytes(&pass->plan, &pass->chunk) + inputs;
    if (bytes > dev->memory_bytes)
        return sps_fail(SPS_ENOMEM, "%s needs %zu bytes, %s has %zu", method->name, bytes,
                        dev->backend->name, dev->memory_bytes);
    return allocate(pass);
}

void sps_pass_close(struct sps_pass *pass)
{
    struct sps_call *call = &pass->call;
    void *const held[] = {call->lse,   call->o,          call->scratch,
                          call->fixed, call->index.list, call->dq};

    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (held[i])
            call->dev->backend->free(call->dev, held[i]);
    sps_plan_free(&pass->plan);
    *pass = (struct sps_pass){0};
}

enum sps_status sps_pass_run(struct sps_pass *pass, struct sps_trace *trace)
{
    const struct sps_method *method = pass->plan.method;
    struct sps_call *call = &pass->call;
    int64_t t = pass->plan.problem->shape.t;

    call->plan = &pass->plan;
    call->trace = trace;
    if (method->begin)
        SPS_TRY(method->begin(call));
    for (int64_t r = 0; r < t; r += pass->chunk) {
        struct sps_rows rows = {r, r + pass->chunk < t ? r + pass->chunk : t};
        if (interrupted)
            return sps_fail(SPS_EINTERRUPTED, "interrupted");
        if (method->select)
            SPS_TRY(method->select(call, rows));
        SPS_TRY(method->attend(call, rows));
    }
    return SPS_OK;
}

enum sps_status sps_pass_backward(struct sps_pass *pass, struct sps_trace *trace)
{
    const struct sps_plan *plan = &pass->plan;
    struct sps_call *call = &pass->call;
    int64_t t = plan->problem->shape.t, step = step_rows(plan);

    if (!plan->problem->backward || !call->d_o)
        return sps_fail(SPS_EINVAL, "%s: backward without a gradient of the output",
                        plan->method->name);
    call->plan = plan;
    call->trace = trace;
    SPS_TRY(call->dev->kernels.clear(call->dev, call->dq,
                                     cut_gradients(plan, NULL, &(struct sps_call){0})));
    for (int64_t r = 0; r < t; r += step) {
        struct sps_rows rows = {r, r + step < t ? r + step : t};
        if (interrupted)
            return sps_fail(SPS_EINTERRUPTED, "interrupted");
        SPS_TRY(plan->method->backward(call, rows));
    }
    return plan->method->backward_end ? plan->method->backward_end(call) : SPS_OK;
}

enum sps_status sps_pass_output(struct sps_pass *pass, float *o)
{
    return pass->call.dev->backend->download(pass->call.dev, o, pass->call.o,
                                             output_bytes(&pass->plan));
}

enum sps_status sps_pass_index(struct sps_pass *pass, struct sps_index *index)
{
    void *list;

    *index = (struct sps_index){0};
    if (!pass->plan.index_heads)
        return SPS_OK;
    SPS_TRY(sps_calloc(index_bytes(&pass->plan), &list));
    enum sps_status status = pass->call.dev->backend->download(
        pass->call.dev, list, pass->call.index.list, index_bytes(&pass->plan));
    if (status != SPS_OK) {
        free(list);
        return status;
    }
    *index = pass->call.index;
    index->list = list;
    return SPS_OK;
}
