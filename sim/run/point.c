/* point.c - run a method over every part of a group and add up what it did.
 * Over 400 lines because one point's parts, phases and failures hang together. */
#include "sim/run/point.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run/memory.h"

/* One part under way: its pass and what came back to the host. */
struct work {
    const struct sps_point *point;
    struct sps_group *group;
    struct sps_part *part;
    struct sps_pass pass;
    struct sps_index index; /* owned; packed: of the reported rows alone */
    float *o;               /* [t,h,dv], owned */
    int64_t *rows,
        *at; /* [count] reported rows: among the measured, of the input; owned */
    int64_t count;
    float *o_full; /* [count,h,dv]: the part's, or owned when rows are dropped */
    bool own_full;
    struct sps_needle *needles; /* owned */
    int64_t needle_count;
};

static void work_free(struct work *w)
{
    sps_pass_close(&w->pass);
    sps_pass_index_free(&w->index);
    free(w->o);
    free(w->rows);
    free(w->at);
    free(w->needles);
    if (w->own_full)
        free(w->o_full);
}

/* Keep measured rows first, first + step, ... for report; their places in the input. */
static enum sps_status keep_rows(struct work *w, int64_t first, int64_t step)
{
    const struct sps_group *group = w->group;
    int64_t kept = (group->count - first + step - 1) / step;
    size_t row = (size_t)(w->part->input.problem.shape.h * group->data.dv);
    void *mem;

    SPS_TRY(sps_calloc((size_t)kept * sizeof(int64_t), &mem));
    w->rows = mem;
    SPS_TRY(sps_calloc((size_t)kept * sizeof(int64_t), &mem));
    w->at = mem;
    SPS_TRY(sps_calloc((size_t)kept * row * sizeof(float), &mem));
    w->o_full = mem;
    w->own_full = true;
    w->count = kept;
    for (int64_t i = 0; i < kept; i++) {
        w->rows[i] = first + i * step;
        w->at[i] = group->at[first + i * step];
        memcpy(w->o_full + (size_t)i * row,
               w->part->o_full + (size_t)(first + i * step) * row, row * sizeof(float));
    }
    return SPS_OK;
}

static enum sps_status keep_all(struct work *w)
{
    SPS_TRY(keep_rows(w, 0, 1));
    free(w->o_full);
    w->o_full = w->part->o_full;
    w->own_full = false;
    return SPS_OK;
}

/* Constants from the even measured rows; the odd ones are reported. */
static enum sps_status fit(struct work *w, struct sps_outcome *out)
{
    const struct sps_method *method = w->point->method;
    struct sps_call *call = &w->pass.call;

    if (!method->fits || !method->fits(w->point->options)) {
        memcpy(out->note, w->pass.plan.note, sizeof out->note);
        return keep_all(w);
    }
    if (w->group->count < 2)
        return sps_fail(SPS_ECONFIG, "%s: fitting gates needs two measured rows",
                        method->name);
    SPS_TRY(keep_rows(w, 0, 2));
    SPS_TRY(method->fit(call, w->at, w->count, w->o_full, out->note, sizeof out->note));
    free(w->rows);
    free(w->at);
    free(w->o_full);
    w->rows = w->at = NULL;
    w->own_full = false;
    return keep_rows(w, 1, 2);
}

/* Needles of this part's heads, by measured row. */
static enum sps_status place_needles(struct work *w)
{
    const struct sps_group *group = w->group;
    int64_t G = group->data.h / group->data.g, first = w->part->take.kv_head * G;
    void *mem;

    if (!group->data.probe_count)
        return SPS_OK;
    SPS_TRY(sps_calloc((size_t)group->data.probe_count * sizeof *w->needles, &mem));
    w->needles = mem;
    for (int64_t i = 0; i < group->data.probe_count; i++) {
        const struct sps_probe *probe = &group->data.probes[i];
        int64_t head = probe->head - first;
        if (head < 0 || head >= w->part->take.kv_heads * G)
            continue;
        for (int64_t r = 0; r < group->count; r++)
            if (group->rows[r] == probe->row)
                w->needles[w->needle_count++] = (struct sps_needle){r, head, probe->key};
    }
    return SPS_OK;
}

static enum sps_status fetch(struct work *w)
{
    const struct sps_shape *s = &w->part->input.problem.shape;
    void *mem;

    SPS_TRY(sps_calloc((size_t)(s->t * s->h * s->dv) * sizeof(float), &mem));
    w->o = mem;
    SPS_TRY(sps_pass_output(&w->pass, w->o));
    return sps_pass_index_rows(&w->pass, w->at, w->count, &w->index);
}

static enum sps_status measure_quality(struct work *w, struct sps_quality *quality)
{
    const struct sps_plan *plan = &w->pass.plan;
    const struct sps_problem *measured =
        sps_part_measured(w->group, w->part - w->group->part);
    struct sps_quality_in in = {
        .dev = plan->dev,
        .shape = &measured->shape,
        .in = &measured->in,
        .rows = w->rows,
        .count = w->count,
        .at = w->at,
        .index = w->index.heads ? &w->index : NULL,
        .band = plan->band,
        .rule = plan->rule,
        .atlas_block = 64,
        .o = w->o,
        .o_full = w->o_full,
        .needles = w->needles,
        .needle_count = w->needle_count,
    };
    return sps_quality_measure(&in, quality);
}

static double row_error(const float *full, const float *o, int64_t dv)
{
    double error = 0, norm = 0;

    for (int64_t x = 0; x < dv; x++) {
        error += ((double)full[x] - o[x]) * ((double)full[x] - o[x]);
        norm += (double)full[x] * full[x];
    }
    return norm > 0 ? sqrt(error / norm) : NAN;
}

/* Which rows were measured, and the error of each at each head of this part. */
static enum sps_status keep_row_errors(struct work *w, struct sps_outcome *out)
{
    const struct sps_group *group = w->group;
    int64_t h = w->part->input.problem.shape.h, dv = group->data.dv;
    int64_t first = w->part->take.kv_head * (group->data.h / group->data.g);
    void *mem;

    if (!out->row_of) {
        SPS_TRY(sps_calloc((size_t)w->count * sizeof(int64_t), &mem));
        out->row_of = mem;
        SPS_TRY(sps_calloc((size_t)(w->count * group->data.h) * sizeof(double), &mem));
        out->row_error = mem;
    }
    for (int64_t i = 0; i < w->count; i++) {
        out->row_of[i] = group->rows[w->rows[i]];
        for (int64_t x = 0; x < h; x++)
            out->row_error[(first + x) * w->count + i] = row_error(
                w->o_full + (i * h + x) * dv, w->o + (w->at[i] * h + x) * dv, dv);
    }
    return SPS_OK;
}

static void add_costs(struct sps_cost *to, const struct sps_cost *from)
{
    for (int s = 0; s < SPS_STAGE_COUNT; s++) {
        to[s].flops += from[s].flops;
        to[s].bytes += from[s].bytes;
    }
}

/* Of one pair: two products forward, five backward. */
static double dense_flops(const struct sps_plan *plan)
{
    const struct sps_shape *s = &plan->problem->shape;

    return (double)(plan->problem->backward ? 6 * s->dk + 4 * s->dv
                                            : 2 * (s->dk + s->dv));
}

static enum sps_status count(struct work *w, struct sps_outcome *out)
{
    const struct sps_plan *plan = &w->pass.plan;
    const struct sps_shape *shape = &plan->problem->shape;
    struct sps_cost cost[SPS_STAGE_COUNT] = {{0}};
    struct sps_counts counts;
    int64_t chunk;

    SPS_TRY(sps_count_pass(&w->pass, &w->index, &counts));
    plan->method->cost(plan, counts.pairs, cost);
    add_costs(out->counted, cost);
    add_costs(out->model, plan->cost);
    out->pairs.both += counts.pairs.both;
    out->pairs.index += counts.pairs.index;
    double causal = sps_shape_pairs(shape) * (double)shape->h;
    out->causal_pairs += causal;
    out->flops_dense += dense_flops(plan) * causal;
    out->tile_pairs += counts.tile_pairs;
    out->density_requested = plan->density_requested;
    double bytes = (double)(sps_pass_bytes(plan, &chunk) + w->part->input.bytes);
    out->memory_predicted = bytes > out->memory_predicted ? bytes : out->memory_predicted;
    out->t = shape->t;
    return SPS_OK;
}

static enum sps_status time_one(struct work *w, bool flush, struct sps_rotation *rotation,
                                struct sps_samples *samples)
{
    const struct sps_method *method = w->point->method;
    const struct sps_measure *measure = &w->group->measure;
    bool compare = !method->oracle && !method->idle && strcmp(method->name, "full") != 0;
    struct sps_schedule schedule = {
        .run = w->group->phase == SPS_BACKWARD ? sps_pass_backward : sps_pass_run,
        .samples = measure->samples,
        .seconds = measure->seconds,
        .flush = flush,
        .energy = !flush || !measure->hot,
        .rotation = rotation};

    return sps_time(&w->pass, compare ? &w->part->dense : NULL, &schedule, samples);
}

/* Device bytes that this part leaves: inputs, the pass and the dense one are held. */
static size_t room(const struct work *w)
{
    const struct sps_part *part = w->part;
    int64_t chunk;
    size_t held = part->input.bytes + part->measured.bytes +
                  sps_pass_bytes(&w->pass.plan, &chunk) +
                  sps_pass_bytes(&part->dense.plan, &chunk);

    return held < w->group->dev.memory_bytes ? w->group->dev.memory_bytes - held : 0;
}

static enum sps_status time_all(struct work *w, struct sps_outcome *out)
{
    struct sps_rotation rotation;
    enum sps_status status = sps_rotation_open(&w->part->input, room(w), &rotation);

    if (status == SPS_OK && out->cold)
        status = time_one(w, true, &rotation, out->cold);
    if (status == SPS_OK && out->hot)
        status = time_one(w, false, &rotation, out->hot);
    sps_rotation_close(&rotation);
    return status;
}

/* What the forward pass chose and answered. */
static enum sps_status look_at(struct work *w, struct sps_outcome *out,
                               struct sps_quality *quality)
{
    SPS_TRY(fit(w, out));
    SPS_TRY(fetch(w));
    SPS_TRY(place_needles(w));
    if (!w->group->measure.quality || w->point->method->idle)
        return SPS_OK;
    SPS_TRY(measure_quality(w, quality));
    return w->group->measure.per_row ? keep_row_errors(w, out) : SPS_OK;
}

/* Gradients have a cost only; the prefill row of the same options has the quality. */
static enum sps_status pass_back(struct work *w, struct sps_outcome *out)
{
    memcpy(out->note, w->pass.plan.note, sizeof out->note);
    SPS_TRY(sps_pass_index_rows(&w->pass, NULL, 0, &w->index));
    return sps_pass_backward(&w->pass, NULL);
}

static enum sps_status run_part(struct work *w, struct sps_outcome *out,
                                struct sps_quality *quality)
{
    const struct sps_problem *problem = &w->part->input.problem;

    sps_memory_reset_peak();
    SPS_TRY(sps_pass_open(w->point->method, w->point->options, problem, &w->group->dev,
                          &w->pass));
    SPS_TRY(sps_pass_run(&w->pass, NULL));
    if (w->group->phase == SPS_BACKWARD)
        SPS_TRY(pass_back(w, out));
    else
        SPS_TRY(look_at(w, out, quality));
    SPS_TRY(count(w, out));
    out->memory_peak = fmax(out->memory_peak, sps_memory_peak());
    return w->group->measure.time ? time_all(w, out) : SPS_OK;
}

/* Full attention of this backend against ref at the measured rows: relative L2. */
static enum sps_status compare_full(struct sps_group *group, struct sps_outcome *out)
{
    struct sps_device ref;
    struct sps_group same = *group;
    double error = 0, norm = 0;

    SPS_TRY(sps_device_open("ref", group->dev.threads, &ref));
    for (int64_t i = 0; i < group->parts; i++) {
        struct sps_part part = {.take = group->part[i].take};
        const float *a = group->part[i].o_full;
        same.dev = ref;
        same.measure.time = same.whole = false;
        same.part = &part;
        same.parts = 1;
        enum sps_status status = sps_part_enter(&same, 0);
        int64_t count = group->count * part.take.kv_heads *
                        (group->data.h / group->data.g) * group->data.dv;
        for (int64_t x = 0; status == SPS_OK && x < count; x++) {
            error += ((double)a[x] - part.o_full[x]) * ((double)a[x] - part.o_full[x]);
            norm += (double)part.o_full[x] * part.o_full[x];
        }
        if (part.input.dev)
            sps_input_free(&part.input);
        free(part.o_full);
        if (status != SPS_OK) {
            sps_device_close(&ref);
            return status;
        }
    }
    sps_device_close(&ref);
    out->error_full_ref = sqrt(error / norm);
    return SPS_OK;
}

static enum sps_status run_parts(const struct sps_point *point, struct sps_group *group,
                                 struct sps_quality *quality, struct sps_outcome *out)
{
    for (int64_t i = 0; i < group->parts; i++) {
        SPS_TRY(sps_part_enter(group, i));
        struct work w = {.point = point, .group = group, .part = &group->part[i]};
        enum sps_status status = run_part(&w, out, &quality[i]);
        work_free(&w);
        sps_part_leave(group, i);
        SPS_TRY(status);
    }
    if (group->measure.reference && group->phase != SPS_BACKWARD &&
        strcmp(point->method->name, "full") == 0)
        SPS_TRY(compare_full(group, out));
    return SPS_OK;
}

static enum sps_status make_samples(bool wanted, struct sps_samples **samples)
{
    void *mem;

    if (!wanted)
        return SPS_OK;
    SPS_TRY(sps_calloc(sizeof **samples, &mem));
    *samples = mem;
    return SPS_OK;
}

enum sps_status sps_point_measure(const struct sps_point *point, struct sps_group *group,
                                  struct sps_outcome *outcome)
{
    const struct sps_measure *measure = &group->measure;
    void *mem;

    *outcome = (struct sps_outcome){.error_full_ref = NAN, .memory_peak = NAN};
    SPS_TRY(make_samples(measure->time && measure->cold, &outcome->cold));
    SPS_TRY(make_samples(measure->time && measure->hot, &outcome->hot));
    SPS_TRY(sps_calloc((size_t)group->parts * sizeof(struct sps_quality), &mem));
    struct sps_quality *quality = mem;
    enum sps_status status = run_parts(point, group, quality, outcome);
    if (status == SPS_OK)
        status = sps_quality_merge(quality, group->parts, &outcome->quality);
    for (int64_t i = 0; i < group->parts; i++)
        sps_quality_free(&quality[i]);
    free(quality);
    return status;
}

void sps_outcome_free(struct sps_outcome *outcome)
{
    sps_quality_free(&outcome->quality);
    free(outcome->row_of);
    free(outcome->row_error);
    free(outcome->cold);
    free(outcome->hot);
    *outcome = (struct sps_outcome){0};
}
