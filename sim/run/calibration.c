/* calibration.c - predictions from slowdowns, and the file that keeps them. */
#include "sim/run/calibration.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"

enum { FILE_MAX = 1 << 20 };

double sps_roof_seconds(const struct sps_roofs *roofs, enum sps_stage stage,
                        const struct sps_cost *cost, double causal_pairs)
{
    double multiply = cost->flops / roofs->matrix_flops;

    if (stage == SPS_STAGE_COMPRESS || stage == SPS_STAGE_COMBINE)
        return fmax(multiply, cost->bytes / roofs->read_bytes);
    return cost->flops > 0 ? multiply : causal_pairs / roofs->matrix_flops;
}

double sps_calibration_predict(const struct sps_calibration *c,
                               const struct sps_work *work,
                               double seconds[SPS_STAGE_COUNT])
{
    double sum = 0;
    bool known = false;

    memset(seconds, 0, SPS_STAGE_COUNT * sizeof *seconds);
    for (int64_t i = 0; i < c->count; i++) {
        const struct sps_slowdown *s = &c->slowdown[i];
        const struct sps_cost *cost = &work->cost[s->stage];
        if (strcmp(s->method, work->method->name) != 0 || s->backward != work->backward ||
            c->dtype != work->dtype)
            continue;
        known = true;
        /* Few rows wait for memory, which they cannot have less of than once. */
        seconds[s->stage] = fmax(
            s->times * sps_roof_seconds(&c->roofs, s->stage, cost, work->causal_pairs),
            fmin(cost->bytes, work->memory) / c->roofs.read_bytes);
        sum += seconds[s->stage];
    }
    return known ? sum : NAN;
}

void sps_calibration_path(char *path, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (cache && *cache)
        snprintf(path, size, "%s/sparsescope/calibration.json", cache);
    else if (home && *home)
        snprintf(path, size, "%s/.cache/sparsescope/calibration.json", home);
    else
        *path = '\0';
}

/* The list of devices in the file, owned; NULL: none yet or not ours. */
static json_t *read_devices(const char *path)
{
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    json_t *devices = json_incref(json_object_get(root, "devices"));

    json_decref(root);
    if (json_is_array(devices))
        return devices;
    json_decref(devices);
    return NULL;
}

static bool is_device(const json_t *entry, const struct sps_device *dev)
{
    const char *backend = json_string_value(json_object_get(entry, "backend"));
    const char *name = json_string_value(json_object_get(entry, "device"));

    return backend && name && strcmp(backend, dev->backend->name) == 0 &&
           strcmp(name, dev->name) == 0;
}

static json_t *entry_of(const struct sps_device *dev, const struct sps_calibration *c)
{
    json_t *list = json_array();

    for (int64_t i = 0; i < c->count; i++) {
        const struct sps_slowdown *s = &c->slowdown[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:s, s:f}", "method", s->method,
                                        "backward", s->backward, "stage",
                                        sps_stage_name(s->stage), "times", s->times));
    }
    return json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:o}", "backend", dev->backend->name,
                     "device", dev->name, "dtype", sps_dtype_name(c->dtype),
                     "matrix_flops", c->roofs.matrix_flops, "read_bytes_per_s",
                     c->roofs.read_bytes, "copy_bytes_per_s", c->roofs.copy_bytes,
                     "slowdown", list);
}

/* The folders above the file. */
static enum sps_status make_folders(const char *path)
{
    char folder[4096];

    for (const char *slash = strchr(path + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            return sps_fail(SPS_EIO, "%s: %s", folder, strerror(errno));
    }
    return SPS_OK;
}

enum sps_status sps_calibration_save(const struct sps_device *dev,
                                     const struct sps_calibration *c)
{
    char path[4096];
    struct sps_text text = {0};

    sps_calibration_path(path, sizeof path);
    if (!*path)
        return sps_fail(SPS_ECONFIG, "no place for a calibration: set XDG_CACHE_HOME");
    SPS_TRY(make_folders(path));
    json_t *devices = read_devices(path);
    if (!devices)
        devices = json_array();
    for (size_t i = json_array_size(devices); i-- > 0;)
        if (is_device(json_array_get(devices, i), dev))
            json_array_remove(devices, i);
    json_array_append_new(devices, entry_of(dev, c));
    json_t *root = json_pack("{s:i, s:o}", "schema", 1, "devices", devices);
    char *dump = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (!dump)
        return sps_fail(SPS_ENOMEM, "cannot write the calibration");
    sps_text_put(&text, dump);
    sps_text_put(&text, "\n");
    free(dump);
    enum sps_status status = sps_text_save(&text, path);
    sps_text_free(&text);
    return status;
}

static bool stage_of(const char *name, enum sps_stage *stage)
{
    for (int i = 0; i < SPS_STAGE_COUNT; i++)
        if (strcmp(sps_stage_name((enum sps_stage)i), name) == 0)
            return *stage = (enum sps_stage)i, true;
    return false;
}

static bool read_slowdown(json_t *item, struct sps_slowdown *s)
{
    const char *method, *stage;
    int backward;

    if (json_unpack(item, "{s:s, s:b, s:s, s:F}", "method", &method, "backward",
                    &backward, "stage", &stage, "times", &s->times) != 0)
        return false;
    snprintf(s->method, sizeof s->method, "%s", method);
    s->backward = backward;
    return stage_of(stage, &s->stage) && s->times >= 0;
}

static bool read_entry(json_t *entry, struct sps_calibration *c)
{
    const char *dtype;
    json_t *list, *item;
    size_t i;

    if (json_unpack(entry, "{s:s, s:F, s:F, s:F, s:o}", "dtype", &dtype, "matrix_flops",
                    &c->roofs.matrix_flops, "read_bytes_per_s", &c->roofs.read_bytes,
                    "copy_bytes_per_s", &c->roofs.copy_bytes, "slowdown", &list) != 0 ||
        !(c->roofs.matrix_flops > 0) || !(c->roofs.read_bytes > 0) ||
        !sps_dtype_find(dtype, &c->dtype) || json_array_size(list) > SPS_CALIBRATED_MAX)
        return false;
    json_array_foreach(list, i,
                       item) if (!read_slowdown(item, &c->slowdown[i])) return false;
    c->count = (int64_t)json_array_size(list);
    return true;
}

enum sps_status sps_calibration_load(const struct sps_device *dev,
                                     struct sps_calibration *c)
{
    struct stat facts;
    char path[4096];
    bool good = true;

    c->count = 0;
    sps_calibration_path(path, sizeof path);
    if (!*path || stat(path, &facts) != 0)
        return SPS_OK;
    json_t *devices = facts.st_size <= FILE_MAX ? read_devices(path) : NULL;
    for (size_t i = 0; i < json_array_size(devices); i++)
        if (is_device(json_array_get(devices, i), dev))
            good = read_entry(json_array_get(devices, i), c);
    if (!devices || !good)
        c->count = 0;
    json_decref(devices);
    return devices && good ? SPS_OK
                           : sps_fail(SPS_ECONFIG,
                                      "%s: not a calibration; sparsescope info "
                                      "--calibrate writes it anew",
                                      path);
}
