/* option.c - parse, print and check values against a table of options. */
#include "base/option.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t *integer(const struct sps_option *option, const void *values)
{
    return (int64_t *)((char *)values + option->offset);
}

static double *real(const struct sps_option *option, const void *values)
{
    return (double *)((char *)values + option->offset);
}

static char *string(const struct sps_option *option, const void *values)
{
    return (char *)values + option->offset;
}

void sps_options_default(const struct sps_option *table, void *values)
{
    for (const struct sps_option *o = table; o && o->name; o++) {
        if (!o->def)
            continue;
        enum sps_status status = sps_option_set(o, values, o->def);
        if (status != SPS_OK) {
            fprintf(stderr, "bad default in an option table: %s\n", sps_error());
            abort();
        }
    }
}

const struct sps_option *sps_option_find(const struct sps_option *table, const char *name)
{
    for (const struct sps_option *o = table; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

enum sps_status sps_parse_size(const char *text, int64_t *value)
{
    char *end;

    errno = 0;
    long long n = strtoll(text, &end, 10);
    int64_t unit = 1;
    if (*end == 'k')
        unit = 1024, end++;
    else if (*end == 'M')
        unit = 1048576, end++;
    if (end == text || *end || errno ||
        (text[0] != '-' && (text[0] < '0' || text[0] > '9')) || n > INT64_MAX / unit ||
        n < INT64_MIN / unit)
        return sps_fail(SPS_ECONFIG, "%s is not a whole number (8192, 8k or 1M)", text);
    *value = n * unit;
    return SPS_OK;
}

static enum sps_status refuse(const struct sps_option *option, const char *text)
{
    char range[256];

    sps_option_range(option, range, sizeof range);
    return sps_fail(SPS_ECONFIG, "%s: %.200s is not allowed: %s", option->name, text,
                    range);
}

static enum sps_status set_integer(const struct sps_option *option, void *values,
                                   const char *text)
{
    int64_t n;
    bool suffixed = strpbrk(text, "kM") != NULL;

    if ((suffixed && option->kind == SPS_OPT_INT) || sps_parse_size(text, &n) != SPS_OK ||
        (double)n < option->min || (double)n > option->max)
        return refuse(option, text);
    *integer(option, values) = n;
    return SPS_OK;
}

static enum sps_status set_real(const struct sps_option *option, void *values,
                                const char *text)
{
    char *end;
    double x = strtod(text, &end);

    if (end == text || *end || !(x >= option->min && x <= option->max))
        return refuse(option, text);
    *real(option, values) = x;
    return SPS_OK;
}

/* The position of `text` in "a|b|c", or -1. */
static int64_t choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    int64_t n = 0;

    for (const char *word = choices; word; n++) {
        const char *bar = strchr(word, '|');
        size_t size = bar ? (size_t)(bar - word) : strlen(word);
        if (size == length && memcmp(word, text, size) == 0)
            return n;
        word = bar ? bar + 1 : NULL;
    }
    return -1;
}

static enum sps_status set_choice(const struct sps_option *option, void *values,
                                  const char *text)
{
    int64_t n = choice(option->choices, text);

    if (n < 0)
        return refuse(option, text);
    *integer(option, values) = n;
    return SPS_OK;
}

static enum sps_status set_bool(const struct sps_option *option, void *values,
                                const char *text)
{
    int64_t n = choice("false|true|no|yes", text);

    if (n < 0)
        return refuse(option, text);
    *integer(option, values) = n & 1;
    return SPS_OK;
}

static enum sps_status set_text(const struct sps_option *option, void *values,
                                const char *text)
{
    if (strlen(text) >= SPS_TEXT_MAX)
        return sps_fail(SPS_ECONFIG, "%s: longer than %d characters", option->name,
                        SPS_TEXT_MAX - 1);
    strcpy(string(option, values), text);
    return SPS_OK;
}

enum sps_status sps_option_set(const struct sps_option *option, void *values,
                               const char *text)
{
    static enum sps_status (*const set[])(const struct sps_option *, void *,
                                          const char *) = {
        [SPS_OPT_INT] = set_integer, [SPS_OPT_SIZE] = set_integer,
        [SPS_OPT_REAL] = set_real,   [SPS_OPT_CHOICE] = set_choice,
        [SPS_OPT_BOOL] = set_bool,   [SPS_OPT_TEXT] = set_text,
    };
    return set[option->kind](option, values, text);
}

static void format_choice(const struct sps_option *option, int64_t n, char *text,
                          size_t size)
{
    const char *word = option->choices;

    while (n-- > 0)
        word = strchr(word, '|') + 1;
    snprintf(text, size, "%.*s", (int)strcspn(word, "|"), word);
}

void sps_option_format(const struct sps_option *option, const void *values, char *text,
                       size_t size)
{
    switch (option->kind) {
    case SPS_OPT_INT:
    case SPS_OPT_SIZE:
        snprintf(text, size, "%lld", (long long)*integer(option, values));
        break;
    case SPS_OPT_REAL:
        snprintf(text, size, "%.12g", *real(option, values));
        break;
    case SPS_OPT_CHOICE:
        format_choice(option, *integer(option, values), text, size);
        break;
    case SPS_OPT_BOOL:
        snprintf(text, size, "%s", *integer(option, values) ? "true" : "false");
        break;
    case SPS_OPT_TEXT:
        snprintf(text, size, "%s", string(option, values));
        break;
    }
}

void sps_option_range(const struct sps_option *option, char *text, size_t size)
{
    const char *def = option->def ? option->def : "must be given";
    const char *word = option->def && *option->def ? ", default "
                       : option->def               ? ""
                                                   : ", ";

    switch (option->kind) {
    case SPS_OPT_INT:
    case SPS_OPT_SIZE:
        snprintf(text, size, "%.0f..%.0f%s%s", option->min, option->max, word, def);
        break;
    case SPS_OPT_REAL:
        snprintf(text, size, "%g..%g%s%s", option->min, option->max, word, def);
        break;
    case SPS_OPT_CHOICE:
        snprintf(text, size, "%s%s%s", option->choices, word, def);
        break;
    case SPS_OPT_BOOL:
        snprintf(text, size, "true|false%s%s", word, def);
        break;
    case SPS_OPT_TEXT:
        snprintf(text, size, "text%s%s", word, def);
        break;
    }
}

/* Levenshtein distance of two short words; long ones count as far apart. */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t n = strlen(a), m = strlen(b), row[MAX + 1];

    if (n > MAX || m > MAX)
        return MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

const char *sps_nearest(const char *name, const char *const *names)
{
    const char *best = NULL;
    size_t least = strlen(name) / 3 + 2;

    for (; *names; names++) {
        size_t d = distance(name, *names);
        if (d < least)
            least = d, best = *names;
    }
    return best;
}
