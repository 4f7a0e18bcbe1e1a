/* run.c - walk the points: skip what is done, measure, write, count. */
#include "sim/run/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/sha256.h"
#include "sim/run/manifest.h"
#include "sim/run/progress.h"
#include "sim/run/rows.h"

/* One run under way. */
struct run {
    const struct sps_run_options *options;
    struct sps_experiment experiment;
    struct sps_folder folder;
    struct sps_manifest *manifest;
    struct sps_group group;
    struct sps_roofs roofs; /* of roofs_of */
    struct sps_calibration calibration;
    const struct sps_backend *roofs_of;
    char input[SPS_TEXT_MAX]; /* the recording hashed last, */
    char input_sha256[65];    /* and its hash */
    struct sps_progress progress;
    struct sps_run_counts *counts;
};

const char *sps_backend_choose(const char *wish)
{
    static const char *const fastest[] = {"cuda", "cpu"};

    if (strcmp(wish, "auto") != 0)
        return wish;
    for (size_t i = 0; i < sizeof fastest / sizeof *fastest; i++) {
        struct sps_device dev;
        if (sps_backend_find(fastest[i]) &&
            sps_device_open(fastest[i], 1, &dev) == SPS_OK) {
            sps_device_close(&dev);
            return fastest[i];
        }
    }
    return "ref";
}

/* Put real backend names in the points; what that makes equal runs once (equal ids). */
static void choose_backends(struct run *run)
{
    const char *override = run->options->backend;
    const char *automatic = sps_backend_choose("auto");

    for (int64_t i = 0; i < run->experiment.count; i++) {
        char *name = run->experiment.points[i].backend;
        if (override && strcmp(override, "auto") != 0)
            snprintf(name, sizeof run->experiment.points[i].backend, "%s", override);
        else if (strcmp(name, "auto") == 0)
            snprintf(name, sizeof run->experiment.points[i].backend, "%s", automatic);
    }
}

static enum sps_status hash_input(struct run *run, const struct sps_data_spec *spec)
{
    if (spec->generator) {
        run->input[0] = run->input_sha256[0] = '\0';
        return SPS_OK;
    }
    if (strcmp(run->input, spec->source) == 0)
        return SPS_OK;
    SPS_TRY(sps_sha256_file(spec->source, run->input_sha256));
    snprintf(run->input, sizeof run->input, "%s", spec->source);
    sps_manifest_input(run->manifest, spec->source, run->input_sha256);
    return SPS_OK;
}

/* Once per backend, and only for runs that time anything. */
static enum sps_status measure_roofs(struct run *run)
{
    struct sps_device *dev = &run->group.dev;

    if (run->roofs_of == dev->backend)
        return SPS_OK;
    run->roofs_of = dev->backend;
    run->roofs = (struct sps_roofs){0};
    SPS_TRY(sps_calibration_load(dev, &run->calibration));
    if (run->experiment.measure.time && dev->backend->roofs)
        SPS_TRY(dev->backend->roofs(dev, &run->roofs));
    sps_manifest_backend(run->manifest, dev, &run->roofs);
    return SPS_OK;
}

static enum sps_status measure(struct run *run, const struct sps_point *point,
                               struct sps_record *result, struct sps_text *rows)
{
    struct sps_outcome outcome = {0};

    SPS_TRY(sps_group_enter(&run->group, point, &run->experiment.measure,
                            run->options->threads));
    sps_rows_shape(&run->group.data, result);
    SPS_TRY(measure_roofs(run));
    enum sps_status status = sps_point_measure(point, &run->group, &outcome);
    if (status == SPS_OK)
        status = sps_rows_write(point, &run->group, &outcome, &run->roofs,
                                &run->calibration, result, rows);
    if (status == SPS_OK)
        sps_rows_detail(&run->group.data, &outcome, result->cells[SPS_R_point_id].text,
                        &rows[SPS_CSV_ROWS]);
    sps_outcome_free(&outcome);
    return status;
}

/* Measure into rows; a failure becomes a row too, an interruption none. */
static enum sps_status make_rows(struct run *run, const struct sps_point *point,
                                 const char *id, struct sps_text rows[SPS_CSV_COUNT + 1])
{
    struct sps_record result;

    SPS_TRY(sps_record_new(SPS_CSV_RESULTS, &result));
    sps_rows_identify(point, id, point->backend, &result);
    enum sps_status status = measure(run, point, &result, rows);
    run->counts->ok += status == SPS_OK;
    if (status != SPS_OK && status != SPS_EINTERRUPTED) {
        run->counts->failed++;
        for (int i = 0; i <= SPS_CSV_COUNT; i++)
            sps_text_clear(&rows[i]);
        sps_rows_fail(status, sps_error(), &result, rows);
        status = SPS_OK;
    }
    sps_record_free(&result);
    return status;
}

static enum sps_status run_point(struct run *run, const struct sps_point *point)
{
    struct sps_text rows[SPS_CSV_COUNT + 1] = {{0}};
    char id[SPS_ID_SIZE];

    SPS_TRY(hash_input(run, point->data));
    SPS_TRY(sps_point_id(point, &run->experiment.measure, point->backend,
                         run->input_sha256, id));
    if (sps_folder_done(&run->folder, id)) {
        run->counts->skipped++;
        return SPS_OK;
    }
    enum sps_status status = make_rows(run, point, id, rows);
    if (status == SPS_OK)
        status = sps_folder_append(&run->folder, id, rows);
    for (int i = 0; i <= SPS_CSV_COUNT; i++)
        sps_text_free(&rows[i]);
    return status;
}

static enum sps_status run_points(struct run *run)
{
    enum sps_status status = SPS_OK;

    sps_progress_start(&run->progress, run->experiment.count, run->options->quiet);
    for (int64_t i = 0; status == SPS_OK && i < run->experiment.count; i++) {
        const struct sps_point *point = &run->experiment.points[i];
        sps_progress_step(&run->progress, point->label);
        status = sps_interrupted() ? sps_fail(SPS_EINTERRUPTED, "interrupted")
                                   : run_point(run, point);
    }
    sps_progress_finish(&run->progress);
    return status;
}

static enum sps_status save_config(const struct run *run)
{
    struct sps_text text = {0};

    sps_text_put(&text, run->experiment.resolved);
    enum sps_status status = sps_folder_save(&run->folder, "config.yaml", &text);
    sps_text_free(&text);
    return status;
}

static enum sps_status run_all(struct run *run)
{
    const struct sps_run_options *o = run->options;
    struct timespec began, ended;

    clock_gettime(CLOCK_MONOTONIC, &began);
    SPS_TRY(sps_experiment_load(o->config, o->set, o->set_count, &run->experiment));
    choose_backends(run);
    run->counts->total = run->experiment.count;
    SPS_TRY(sps_folder_open(o->folder, o->mode, run->experiment.measure.per_row,
                            &run->folder));
    SPS_TRY(save_config(run));
    SPS_TRY(sps_manifest_new(o->config, o->argc, o->argv, &run->manifest));
    enum sps_status status = run_points(run);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    double wall = (double)(ended.tv_sec - began.tv_sec) +
                  1e-9 * (double)(ended.tv_nsec - began.tv_nsec);
    if (status != SPS_OK && status != SPS_EINTERRUPTED)
        return status;
    uint64_t seed = run->experiment.count ? run->experiment.points[0].seed : 0;
    SPS_TRY(sps_manifest_save(run->manifest, &run->folder, seed, run->counts->total,
                              run->counts->ok + run->counts->skipped, run->counts->failed,
                              wall));
    return status == SPS_OK ? SPS_OK
                            : sps_fail(status, "interrupted: finished points are kept");
}

static void on_signal(int number)
{
    (void)number;
    sps_interrupt();
}

enum sps_status sps_run(const struct sps_run_options *options,
                        struct sps_run_counts *counts)
{
    struct run run = {.options = options,
                      .group = {.id = -1},
                      .folder = {.lock = -1},
                      .counts = counts};
    struct sigaction act = {.sa_handler = on_signal}, old_int, old_term;

    *counts = (struct sps_run_counts){0};
    sigaction(SIGINT, &act, &old_int);
    sigaction(SIGTERM, &act, &old_term);
    enum sps_status status = run_all(&run);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    sps_group_close(&run.group);
    sps_manifest_free(run.manifest);
    sps_folder_close(&run.folder);
    sps_experiment_free(&run.experiment);
    return status;
}
