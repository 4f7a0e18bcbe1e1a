/* main.c - find the command, parse its options, print what went wrong, exit. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"
#include "sim/cli/cli.h"
#include "sim/run/version.h"

static const struct cli_command *const commands[] = {
    &cli_run,     &cli_report,   &cli_verify, &cli_inspect, &cli_generate,
    &cli_methods, &cli_datasets, &cli_bench,  &cli_info,    NULL};

static void print_commands(void)
{
    printf(
        "usage: sparsescope COMMAND [options]\n"
        "Full, NSA, MoBA and other sparse attention on the same inputs: recall, error, "
        "flops and time.\n\ncommands:\n");
    for (const struct cli_command *const *c = commands; *c; c++)
        printf("  %-9s  %s\n", (*c)->name, (*c)->summary);
    printf("\noptions:\n  -h, --help     this text, or a command's: sparsescope COMMAND "
           "--help\n"
           "      --version  the version of this program\n");
}

static void print_help(const struct cli_command *c)
{
    printf("usage: sparsescope %s %s\n%s\n\noptions:\n", c->name, c->usage, c->summary);
    for (const struct cli_option *o = c->options; o->name; o++) {
        char left[64];
        char letter[5] = "    ";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        printf("  %-28s  %s\n", left, o->help);
    }
    printf("  %-28s  %s\n", "-h, --help", "this text");
}

static const struct cli_command *find(const char *name)
{
    const char *names[16] = {0};

    for (int i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
        names[i] = commands[i]->name;
    }
    const char *near = sps_nearest(name, names);
    fprintf(stderr,
            "sparsescope: unknown command '%s'%s%s%s; sparsescope --help lists them\n",
            name, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    return NULL;
}

/* getopt's tables from ours: value 256 + i stands for option i. */
static void translate(const struct cli_option *table, struct option *longs, char *shorts)
{
    int i = 0;

    *shorts++ = ':';
    for (; table[i].name; i++) {
        longs[i] = (struct option){table[i].name, table[i].arg != NULL, NULL, 256 + i};
        if (table[i].letter) {
            *shorts++ = table[i].letter;
            if (table[i].arg)
                *shorts++ = ':';
        }
    }
    longs[i] = (struct option){"help", no_argument, NULL, 'h'};
    longs[i + 1] = (struct option){0};
    *shorts++ = 'h';
    *shorts = '\0';
}

static const struct cli_option *option_of(const struct cli_option *table, int code)
{
    if (code >= 256)
        return &table[code - 256];
    for (; table->name; table++)
        if (table->letter == code)
            return table;
    return NULL;
}

static int complain(const struct cli_command *c, const char *what, const char *word)
{
    fprintf(stderr,
            "sparsescope: %s: %s '%s'; sparsescope %s --help lists what is allowed\n",
            c->name, what, word, c->name);
    return CLI_USAGE;
}

/* 0: run it; 1: help was printed; CLI_USAGE: refused. */
static int parse(const struct cli_command *c, int argc, char **argv,
                 struct cli_args *args)
{
    struct option longs[CLI_OPTIONS_MAX + 2];
    char shorts[2 * CLI_OPTIONS_MAX + 4];
    int code;

    translate(c->options, longs, shorts);
    while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (code == 'h')
            return print_help(c), 1;
        if (code == '?')
            return complain(c, "unknown option", argv[optind - 1]);
        if (code == ':')
            return complain(c, "a value must follow", argv[optind - 1]);
        if (args->given_count == CLI_VALUES_MAX)
            return complain(c, "too many options, from", argv[optind - 1]);
        args->given[args->given_count].option = option_of(c->options, code);
        args->given[args->given_count++].value = optarg;
    }
    args->words = argv + optind;
    args->word_count = argc - optind;
    if (args->word_count < c->words_min || args->word_count > c->words_max) {
        fprintf(stderr, "usage: sparsescope %s %s\n", c->name, c->usage);
        return CLI_USAGE;
    }
    return 0;
}

const char *cli_value(const struct cli_args *args, const char *name)
{
    const char *value = NULL;

    for (int i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            value = args->given[i].value;
    return value;
}

bool cli_has(const struct cli_args *args, const char *name)
{
    for (int i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            return true;
    return false;
}

int cli_values(const struct cli_args *args, const char *name,
               const char *values[CLI_VALUES_MAX])
{
    int n = 0;

    for (int i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            values[n++] = args->given[i].value;
    return n;
}

enum sps_status cli_integer(const struct cli_args *args, const char *name, int64_t min,
                            int64_t max, int64_t def, int64_t *value)
{
    const char *text = cli_value(args, name);

    *value = def;
    if (!text)
        return SPS_OK;
    if (sps_parse_size(text, value) != SPS_OK || *value < min || *value > max)
        return sps_fail(SPS_ECONFIG, "--%s: %s is not allowed: %lld..%lld", name, text,
                        (long long)min, (long long)max);
    return SPS_OK;
}

static int exit_code(enum sps_status status)
{
    if (status == SPS_EINTERRUPTED)
        return CLI_INTERRUPTED;
    bool input = status == SPS_ECONFIG || status == SPS_EINVAL || status == SPS_EIO;
    return input ? CLI_USAGE : CLI_FAILED;
}

int main(int argc, char **argv)
{
    struct cli_args args = {.argc = argc, .argv = argv};
    int code = CLI_OK;

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_commands(), argc < 2 ? CLI_USAGE : CLI_OK;
    if (strcmp(argv[1], "--version") == 0)
        return printf("sparsescope %s\n", sps_code_version()), CLI_OK;
    const struct cli_command *command = find(argv[1]);
    if (!command)
        return CLI_USAGE;
    args.options = command->options;
    int parsed = parse(command, argc - 1, argv + 1, &args);
    if (parsed)
        return parsed == CLI_USAGE ? CLI_USAGE : CLI_OK;
    enum sps_status status = command->run(&args, &code);
    if (status != SPS_OK) {
        fprintf(stderr, "sparsescope: %s\n", sps_error());
        return exit_code(status);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "sparsescope: cannot write to standard output\n");
        return CLI_FAILED;
    }
    return code;
}
