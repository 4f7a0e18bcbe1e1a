/* config.c - read an experiment file: its sections, then its points. */
#include "sim/run/config_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const sps_phase_words[] = {"prefill", "decode", "backward", NULL};
static const char *const backend_words[] = {"auto", "ref",           "cpu",
                                            "cuda", "cuda_portable", NULL};
static const char *const dtype_words[] = {"bf16", "fp16", "fp32", NULL};

int64_t sps_word_position(const char *const *words, const char *word)
{
    int64_t i = 0;

    while (words[i] && strcmp(words[i], word) != 0)
        i++;
    return i;
}

const char *sps_phase_name(enum sps_phase phase)
{
    return sps_phase_words[phase];
}

static enum sps_status read_name(void *into, const struct sps_yaml *value,
                                 struct sps_config *config)
{
    struct sps_experiment *x = into;
    const char *text;

    (void)config;
    SPS_TRY(sps_yaml_text(value, &text));
    if (strlen(text) >= sizeof x->name)
        return sps_yaml_complain(value, "name: longer than %zu bytes",
                                 sizeof x->name - 1);
    strcpy(x->name, text);
    return SPS_OK;
}

static enum sps_status read_seed(void *into, const struct sps_yaml *value,
                                 struct sps_config *config)
{
    const char *text;

    (void)into;
    SPS_TRY(sps_yaml_text(value, &text));
    if (sps_parse_size(text, &config->seed) != SPS_OK || config->seed < 0)
        return sps_yaml_complain(
            value, "seed: %.80s is not allowed: a whole number from 0", text);
    return SPS_OK;
}

/* A word or a list of words, each one of `words`, none twice. */
static enum sps_status read_words(const struct sps_yaml *node, const char *what,
                                  const char *const *words, struct sps_config *config,
                                  struct sps_words *out)
{
    const struct sps_yaml *value = sps_yaml_first(node);
    const char **text;

    SPS_TRY(sps_yaml_texts(node, config->keep, &text, &out->count));
    out->text = text;
    for (int64_t i = 0; i < out->count; i++, value = value->next) {
        if (!words[sps_word_position(words, out->text[i])])
            return sps_yaml_unknown(value, false, what, out->text[i], words);
        for (int64_t j = 0; j < i; j++)
            if (strcmp(out->text[j], out->text[i]) == 0)
                return sps_yaml_complain(value, "%s %s repeated", what, out->text[i]);
    }
    return SPS_OK;
}

static enum sps_status read_phases(void *into, const struct sps_yaml *value,
                                   struct sps_config *config)
{
    (void)into;
    return read_words(value, "phase", sps_phase_words, config, &config->phases);
}

static enum sps_status read_backends(void *into, const struct sps_yaml *value,
                                     struct sps_config *config)
{
    (void)into;
    return read_words(value, "backend", backend_words, config, &config->backends);
}

static enum sps_status read_dtype(void *into, const struct sps_yaml *value,
                                  struct sps_config *config)
{
    (void)into;
    return read_words(value, "dtype", dtype_words, config, &config->dtypes);
}

/* Needs the points: sps_points_exclude() reads it. */
static enum sps_status read_later(void *into, const struct sps_yaml *value,
                                  struct sps_config *config)
{
    (void)into, (void)value, (void)config;
    return SPS_OK;
}

static const struct sps_section sections[] = {
    {"name", true, read_name},          {"seed", false, read_seed},
    {"data", true, sps_config_data},    {"methods", true, sps_config_methods},
    {"phases", false, read_phases},     {"measure", false, read_later},
    {"backends", false, read_backends}, {"dtype", false, read_dtype},
    {"exclude", false, read_later},     {0},
};

/* Read text[size] into *x; its memory goes to config->keep. */
static enum sps_status read_experiment(const char *text, size_t size, const char *name,
                                       const char *const *set, int64_t set_count,
                                       struct sps_config *config)
{
    struct sps_experiment *x = config->experiment;
    struct sps_yaml_source *source = sps_keep_take(config->keep, sizeof *source);
    struct sps_yaml *root;

    if (!source)
        return SPS_ENOMEM;
    *source = (struct sps_yaml_source){name, text, size};
    if (size > SPS_CONFIG_BYTES_MAX)
        return sps_fail(SPS_ECONFIG, "%s: more than %d bytes: not an experiment file",
                        name, SPS_CONFIG_BYTES_MAX);
    SPS_TRY(sps_yaml_parse(text, size, source, config->keep, &root));
    for (int64_t i = 0; i < set_count; i++)
        SPS_TRY(sps_config_set(root, set[i], config->keep));
    config->root = root;
    config->phases = (struct sps_words){sps_phase_words, 1};
    config->backends = (struct sps_words){backend_words, 1};
    config->dtypes = (struct sps_words){dtype_words, 1};
    SPS_TRY(sps_sections_read(sections, root, "experiment", x, config));
    SPS_TRY(sps_config_measure(&x->measure, sps_yaml_get(root, "measure"), config));
    SPS_TRY(sps_points_build(config));
    x->resolved = sps_yaml_emit(root);
    return x->resolved ? SPS_OK : SPS_ENOMEM;
}

/* As sps_experiment_parse(), with paths relative to `folder` (its first n bytes). */
static enum sps_status parse_in(const char *folder, size_t n, const char *text,
                                size_t size, const char *name, const char *const *set,
                                int64_t set_count, struct sps_experiment *experiment)
{
    struct sps_keep *keep = calloc(1, sizeof *keep);
    struct sps_experiment x = {.owned = keep};
    struct sps_config *config = keep ? sps_keep_take(keep, sizeof *config) : NULL;
    enum sps_status status = SPS_OK;

    if (!config)
        status = sps_fail(SPS_ENOMEM, "no memory for the experiment file");
    else if (n >= sizeof config->folder)
        status = sps_fail(SPS_ECONFIG, "%s: a path longer than %d bytes", name,
                          SPS_TEXT_MAX - 1);
    if (status == SPS_OK) {
        memcpy(config->folder, folder, n);
        config->keep = keep;
        config->experiment = &x;
        status = read_experiment(text, size, name, set, set_count, config);
    }
    if (status == SPS_OK)
        *experiment = x;
    else
        sps_experiment_free(&x);
    return status;
}

enum sps_status sps_experiment_parse(const char *text, size_t size, const char *name,
                                     const char *const *set, int64_t set_count,
                                     struct sps_experiment *experiment)
{
    return parse_in("", 0, text, size, name, set, set_count, experiment);
}

enum sps_status sps_experiment_load(const char *path, const char *const *set,
                                    int64_t set_count, struct sps_experiment *experiment)
{
    enum { ROOM = SPS_CONFIG_BYTES_MAX + 1 };
    FILE *f = fopen(path, "rb");
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;

    if (!f)
        return sps_fail(SPS_EIO, "%s: %s", path, strerror(errno));
    char *text = malloc(ROOM);
    size_t size = text ? fread(text, 1, ROOM, f) : 0;
    enum sps_status status = SPS_OK;
    if (!text)
        status = sps_fail(SPS_ENOMEM, "cannot allocate %d bytes of host memory", ROOM);
    else if (ferror(f))
        status = sps_fail(SPS_EIO, "%s: %s", path, strerror(errno));
    fclose(f);
    if (status == SPS_OK)
        status = parse_in(path, n, text, size, path, set, set_count, experiment);
    free(text);
    return status;
}

void sps_experiment_free(struct sps_experiment *experiment)
{
    if (experiment->owned)
        sps_keep_free(experiment->owned);
    free(experiment->owned);
    free(experiment->resolved);
    *experiment = (struct sps_experiment){0};
}
