/* bench.c - quick timing of methods on random inputs, without a config file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sim/cli/cli.h"
#include "sim/run/group.h"
#include "sim/run/run.h"
#include "sim/run/point.h"

static const struct cli_option options[] = {
    {0, "set", "PATH=VALUE", "change the built-in config, as run --set does; may repeat"},
    {0, "backend", "NAME", "auto, ref, cpu, cuda, cuda_portable; default auto"},
    {0, "threads", "N", "CPU threads; default all"},
    {0},
};

/* What is timed unless --set says otherwise. */
static const char config[] =
    "name: bench\n"
    "data:\n"
    "  - synthetic: diffuse\n"
    "    length: 4096\n"
    "    q_heads: 16\n"
    "    kv_heads: 1\n"
    "    head_dim: 128\n"
    "methods:\n"
    "  - method: full\n"
    "  - method: window\n"
    "  - method: nsa\n"
    "  - method: moba\n"
    "  - method: random\n"
    "  - method: 'null'\n"
    "measure: {quality: false, time: {samples: 5, seconds: 10, l2: [hot]}}\n";

static double ms(const double *seconds, int64_t n, double q)
{
    double sorted[SPS_SAMPLES_MAX];

    memcpy(sorted, seconds, (size_t)n * sizeof *sorted);
    return 1e3 * sps_quantile(sorted, (size_t)n, q);
}

static void print_row(const struct sps_point *point, const struct sps_group *group,
                      const struct sps_outcome *out)
{
    const struct sps_samples *s = out->hot ? out->hot : out->cold;
    double flops = 0, p50 = ms(s->total, s->n, 0.5);

    for (int i = 0; i < SPS_STAGE_COUNT; i++)
        flops += out->counted[i].flops;
    printf("%-32s %8lld %4lld/%-3lld %4lld %8.4f %10.3f %10.3f %9.1f", point->label,
           (long long)group->data.s, (long long)group->data.h, (long long)group->data.g,
           (long long)group->data.dk, out->pairs.both / out->causal_pairs, p50,
           ms(s->total, s->n, 0.95), flops / p50 * 1e-6);
    if (s->dense_n)
        printf(" %8.2f", ms(s->dense, s->dense_n, 0.5) / p50);
    printf("\n");
}

static enum sps_status bench_point(const struct sps_point *point,
                                   const struct sps_measure *m, int threads,
                                   struct sps_group *group)
{
    struct sps_outcome outcome = {0};

    SPS_TRY(sps_group_enter(group, point, m, threads));
    enum sps_status status = sps_point_measure(point, group, &outcome);
    if (status == SPS_OK && (outcome.hot || outcome.cold))
        print_row(point, group, &outcome);
    sps_outcome_free(&outcome);
    if (status == SPS_ENOTSUP || status == SPS_ENOMEM) {
        printf("%-32s cannot run: %s\n", point->label, sps_error());
        status = SPS_OK;
    }
    return status;
}

static enum sps_status bench_all(struct sps_experiment *experiment, const char *backend,
                                 int threads)
{
    struct sps_group group = {.id = -1};
    enum sps_status status = SPS_OK;

    printf("# backend %s\n# %-30s %8s %8s %4s %8s %10s %10s %9s %8s\n", backend, "method",
           "s", "heads", "d", "density", "p50_ms", "p95_ms", "GFLOP/s", "x_dense");
    for (int64_t i = 0; status == SPS_OK && i < experiment->count; i++) {
        struct sps_point *point = &experiment->points[i];
        snprintf(point->backend, sizeof point->backend, "%s", backend);
        status = bench_point(point, &experiment->measure, threads, &group);
    }
    sps_group_close(&group);
    return status;
}

static enum sps_status bench(const struct cli_args *args, int *code)
{
    const char *set[CLI_VALUES_MAX], *wish = cli_value(args, "backend");
    int count = cli_values(args, "set", set);
    struct sps_experiment experiment = {0};
    int64_t threads;

    (void)code;
    SPS_TRY(cli_integer(args, "threads", 1, 4096, 0, &threads));
    SPS_TRY(sps_experiment_parse(config, sizeof config - 1, "bench", set, count,
                                 &experiment));
    enum sps_status status =
        bench_all(&experiment, sps_backend_choose(wish ? wish : "auto"), (int)threads);
    sps_experiment_free(&experiment);
    return status;
}

const struct cli_command cli_bench = {
    "bench", "[options]", "time methods on random inputs, without a config file", 0, 0,
    options, bench};
