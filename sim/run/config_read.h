/* config_read.h - what the readers of an experiment file share. */
#ifndef SPS_SIM_RUN_CONFIG_READ_H
#define SPS_SIM_RUN_CONFIG_READ_H

#include "sim/run/axes.h"
#include "sim/run/config.h"

/* An entry of `methods`, and its variants once built. */
struct sps_method_entry {
    const struct sps_yaml *node;
    const struct sps_method *method;
    struct sps_axes axes;
    int64_t count;
    char *options;      /* [count] of method->options_size, NULL when that is 0 */
    char (*label)[256]; /* [count] */
};

/* An entry of `data`. */
struct sps_data_entry {
    const struct sps_yaml *node;
    const char *key, *written; /* "recorded" or "synthetic", and its text */
    char source[SPS_TEXT_MAX]; /* as sps_data_spec has it */
    char stem[SPS_TEXT_MAX];   /* file name without folder and .safetensors */
    const struct sps_generator *generator;
    const char *mark; /* what labels start with */
    bool all_keys;    /* labels show every key given */
    int64_t *layers, layer_count, *heads, head_count;
    struct sps_axes axes;
};

/* A list of words that the cross product runs over. */
struct sps_words {
    const char *const *text;
    int64_t count;
};

struct sps_config {
    struct sps_keep *keep;
    char folder[SPS_TEXT_MAX]; /* paths are relative to it; "" or ends with '/' */
    const struct sps_yaml *root;
    struct sps_experiment *experiment;
    int64_t seed;
    struct sps_data_entry **data;
    int64_t data_count;
    struct sps_data_spec *specs; /* data entries multiplied out */
    int64_t *spec_entry, spec_count;
    struct sps_method_entry **methods;
    int64_t method_count;
    struct sps_words backends, dtypes, phases;
};

/* A key of a mapping and who reads its value into `into`. */
struct sps_section {
    const char *name;
    bool required;
    enum sps_status (*read)(void *into, const struct sps_yaml *value,
                            struct sps_config *config);
};

/* Read a mapping by its table (ends with a zero entry), keys in table order; unknown
 * and missing keys are complaints.  `what` names the mapping in them. */
enum sps_status sps_sections_read(const struct sps_section *table,
                                  const struct sps_yaml *map, const char *what,
                                  void *into, struct sps_config *config);

/* Every item of a list that holds mappings: 1 to SPS_ENTRIES_MAX of them. */
enum { SPS_ENTRIES_MAX = 1024, SPS_SPECS_MAX = 4096 };
enum sps_status sps_entries_check(const struct sps_yaml *list, const char *what);

enum sps_status sps_config_data(void *into, const struct sps_yaml *list,
                                struct sps_config *config);
enum sps_status sps_config_methods(void *into, const struct sps_yaml *list,
                                   struct sps_config *config);
enum sps_status sps_config_measure(void *into, const struct sps_yaml *value,
                                   struct sps_config *config);

/* Data entries into config->specs. */
enum sps_status sps_specs_build(struct sps_config *config);

/* Everything into experiment->points: counted first, then built, then excluded. */
enum sps_status sps_points_build(struct sps_config *config);

/* Drop the points that an entry of `exclude` (NULL: none) names. */
enum sps_status sps_points_exclude(struct sps_config *config,
                                   const struct sps_yaml *list);

/* Change the tree as "path=value" says. */
enum sps_status sps_config_set(struct sps_yaml *root, const char *edit,
                               struct sps_keep *keep);

/* The phases by number, as a user writes them; ends with NULL. */
extern const char *const sps_phase_words[];

/* Where `word` stands in words, which end with NULL; the NULL's place if nowhere. */
int64_t sps_word_position(const char *const *words, const char *word);

/* The method that the node names; complains with the nearest one. */
enum sps_status sps_config_method(const struct sps_yaml *node,
                                  const struct sps_method **method);

#endif
