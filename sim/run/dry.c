/* dry.c - the plan of an experiment: every point with what it should cost. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run/calibration.h"
#include "sim/run/group.h"
#include "sim/run/pass.h"
#include "sim/run/problem.h"
#include "sim/run/run.h"

/* A problem's shape, and host arrays that it points to; no tensor data. */
struct sketch {
    struct sps_data data;
    struct sps_problem problem;
};

/* A generated set by its numbers alone: 1M tokens need no memory to plan. */
static enum sps_status sketch_synthetic(const struct sps_synthetic *spec,
                                        struct sps_data *d)
{
    int64_t t = spec->queries ? spec->queries : spec->length;
    void *mem;

    d->n = spec->batch, d->h = spec->q_heads, d->g = spec->kv_heads;
    d->dk = spec->head_dim, d->dv = spec->value_dim ? spec->value_dim : spec->head_dim;
    t = t < spec->length ? t : spec->length;
    d->t = d->n * t, d->s = d->n * spec->length;
    SPS_TRY(sps_calloc((size_t)(d->n + 1) * sizeof(int64_t), &mem));
    d->cu_q = mem;
    SPS_TRY(sps_calloc((size_t)(d->n + 1) * sizeof(int64_t), &mem));
    d->cu_k = mem;
    for (int64_t i = 0; i <= d->n; i++)
        d->cu_q[i] = i * t, d->cu_k[i] = i * spec->length;
    return SPS_OK;
}

static enum sps_status make_sketch(const struct sps_point *point, struct sketch *sketch)
{
    const struct sps_data_spec *spec = point->data;
    struct sps_data *d = &sketch->data;

    SPS_TRY(spec->generator ? sketch_synthetic(&spec->synthetic, d)
                            : sps_data_load(spec, d));
    sketch->problem = (struct sps_problem){.shape = {.h = d->h,
                                                     .g = d->g,
                                                     .t = d->t,
                                                     .s = d->s,
                                                     .dk = d->dk,
                                                     .dv = d->dv,
                                                     .n = d->n,
                                                     .cu_q = d->cu_q,
                                                     .cu_k = d->cu_k,
                                                     .causal = true,
                                                     .scale = 1},
                                           .extra = {.gate = d->gate,
                                                     .w_k = d->w_k,
                                                     .w_v = d->w_v,
                                                     .pe_k = d->pe_k,
                                                     .q_idx = d->q_idx,
                                                     .k_idx = d->k_idx,
                                                     .w_idx = d->w_idx,
                                                     .given = {.t = d->t,
                                                               .heads = d->index.dim[1],
                                                               .block = d->index_block,
                                                               .width = d->index.dim[2],
                                                               .list = d->index.data}},
                                           .dtype = point->dtype,
                                           .backward = point->phase == SPS_BACKWARD};
    return SPS_OK;
}

/* Method and data; the phase where it is not the usual one. */
static void print_label(const struct sps_point *point, FILE *out)
{
    char label[sizeof point->label + 16];
    bool usual = point->phase == SPS_PREFILL;

    snprintf(label, sizeof label, "%s%s%s", point->label, usual ? "" : ", ",
             usual ? "" : sps_phase_name(point->phase));
    fprintf(out, "%-36s %-28s ", label, point->data->label);
}

/* Milliseconds, or that nobody knows. */
static void print_ms(double seconds, FILE *out)
{
    if (seconds > 0)
        fprintf(out, " %10.2f", 1e3 * seconds);
    else
        fprintf(out, " %10s", "unknown");
}

static void print_point(const struct sps_point *point, const struct sps_plan *plan,
                        size_t input_bytes, const struct sps_calibration *calibration,
                        FILE *out)
{
    const struct sps_shape *shape = &plan->problem->shape;
    double flops = 0, seconds[SPS_STAGE_COUNT];
    int64_t chunk;
    size_t bytes = input_bytes + sps_pass_bytes(plan, &chunk);
    struct sps_work work = {.method = plan->method,
                            .backward = plan->problem->backward,
                            .dtype = plan->dev->backend->accepts(plan->problem->dtype),
                            .cost = plan->cost,
                            .causal_pairs = sps_shape_pairs(shape) * (double)shape->h,
                            .memory = (double)bytes};

    for (int s = 0; s < SPS_STAGE_COUNT; s++)
        flops += plan->cost[s].flops;
    print_label(point, out);
    fprintf(out, "%-5s %10.3e %9.1f", plan->dev->backend->name, flops,
            (double)bytes / 1048576);
    print_ms(flops / calibration->roofs.matrix_flops, out);
    print_ms(sps_calibration_predict(calibration, &work, seconds), out);
    fprintf(out, "\n");
}

static enum sps_status dry_point(const struct sps_point *point, struct sps_device *dev,
                                 const struct sps_calibration *calibration, FILE *out)
{
    struct sketch sketch = {0};
    struct sps_plan plan = {0};
    struct sps_take all;

    enum sps_status status = make_sketch(point, &sketch);
    if (status == SPS_OK) {
        all = (struct sps_take){.kv_heads = sketch.data.g,
                                .backward = point->phase == SPS_BACKWARD};
        status =
            sps_plan_make(point->method, point->options, &sketch.problem, dev, &plan);
        if (status == SPS_OK)
            print_point(point, &plan,
                        sps_input_bytes(&sketch.data, &all, point->dtype, dev),
                        calibration, out);
        else if (status == SPS_ENOTSUP || status == SPS_ECONFIG) {
            print_label(point, out);
            fprintf(out, "cannot run: %s\n", sps_error());
        }
        sps_plan_free(&plan);
    }
    sps_data_free(&sketch.data);
    return status == SPS_ENOTSUP || status == SPS_ECONFIG ? SPS_OK : status;
}

/* Its calibration, or only its roofs, measured now. */
static enum sps_status open_device(const char *name, int threads, struct sps_device *dev,
                                   struct sps_calibration *calibration)
{
    sps_device_close(dev);
    calibration->roofs = (struct sps_roofs){.matrix_flops = NAN};
    SPS_TRY(sps_device_open(name, threads, dev));
    SPS_TRY(sps_calibration_load(dev, calibration));
    if (!calibration->count && dev->backend->roofs)
        return dev->backend->roofs(dev, &calibration->roofs);
    return SPS_OK;
}

static enum sps_status dry_points(const struct sps_run_options *o,
                                  const struct sps_experiment *experiment, FILE *out)
{
    struct sps_device dev = {0};
    struct sps_calibration calibration = {0};
    enum sps_status status = SPS_OK;

    fprintf(out, "%-36s %-28s %-5s %10s %9s %10s %10s\n", "point", "data", "on", "flops",
            "MiB", ">= ms", "ms");
    for (int64_t i = 0; status == SPS_OK && i < experiment->count; i++) {
        const struct sps_point *point = &experiment->points[i];
        const char *name = sps_backend_choose(o->backend ? o->backend : point->backend);
        if (!dev.backend || strcmp(dev.backend->name, name) != 0)
            status = open_device(name, o->threads, &dev, &calibration);
        if (status == SPS_OK)
            status = dry_point(point, &dev, &calibration, out);
    }
    bool could = dev.backend && dev.backend->roofs && !calibration.count;
    sps_device_close(&dev);
    if (status == SPS_OK)
        fprintf(out, "%lld points; nothing was run%s\n", (long long)experiment->count,
                could ? "; ms: after sparsescope info --calibrate" : "");
    return status;
}

enum sps_status sps_dry_run(const struct sps_run_options *options, FILE *out)
{
    struct sps_experiment experiment = {0};

    SPS_TRY(sps_experiment_load(options->config, options->set, options->set_count,
                                &experiment));
    enum sps_status status = dry_points(options, &experiment, out);
    sps_experiment_free(&experiment);
    return status;
}
