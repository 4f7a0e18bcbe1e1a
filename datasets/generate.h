/* generate.h - what generators share: keyed rows, places, exact logits.
 *
 * A row of normals depends on the seed, its kind, sequence, head and position
 * alone: not on length, batch, the rows asked for, threads or order.
 */
#ifndef SPS_DATASETS_GENERATE_H
#define SPS_DATASETS_GENERATE_H

#include "datasets/dataset.h"

enum { GENERATE_DIM_MAX = 1024, GENERATE_HEADS_MAX = 1024 };

/* What a row of random numbers is for. */
enum draw_kind {
    DRAW_K,
    DRAW_V,
    DRAW_Q_SHARED, /* the part that a group's query heads have in common */
    DRAW_Q_OWN,
    DRAW_DIRECTION,
    DRAW_PAYLOAD,
    DRAW_PLACE,
    DRAW_TOPIC,
    DRAW_CENTRE,
    DRAW_CENTRE_V,
    DRAW_LENGTH
};

/* count standard normals of row `position`. */
void sps_draw(uint64_t seed, enum draw_kind kind, int64_t sequence, int64_t head,
              int64_t position, int64_t count, float *row);

/* Uniforms in (0,1): the four of number `position`. */
void sps_draw_uniform(uint64_t seed, enum draw_kind kind, int64_t sequence, int64_t head,
                      int64_t position, float out[4]);

/* The sequence and position of packed row `row` of queries or of keys. */
struct sps_place {
    int64_t sequence, position;
};
struct sps_place sps_query_place(const struct sps_data *data, int64_t row);
struct sps_place sps_key_place(const struct sps_data *data, int64_t row);

/* Keys of a sequence. */
int64_t sps_sequence_keys(const struct sps_data *data, int64_t sequence);

/* Normals for query head `head`: sqrt(share) of what its group has in common and
 * sqrt(1 - share) of its own, so that two heads of a group correlate by `share`. */
void sps_draw_query(const struct sps_synthetic *spec, double share,
                    struct sps_place place, int64_t head, float *row);

/* v = standard normals everywhere. */
void sps_draw_values(const struct sps_synthetic *spec, struct sps_data *data);

double sps_dot(const float *a, const float *b, int64_t count);
void sps_scale_to(float *row, int64_t count, double norm); /* no change to a zero row */
/* row -= its part along each of `directions` unit rows, which are orthogonal. */
void sps_project_out(float *row, const float *unit, int64_t directions, int64_t count);

/* logit[j] = scale q.k of the keys that (row, head) sees; how many they are. */
int64_t sps_row_logits(const struct sps_data *data, int64_t row, int64_t head,
                       double *logit);

/* One line of `realise`. */
#define SPS_REALISED(i, name, want, got)                                                 \
    (names[i] = (name), target[i] = (want), realised[i] = (got))

extern const struct sps_generator sps_generator_diffuse;
extern const struct sps_generator sps_generator_needle;
extern const struct sps_generator sps_generator_topics;

#endif
