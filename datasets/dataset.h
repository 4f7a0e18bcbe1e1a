/* dataset.h - one attention problem's inputs on the host, recorded or generated.
 *
 * Tensors are packed [t,h,dk], [s,g,dk], [s,g,dv] (tensor.h), of the type they
 * were stored in (recordings) or float32 (generators); the caller rounds to the run's
 * type.
 */
#ifndef SPS_DATASETS_DATASET_H
#define SPS_DATASETS_DATASET_H

#include "base/option.h"
#include "base/tensor.h"

enum { SPS_PROBES_MAX = 256 };

/* A row that must find a planted key: for needle_hit and needle_rank. */
struct sps_probe {
    int64_t row;  /* packed row */
    int64_t head; /* query head */
    int64_t key;  /* position of the needle in the row's sequence */
};

struct sps_data {
    int64_t h, g, t, s, dk, dv, n;
    int64_t *cu_q, *cu_k; /* [n+1], owned */
    double scale;
    int64_t heads[1024];       /* the recording's number of each query head */
    struct sps_tensor q, k, v; /* owned */
    struct sps_tensor gate, w_k, w_v, pe_k; /* owned; often absent */
    struct sps_tensor q_idx, k_idx, w_idx;  /* owned; [t,x,di], [s,1,di], [t,1,x] of an
                                               indexer with x heads; all or none */
    struct sps_tensor index;                /* owned; int32 [t, heads, width] */
    int64_t index_block;                    /* tokens a unit of index */
    struct sps_tensor d_o;                  /* owned; `do` for backward, often absent */
    struct sps_probe *probes;               /* owned, or NULL */
    int64_t probe_count;
    char sha256[65]; /* of the bytes that made it: file and selection, or spec */
};

void sps_data_free(struct sps_data *data); /* tolerates a zeroed one */

/* SPS_ENUMERIC names tensor and place of the first NaN or Inf in q, k, v, do and
 * the indexer's tensors. */
enum sps_status sps_data_check_finite(const struct sps_data *data);

/* ---- recordings (docs/recordings.md) ---- */

struct sps_recording; /* an open safetensors file of layers.N.q, .k, .v, ... */

enum sps_status sps_recording_open(const char *path, struct sps_recording **rec);
void sps_recording_close(struct sps_recording *rec); /* tolerates NULL */

/* The layers it holds, ascending; count through *count. */
const int64_t *sps_recording_layers(const struct sps_recording *rec, int64_t *count);
int64_t sps_recording_heads(const struct sps_recording *rec, int64_t layer); /* h */
const char *sps_recording_meta(const struct sps_recording *rec, const char *key);

struct sps_slice {
    int64_t layer;
    const int64_t *heads; /* query heads to keep, ascending; NULL: all */
    int64_t head_count;
    int64_t length;  /* the first so many keys; 0: all */
    int64_t queries; /* the last so many rows below `length`; 0: all there are */
};

/* Copy one layer's slice out of the map.  Kept heads must keep G whole and equal
 * per kv head (ECONFIG says which would).  A length without any row is ECONFIG. */
enum sps_status sps_recording_load(const struct sps_recording *rec,
                                   const struct sps_slice *slice, struct sps_data *data);

/* ---- generators (research: docs/datasets.md) ---- */

/* What every generator takes; its own options follow in its own table. */
struct sps_synthetic {
    int64_t length, batch, q_heads, kv_heads, head_dim,
        value_dim;      /* value_dim 0: head_dim */
    int64_t min_length; /* lengths are drawn from here to `length`; 0: all alike */
    int64_t queries;    /* the last so many rows of each sequence; 0: all */
    uint64_t seed;
};

struct sps_generator {
    const char *name, *summary, *source;
    const struct sps_option *options; /* its own, ends with a zero entry, or NULL */
    size_t options_size;
    /* Fill q, k, v (float32, already allocated and shaped) and probes. */
    enum sps_status (*fill)(const struct sps_synthetic *spec, const void *options,
                            struct sps_data *data);
    /* The set's own self-check: target and realised value, for metadata and tests.
     * Returns how many lines were written to names/targets/realised (at most 8). */
    int64_t (*realise)(const struct sps_synthetic *spec, const void *options,
                       const struct sps_data *data, const char *names[8],
                       double target[8], double realised[8]);
};

extern const struct sps_generator *const sps_generators[]; /* ends with NULL */
const struct sps_generator *sps_generator_find(const char *name);
extern const struct sps_option sps_synthetic_options[]; /* of struct sps_synthetic */

/* The numbers and offsets alone, no tensors; sps_data_free() ends *data. */
enum sps_status sps_synthetic_shape(const struct sps_synthetic *spec,
                                    struct sps_data *data);

/* Allocate and fill; same seed, same bytes, whatever the thread count. */
enum sps_status sps_generate(const struct sps_generator *generator,
                             const struct sps_synthetic *spec, const void *options,
                             struct sps_data *data);

#endif
