/* config_data.c - the `data` section: recordings and generators, read and checked. */
#include "sim/run/config_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GENERATORS_MAX = 128, SET_MAX = 1024 };

#define AT(field) offsetof(struct sps_data_spec, field)
static const struct sps_option recorded_options[] = {
    {"length", SPS_OPT_SIZE, SPS_LIST_AXIS, AT(length), "0", 0, 1 << 30, NULL, NULL,
     "the first so many keys; 0: all"},
    {"queries", SPS_OPT_SIZE, SPS_LIST_AXIS, AT(queries), "0", 0, 1 << 30, NULL, NULL,
     "the last so many rows; 0: all"},
    {0},
};

/* Beside those of a recording or of a generator. */
static const struct sps_option storage_options[] = {
    {"cache", SPS_OPT_CHOICE, SPS_LIST_AXIS, AT(cache), "contiguous", 0, 0,
     "contiguous|paged", NULL,
     "keys and values: one after the other, or in pages of 64 tokens"},
    {0},
};
#undef AT

const char *sps_cache_name(int64_t cache)
{
    return cache == SPS_PAGED ? "paged" : "contiguous";
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* A set of whole numbers, ascending; *count 0 for `all`. */
static enum sps_status read_set(const struct sps_yaml *node, struct sps_config *config,
                                int64_t **set, int64_t *count)
{
    const char **text;

    SPS_TRY(sps_yaml_texts(node, config->keep, &text, count));
    if (node->kind == SPS_YAML_TEXT && strcmp(node->text, "all") == 0) {
        *count = 0;
        return SPS_OK;
    }
    if (*count > SET_MAX)
        return sps_yaml_complain(node, "%s: more than %d values", node->key, SET_MAX);
    *set = sps_keep_take(config->keep, (size_t)*count * sizeof **set);
    if (!*set)
        return SPS_ENOMEM;
    const struct sps_yaml *value = sps_yaml_first(node);
    for (int64_t i = 0; i < *count; i++, value = value->next)
        if (sps_parse_size(text[i], &(*set)[i]) != SPS_OK || (*set)[i] < 0)
            return sps_yaml_complain(value,
                                     "%s: %.80s is not allowed: numbers from 0, or all",
                                     node->key, text[i]);
    qsort(*set, (size_t)*count, sizeof **set, by_value);
    for (int64_t i = 1; i < *count; i++)
        if ((*set)[i] == (*set)[i - 1])
            return sps_yaml_complain(node, "%s: %lld repeated", node->key,
                                     (long long)(*set)[i]);
    return SPS_OK;
}

/* folder + written into source, the bare name into stem. */
static enum sps_status locate(struct sps_data_entry *e, const struct sps_yaml *node,
                              const struct sps_config *config)
{
    const char *folder = e->written[0] == '/' ? "" : config->folder;
    const char *name = strrchr(e->written, '/');
    static const char suffix[] = ".safetensors";

    if (strlen(folder) + strlen(e->written) >= sizeof e->source)
        return sps_yaml_complain(node, "recorded: a path longer than %d characters",
                                 SPS_TEXT_MAX - 1);
    strcpy(e->source, folder);
    strcat(e->source, e->written);
    strcpy(e->stem, name ? name + 1 : e->written);
    size_t n = strlen(e->stem), cut = sizeof suffix - 1;
    if (n > cut && strcmp(e->stem + n - cut, suffix) == 0)
        e->stem[n - cut] = '\0';
    return SPS_OK;
}

static bool holds(const int64_t *list, int64_t count, int64_t x)
{
    for (int64_t i = 0; i < count; i++)
        if (list[i] == x)
            return true;
    return false;
}

static enum sps_status absent_layer(const struct sps_yaml *node, int64_t layer,
                                    const int64_t *there, int64_t count)
{
    char list[600] = "";
    size_t used = 0;

    for (int64_t i = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%lld",
                                 used ? ", " : "", (long long)there[i]);
    return sps_yaml_complain(node, "layer %lld is not in the recording; there: %s",
                             (long long)layer, list);
}

/* Layers and heads against an open recording. */
static enum sps_status check_recording(struct sps_data_entry *e,
                                       const struct sps_recording *rec,
                                       struct sps_config *config)
{
    int64_t count;
    const int64_t *there = sps_recording_layers(rec, &count);
    const struct sps_yaml *layers = sps_yaml_get(e->node, "layers");
    const struct sps_yaml *heads = sps_yaml_get(e->node, "heads");

    if (e->layer_count == 0) {
        e->layers = sps_keep_take(config->keep, (size_t)count * sizeof *there);
        if (!e->layers)
            return SPS_ENOMEM;
        memcpy(e->layers, there, (size_t)count * sizeof *there);
        e->layer_count = count;
    }
    for (int64_t i = 0; i < e->layer_count; i++) {
        if (!holds(there, count, e->layers[i]))
            return absent_layer(layers, e->layers[i], there, count);
        int64_t h = sps_recording_heads(rec, e->layers[i]);
        if (e->head_count && e->heads[e->head_count - 1] >= h)
            return sps_yaml_complain(heads,
                                     "head %lld is not in layer %lld: 0 to %lld are",
                                     (long long)e->heads[e->head_count - 1],
                                     (long long)e->layers[i], (long long)h - 1);
    }
    return SPS_OK;
}

static enum sps_status read_recorded(struct sps_data_entry *e, struct sps_config *config)
{
    static const char *const others[] = {"recorded", "layers", "heads", "zip", NULL};
    const struct sps_option *const table[SPS_PARTS_MAX] = {recorded_options,
                                                           storage_options};
    const size_t bytes[SPS_PARTS_MAX] = {sizeof(struct sps_data_spec),
                                         sizeof(struct sps_data_spec)};
    const struct sps_yaml *node = sps_yaml_get(e->node, e->key);
    const struct sps_yaml *layers = sps_yaml_get(e->node, "layers");
    const struct sps_yaml *heads = sps_yaml_get(e->node, "heads");
    struct sps_recording *rec;

    SPS_TRY(locate(e, node, config));
    SPS_TRY(sps_axes_begin(&e->axes, e->node, table, bytes, config->keep));
    SPS_TRY(sps_axes_read(&e->axes, others, config->keep));
    if (layers)
        SPS_TRY(read_set(layers, config, &e->layers, &e->layer_count));
    if (heads)
        SPS_TRY(read_set(heads, config, &e->heads, &e->head_count));
    enum sps_status status = sps_recording_open(e->source, &rec);
    if (status == SPS_ECONFIG || status == SPS_EIO)
        return sps_yaml_complain(node, "%s", sps_error());
    SPS_TRY(status);
    status = check_recording(e, rec, config);
    sps_recording_close(rec);
    return status;
}

static enum sps_status read_synthetic(struct sps_data_entry *e, struct sps_config *config)
{
    static const char *const others[] = {"synthetic", "zip", NULL};
    const struct sps_yaml *node = sps_yaml_get(e->node, e->key);
    const char *names[GENERATORS_MAX + 1];
    int n = 0;

    e->generator = sps_generator_find(e->written);
    if (!e->generator) {
        for (; n < GENERATORS_MAX && sps_generators[n]; n++)
            names[n] = sps_generators[n]->name;
        names[n] = NULL;
        return sps_yaml_unknown(node, false, "generator", e->written, names);
    }
    snprintf(e->source, sizeof e->source, "%s", e->generator->name);
    strcpy(e->stem, e->source);
    const struct sps_option *const table[SPS_PARTS_MAX] = {
        sps_synthetic_options, e->generator->options, storage_options};
    const size_t bytes[SPS_PARTS_MAX] = {sizeof(struct sps_synthetic),
                                         e->generator->options_size,
                                         sizeof(struct sps_data_spec)};
    SPS_TRY(sps_axes_begin(&e->axes, e->node, table, bytes, config->keep));
    return sps_axes_read(&e->axes, others, config->keep);
}

static enum sps_status read_entry(struct sps_data_entry *e, struct sps_config *config)
{
    const struct sps_yaml *recorded = sps_yaml_get(e->node, "recorded");
    const struct sps_yaml *synthetic = sps_yaml_get(e->node, "synthetic");

    if (recorded && synthetic)
        return sps_yaml_complain_key(synthetic,
                                     "an entry is either recorded or synthetic");
    if (!recorded && !synthetic)
        return sps_yaml_complain(e->node,
                                 "data: key 'recorded' (a file) or 'synthetic' (a "
                                 "generator) is missing");
    e->key = recorded ? "recorded" : "synthetic";
    SPS_TRY(sps_yaml_text(recorded ? recorded : synthetic, &e->written));
    return (recorded ? read_recorded : read_synthetic)(e, config);
}

/* Labels start with the stem; where entries share one they show more. */
static void choose_marks(struct sps_config *config)
{
    for (int64_t i = 0; i < config->data_count; i++) {
        struct sps_data_entry *e = config->data[i];
        e->mark = e->stem;
        for (int64_t j = 0; j < config->data_count; j++) {
            const struct sps_data_entry *other = config->data[j];
            if (j == i || strcmp(e->stem, other->stem) != 0)
                continue;
            e->all_keys = true;
            if (strcmp(e->source, other->source) != 0)
                e->mark = e->written;
        }
    }
}

enum sps_status sps_config_data(void *into, const struct sps_yaml *list,
                                struct sps_config *config)
{
    const struct sps_yaml *node = list->child;

    (void)into;
    SPS_TRY(sps_entries_check(list, "data"));
    config->data = sps_keep_take(config->keep, (size_t)list->count * sizeof(void *));
    if (!config->data)
        return SPS_ENOMEM;
    for (; node; node = node->next) {
        struct sps_data_entry *e = sps_keep_take(config->keep, sizeof *e);
        if (!e)
            return SPS_ENOMEM;
        e->node = node;
        config->data[config->data_count++] = e;
        SPS_TRY(read_entry(e, config));
    }
    choose_marks(config);
    return SPS_OK;
}
