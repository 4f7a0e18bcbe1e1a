/* yaml.h - a YAML text as a tree of texts, lists and mappings with their places.
 *
 * libfyaml reads the syntax; nothing is ever resolved.  Refused with place:
 * anchors, aliases, tags, merge keys, keys that are not plain text, repeated
 * keys, control characters, a second document, more than 16 levels.
 * Every scalar stays text as the user wrote it; what it means is the reader's.
 */
#ifndef SPS_SIM_RUN_YAML_H
#define SPS_SIM_RUN_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/run/keep.h"

enum { SPS_YAML_DEPTH_MAX = 16, SPS_YAML_KEYS_MAX = 256 };

enum sps_yaml_kind { SPS_YAML_TEXT, SPS_YAML_LIST, SPS_YAML_MAP };

/* Where nodes come from. */
struct sps_yaml_source {
    const char *name; /* the file, or "--set seed=3" */
    const char *text; /* for the caret; NULL: only the name is told */
    size_t size;
};

/* Line and column in characters from 1; 0: unknown. */
struct sps_yaml_mark {
    int64_t line, column;
};

struct sps_yaml {
    enum sps_yaml_kind kind;
    const char *key;               /* in a mapping, else NULL */
    const char *text;              /* of TEXT */
    struct sps_yaml *child, *next; /* first item or value; the next one of the parent */
    int64_t count;                 /* children */
    struct sps_yaml_mark at, key_at;
    const struct sps_yaml_source *source;
};

/* Parse text[size]; nodes live in `keep` and refer to `source`, which must outlive
 * them.  SPS_ECONFIG for anything that is not one readable YAML document. */
enum sps_status sps_yaml_parse(const char *text, size_t size,
                               const struct sps_yaml_source *source,
                               struct sps_keep *keep, struct sps_yaml **root);

/* Where a list's items start; a text counts as a list of one. */
static inline const struct sps_yaml *sps_yaml_first(const struct sps_yaml *node)
{
    return node->kind == SPS_YAML_LIST ? node->child : node;
}

/* The value of `key` in a mapping, or NULL. */
struct sps_yaml *sps_yaml_get(const struct sps_yaml *map, const char *key);

/* SPS_ECONFIG, "file:line:column: message", the line, a caret; at the value or at its
 * key. */
enum sps_status sps_yaml_complain(const struct sps_yaml *at, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
enum sps_status sps_yaml_complain_key(const struct sps_yaml *at, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a place that has no node (a syntax error). */
enum sps_status sps_yaml_complain_mark(const struct sps_yaml_source *source,
                                       struct sps_yaml_mark mark, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The tree as YAML text: block style, lists of texts on one line.  malloc'd;
 * NULL after sps_fail(SPS_ENOMEM). */
char *sps_yaml_emit(const struct sps_yaml *root);

#endif
