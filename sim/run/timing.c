/* timing.c - the sampling loop. */
#include "sim/run/timing.h"

#include <time.h>

enum { MARK_BEGIN = 2, MARK_END = 3 }; /* stages use 0 and 1 */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum sps_status sample(struct sps_pass *pass, bool flush, double *seconds)
{
    struct sps_device *dev = pass->call.dev;

    if (flush)
        SPS_TRY(dev->backend->flush(dev));
    SPS_TRY(dev->backend->mark(dev, MARK_BEGIN));
    SPS_TRY(sps_pass_run(pass, NULL));
    SPS_TRY(dev->backend->mark(dev, MARK_END));
    return dev->backend->elapsed(dev, MARK_BEGIN, MARK_END, seconds);
}

static enum sps_status trace(struct sps_pass *pass, bool flush, int64_t i,
                             struct sps_samples *samples)
{
    struct sps_device *dev = pass->call.dev;
    struct sps_trace trace = {0};

    if (flush)
        SPS_TRY(dev->backend->flush(dev));
    SPS_TRY(sps_pass_run(pass, &trace));
    for (int s = 0; s < SPS_STAGE_COUNT; s++) {
        samples->stage[s][i] += trace.seconds[s];
        if (trace.impl[s])
            samples->impl[s] = trace.impl[s];
    }
    return SPS_OK;
}

static enum sps_status dense_sample(struct sps_pass *dense, bool flush, int64_t i,
                                    struct sps_samples *samples)
{
    double seconds;

    SPS_TRY(sample(dense, flush, &seconds));
    samples->dense[i] += seconds;
    samples->dense_impl = dense->call.dev->impl;
    return SPS_OK;
}

/* Samples to take: the first part decides, the others take as many. */
static bool enough(const struct sps_schedule *schedule, const struct sps_samples *samples,
                   int64_t i, double began)
{
    if (samples->parts)
        return i >= samples->n;
    return i >= schedule->samples || i >= SPS_SAMPLES_MAX ||
           (i > 0 && now() - began > schedule->seconds);
}

enum sps_status sps_time(struct sps_pass *pass, struct sps_pass *dense,
                         const struct sps_schedule *schedule, struct sps_samples *samples)
{
    int64_t every = (schedule->samples + SPS_DENSE_SAMPLES - 1) / SPS_DENSE_SAMPLES;
    int64_t i = 0, dense_n = 0, traced = 0;
    double began = now(), seconds;

    for (; !enough(schedule, samples, i, began); i++) {
        if (dense && i % every == 0)
            SPS_TRY(dense_sample(dense, schedule->flush, dense_n++, samples));
        SPS_TRY(sample(pass, schedule->flush, &seconds));
        samples->total[i] += seconds;
        if (traced < SPS_TRACED_MAX)
            SPS_TRY(trace(pass, schedule->flush, traced++, samples));
    }
    samples->n = i;
    samples->dense_n = dense_n;
    samples->traced_n = traced;
    samples->parts++;
    return SPS_OK;
}
