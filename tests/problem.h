/* problem.h - random attention problems that a seed repeats, and comparisons. */
#ifndef SPS_TESTS_PROBLEM_H
#define SPS_TESTS_PROBLEM_H

#include "kernels/backend.h"

enum { PROBLEM_SEQUENCES = 4 };

struct problem {
    uint64_t seed;
    struct sps_shape shape;
    int64_t cu_q[PROBLEM_SEQUENCES + 1], cu_k[PROBLEM_SEQUENCES + 1];
    int64_t *pos; /* NULL, or what shape.pos says */
    struct sps_qkv in;
    struct sps_tensor q_idx, k_idx, w_idx; /* [t,x,di], [s,1,di], [t,1,x] */
};

/* Shapes vary with the seed: g, G, dk, dv, packs of up to 4 sequences (some empty, some
 * with more rows than keys), decode, chunks, given positions.  Seeds 0..7 are the
 * corners. */
void problem_make(uint64_t seed, struct problem *p);

/* Sequences of these lengths, a row for every key. */
void problem_square(uint64_t seed, int64_t n, const int64_t *keys, struct problem *p);
void problem_free(struct problem *p);

/* One line of what the seed made, to stdout as a TAP comment. */
void problem_print(const struct problem *p);

/* A whole number in [low, high], keyed by (seed, which). */
int64_t problem_draw(uint64_t seed, uint64_t which, int64_t low, int64_t high);

/* Memory that must be there. */
float *problem_floats(int64_t count);

/* All three are false when anything is NaN; -inf equals -inf only. */
bool same_bits(const void *a, const void *b, int64_t bytes);
bool near_l2(const float *a, const float *b, int64_t count, double relative);
bool near_abs(const float *a, const float *b, int64_t count, double absolute);

#endif
