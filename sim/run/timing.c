/* timing.c - the sampling loop. */
#include "sim/run/timing.h"

#include <math.h>
#include <time.h>

enum { MARK_BEGIN = 2, MARK_END = 3 }; /* stages use 0 and 1 */
enum { WARM_UP_MAX = 10 };

#define WARM_UP_SECONDS 1.0  /* no longer than this, */
#define WARM_UP_CHANGE  0.03 /* or until all sets are read, and a pass takes as before */
#define ENERGY_SECONDS  1.0  /* the counter moves in steps of up to 0.1 s */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum sps_status sample(struct sps_pass *pass, const struct sps_schedule *schedule,
                              bool flush, double *seconds)
{
    struct sps_device *dev = pass->call.dev;

    if (flush)
        SPS_TRY(dev->backend->flush(dev));
    SPS_TRY(dev->backend->mark(dev, MARK_BEGIN));
    SPS_TRY(sps_rotation_run(schedule->rotation, schedule->run, pass, NULL));
    SPS_TRY(dev->backend->mark(dev, MARK_END));
    return dev->backend->elapsed(dev, MARK_BEGIN, MARK_END, seconds);
}

static enum sps_status warm_up(struct sps_pass *pass, const struct sps_schedule *schedule)
{
    double began = now(), last = 0, seconds;

    for (int i = 0; i < WARM_UP_MAX && now() - began < WARM_UP_SECONDS; i++) {
        SPS_TRY(sample(pass, schedule, false, &seconds));
        if (i >= schedule->rotation->sets &&
            fabs(seconds - last) <= WARM_UP_CHANGE * last)
            break;
        last = seconds;
    }
    return SPS_OK;
}

/* Note the clock after a sample; *keep: nothing but the power cap held it back. */
static enum sps_status look(struct sps_device *dev, struct sps_samples *samples,
                            double *sm_mhz, bool *keep)
{
    struct sps_health health;

    *keep = true;
    *sm_mhz = NAN;
    if (!dev->backend->health)
        return SPS_OK;
    SPS_TRY(dev->backend->health(dev, &health));
    *sm_mhz = health.sm_mhz;
    samples->held_back |= health.held_back;
    *keep = !(health.held_back & ~(uint64_t)SPS_HELD_POWER_CAP);
    return SPS_OK;
}

/* Joules of a pass above idle: loop it for a while, then let the device rest. */
static enum sps_status weigh(struct sps_pass *pass, const struct sps_schedule *schedule,
                             struct sps_samples *samples)
{
    struct sps_device *dev = pass->call.dev;
    struct sps_health idle, before, after;
    double seconds;
    int64_t passes = 0;

    if (!dev->backend->health)
        return SPS_OK;
    SPS_TRY(dev->backend->health(dev, &idle));
    struct timespec rest = {.tv_nsec = 300000000};
    nanosleep(&rest, NULL);
    SPS_TRY(dev->backend->health(dev, &before));
    double idle_w = (before.energy_j - idle.energy_j) / 0.3, began = now();
    for (; now() - began < ENERGY_SECONDS; passes++)
        SPS_TRY(sample(pass, schedule, false, &seconds));
    SPS_TRY(dev->backend->health(dev, &after));
    double above = after.energy_j - before.energy_j - idle_w * (now() - began);
    double joules = above / (double)passes;
    samples->energy_j += joules > 0 ? joules : 0;
    return SPS_OK;
}

static enum sps_status trace(struct sps_pass *pass, const struct sps_schedule *schedule,
                             int64_t i, struct sps_samples *samples)
{
    struct sps_device *dev = pass->call.dev;
    struct sps_trace trace = {0};

    if (schedule->flush)
        SPS_TRY(dev->backend->flush(dev));
    SPS_TRY(sps_rotation_run(schedule->rotation, schedule->run, pass, &trace));
    for (int s = 0; s < SPS_STAGE_COUNT; s++) {
        samples->stage[s][i] += trace.seconds[s];
        if (trace.impl[s])
            samples->impl[s] = trace.impl[s];
    }
    return SPS_OK;
}

/* One more sample of the baseline, screened like the others. */
static enum sps_status dense_sample(struct sps_pass *dense,
                                    const struct sps_schedule *schedule,
                                    struct sps_samples *samples, int64_t *n)
{
    double seconds, sm_mhz;
    bool keep;

    SPS_TRY(sample(dense, schedule, schedule->flush, &seconds));
    samples->dense_impl = dense->call.dev->impl;
    SPS_TRY(look(dense->call.dev, samples, &sm_mhz, &keep));
    if (keep)
        samples->dense[(*n)++] += seconds;
    return SPS_OK;
}

/* Samples to take: the first part decides, the others take as many.  `tries` counts what
 * was dropped too: a device that stays too hot gives no samples rather than no end. */
static bool enough(const struct sps_schedule *schedule, const struct sps_samples *samples,
                   int64_t i, int64_t tries, double began)
{
    if (samples->parts)
        return i >= samples->n;
    return i >= schedule->samples || i >= SPS_SAMPLES_MAX ||
           (tries > 0 && now() - began > schedule->seconds);
}

enum sps_status sps_time(struct sps_pass *pass, struct sps_pass *dense,
                         const struct sps_schedule *schedule, struct sps_samples *samples)
{
    int64_t every = (schedule->samples + SPS_DENSE_SAMPLES - 1) / SPS_DENSE_SAMPLES;
    int64_t i = 0, dense_n = 0, traced = 0, dropped = 0;
    double began, seconds;
    bool keep;

    SPS_TRY(warm_up(pass, schedule));
    began = now();
    while (!enough(schedule, samples, i, i + dropped, began)) {
        if (dense && dense_n <= i / every)
            SPS_TRY(dense_sample(dense, schedule, samples, &dense_n));
        SPS_TRY(sample(pass, schedule, schedule->flush, &seconds));
        SPS_TRY(look(pass->call.dev, samples, &samples->sm_mhz[i], &keep));
        if (!keep && dropped < SPS_SAMPLES_MAX) {
            dropped++;
            continue;
        }
        samples->total[i++] += seconds;
        if (traced < SPS_TRACED_MAX)
            SPS_TRY(trace(pass, schedule, traced++, samples));
    }
    samples->n = i;
    samples->dropped += dropped;
    samples->dense_n = dense_n;
    samples->traced_n = traced;
    if (!samples->parts++ || schedule->rotation->sets < samples->sets)
        samples->sets = schedule->rotation->sets;
    return schedule->energy ? weigh(pass, schedule, samples) : SPS_OK;
}
