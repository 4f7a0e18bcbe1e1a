/* cli.h - commands and their options, from tables that --help prints. */
#ifndef SPS_SIM_CLI_CLI_H
#define SPS_SIM_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { CLI_VALUES_MAX = 256, CLI_OPTIONS_MAX = 16 };
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

struct cli_option {
    char letter;      /* 0: none */
    const char *name; /* NULL ends a table */
    const char *arg;  /* what follows, for --help; NULL: a flag */
    const char *help;
};

/* What the command line said. */
struct cli_args {
    const struct cli_option *options;
    struct {
        const struct cli_option *option;
        const char *value;
    } given[CLI_VALUES_MAX];
    int given_count;
    char *const *words; /* what is not an option */
    int word_count;
    int argc;
    char *const *argv;
};

/* The last value of --name, or NULL; whether it was given; all values of it. */
const char *cli_value(const struct cli_args *args, const char *name);
bool cli_has(const struct cli_args *args, const char *name);
int cli_values(const struct cli_args *args, const char *name,
               const char *values[CLI_VALUES_MAX]);

/* --name as a whole number of min..max, `def` when absent. */
enum sps_status cli_integer(const struct cli_args *args, const char *name, int64_t min,
                            int64_t max, int64_t def, int64_t *value);

struct cli_command {
    const char *name, *usage, *summary;
    int words_min, words_max;
    const struct cli_option *options;
    /* CLI_OK or CLI_FAILED through *code; a status when it could not be carried out. */
    enum sps_status (*run)(const struct cli_args *args, int *code);
};

extern const struct cli_command cli_run, cli_report, cli_verify, cli_inspect,
    cli_generate, cli_methods, cli_datasets, cli_bench, cli_info;

/* Folder of plots, report template and samples: $SPARSESCOPE_DATADIR, beside the
 * executable, or pkgdatadir. */
const char *cli_datadir(void);

#endif
