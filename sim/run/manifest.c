/* manifest.c - build manifest.json with jansson. */
#include "sim/run/manifest.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/sha256.h"
#include "sim/run/version.h"

struct sps_manifest {
    json_t *root, *backends, *inputs;
};

static void stamp(json_t *root, const char *key)
{
    char text[32];
    time_t t = time(NULL);
    struct tm utc;

    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
    json_object_set_new(root, key, json_string(text));
}

static json_t *cpu_name(void)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256], name[256] = "unknown";

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "model name : %255[^\n]", name) == 1)
            break;
    if (file)
        fclose(file);
    return json_string(name);
}

static json_t *host(void)
{
    struct utsname u;
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);

    uname(&u);
    return json_pack("{s:o, s:I, s:f, s:s+++}", "cpu", cpu_name(), "cores",
                     (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes", bytes,
                     "os", u.sysname, " ", u.release, "");
}

static json_t *program(void)
{
    const char *code = sps_code_version();

    return json_pack("{s:s, s:s, s:b}", "name", "sparsescope", "code", code, "dirty",
                     strstr(code, "dirty") != NULL);
}

enum sps_status sps_manifest_new(const char *config_path, int argc, char *const *argv,
                                 struct sps_manifest **manifest)
{
    struct sps_manifest *m = calloc(1, sizeof *m);
    json_t *words = json_array();
    char hex[65];

    if (!m || !words)
        return free(m), json_decref(words),
               sps_fail(SPS_ENOMEM, "cannot allocate a manifest");
    for (int i = 0; i < argc; i++)
        json_array_append_new(words, json_string(argv[i]));
    m->root = json_pack("{s:i, s:o, s:o, s:o}", "schema", 1, "program", program(), "host",
                        host(), "argv", words);
    stamp(m->root, "started");
    enum sps_status status = sps_sha256_file(config_path, hex);
    if (status != SPS_OK)
        return sps_manifest_free(m), status;
    json_object_set_new(m->root, "config_sha256", json_string(hex));
    m->backends = json_array();
    m->inputs = json_array();
    json_object_set_new(m->root, "backends", m->backends);
    json_object_set_new(m->root, "inputs", m->inputs);
    *manifest = m;
    return SPS_OK;
}

void sps_manifest_free(struct sps_manifest *manifest)
{
    if (manifest)
        json_decref(manifest->root);
    free(manifest);
}

/* Whether the list has an object whose `key` is `value`. */
static bool listed(const json_t *list, const char *key, const char *value)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i,
                       item) if (strcmp(json_string_value(json_object_get(item, key)),
                                        value) == 0) return true;
    return false;
}

void sps_manifest_backend(struct sps_manifest *m, const struct sps_device *dev,
                          const struct sps_roofs *roofs)
{
    if (listed(m->backends, "name", dev->backend->name))
        return;
    json_t *backend =
        json_pack("{s:s, s:s, s:i, s:f, s:f}", "name", dev->backend->name, "device",
                  dev->name, "threads", dev->threads, "memory_bytes",
                  (double)dev->memory_bytes, "cache_bytes", (double)dev->cache_bytes);
    if (roofs->matrix_flops > 0)
        json_object_set_new(backend, "roofs",
                            json_pack("{s:f, s:f, s:f}", "matrix_flops",
                                      roofs->matrix_flops, "read_bytes_per_s",
                                      roofs->read_bytes, "copy_bytes_per_s",
                                      roofs->copy_bytes));
    json_array_append_new(m->backends, backend);
}

/* The recording's own metadata, key by key. */
static json_t *metadata(const char *path)
{
    static const char *const keys[] = {"model",  "licence", "text",  "text_sha256",
                                       "tokens", "rope",    "scale", "recorder"};
    json_t *meta = json_object();
    struct sps_recording *rec;

    if (sps_recording_open(path, &rec) != SPS_OK)
        return meta;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (sps_recording_meta(rec, keys[i]))
            json_object_set_new(meta, keys[i],
                                json_string(sps_recording_meta(rec, keys[i])));
    sps_recording_close(rec);
    return meta;
}

void sps_manifest_input(struct sps_manifest *m, const char *path, const char *sha256)
{
    if (!listed(m->inputs, "path", path))
        json_array_append_new(m->inputs,
                              json_pack("{s:s, s:s, s:o}", "path", path, "sha256", sha256,
                                        "meta", metadata(path)));
}

enum sps_status sps_manifest_save(struct sps_manifest *m, const struct sps_folder *folder,
                                  uint64_t seed, int64_t total, int64_t ok,
                                  int64_t failed, double wall_s)
{
    struct sps_text text = {0};

    json_object_set_new(m->root, "points",
                        json_pack("{s:I, s:I, s:I}", "total", (json_int_t)total, "ok",
                                  (json_int_t)ok, "failed", (json_int_t)failed));
    json_object_set_new(m->root, "seed", json_integer((json_int_t)seed));
    json_object_set_new(m->root, "wall_s", json_real(wall_s));
    stamp(m->root, "finished");
    char *dump = json_dumps(m->root, JSON_INDENT(2));
    if (!dump)
        return sps_fail(SPS_ENOMEM, "cannot write the manifest");
    sps_text_put(&text, dump);
    sps_text_put(&text, "\n");
    free(dump);
    enum sps_status status = sps_folder_save(folder, "manifest.json", &text);
    sps_text_free(&text);
    return status;
}
