/* safetensors.h - read and write the safetensors format, strictly.
 *
 * The file is mapped, never loaded whole; every rule of the format's reference
 * reader is enforced before a tensor is handed out, so that whatever the bytes,
 * the answer is a valid view or one clear line (SPS_ECONFIG).
 * Format: https://github.com/huggingface/safetensors, README "Format".
 */
#ifndef SPS_DATASETS_SAFETENSORS_H
#define SPS_DATASETS_SAFETENSORS_H

#include "base/tensor.h"

enum { SPS_SAFETENSORS_HEADER_MAX = 8 << 20 }; /* bytes of JSON */

struct sps_safetensors; /* an open, validated file */

/* Map and validate.  Messages start with the path. */
enum sps_status sps_safetensors_open(const char *path, struct sps_safetensors **file);
void sps_safetensors_close(struct sps_safetensors *file); /* tolerates NULL */

/* Validate bytes already in memory (the fuzz target; `data` must outlive it). */
enum sps_status sps_safetensors_parse(const void *data, size_t size, const char *name,
                                      struct sps_safetensors **file);

int64_t sps_safetensors_count(const struct sps_safetensors *file);
const char *sps_safetensors_name(const struct sps_safetensors *file, int64_t i);

/* A view into the map (read only, possibly unaligned: copy before use as numbers).
 * SPS_ECONFIG when there is none, its rank exceeds 4, or its type is not one of
 * enum sps_dtype (the message names the type).  Rank below 4: trailing dims are 1. */
enum sps_status sps_safetensors_get(const struct sps_safetensors *file, const char *name,
                                    struct sps_tensor *x);
bool sps_safetensors_has(const struct sps_safetensors *file, const char *name);
/* Rank and type name as written, for inspect; SPS_ECONFIG when there is none. */
enum sps_status sps_safetensors_info(const struct sps_safetensors *file, int64_t i,
                                     const char **dtype, int *rank, int64_t dim[8]);

/* Value of a __metadata__ key, or NULL. */
const char *sps_safetensors_meta(const struct sps_safetensors *file, const char *key);
int64_t sps_safetensors_meta_count(const struct sps_safetensors *file);
const char *sps_safetensors_meta_key(const struct sps_safetensors *file, int64_t i);

/* ---- writing ---- */

struct sps_named_tensor {
    const char *name;
    struct sps_tensor tensor; /* host */
    int rank;                 /* how many dims to write */
};

struct sps_meta {
    const char *key, *value;
};

/* Write tensors and metadata to `path`: a temporary file, fsync, rename. */
enum sps_status sps_safetensors_write(const char *path,
                                      const struct sps_named_tensor *tensors,
                                      int64_t count, const struct sps_meta *meta,
                                      int64_t meta_count);

#endif
