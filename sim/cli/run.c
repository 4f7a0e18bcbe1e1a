/* run.c - the command that runs an experiment file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cli/cli.h"
#include "sim/report/report.h"
#include "sim/report/table.h"
#include "sim/run/run.h"

static const struct cli_option options[] = {
    {'o', "out", "DIR", "result folder; default results/NAME of the config file's name"},
    {0, "set", "PATH=VALUE", "change the config: seed=3, methods[1].topk=8; may repeat"},
    {0, "dry-run", NULL,
     "print every point with predicted flops, memory and time; run nothing"},
    {0, "resume", NULL, "keep finished points of DIR, run the others"},
    {0, "force", NULL, "start DIR over"},
    {0, "backend", "NAME",
     "auto, ref, cpu, cuda, cuda_portable instead of the config's backends"},
    {0, "threads", "N", "CPU threads; default all"},
    {'q', "quiet", NULL, "no progress, no table"},
    {0},
};

/* results/STEM for path/STEM.yaml */
static void default_folder(const char *config, char *path, size_t size)
{
    const char *slash = strrchr(config, '/'), *name = slash ? slash + 1 : config;
    const char *dot = strrchr(name, '.');
    int length = dot && dot > name ? (int)(dot - name) : (int)strlen(name);

    snprintf(path, size, "results/%.*s", length, name);
}

static enum sps_status finish(const struct sps_run_options *o,
                              const struct sps_run_counts *n, int *code)
{
    if (!o->quiet) {
        SPS_TRY(sps_report_table(o->folder, stdout));
        printf("%lld points: %lld ok, %lld failed, %lld done before; results in %s\n",
               (long long)n->total, (long long)n->ok, (long long)n->failed,
               (long long)n->skipped, o->folder);
    }
    *code = n->failed ? CLI_FAILED : CLI_OK;
    return SPS_OK;
}

static enum sps_status run(const struct cli_args *args, int *code)
{
    const char *set[CLI_VALUES_MAX];
    char folder[4096];
    int64_t threads;
    struct sps_run_counts counts;

    default_folder(args->words[0], folder, sizeof folder);
    SPS_TRY(cli_integer(args, "threads", 1, 4096, 0, &threads));
    if (cli_has(args, "resume") && cli_has(args, "force"))
        return sps_fail(SPS_ECONFIG, "--resume and --force exclude each other");
    struct sps_run_options o = {
        .config = args->words[0],
        .folder = cli_has(args, "out") ? cli_value(args, "out") : folder,
        .set = set,
        .set_count = cli_values(args, "set", set),
        .mode = cli_has(args, "resume")  ? SPS_FOLDER_RESUME
                : cli_has(args, "force") ? SPS_FOLDER_FORCE
                                         : SPS_FOLDER_NEW,
        .backend = cli_value(args, "backend"),
        .threads = (int)threads,
        .quiet = cli_has(args, "quiet"),
        .argc = args->argc,
        .argv = args->argv,
    };
    if (o.backend && strcmp(o.backend, "auto") != 0 && !sps_backend_find(o.backend))
        return sps_fail(
            SPS_ECONFIG,
            "--backend: %s is not allowed: auto, ref, cpu, cuda, cuda_portable",
            o.backend);
    if (cli_has(args, "dry-run"))
        return sps_dry_run(&o, stdout);
    SPS_TRY(sps_run(&o, &counts));
    return finish(&o, &counts, code);
}

const struct cli_command cli_run = {"run",
                                    "CONFIG.yaml [-o DIR] [options]",
                                    "run an experiment and write a result folder",
                                    1,
                                    1,
                                    options,
                                    run};
