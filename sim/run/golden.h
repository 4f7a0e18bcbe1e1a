/* golden.h - a golden file opened: inputs as data, expectations by name. */
#ifndef SPS_SIM_RUN_GOLDEN_H
#define SPS_SIM_RUN_GOLDEN_H

#include "datasets/dataset.h"
#include "datasets/safetensors.h"
#include "sim/method/method.h"

struct sps_golden {
    struct sps_safetensors *file;
    struct sps_data data;
    bool causal;
    const struct sps_method *method;
    void *options; /* method->options_size */
};

/* SPS_ENOTSUP: a kind that has no method; SPS_ECONFIG: not a golden file. */
enum sps_status sps_golden_open(const char *path, struct sps_golden *golden);
void sps_golden_close(struct sps_golden *golden);

/* A float tensor as float32 on the host (owned by the caller), any rank up to 4. */
enum sps_status sps_golden_floats(const struct sps_golden *golden, const char *name,
                                  struct sps_tensor *x);

/* The expected selection as lists of `width` units per (row, head), ascending, -1
 * padded (list owned by the caller); list NULL when the file has none. */
enum sps_status sps_golden_index(const struct sps_golden *golden,
                                 struct sps_index *index);

#endif
