/* config.h - an experiment file, checked: what to run, not yet multiplied out.
 *
 * Read by libfyaml as a document tree against option tables (never resolved:
 * aliases and merge keys are refused; 1 MiB at most).  Every complaint is
 * file:line:column, the line, a caret, what is allowed and the nearest name.
 * Format: docs/config.md.
 */
#ifndef SPS_SIM_RUN_CONFIG_H
#define SPS_SIM_RUN_CONFIG_H

#include "datasets/dataset.h"
#include "sim/method/method.h"

enum { SPS_CONFIG_BYTES_MAX = 1 << 20, SPS_POINTS_MAX = 100000 };

enum sps_phase { SPS_PREFILL, SPS_DECODE, SPS_BACKWARD };
const char *sps_phase_name(enum sps_phase phase);

/* How the keys and values of a data set lie in memory. */
enum sps_cache { SPS_CONTIGUOUS, SPS_PAGED };
const char *sps_cache_name(int64_t cache);

/* One entry of `data` after its axes are multiplied out. */
struct sps_data_spec {
    char source[SPS_TEXT_MAX]; /* absolute or cwd-relative path, or generator name */
    const struct sps_generator *generator; /* NULL: recorded */
    int64_t layer;                         /* recorded only */
    int64_t heads[1024];                   /* recorded only: kept query heads */
    int64_t head_count;                    /* 0: all */
    int64_t length, queries;               /* recorded: 0: all */
    int64_t cache;                         /* enum sps_cache */
    struct sps_synthetic synthetic;
    void *generator_options; /* generator->options_size, owned by the plan */
    char label[256];         /* "kjv-l11" or "needle length=8192": source and axes */
};

struct sps_measure {
    int64_t quality;   /* bool */
    int64_t rows;      /* measured rows; 0: all */
    int64_t rows_last; /* bool: the last `rows`, not evenly spaced */
    int64_t time;      /* bool */
    int64_t samples;
    double seconds;
    int64_t cold, hot; /* bools */
    int64_t reference; /* bool: error of full against ref */
    int64_t per_row;   /* bool: write rows.csv.gz too */
};

/* One thing to run: a row of results.csv. */
struct sps_point {
    int64_t group; /* points with the same data, dtype, backend share a dense baseline */
    const struct sps_data_spec *data;
    const struct sps_method *method;
    const void *options; /* the method's struct */
    bool whole; /* every row runs, not the measured ones alone: timing wants that, and any
                   method of the experiment under whose options rows choose together */
    char label[256]; /* "nsa select_count=16": method and named options */
    enum sps_phase phase;
    char backend[16]; /* "auto" or a name */
    enum sps_dtype dtype;
    uint64_t seed;
};

struct sps_experiment {
    char name[SPS_TEXT_MAX];
    char *resolved; /* the document with --set applied, as YAML */
    struct sps_measure measure;
    struct sps_point *points;
    int64_t count;
    void *owned; /* what points refer to */
};

/* Parse, check and multiply out.  set[set_count]: "path=value" from the command
 * line ("seed=3", "methods[1].topk=8", "measure.time.samples=5").  SPS_ECONFIG messages
 * carry a caret. */
enum sps_status sps_experiment_load(const char *path, const char *const *set,
                                    int64_t set_count, struct sps_experiment *experiment);
/* The same from memory; `name` stands for the file in messages, paths are relative to
 * cwd. */
enum sps_status sps_experiment_parse(const char *text, size_t size, const char *name,
                                     const char *const *set, int64_t set_count,
                                     struct sps_experiment *experiment);
void sps_experiment_free(struct sps_experiment *experiment); /* tolerates a zeroed one */

/* Every key of the format, for --help and docs.  "data[].layers" is a key of each entry
 * of `data`; the options of generators and methods come from their own tables. */
struct sps_config_key {
    const char *path, *allowed;
    const char *def; /* NULL: must be given */
    const char *help;
};
extern const struct sps_config_key sps_config_keys[]; /* ends with a zero entry */

#endif
