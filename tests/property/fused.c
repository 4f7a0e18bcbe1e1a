/* fused.c - NSA on a device that joins branches and sum, and on one that does not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/property/methods_run.h"
#include "tests/tap.h"

/* A kernel that joins by calling its parts. */
static enum sps_status stand_in(struct sps_device *dev, const struct sps_shape *shape,
                                const struct sps_qkv *in, const struct sps_index *index,
                                int64_t window, const float *first, const float *gate,
                                const float *constant, struct sps_rows rows, float *o)
{
    static const struct sps_band none;
    const struct sps_band band = {false, window, 0};
    int64_t count = shape->t * shape->h * shape->dv;
    float *selected = problem_floats(count), *windowed = problem_floats(count);
    const float *const part[] = {first, selected, windowed};

    enum sps_status status =
        dev->kernels.attend(dev, shape, in, index, &none, rows, selected, NULL);
    if (status == SPS_OK)
        status = dev->kernels.dense(dev, shape, in, &band, rows, windowed, NULL);
    if (status == SPS_OK)
        status = dev->kernels.combine(dev, shape, 3, part, gate, constant, rows, o);
    free(selected);
    free(windowed);
    dev->impl = "stand_in";
    return status;
}

static bool suits(struct sps_device *dev, const struct sps_shape *shape,
                  enum sps_dtype dtype, const struct sps_index *index)
{
    return dev->backend && shape->t >= 0 && dtype <= SPS_BF16 && index->width > 0;
}

static bool refuses(struct sps_device *dev, const struct sps_shape *shape,
                    enum sps_dtype dtype, const struct sps_index *index)
{
    return !suits(dev, shape, dtype, index);
}

static const struct fused_setting {
    struct setting setting;
    bool fused;
} cases[] = {
    {{"nsa", {{"select_block", "16"}, {"select_count", "4"}, {"window", "9"}}, false},
     true},
    {{"nsa", {{"select_block", "16"}, {"select_count", "4"}, {"window", "0"}}, false},
     true},
    {{"nsa", {{"select_block", "16"}, {"select_count", "4"}, {"gate", "fit"}}, false},
     false},
    {{"nsa", {{"select_block", "16"}, {"select_count", "4"}, {"combine", "union"}}, true},
     false},
};

/* Traced stages by what ran in them. */
static bool stages_are(const struct sps_trace *trace, bool fused)
{
    const char *attend = trace->impl[SPS_STAGE_ATTEND];

    if ((attend && strcmp(attend, "stand_in") == 0) != fused)
        return false;
    return !fused || (!trace->impl[SPS_STAGE_WINDOW] && !trace->impl[SPS_STAGE_COMBINE]);
}

static double flops(const struct sps_plan *plan)
{
    double sum = 0;

    for (int s = 0; s < SPS_STAGE_COUNT; s++)
        sum += plan->cost[s].flops;
    return sum;
}

/* The same output and operations; less memory moved, and held, where it is fused. */
static bool agrees(struct run *run, struct sps_pass *pass, bool fused)
{
    struct sps_trace trace = {0};
    struct sps_tensor x;
    const struct sps_plan *apart = &run->pass.plan, *plan = &pass->plan;
    const struct sps_cost *cost = plan->cost;

    if (sps_pass_run(pass, &trace) != SPS_OK || !stages_are(&trace, fused))
        return false;
    if (!same_bits(pass->call.o, run->pass.call.o, run->count * (int64_t)sizeof(float)))
        return false;
    if (!(fabs(flops(plan) - flops(apart)) <= 1e-9 * flops(apart)))
        return false;
    if (!fused)
        return plan->fixed_bytes == apart->fixed_bytes;
    return plan->fixed_bytes <= apart->fixed_bytes && cost[SPS_STAGE_WINDOW].bytes == 0 &&
           cost[SPS_STAGE_COMBINE].bytes == 0 &&
           cost[SPS_STAGE_ATTEND].bytes <= apart->cost[SPS_STAGE_ATTEND].bytes +
                                               apart->cost[SPS_STAGE_WINDOW].bytes +
                                               apart->cost[SPS_STAGE_COMBINE].bytes &&
           !pass->plan.method->peek(&pass->call, "o_slc", &x) &&
           !pass->plan.method->peek(&pass->call, "o_win", &x);
}

/* A second pass on run's device, which now has a fused kernel. */
static bool runs(struct run *run, const struct sps_problem *problem, bool fused)
{
    struct sps_pass pass = {0};
    const struct sps_plan *plan = &run->pass.plan;
    bool ok =
        sps_pass_open(plan->method, plan->options, problem, &run->dev, &pass) == SPS_OK;

    ok = ok && agrees(run, &pass, fused);
    sps_pass_close(&pass);
    return ok;
}

static bool holds(const struct fused_setting *c, struct run *run)
{
    struct sps_problem kept = run->input;

    kept.keep = true;
    run->dev.kernels.attend_gated = stand_in;
    run->dev.kernels.attend_gated_suits = suits;
    bool ok = runs(run, &run->input, c->fused) && runs(run, &kept, false);
    run->dev.kernels.attend_gated_suits = refuses;
    ok = ok && runs(run, &run->input, false);
    run->dev.kernels.attend_gated = NULL;
    return ok;
}

static void test_fused(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int b = 0; b < BACKENDS; b++)
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                struct run run;
                bool ok = run_open(&cases[i].setting, backends[b], seed, &run) &&
                          holds(&cases[i], &run);
                CU_ASSERT(ok);
                if (!ok)
                    run_report(&cases[i].setting, backends[b], &run);
                run_close(&run);
            }
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"nsa in one kernel is nsa in three", test_fused},
        {NULL, NULL},
    };
    return tap_run("fused", tests);
}
