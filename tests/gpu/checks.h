/* checks.h - the checks, by the file that holds them: a new one goes beside its kind.
 *
 * Those of a problem compute on its rows and leave its inputs alone; those of no argument
 * bring their own shapes.
 */
#ifndef SPS_TESTS_GPU_CHECKS_H
#define SPS_TESTS_GPU_CHECKS_H

#include "tests/gpu/lists.h"

/* ---- attend.c: attention over bands and over lists, and what is added up ---- */

void check_dense(struct problem *p, struct sps_band band, const char *what);

/* Attention over ref's lists a and the GPU's b, the same ones. */
void check_attend(struct problem *p, const struct sps_index *a, const struct sps_index *b,
                  struct sps_band band, const char *what);

/* share, noise, topk with and without ties, attend with and without a band, packed. */
void check_index(struct problem *p, int64_t heads, int64_t block, int64_t count);

void check_combine(struct problem *p);
void check_blocks(void);

/* ---- gated.c: attend_gated ---- */

/* Against ref's attend, dense and combine, on lists of `count` units. */
void check_gated(struct problem *p, int64_t block, int64_t count, int64_t window);

void check_gated_shapes(void);
void check_gated_refusals(void);

/* ---- scores.c: masses, probabilities, gates ---- */

void check_mass(struct problem *p, int64_t heads, int64_t block);
void check_probs(struct problem *p);

/* Means, gate, and gate_select against ref's gate and topk.  `equal`: every mean is the
 * first one, so that all whole blocks tie. */
void check_moba(struct problem *p, struct sps_rule rule, bool equal);

void check_gates(void);

/* ---- compress.c: compressed keys ---- */

/* Means on both sides: means[m,g,dk] of the host, means_gpu of the GPU. */
void check_mean(struct problem *p, const struct sps_compression *by, float *means,
                float *means_gpu);

/* Compressed keys by a linear map. */
void check_linear(struct problem *p, const struct sps_compression *by);

/* Compressed keys made in two goes, as decode steps make them, are those of one; by
 * means, or by the map w.  `whole` was made at once. */
void check_made(struct problem *p, const struct sps_compression *by,
                const struct sps_tensor *pe, const struct sps_tensor *w,
                const float *whole);

void check_means(void);

/* ---- compressed.c: attention over compressed keys, and its choice of blocks ---- */

/* Compressed keys by a linear map; compressed both ways over means, and over means
 * rounded to the input's type. */
void check_nsa(struct problem *p, int64_t l, int64_t u, int64_t block, int64_t count);

void check_long_lists(void);
void check_closeness(void);

/* ---- reruns.c: the same bits, whatever else is computed ---- */

void check_reruns(void);
void check_rows_alone(void);
void check_compressed_reruns(void);

/* ---- faults.c: NaN scores are told with their place ---- */

void check_nans(void);

/* ---- shapes.c: every slot on tables of shapes and on random ones ---- */

/* Shapes [first, end) of the list of small ones; true when these reach its end. */
bool check_edges(int64_t first, int64_t end);

void check_larger(void);
void check_random(uint64_t seed);
void check_extremes(void);

/* ---- big.c: past 2^31 elements ---- */

void check_big(void);

#endif
