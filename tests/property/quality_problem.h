/* quality_problem.h - small random problems, and plain selection, for tests of analysis/.
 */
#ifndef SPS_TESTS_QUALITY_PROBLEM_H
#define SPS_TESTS_QUALITY_PROBLEM_H

#include "analysis/quality.h"

enum { PROBLEM_SEQUENCES = 2 };

/* Two sequences of s keys each, queries the last t rows of each; every row measured. */
struct problem {
    struct sps_device dev;
    struct sps_shape shape;
    int64_t cu_q[PROBLEM_SEQUENCES + 1], cu_k[PROBLEM_SEQUENCES + 1];
    struct sps_tensor q, k, v, o_full; /* float32, host */
    struct sps_qkv in;
    int64_t *rows; /* 0, 1, .. t - 1 */
};

struct problem_size {
    int64_t h, g, dk, dv, t[PROBLEM_SEQUENCES], s[PROBLEM_SEQUENCES];
};

/* Normal q, k, v; q scaled so that attention is neither flat nor one token.  Aborts
 * when it cannot: a test without its problem has nothing to say. */
void problem_open(struct problem *p, const char *backend, const struct problem_size *size,
                  uint64_t seed);
void problem_close(struct problem *p);

/* Every row measured, nothing read; set index, band, rule, o. */
struct sps_quality_in problem_in(struct problem *p);

/* p[visible] in double from the definition; returns how many keys are visible. */
int64_t problem_probs(const struct problem *p, int64_t row, int64_t head, double *probs);

/* Keep what the rule keeps of score[units], own the last unit: take[units]. */
void plain_topk(const struct sps_rule *rule, const double *score, int64_t units,
                bool *take);

/* Lists of every row: by random scores, or by true mass summed over the heads that
 * share a list.  index_free() ends them. */
void index_random(const struct problem *p, const struct sps_rule *rule, int64_t heads,
                  uint64_t seed, struct sps_index *index);
void index_oracle(const struct problem *p, const struct sps_rule *rule, int64_t heads,
                  struct sps_index *index);
/* The tokens (units of 1) that index and band leave out, packed. */
void index_dropped(const struct problem *p, const struct sps_index *index,
                   const struct sps_band *band, struct sps_index *dropped);
void index_free(struct sps_index *index);

/* True when query head `head` of row reads key j. */
bool plain_reads(const struct sps_shape *shape, const struct sps_index *index,
                 const struct sps_band *band, int64_t row, int64_t head, int64_t j);

/* o[t,h,dv] over index and band, index NULL: the band alone. */
void problem_attend(struct problem *p, const struct sps_index *index,
                    const struct sps_band *band, float *o);

#endif
