/* safetensors_header.h - a validated header, between the reader's files. */
#ifndef SPS_DATASETS_SAFETENSORS_HEADER_H
#define SPS_DATASETS_SAFETENSORS_HEADER_H

#include "datasets/safetensors.h"

/* Every element type of the format: its name, its bits, and ours if we have it. */
struct safetensors_type {
    const char *name;
    int64_t bits;
    bool ours;
    enum sps_dtype dtype; /* if ours */
};

const struct safetensors_type *sps_safetensors_type(const char *name); /* NULL: none */
const struct safetensors_type *sps_safetensors_type_of(enum sps_dtype dtype);

enum { SAFETENSORS_RANK_MAX = 8 };

struct safetensors_entry {
    const char *name; /* in the arena */
    const struct safetensors_type *type;
    int64_t dim[SAFETENSORS_RANK_MAX];
    int rank;
    int64_t begin, end; /* in the buffer that follows the header */
};

struct safetensors_header {
    struct safetensors_entry *entries; /* in the order of their bytes */
    int64_t count;
    const struct safetensors_entry **by_name; /* [count] */
    struct sps_meta *meta;                    /* as written */
    int64_t meta_count;
    char *arena; /* every string: together no longer than the JSON text */
    size_t used;
};

/* Refuse JSON that no valid header has, before a parser spends memory on it. */
enum sps_status sps_safetensors_scan(const char *json, size_t size);

/* Parse and check `json`, which describes exactly `buffer` bytes of data.  Free the
 * header whatever the status. */
enum sps_status sps_safetensors_header_parse(const char *json, size_t size,
                                             int64_t buffer,
                                             struct safetensors_header *header);
void sps_safetensors_header_free(struct safetensors_header *header);

/* `text` fit for a message: printable ASCII, cut to what `shown` holds. */
enum { SAFETENSORS_SHOWN = 161 };
const char *sps_safetensors_show(const char *text, char shown[SAFETENSORS_SHOWN]);

/* The entry named `name`, or NULL; the bytes of the whole file. */
const struct safetensors_entry *sps_safetensors_entry(const struct sps_safetensors *file,
                                                      const char *name);
const void *sps_safetensors_bytes(const struct sps_safetensors *file, size_t *size);

#endif
