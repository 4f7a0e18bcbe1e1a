/* report.c - the command that turns result folders into one HTML page. */
#include <stdio.h>
#include <stdlib.h>

#include "sim/cli/cli.h"
#include "sim/report/report.h"

static const struct cli_option options[] = {
    {'o', "out", "FILE", "the page to write; default report.html in the first folder"},
    {0},
};

static enum sps_status report(const struct cli_args *args, int *code)
{
    const char *out = cli_value(args, "out"), *gnuplot = getenv("GNUPLOT");
    char path[4096];

    (void)code;
    if (!out) {
        snprintf(path, sizeof path, "%s/report.html", args->words[0]);
        out = path;
    }
    SPS_TRY(sps_report_write((const char *const *)args->words, args->word_count, out,
                             cli_datadir(), gnuplot ? gnuplot : SPS_GNUPLOT));
    printf("%s\n", out);
    return SPS_OK;
}

const struct cli_command cli_report = {
    "report",
    "DIR... [-o FILE.html]",
    "build the report of one or several result folders",
    1,
    64,
    options,
    report};
