/* verify.c - the command that recomputes what golden files expect. */
#include <stdio.h>

#include "sim/cli/cli.h"
#include "sim/run/run.h"
#include "sim/run/verify.h"

static const struct cli_option options[] = {
    {0, "backend", "NAME", "auto, ref, cpu, cuda, cuda_portable; default auto"},
    {0, "dtype", "NAME", "bf16, fp16 or fp32, to which inputs are rounded; default fp32"},
    {0},
};

static enum sps_status verify(const struct cli_args *args, int *code)
{
    const char *wish = cli_value(args, "backend"), *backend;
    const char *type = cli_value(args, "dtype");
    struct sps_verify_counts counts = {0};
    enum sps_dtype dtype = SPS_F32;

    if (type && (!sps_dtype_find(type, &dtype) || dtype > SPS_BF16))
        return sps_fail(SPS_ECONFIG, "--dtype: %s is not allowed: bf16, fp16 or fp32",
                        type);
    backend = sps_backend_choose(wish ? wish : "auto");
    for (int i = 0; i < args->word_count; i++)
        SPS_TRY(sps_verify(args->words[i], backend, dtype, stdout, &counts));
    printf("%lld passed, %lld failed, %lld skipped\n", (long long)counts.passed,
           (long long)counts.failed, (long long)counts.skipped);
    *code = counts.failed ? CLI_FAILED : CLI_OK;
    return SPS_OK;
}

const struct cli_command cli_verify = {
    "verify",
    "FILE.safetensors... [options]",
    "recompute what golden files expect: per tensor differences, PASS or FAIL",
    1,
    4096,
    options,
    verify};
