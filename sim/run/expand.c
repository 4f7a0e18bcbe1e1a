/* expand.c - the cross product of data, backends, types, phases and methods. */
#include "sim/run/config_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before any of them is built. */
static enum sps_status count_points(const struct sps_config *config, int64_t *count)
{
    double variants = 0;

    for (int64_t i = 0; i < config->method_count; i++)
        variants += sps_axes_variants(&config->methods[i]->axes);
    double total = (double)config->spec_count * (double)config->backends.count *
                   (double)config->dtypes.count * (double)config->phases.count * variants;
    if (total > SPS_POINTS_MAX)
        return sps_yaml_complain(
            config->root,
            "%.6g points (%lld data sets x %lld backends x %lld dtypes x %lld phases x "
            "%.6g "
            "methods): at most %d are allowed",
            total, (long long)config->spec_count, (long long)config->backends.count,
            (long long)config->dtypes.count, (long long)config->phases.count, variants,
            SPS_POINTS_MAX);
    *count = (int64_t)total;
    return SPS_OK;
}

static enum sps_status build_variants(struct sps_method_entry *e, struct sps_keep *keep)
{
    size_t bytes = e->method->options_size;

    e->count = (int64_t)sps_axes_variants(&e->axes);
    e->label = sps_keep_take(keep, (size_t)e->count * sizeof *e->label);
    if (bytes)
        e->options = sps_keep_take(keep, (size_t)e->count * bytes);
    if (!e->label || (bytes && !e->options))
        return SPS_ENOMEM;
    for (int64_t i = 0; i < e->count; i++) {
        void *part[SPS_PARTS_MAX] = {bytes ? e->options + (size_t)i * bytes : NULL};
        const void *seen[SPS_PARTS_MAX] = {part[0]};
        sps_axes_apply(&e->axes, i, part);
        snprintf(e->label[i], sizeof e->label[i], "%s", e->method->name);
        sps_axes_label(&e->axes, seen, true, e->label[i], sizeof e->label[i]);
    }
    return SPS_OK;
}

/* One variant, for finding equal ones by sorting. */
struct variant {
    const struct sps_method *method;
    const void *options;
    const char *label;
    int64_t entry, order;
};

static int by_options(const struct variant *a, const struct variant *b)
{
    int names = strcmp(a->method->name, b->method->name);

    if (names || !a->options)
        return names;
    return memcmp(a->options, b->options, a->method->options_size);
}

static int by_options_then_order(const void *x, const void *y)
{
    const struct variant *a = x, *b = y;
    int options = by_options(a, b);

    return options ? options : (a->order > b->order) - (a->order < b->order);
}

/* Equal options twice would be two rows under one name. */
static enum sps_status check_twins(const struct sps_config *config, int64_t total)
{
    struct variant *all = sps_keep_take(config->keep, (size_t)total * sizeof *all);
    int64_t n = 0;

    if (!all)
        return SPS_ENOMEM;
    for (int64_t m = 0; m < config->method_count; m++) {
        const struct sps_method_entry *e = config->methods[m];
        size_t bytes = e->method->options_size;
        for (int64_t i = 0; i < e->count; i++, n++)
            all[n] =
                (struct variant){e->method, bytes ? e->options + (size_t)i * bytes : NULL,
                                 e->label[i], m, n};
    }
    qsort(all, (size_t)n, sizeof *all, by_options_then_order);
    for (int64_t i = 1; i < n; i++)
        if (by_options(&all[i - 1], &all[i]) == 0)
            return sps_yaml_complain(config->methods[all[i].entry]->node,
                                     "'%s' repeats '%s'", all[i].label, all[i - 1].label);
    return SPS_OK;
}

static enum sps_status build_methods(struct sps_config *config)
{
    int64_t total = 0;

    for (int64_t i = 0; i < config->method_count; i++) {
        SPS_TRY(build_variants(config->methods[i], config->keep));
        total += config->methods[i]->count;
    }
    return check_twins(config, total);
}

/* The points that differ in method only share a dense baseline: they are a group. */
static struct sps_point *build_group(const struct sps_config *config,
                                     struct sps_point base, struct sps_point *p)
{
    for (int64_t m = 0; m < config->method_count; m++) {
        const struct sps_method_entry *e = config->methods[m];
        size_t bytes = e->method->options_size;
        for (int64_t i = 0; i < e->count; i++, p++) {
            *p = base;
            p->method = e->method;
            p->options = bytes ? e->options + (size_t)i * bytes : NULL;
            memcpy(p->label, e->label[i], sizeof p->label);
        }
    }
    return p;
}

/* Whether rows choose together under some variant: its dense baseline has all rows then,
 * and so has all that is compared with it. */
static bool any_shares(const struct sps_config *config)
{
    for (int64_t m = 0; m < config->method_count; m++) {
        const struct sps_method_entry *e = config->methods[m];
        for (int64_t i = 0; e->method->shares && i < e->count; i++)
            if (e->method->shares(e->options + (size_t)i * e->method->options_size))
                return true;
    }
    return false;
}

static void build_points(const struct sps_config *config, struct sps_point *p)
{
    struct sps_point base = {.seed = (uint64_t)config->seed,
                             .whole =
                                 config->experiment->measure.time || any_shares(config)};

    for (int64_t s = 0; s < config->spec_count; s++)
        for (int64_t b = 0; b < config->backends.count; b++)
            for (int64_t d = 0; d < config->dtypes.count; d++)
                for (int64_t f = 0; f < config->phases.count; f++, base.group++) {
                    base.data = &config->specs[s];
                    snprintf(base.backend, sizeof base.backend, "%s",
                             config->backends.text[b]);
                    sps_dtype_find(config->dtypes.text[d], &base.dtype);
                    base.phase = (enum sps_phase)sps_word_position(
                        sps_phase_words, config->phases.text[f]);
                    p = build_group(config, base, p);
                }
}

enum sps_status sps_points_build(struct sps_config *config)
{
    struct sps_experiment *x = config->experiment;

    SPS_TRY(sps_specs_build(config));
    SPS_TRY(count_points(config, &x->count));
    SPS_TRY(build_methods(config));
    x->points = sps_keep_take(config->keep, (size_t)x->count * sizeof *x->points);
    if (!x->points)
        return SPS_ENOMEM;
    build_points(config, x->points);
    return sps_points_exclude(config, sps_yaml_get(config->root, "exclude"));
}
