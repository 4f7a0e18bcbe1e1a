/* quality_sample.h - small random problems and plain selection to test analysis/ with. */
#ifndef SPS_TESTS_QUALITY_SAMPLE_H
#define SPS_TESTS_QUALITY_SAMPLE_H

#include "analysis/quality.h"

enum { SAMPLE_SEQUENCES = 2 };

/* Two sequences of s keys each, queries the last t rows of each; every row measured. */
struct sample {
    struct sps_device dev;
    struct sps_shape shape;
    int64_t cu_q[SAMPLE_SEQUENCES + 1], cu_k[SAMPLE_SEQUENCES + 1];
    struct sps_tensor q, k, v, o_full; /* float32, host */
    struct sps_qkv in;
    int64_t *rows; /* 0, 1, .. t - 1 */
};

struct sample_size {
    int64_t h, g, dk, dv, t[SAMPLE_SEQUENCES], s[SAMPLE_SEQUENCES];
};

/* Normal q, k, v; q scaled so that attention is neither flat nor one token.  Aborts
 * when it cannot: a test without its sample has nothing to say. */
void sample_open(struct sample *p, const char *backend, const struct sample_size *size,
                 uint64_t seed);
void sample_close(struct sample *p);

/* Every row measured, nothing read; set index, band, rule, o. */
struct sps_quality_in sample_in(struct sample *p);

/* p[visible] in double from the definition; returns how many keys are visible. */
int64_t sample_probs(const struct sample *p, int64_t row, int64_t head, double *probs);

/* Keep what the rule keeps of score[units], own the last unit: take[units]. */
void plain_topk(const struct sps_rule *rule, const double *score, int64_t units,
                bool *take);

/* Lists of every row: by random scores, or by true mass summed over the heads that
 * share a list.  index_free() ends them. */
void index_random(const struct sample *p, const struct sps_rule *rule, int64_t heads,
                  uint64_t seed, struct sps_index *index);
void index_oracle(const struct sample *p, const struct sps_rule *rule, int64_t heads,
                  struct sps_index *index);
/* The tokens (units of 1) that index and band leave out, packed. */
void index_dropped(const struct sample *p, const struct sps_index *index,
                   const struct sps_band *band, struct sps_index *dropped);
void index_free(struct sps_index *index);

/* True when query head `head` of row reads key j. */
bool plain_reads(const struct sps_shape *shape, const struct sps_index *index,
                 const struct sps_band *band, int64_t row, int64_t head, int64_t j);

/* o[t,h,dv] over index and band, index NULL: the band alone. */
void sample_attend(struct sample *p, const struct sps_index *index,
                   const struct sps_band *band, float *o);

#endif
