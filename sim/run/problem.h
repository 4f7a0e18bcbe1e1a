/* problem.h - a data set's key/value heads and rows as a problem on a device. */
#ifndef SPS_SIM_RUN_PROBLEM_H
#define SPS_SIM_RUN_PROBLEM_H

#include "datasets/dataset.h"
#include "sim/method/method.h"
#include "sim/run/pages.h"

/* What to take of a data set. */
struct sps_take {
    int64_t kv_head, kv_heads; /* the first kv head, and how many */
    const int64_t *rows;       /* [count] packed rows, ascending; NULL: all */
    int64_t count;
    const struct sps_input *keys; /* use its k and v, of the same heads; NULL: upload */
    bool backward;                /* take the data's d_o too, and want a backward pass */
    bool decode;                  /* the rows are their sequences' new tokens */
    bool paged;                   /* keys and values lie in pages */
};

/* A problem and everything it owns. */
struct sps_input {
    struct sps_problem problem;
    struct sps_device *dev;
    int64_t *cu_q, *cu_k, *pos; /* host */
    int32_t *given;             /* host */
    struct sps_paging paging;   /* when taken so */
    bool borrowed;              /* k and v are another input's */
    size_t bytes;               /* device memory held */
};

/* Round the taken part to dtype, upload it; sps_input_free() ends *input, also
 * after a failure. */
enum sps_status sps_input_make(const struct sps_data *data, const struct sps_take *take,
                               enum sps_dtype dtype, uint64_t seed,
                               struct sps_device *dev, struct sps_input *input);
void sps_input_free(struct sps_input *input);

/* The same at other addresses of the device; host arrays stay `from`'s.  sps_input_free()
 * ends *to, also after a failure. */
enum sps_status sps_input_copy(const struct sps_input *from, struct sps_input *to);

/* Device bytes that sps_input_make would hold. */
size_t sps_input_bytes(const struct sps_data *data, const struct sps_take *take,
                       enum sps_dtype dtype, const struct sps_device *dev);

#endif
