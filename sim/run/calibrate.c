/* calibrate.c - measure every method at one size against what the roofs allow. */
#include <stdio.h>
#include <string.h>

#include "analysis/stats.h"
#include "base/text.h"
#include "sim/run/calibration.h"
#include "sim/run/group.h"

enum { TRIES = 5, SHORTEST = 4096, LONGEST = 32768, HEADS = 16, DIM = 128 };

#define LONG_ENOUGH 5e-3 /* seconds of full attention at the roof */

/* Full attention must keep the device busy. */
static int64_t choose_length(const struct sps_roofs *roofs)
{
    int64_t n = SHORTEST;

    while (n < LONGEST &&
           2.0 * DIM * HEADS * (double)(n * n) / roofs->matrix_flops < LONG_ENOUGH)
        n *= 2;
    return n;
}

/* Each method that chooses by itself, with its defaults, in both phases. */
static enum sps_status make_points(const struct sps_device *dev, int64_t length,
                                   struct sps_experiment *experiment)
{
    struct sps_text text = {0};

    sps_text_printf(&text,
                    "name: calibrate\n"
                    "data: [{synthetic: diffuse, length: %lld, q_heads: %d, kv_heads: 4, "
                    "head_dim: %d}]\n"
                    "phases: [prefill, backward]\n"
                    "measure: {quality: {rows: 1}}\nmethods:\n",
                    (long long)length, HEADS, DIM);
    for (const struct sps_method *const *m = sps_methods; *m; m++)
        if (!(*m)->idle)
            sps_text_printf(&text, "  - method: %s\n", (*m)->name);
    enum sps_status status = sps_text_check(&text);
    if (status == SPS_OK)
        status = sps_experiment_parse(sps_text_string(&text), text.length, "calibration",
                                      NULL, 0, experiment);
    for (int64_t i = 0; status == SPS_OK && i < experiment->count; i++)
        snprintf(experiment->points[i].backend, sizeof experiment->points[i].backend,
                 "%s", dev->backend->name);
    sps_text_free(&text);
    return status;
}

/* The median of each stage over a few passes after one to warm up. */
static enum sps_status time_stages(struct sps_pass *pass, bool backward,
                                   double seconds[SPS_STAGE_COUNT])
{
    double sample[SPS_STAGE_COUNT][TRIES];

    for (int i = -1; i < TRIES; i++) {
        struct sps_trace trace = {0};
        SPS_TRY(backward ? sps_pass_backward(pass, &trace) : sps_pass_run(pass, &trace));
        for (int s = 0; s < SPS_STAGE_COUNT; s++)
            sample[s][i < 0 ? 0 : i] = trace.seconds[s];
    }
    for (int s = 0; s < SPS_STAGE_COUNT; s++)
        seconds[s] = sps_quantile(sample[s], TRIES, 0.5);
    return SPS_OK;
}

static enum sps_status measure(struct sps_pass *pass, struct sps_calibration *c)
{
    const struct sps_plan *plan = &pass->plan;
    const struct sps_shape *shape = &plan->problem->shape;
    double pairs = sps_shape_pairs(shape) * (double)shape->h, seconds[SPS_STAGE_COUNT];
    bool backward = plan->problem->backward;

    c->dtype = plan->dev->backend->accepts(plan->problem->dtype);
    if (backward)
        SPS_TRY(sps_pass_run(pass, NULL));
    SPS_TRY(time_stages(pass, backward, seconds));
    for (int s = 0; s < SPS_STAGE_COUNT; s++) {
        enum sps_stage stage = (enum sps_stage)s;
        double roof = sps_roof_seconds(&c->roofs, stage, &plan->cost[s], pairs);
        if (seconds[s] <= 0 || c->count == SPS_CALIBRATED_MAX)
            continue;
        struct sps_slowdown *to = &c->slowdown[c->count++];
        *to = (struct sps_slowdown){
            .backward = backward, .stage = stage, .times = seconds[s] / roof};
        snprintf(to->method, sizeof to->method, "%s", plan->method->name);
    }
    return SPS_OK;
}

/* Methods that this device or generated data cannot run stay unknown. */
static enum sps_status measure_point(const struct sps_point *point,
                                     struct sps_group *group, struct sps_calibration *c)
{
    struct sps_pass pass;
    enum sps_status status = sps_pass_open(
        point->method, point->options, &group->part[0].input.problem, &group->dev, &pass);

    if (status == SPS_OK)
        status = measure(&pass, c);
    sps_pass_close(&pass);
    return status == SPS_ENOTSUP || status == SPS_ENOMEM ? SPS_OK : status;
}

enum sps_status sps_calibrate(struct sps_device *dev, struct sps_calibration *c)
{
    struct sps_experiment experiment = {0};
    struct sps_group group = {.id = -1};

    *c = (struct sps_calibration){0};
    if (!dev->backend->roofs)
        return sps_fail(SPS_ENOTSUP, "backend %s does not measure its roofs",
                        dev->backend->name);
    SPS_TRY(dev->backend->roofs(dev, &c->roofs));
    enum sps_status status = make_points(dev, choose_length(&c->roofs), &experiment);
    for (int64_t i = 0; status == SPS_OK && i < experiment.count; i++) {
        const struct sps_point *point = &experiment.points[i];
        status = sps_group_enter(&group, point, &experiment.measure, dev->threads);
        if (status == SPS_OK)
            status = sps_part_enter(&group, 0);
        if (status == SPS_OK)
            status = measure_point(point, &group, c);
    }
    sps_group_close(&group);
    sps_experiment_free(&experiment);
    return status;
}
