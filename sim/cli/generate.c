/* generate.c - the command that writes a synthetic set with its targets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "datasets/dataset.h"
#include "datasets/safetensors.h"
#include "sim/cli/cli.h"

static const struct cli_option options[] = {
    {'o', "out", "FILE", "the safetensors file to write (must be given)"},
    {0, "set", "NAME=VALUE",
     "an option of the generator (sparsescope datasets NAME); may repeat"},
    {0},
};

/* Everything the file's making needs, freed together. */
struct work {
    const struct sps_generator *generator;
    struct sps_synthetic spec;
    void *own;
    struct sps_data data;
};

static enum sps_status set_one(struct work *w, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    char name[64];

    if (!equals || equals == assignment || equals - assignment >= (long)sizeof name)
        return sps_fail(SPS_ECONFIG, "--set: %s is not NAME=VALUE", assignment);
    snprintf(name, sizeof name, "%.*s", (int)(equals - assignment), assignment);
    const struct sps_option *common = sps_option_find(sps_synthetic_options, name);
    if (common)
        return sps_option_set(common, &w->spec, equals + 1);
    const struct sps_option *own = sps_option_find(w->generator->options, name);
    if (own)
        return sps_option_set(own, w->own, equals + 1);
    return sps_fail(SPS_ECONFIG,
                    "--set: %s has no option '%s'; sparsescope datasets %s lists them",
                    w->generator->name, name, w->generator->name);
}

static enum sps_status configure(const struct cli_args *args, struct work *w)
{
    const char *set[CLI_VALUES_MAX];
    int count = cli_values(args, "set", set);

    w->generator = sps_generator_find(args->words[0]);
    if (!w->generator)
        return sps_fail(SPS_ECONFIG,
                        "unknown generator '%s'; sparsescope datasets lists them",
                        args->words[0]);
    if (!cli_has(args, "out"))
        return sps_fail(SPS_ECONFIG, "generate: --out FILE must be given");
    SPS_TRY(sps_calloc(w->generator->options_size + 1, &w->own));
    sps_options_default(sps_synthetic_options, &w->spec);
    sps_options_default(w->generator->options, w->own);
    for (int i = 0; i < count; i++)
        SPS_TRY(set_one(w, set[i]));
    return SPS_OK;
}

/* Targets beside what came out, printed and kept in the metadata. */
static int64_t describe(const struct work *w, struct sps_text *text)
{
    const char *names[8];
    double target[8], realised[8];
    int64_t n = w->generator->realise ? w->generator->realise(&w->spec, w->own, &w->data,
                                                              names, target, realised)
                                      : 0;

    for (int64_t i = 0; i < n; i++) {
        sps_text_printf(text, "%s%s: target %.6g realised %.6g", i ? "; " : "", names[i],
                        target[i], realised[i]);
        printf("%-24s target %-12.6g realised %.6g\n", names[i], target[i], realised[i]);
    }
    return n;
}

static enum sps_status write(const struct work *w, const char *path)
{
    const struct sps_data *d = &w->data;
    const struct sps_named_tensor tensors[] = {
        {"layers.0.q", d->q, 3}, {"layers.0.k", d->k, 3}, {"layers.0.v", d->v, 3}};
    struct sps_text targets = {0};
    char scale[32], seed[32];

    describe(w, &targets);
    snprintf(scale, sizeof scale, "%.17g", d->scale);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)w->spec.seed);
    const struct sps_meta meta[] = {{"schema", "sparsescope.recording/1"},
                                    {"generator", w->generator->name},
                                    {"scale", scale},
                                    {"seed", seed},
                                    {"targets", sps_text_string(&targets)}};
    enum sps_status status = sps_safetensors_write(path, tensors, 3, meta, 5);
    sps_text_free(&targets);
    return status;
}

static enum sps_status generate(const struct cli_args *args, int *code)
{
    struct work w = {0};

    (void)code;
    enum sps_status status = configure(args, &w);
    if (status == SPS_OK)
        status = sps_generate(w.generator, &w.spec, w.own, &w.data);
    if (status == SPS_OK && w.data.n > 1)
        status = sps_fail(SPS_ECONFIG,
                          "generate: a recording holds one sequence, batch is %lld",
                          (long long)w.data.n);
    if (status == SPS_OK)
        status = write(&w, cli_value(args, "out"));
    sps_data_free(&w.data);
    free(w.own);
    return status;
}

const struct cli_command cli_generate = {
    "generate",
    "NAME -o FILE.safetensors [--set NAME=VALUE]",
    "write a synthetic set with its targets and realised values",
    1,
    1,
    options,
    generate};
