/* option.h - a table of options drives parser, ranges, --help, docs and CSV.
 *
 * A table ends with a row whose name is NULL.  Values live in a caller's
 * struct at `offset`: INT, SIZE, CHOICE and BOOL as int64_t (CHOICE: the position in
 * `choices`), REAL as double, TEXT as char[SPS_TEXT_MAX].
 */
#ifndef SPS_BASE_OPTION_H
#define SPS_BASE_OPTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

SPS_BEGIN_DECLS

enum { SPS_TEXT_MAX = 1024 };

enum sps_option_kind {
    SPS_OPT_INT,    /* 16                                   */
    SPS_OPT_SIZE,   /* 8192, 8k (x 1024), 1M (x 1048576)     */
    SPS_OPT_REAL,   /* 0.5                                  */
    SPS_OPT_CHOICE, /* one word of `choices`                */
    SPS_OPT_BOOL,   /* true, false, yes, no                 */
    SPS_OPT_TEXT    /* a path or a name                     */
};

/* What a YAML list of values means for this option. */
enum sps_option_list {
    SPS_LIST_AXIS, /* one point per value          */
    SPS_LIST_SET,  /* all values belong together   */
    SPS_LIST_NONE  /* a list is refused            */
};

struct sps_option {
    const char *name; /* YAML key and --set name */
    enum sps_option_kind kind;
    enum sps_option_list list;
    size_t offset;
    const char *def;     /* as a user writes it; NULL: must be given */
    double min, max;     /* INT, SIZE, REAL: inclusive */
    const char *choices; /* CHOICE: "gate|union" */
    const char *golden;  /* its key in golden files' metadata, or NULL */
    const char *help;    /* one line, naming the unit */
};

/* Fill `values` with the defaults (options without one are left alone). */
void sps_options_default(const struct sps_option *table, void *values);

/* The option named `name`, or NULL. */
const struct sps_option *sps_option_find(const struct sps_option *table,
                                         const char *name);

/* Parse `text` into values; SPS_ECONFIG: "NAME: TEXT: what is allowed". */
enum sps_status sps_option_set(const struct sps_option *option, void *values,
                               const char *text);

/* The value as a user would write it; at most size - 1 characters. */
void sps_option_format(const struct sps_option *option, const void *values, char *text,
                       size_t size);

/* "4..1024, default 16" / "gate|union, default gate": for --help and docs. */
void sps_option_range(const struct sps_option *option, char *text, size_t size);

/* The entry of names (ends with NULL) closest to `name` by edit distance, or
 * NULL when none is near enough to be what was meant. */
const char *sps_nearest(const char *name, const char *const *names);

/* "8k" -> 8192.  Plain decimal, or with suffix k (1024) or M (1048576). */
enum sps_status sps_parse_size(const char *text, int64_t *value);

SPS_END_DECLS

#endif
