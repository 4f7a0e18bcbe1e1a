/* pass.c - allocate for a plan, walk the rows in chunks, fetch the results. */
#include "sim/run/pass.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

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

/* Bytes of a row's lists at their longest. */
static size_t list_bytes(const struct sps_plan *plan)
{
    return (size_t)(plan->index_heads * plan->index_width) * sizeof(int32_t);
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
    size_t row = plan->row_bytes + (plan->packed ? list_bytes(plan) : 0);
    int64_t fits = row ? (int64_t)(SCRATCH_BYTES / row) : chunk;

    fits = fits < CHUNK_MIN ? CHUNK_MIN : fits;
    fits = fits < plan->tile ? plan->tile : fits;
    return fits < chunk ? fits : chunk;
}

/* The chunk of rows [r, end) at r: it parts no tile of rows that choose together. */
static struct sps_rows chunk_at(const struct sps_pass *pass, int64_t r, int64_t end)
{
    const struct sps_plan *plan = &pass->plan;
    struct sps_rows rows = {r, r + pass->chunk < end ? r + pass->chunk : end};

    if (plan->tile > 1 && rows.end < end)
        rows.end = sps_shape_tile(&plan->problem->shape, plan->tile, rows.end).begin;
    return rows;
}

/* Lists of all rows; of a chunk when packed. */
static size_t index_bytes(const struct sps_plan *plan)
{
    return list_bytes(plan) *
           (size_t)(plan->packed ? chunk_rows(plan) : plan->problem->shape.t);
}

static size_t offset_bytes(const struct sps_plan *plan)
{
    return plan->packed ? (size_t)(plan->problem->shape.t * plan->index_heads + 1) *
                              sizeof(int64_t)
                        : 0;
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
    return index_bytes(plan) + offset_bytes(plan) + plan->fixed_bytes +
           plan->row_bytes * (size_t)*chunk + output_bytes(plan) +
           (size_t)(s->t * s->h) * sizeof(float) +
           cut_gradients(plan, NULL, &(struct sps_call){0});
}

void sps_pass_use(struct sps_pass *pass, const struct sps_problem *problem)
{
    pass->plan.problem = problem;
    pass->call.d_o = problem->extra.d_o.data;
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
    sps_pass_use(pass, plan->problem);
    return SPS_OK;
}

static enum sps_status allocate(struct sps_pass *pass)
{
    const struct sps_plan *plan = &pass->plan;
    const struct sps_shape *s = &plan->problem->shape;
    struct sps_device *dev = plan->dev;
    struct sps_call *call = &pass->call;
    void *list = NULL, *offset = NULL, *o, *lse;

    if (plan->index_heads)
        SPS_TRY(dev->backend->alloc(dev, index_bytes(plan), &list));
    call->index = (struct sps_index){.t = s->t,
                                     .heads = plan->index_heads,
                                     .block = plan->index_block,
                                     .width = plan->packed ? 0 : plan->index_width,
                                     .list = list};
    if (plan->packed)
        SPS_TRY(dev->backend->alloc(dev, offset_bytes(plan), &offset));
    call->index.offset = offset;
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
    SPS_TRY(allocate(pass));
    return problem->decode && method->prepare ? method->prepare(&pass->call) : SPS_OK;
}

void sps_pass_close(struct sps_pass *pass)
{
    struct sps_call *call = &pass->call;
    void *const held[] = {call->lse,   call->o,          call->scratch,
                          call->fixed, call->index.list, call->index.offset,
                          call->dq};

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
    for (struct sps_rows rows = {0, 0}; rows.end < t;) {
        rows = chunk_at(pass, rows.end, t);
        if (interrupted)
            return sps_fail(SPS_EINTERRUPTED, "interrupted");
        if (method->select)
            SPS_TRY(method->select(call, rows));
        SPS_TRY(method->attend(call, rows));
    }
    return SPS_OK;
}

enum sps_status sps_pass_attend(struct sps_pass *pass)
{
    const struct sps_plan *plan = &pass->plan;
    int64_t t = plan->problem->shape.t;

    for (struct sps_rows rows = {0, 0}; rows.end < t;) {
        rows = chunk_at(pass, rows.end, t);
        SPS_TRY(plan->method->attend(&pass->call, rows));
    }
    return SPS_OK;
}

/* Packed lists of the other chunks were overwritten. */
static enum sps_status back_rows(struct sps_pass *pass, struct sps_rows rows)
{
    if (pass->plan.packed)
        SPS_TRY(pass->plan.method->select(&pass->call, rows));
    return pass->plan.method->backward(&pass->call, rows);
}

enum sps_status sps_pass_backward(struct sps_pass *pass, struct sps_trace *trace)
{
    const struct sps_plan *plan = &pass->plan;
    struct sps_call *call = &pass->call;
    int64_t t = plan->problem->shape.t,
            step = plan->packed ? pass->chunk : step_rows(plan);

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
        SPS_TRY(back_rows(pass, rows));
    }
    return plan->method->backward_end ? plan->method->backward_end(call) : SPS_OK;
}

enum sps_status sps_pass_output(struct sps_pass *pass, float *o)
{
    return pass->call.dev->backend->download(pass->call.dev, o, pass->call.o,
                                             output_bytes(&pass->plan));
}

/* Room for `more` entries behind the `used` ones of a host list. */
static enum sps_status grow(int32_t **list, int64_t used, int64_t more, int64_t *room)
{
    void *mem;

    if (used + more <= *room)
        return SPS_OK;
    *room = 2 * (used + more);
    SPS_TRY(sps_calloc((size_t)*room * sizeof **list, &mem));
    if (used)
        memcpy(mem, *list, (size_t)used * sizeof **list);
    free(*list);
    *list = mem;
    return SPS_OK;
}

/* Behind list `first` of a packed host index, the lists of rows [begin, end) of the chunk
 * that was selected last. */
static enum sps_status copy_lists(const struct sps_call *call, struct sps_rows rows,
                                  int64_t first, struct sps_index *to, int64_t *room)
{
    const struct sps_backend *backend = call->dev->backend;
    int64_t count = (rows.end - rows.begin) * to->heads, used = to->offset[first];
    int64_t *offset = to->offset + first;

    SPS_TRY(backend->download(call->dev, offset,
                              call->index.offset + rows.begin * to->heads,
                              (size_t)(count + 1) * sizeof *offset));
    int64_t from = offset[0], entries = offset[count] - from;
    for (int64_t i = 0; i <= count; i++)
        offset[i] += used - from;
    SPS_TRY(grow(&to->list, used, entries, room));
    return backend->download(call->dev, to->list + used, call->index.list + from,
                             (size_t)entries * sizeof(int32_t));
}

static enum sps_status select_again(struct sps_pass *pass, struct sps_rows rows,
                                    int64_t first, struct sps_index *to, int64_t *room)
{
    for (struct sps_rows some = {0, rows.begin}; some.end < rows.end;) {
        some = chunk_at(pass, some.end, rows.end);
        if (interrupted)
            return sps_fail(SPS_EINTERRUPTED, "interrupted");
        SPS_TRY(pass->plan.method->select(&pass->call, some));
        SPS_TRY(copy_lists(&pass->call, some,
                           first + (some.begin - rows.begin) * to->heads, to, room));
    }
    return SPS_OK;
}

/* An empty packed host index of t rows. */
static enum sps_status make_packed(const struct sps_pass *pass, int64_t t,
                                   struct sps_index *index)
{
    void *offset;

    *index = pass->call.index;
    index->t = t;
    index->list = NULL;
    index->offset = NULL;
    SPS_TRY(sps_calloc((size_t)(t * index->heads + 1) * sizeof(int64_t), &offset));
    index->offset = offset;
    return SPS_OK;
}

enum sps_status sps_pass_lists(struct sps_pass *pass, struct sps_rows rows,
                               struct sps_index *index)
{
    int64_t room = 0;

    pass->call.plan = &pass->plan;
    pass->call.trace = NULL;
    SPS_TRY(make_packed(pass, rows.end - rows.begin, index));
    enum sps_status status = select_again(pass, rows, 0, index, &room);
    if (status != SPS_OK)
        sps_pass_index_free(index);
    return status;
}

/* Lists of rows[count], ascending; those between stay empty. */
static enum sps_status add_rows(struct sps_pass *pass, const int64_t *rows, int64_t count,
                                struct sps_index *index)
{
    int64_t heads = index->heads, done = 0, room = 0;

    for (int64_t i = 0, j; i < count; i = j) {
        for (j = i + 1; j < count && rows[j] == rows[j - 1] + 1;)
            j++;
        for (; done < rows[i] * heads; done++)
            index->offset[done + 1] = index->offset[done];
        SPS_TRY(select_again(pass, (struct sps_rows){rows[i], rows[j - 1] + 1}, done,
                             index, &room));
        done = (rows[j - 1] + 1) * heads;
    }
    for (; done < index->t * heads; done++)
        index->offset[done + 1] = index->offset[done];
    return SPS_OK;
}

enum sps_status sps_pass_index_rows(struct sps_pass *pass, const int64_t *rows,
                                    int64_t count, struct sps_index *index)
{
    if (!pass->plan.packed)
        return sps_pass_index(pass, index);
    pass->call.plan = &pass->plan;
    pass->call.trace = NULL;
    SPS_TRY(make_packed(pass, pass->plan.problem->shape.t, index));
    enum sps_status status = add_rows(pass, rows, count, index);
    if (status != SPS_OK)
        sps_pass_index_free(index);
    return status;
}

void sps_pass_index_free(struct sps_index *index)
{
    free(index->list);
    free(index->offset);
    *index = (struct sps_index){0};
}

enum sps_status sps_pass_index(struct sps_pass *pass, struct sps_index *index)
{
    void *list;

    *index = (struct sps_index){0};
    if (!pass->plan.index_heads)
        return SPS_OK;
    if (pass->plan.packed)
        return sps_pass_lists(pass, (struct sps_rows){0, pass->plan.problem->shape.t},
                              index);
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
