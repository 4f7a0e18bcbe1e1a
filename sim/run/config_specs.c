/* config_specs.c - data entries multiplied out: layers, then their axes. */
#include "sim/run/config_read.h"

#include <stdio.h>
#include <string.h>

static enum sps_status count_specs(struct sps_config *config)
{
    double total = 0;

    for (int64_t i = 0; i < config->data_count; i++) {
        const struct sps_data_entry *e = config->data[i];
        total +=
            sps_axes_variants(&e->axes) * (double)(e->layer_count ? e->layer_count : 1);
        if (total > SPS_SPECS_MAX)
            return sps_yaml_complain(e->node,
                                     "the data entries up to here give %.6g data "
                                     "sets: at most %d are allowed",
                                     total, SPS_SPECS_MAX);
    }
    config->spec_count = (int64_t)total;
    return SPS_OK;
}

static void append_set(char *label, size_t size, const int64_t *set, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        size_t used = strlen(label);
        snprintf(label + used, size - used, "%s%lld",
                 i ? "," : " heads=", (long long)set[i]);
    }
}

static void label_spec(const struct sps_data_entry *e, struct sps_data_spec *s)
{
    const void *part[SPS_PARTS_MAX] = {s, s};
    bool layer = e->layer_count > 1 || (e->all_keys && sps_yaml_get(e->node, "layers"));

    if (e->generator)
        part[0] = &s->synthetic, part[1] = s->generator_options, part[2] = s;
    snprintf(s->label, sizeof s->label, "%.*s", (int)sizeof s->label - 1, e->mark);
    sps_axes_label(&e->axes, part, e->all_keys, s->label, sizeof s->label);
    if (e->all_keys)
        append_set(s->label, sizeof s->label, e->heads, e->head_count);
    size_t used = strlen(s->label);
    if (layer)
        snprintf(s->label + used, sizeof s->label - used, " layer=%lld",
                 (long long)s->layer);
}

static void fill_recorded(const struct sps_data_entry *e, int64_t variant,
                          struct sps_data_spec *s)
{
    void *part[SPS_PARTS_MAX] = {s, s};

    sps_axes_apply(&e->axes, variant, part);
    s->head_count = e->head_count;
    if (e->head_count)
        memcpy(s->heads, e->heads, (size_t)e->head_count * sizeof *e->heads);
}

static enum sps_status fill_synthetic(const struct sps_data_entry *e, int64_t variant,
                                      struct sps_config *config, struct sps_data_spec *s)
{
    s->generator = e->generator;
    if (e->generator->options_size) {
        s->generator_options = sps_keep_take(config->keep, e->generator->options_size);
        if (!s->generator_options)
            return SPS_ENOMEM;
    }
    void *part[SPS_PARTS_MAX] = {&s->synthetic, s->generator_options, s};
    sps_axes_apply(&e->axes, variant, part);
    s->synthetic.seed = (uint64_t)config->seed;
    s->length = s->synthetic.length;
    s->queries = s->synthetic.queries;
    return SPS_OK;
}

static bool same(const struct sps_data_spec *a, const struct sps_data_spec *b)
{
    return a->generator == b->generator && strcmp(a->source, b->source) == 0 &&
           a->layer == b->layer && a->length == b->length && a->queries == b->queries &&
           a->cache == b->cache && a->head_count == b->head_count &&
           memcmp(a->heads, b->heads, (size_t)a->head_count * sizeof *a->heads) == 0 &&
           memcmp(&a->synthetic, &b->synthetic, sizeof a->synthetic) == 0 &&
           (!a->generator_options || memcmp(a->generator_options, b->generator_options,
                                            a->generator->options_size) == 0);
}

/* The same inputs twice would be two rows under one name. */
static enum sps_status check_twins(const struct sps_config *config)
{
    for (int64_t i = 1; i < config->spec_count; i++)
        for (int64_t j = 0; j < i; j++)
            if (same(&config->specs[i], &config->specs[j]))
                return sps_yaml_complain(config->data[config->spec_entry[i]]->node,
                                         "data '%s' is given twice",
                                         config->specs[i].label);
    return SPS_OK;
}

static enum sps_status build_entry(int64_t number, struct sps_config *config, int64_t *at)
{
    const struct sps_data_entry *e = config->data[number];
    int64_t variants = (int64_t)sps_axes_variants(&e->axes);

    for (int64_t l = 0; l < (e->layer_count ? e->layer_count : 1); l++)
        for (int64_t v = 0; v < variants; v++) {
            struct sps_data_spec *s = &config->specs[*at];
            config->spec_entry[(*at)++] = number;
            strcpy(s->source, e->source);
            if (e->generator)
                SPS_TRY(fill_synthetic(e, v, config, s));
            else
                fill_recorded(e, v, s);
            s->layer = e->layer_count ? e->layers[l] : 0;
            label_spec(e, s);
        }
    return SPS_OK;
}

enum sps_status sps_specs_build(struct sps_config *config)
{
    int64_t at = 0;

    SPS_TRY(count_specs(config));
    size_t n = (size_t)config->spec_count;
    config->specs = sps_keep_take(config->keep, n * sizeof *config->specs);
    config->spec_entry = sps_keep_take(config->keep, n * sizeof *config->spec_entry);
    if (!config->specs || !config->spec_entry)
        return SPS_ENOMEM;
    for (int64_t i = 0; i < config->data_count; i++)
        SPS_TRY(build_entry(i, config, &at));
    return check_twins(config);
}
