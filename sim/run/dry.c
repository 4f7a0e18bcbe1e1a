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

static enum sps_status make_sketch(const struct sps_point *point, struct sketch *sketch)
{
    static const struct sps_pages pages = {.tokens = SPS_PAGE_TOKENS};
    bool paged = point->data->cache == SPS_PAGED;
    struct sps_data *d = &sketch->data;

    SPS_TRY(sps_data_sketch(point->data, point->phase, d));
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
                                                     .scale = 1,
                                                     .pages = paged ? &pages : NULL},
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
                                           .backward = point->phase == SPS_BACKWARD,
                                           .decode = point->phase == SPS_DECODE};
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

static enum sps_status plan_point(const struct sps_point *point, struct sps_device *dev,
                                  struct sketch *sketch, struct sps_plan *plan)
{
    SPS_TRY(make_sketch(point, sketch));
    return sps_plan_make(point->method, point->options, &sketch->problem, dev, plan);
}

static enum sps_status dry_point(const struct sps_point *point, struct sps_device *dev,
                                 const struct sps_calibration *calibration, FILE *out)
{
    struct sketch sketch = {0};
    struct sps_plan plan = {0};

    enum sps_status status = plan_point(point, dev, &sketch, &plan);
    bool refused = status == SPS_ENOTSUP || status == SPS_ECONFIG;
    struct sps_take all = {.kv_heads = sketch.data.g,
                           .backward = point->phase == SPS_BACKWARD,
                           .paged = point->data->cache == SPS_PAGED};
    if (status == SPS_OK)
        print_point(point, &plan, sps_input_bytes(&sketch.data, &all, point->dtype, dev),
                    calibration, out);
    if (refused) {
        print_label(point, out);
        fprintf(out, "cannot run: %s\n", sps_error());
    }
    sps_plan_free(&plan);
    sps_data_free(&sketch.data);
    return refused ? SPS_OK : status;
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
