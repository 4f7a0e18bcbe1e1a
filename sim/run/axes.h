/* axes.h - the options of one data or method entry: each one value or several,
 * and the variants that their cross product gives.
 */
#ifndef SPS_SIM_RUN_AXES_H
#define SPS_SIM_RUN_AXES_H

#include "base/option.h"
#include "sim/run/yaml.h"

enum { SPS_AXES_MAX = 64, SPS_PARTS_MAX = 3 };

/* An option that the file gives. */
struct sps_axis {
    const struct sps_option *option;
    const struct sps_yaml *node; /* its value: one text, or the list */
    const char **text;           /* [count] */
    int64_t count;
    int64_t part;   /* which of the entry's structs it lives in */
    int64_t leader; /* the axis it runs with (zip), or itself */
};

struct sps_axes {
    const struct sps_yaml *entry;
    struct sps_axis axis[SPS_AXES_MAX]; /* in file order: the last runs fastest */
    int64_t count;
    struct {
        const struct sps_option *table; /* or NULL */
        void *scratch;                  /* a struct of the table's, for checking */
    } part[SPS_PARTS_MAX];
};

/* Start an entry of up to SPS_PARTS_MAX structs; bytes[i] is the size of struct i. */
enum sps_status sps_axes_begin(struct sps_axes *axes, const struct sps_yaml *entry,
                               const struct sps_option *const table[SPS_PARTS_MAX],
                               const size_t bytes[SPS_PARTS_MAX], struct sps_keep *keep);

/* Read every key of the entry that is not in `others` (ends with NULL) as an
 * option, then its `zip`; complain about unknown keys and about missing ones. */
enum sps_status sps_axes_read(struct sps_axes *axes, const char *const *others,
                              struct sps_keep *keep);

/* How many variants; exact up to 2^53. */
double sps_axes_variants(const struct sps_axes *axes);

/* Fill the structs (NULL: skip that one) with the defaults and variant i's values. */
void sps_axes_apply(const struct sps_axes *axes, int64_t i,
                    void *const part[SPS_PARTS_MAX]);

/* Append " name=value" of the options given: all, or only lists, `length` and
 * `cache`. */
void sps_axes_label(const struct sps_axes *axes, const void *const part[SPS_PARTS_MAX],
                    bool all, char *label, size_t size);

/* The node's texts: one text is a list of one.  Refuses what is not text, and an
 * empty list.  *count of them, alive as long as `keep` and the tree. */
enum sps_status sps_yaml_texts(const struct sps_yaml *node, struct sps_keep *keep,
                               const char ***text, int64_t *count);

/* The node's own text; complains about a list, a mapping, an empty text. */
enum sps_status sps_yaml_text(const struct sps_yaml *node, const char **text);

/* "unknown WHAT 'name' (did you mean 'nearest'?); allowed: a, b, c" at the node's key
 * or value; names ends with NULL. */
enum sps_status sps_yaml_unknown(const struct sps_yaml *node, bool at_key,
                                 const char *what, const char *name,
                                 const char *const *names);

#endif
