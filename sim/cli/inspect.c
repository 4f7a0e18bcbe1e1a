/* inspect.c - what a safetensors file holds, and an atlas of its heads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/quality.h"
#include "datasets/safetensors.h"
#include "sim/cli/cli.h"
#include "sim/run/group.h"

enum { ATLAS_ROWS = 64, ATLAS_BLOCK = 64 };

static const struct cli_option options[] = {
    {0, "no-atlas", NULL, "shapes and ranges only"},
    {0},
};

static void print_range(const struct sps_safetensors *file, const char *name)
{
    struct sps_tensor x;
    float low = INFINITY, high = -INFINITY, value;

    if (sps_safetensors_get(file, name, &x) != SPS_OK || x.dtype > SPS_BF16)
        return;
    int64_t count = sps_tensor_count(&x), bad = 0;
    for (int64_t i = 0; i < count; i++) {
        sps_to_f32((const char *)x.data + (size_t)i * sps_dtype_size(x.dtype), x.dtype, 1,
                   &value);
        bad += !isfinite(value);
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    if (count)
        printf("  %.4g .. %.4g", (double)low, (double)high);
    if (bad)
        printf("  %lld nan or inf", (long long)bad);
}

static enum sps_status print_tensors(const struct sps_safetensors *file)
{
    for (int64_t i = 0; i < sps_safetensors_meta_count(file); i++)
        printf("%s: %s\n", sps_safetensors_meta_key(file, i),
               sps_safetensors_meta(file, sps_safetensors_meta_key(file, i)));
    for (int64_t i = 0; i < sps_safetensors_count(file); i++) {
        const char *dtype, *name = sps_safetensors_name(file, i);
        int64_t dim[8];
        int rank;
        SPS_TRY(sps_safetensors_info(file, i, &dtype, &rank, dim));
        printf("%-20s %-5s [", name, dtype);
        for (int d = 0; d < rank; d++)
            printf("%s%lld", d ? ", " : "", (long long)dim[d]);
        printf("]");
        print_range(file, name);
        printf("\n");
    }
    return SPS_OK;
}

static void print_head(int64_t layer, int64_t head, const double *q)
{
    printf("%5lld %5lld %9.3f %6.3f %10.1f %10.1f %10.3f %13.3f\n", (long long)layer,
           (long long)head, q[SPS_Q_entropy], q[SPS_Q_gini], q[SPS_Q_budget_90],
           q[SPS_Q_budget_95], q[SPS_Q_sink_mass], q[SPS_Q_distant_mass]);
}

/* Full attention's shape at some rows of one layer, head by head. */
static enum sps_status atlas_of(struct sps_group *group, const struct sps_data_spec *spec)
{
    const struct sps_measure measure = {.quality = 1, .rows = ATLAS_ROWS};
    struct sps_point point = {
        .group = spec->layer, .data = spec, .backend = "cpu", .dtype = SPS_F32};
    struct sps_quality quality;

    SPS_TRY(sps_group_enter(group, &point, &measure, 0));
    for (int64_t i = 0; i < group->parts; i++) {
        SPS_TRY(sps_part_enter(group, i));
        const struct sps_problem *p = sps_part_measured(group, i);
        struct sps_quality_in in = {.dev = &group->dev,
                                    .shape = &p->shape,
                                    .in = &p->in,
                                    .rows = group->at,
                                    .count = group->count,
                                    .at = group->at,
                                    .band = {.all = true},
                                    .atlas_block = ATLAS_BLOCK};
        SPS_TRY(sps_quality_measure(&in, &quality));
        int64_t first = group->part[i].take.kv_head * (group->data.h / group->data.g);
        for (int64_t x = 0; x < quality.heads; x++)
            print_head(spec->layer, group->data.heads[first + x], quality.head[x]);
        sps_quality_free(&quality);
        sps_part_leave(group, i);
    }
    return SPS_OK;
}

static enum sps_status atlas(const char *path)
{
    struct sps_recording *rec;
    struct sps_group group = {.id = -1};
    struct sps_data_spec spec = {0};
    enum sps_status status = sps_recording_open(path, &rec);
    int64_t count;

    if (status != SPS_OK)
        return printf("no layers.N.q, .k, .v: no atlas\n"), SPS_OK;
    printf(
        "atlas over %d rows, blocks of %d tokens\n%5s %5s %9s %6s %10s %10s %10s %13s\n",
        ATLAS_ROWS, ATLAS_BLOCK, "layer", "head", "entropy", "gini", "budget_90",
        "budget_95", "sink_mass", "distant_mass");
    const int64_t *layers = sps_recording_layers(rec, &count);
    snprintf(spec.source, sizeof spec.source, "%s", path);
    for (int64_t i = 0; status == SPS_OK && i < count; i++) {
        spec.layer = layers[i];
        status = atlas_of(&group, &spec);
    }
    sps_group_close(&group);
    sps_recording_close(rec);
    return status;
}

static enum sps_status inspect(const struct cli_args *args, int *code)
{
    struct sps_safetensors *file;

    (void)code;
    SPS_TRY(sps_safetensors_open(args->words[0], &file));
    enum sps_status status = print_tensors(file);
    sps_safetensors_close(file);
    if (status == SPS_OK && !cli_has(args, "no-atlas"))
        status = atlas(args->words[0]);
    return status;
}

const struct cli_command cli_inspect = {"inspect",
                                        "FILE.safetensors [options]",
                                        "shapes, value ranges and an atlas of the heads",
                                        1,
                                        1,
                                        options,
                                        inspect};
