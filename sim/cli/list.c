/* list.c - the registries: methods, datasets, and one of them in full. */
#include <stdio.h>

#include "datasets/dataset.h"
#include "sim/cli/cli.h"
#include "sim/method/method.h"

static const struct cli_option none[] = {{0}};

static void print_options(const struct sps_option *table)
{
    char range[256];

    for (const struct sps_option *o = table; o && o->name; o++) {
        sps_option_range(o, range, sizeof range);
        printf("  %-16s %s\n  %-16s   %s\n", o->name, o->help, "", range);
    }
}

static enum sps_status unknown(const char *kind, const char *name,
                               const char *const *names)
{
    const char *near = sps_nearest(name, names);

    return sps_fail(SPS_ECONFIG, "unknown %s '%s'%s%s%s", kind, name,
                    near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static enum sps_status methods(const struct cli_args *args, int *code)
{
    const char *names[64] = {0};

    (void)code;
    for (int i = 0; sps_methods[i]; i++) {
        names[i] = sps_methods[i]->name;
        if (!args->word_count)
            printf("%-12s %s\n", names[i], sps_methods[i]->summary);
    }
    if (!args->word_count)
        return SPS_OK;
    const struct sps_method *m = sps_method_find(args->words[0]);
    if (!m)
        return unknown("method", args->words[0], names);
    printf("%s: %s\nsource: %s\n", m->name, m->summary, m->source);
    print_options(m->options);
    return SPS_OK;
}

static enum sps_status datasets(const struct cli_args *args, int *code)
{
    const char *names[64] = {0};

    (void)code;
    for (int i = 0; sps_generators[i]; i++) {
        names[i] = sps_generators[i]->name;
        if (!args->word_count)
            printf("%-12s %s\n", names[i], sps_generators[i]->summary);
    }
    if (!args->word_count)
        return SPS_OK;
    const struct sps_generator *g = sps_generator_find(args->words[0]);
    if (!g)
        return unknown("dataset", args->words[0], names);
    printf("%s: %s\nsource: %s\nits own options:\n", g->name, g->summary, g->source);
    print_options(g->options);
    printf("options of every generator:\n");
    print_options(sps_synthetic_options);
    return SPS_OK;
}

const struct cli_command cli_methods = {
    "methods", "[NAME]", "attention methods; with NAME its options, ranges and source",
    0,         1,        none,
    methods};

const struct cli_command cli_datasets = {
    "datasets",
    "[NAME]",
    "generators of synthetic data; with NAME its options and source",
    0,
    1,
    none,
    datasets};
