/* generate_topics.c - runs of keys about one topic, and queries that seek topics.
 *
 * A sequence is a chain of segments with Pareto lengths; each is about a topic drawn by
 * Zipf's law.  With centres c (and e of values) of norm sqrt(d), orthogonal, random per
 * kv head and topic,
 *
 *     k = kappa c[t] + z    q = rho c[t'] + z    v = lambda e[t] + z
 *
 * where t' is the position's own topic with probability stay, else drawn by Zipf's law.
 * Keys of the sought topic stand kappa rho sqrt(dk) nats above the rest.  Long segments
 * make blocks pure, which is what block methods live on; lambda makes values of one topic
 * alike, so that missed mass shows in the output.
 */
#include "datasets/generate.h"

#include <math.h>
#include <stdlib.h>

struct topics {
    int64_t topics, segment;
    double pareto, zipf, kappa, rho, stay, lambda, share;
};

enum { TOPICS_MAX = 256, BLOCK = 64 };

#define AT(member) offsetof(struct topics, member)
static const struct sps_option options[] = {
    {"topics", SPS_OPT_INT, SPS_LIST_AXIS, AT(topics), "16", 1, TOPICS_MAX, NULL, NULL,
     "topics that segments draw from"},
    {"segment", SPS_OPT_INT, SPS_LIST_AXIS, AT(segment), "64", 1, 1048576, NULL, NULL,
     "shortest segment, tokens"},
    {"pareto", SPS_OPT_REAL, SPS_LIST_AXIS, AT(pareto), "1.5", 0.5, 10, NULL, NULL,
     "exponent of the segments' lengths: P(longer than x) = (segment / x)^pareto"},
    {"zipf", SPS_OPT_REAL, SPS_LIST_AXIS, AT(zipf), "1", 0, 4, NULL, NULL,
     "exponent of the topics' frequencies; 0 is uniform"},
    {"kappa", SPS_OPT_REAL, SPS_LIST_AXIS, AT(kappa), "1", 0, 10, NULL, NULL,
     "weight of the topic in a key"},
    {"rho", SPS_OPT_REAL, SPS_LIST_AXIS, AT(rho), "0.5", 0, 10, NULL, NULL,
     "weight of the sought topic in a query"},
    {"stay", SPS_OPT_REAL, SPS_LIST_AXIS, AT(stay), "0.8", 0, 1, NULL, NULL,
     "probability that a query seeks its own position's topic"},
    {"lambda", SPS_OPT_REAL, SPS_LIST_AXIS, AT(lambda), "1", 0, 10, NULL, NULL,
     "weight of the topic in a value"},
    {"share", SPS_OPT_REAL, SPS_LIST_AXIS, AT(share), "0.5", 0, 1, NULL, NULL,
     "correlation of the rest of the queries of one group's heads"},
    {0}};

static void zipf_law(const struct topics *o, double chance[TOPICS_MAX])
{
    double total = 0;

    for (int64_t t = 0; t < o->topics; t++)
        total += chance[t] = pow((double)(t + 1), -o->zipf);
    for (int64_t t = 0; t < o->topics; t++)
        chance[t] /= total;
}

static int16_t draw_topic(const struct topics *o, const double chance[TOPICS_MAX],
                          double u)
{
    int64_t t = 0;

    for (; t < o->topics - 1 && u >= chance[t]; t++)
        u -= chance[t];
    return (int16_t)t;
}

/* The topic of each of `length` positions. */
static void lay_out(const struct topics *o, uint64_t seed, int64_t sequence,
                    int64_t length, int16_t *topic)
{
    double chance[TOPICS_MAX];
    float u[4];

    zipf_law(o, chance);
    for (int64_t at = 0, number = 0; at < length; number++) {
        sps_draw_uniform(seed, DRAW_TOPIC, sequence, 0, number, u);
        double size = ceil((double)o->segment * pow(u[0], -1 / o->pareto));
        int64_t left = length - at, n = size < (double)left ? (int64_t)size : left;
        int16_t t = draw_topic(o, chance, u[1]);
        while (n-- > 0)
            topic[at++] = t;
    }
}

/* The topic that the heads of one kv head seek from `place`. */
static int16_t sought(const struct topics *o, const double chance[TOPICS_MAX],
                      uint64_t seed, struct sps_place place, int64_t kv, int16_t own)
{
    float u[4];

    sps_draw_uniform(seed, DRAW_TOPIC, place.sequence, 1 + kv, place.position, u);
    return u[0] < o->stay ? own : draw_topic(o, chance, u[1]);
}

/* Everything that the rows are made from. */
struct world {
    int16_t *topic;  /* [s] */
    float *centre;   /* [g, topics, dk], norm sqrt(dk) */
    float *centre_v; /* [g, topics, dv], norm sqrt(dv) */
    double chance[TOPICS_MAX];
};

static void world_free(struct world *w)
{
    free(w->topic);
    free(w->centre);
    free(w->centre_v);
}

static enum sps_status draw_centres(uint64_t seed, enum draw_kind kind, int64_t heads,
                                    int64_t topics, int64_t d, float **centre)
{
    void *mem;

    SPS_TRY(sps_calloc((size_t)(heads * topics * d) * sizeof **centre, &mem));
    *centre = mem;
    for (int64_t i = 0; i < heads * topics; i++) {
        float *row = *centre + i * d;
        sps_draw(seed, kind, 0, i / topics, i % topics, d, row);
        sps_project_out(row, row - i % topics * d, i % topics, d);
        sps_scale_to(row, d, 1);
    }
    for (int64_t i = 0; i < heads * topics; i++)
        sps_scale_to(*centre + i * d, d, sqrt((double)d));
    return SPS_OK;
}

static enum sps_status world_new(const struct sps_synthetic *spec, const struct topics *o,
                                 const struct sps_data *data, struct world *w)
{
    void *mem;

    zipf_law(o, w->chance);
    SPS_TRY(sps_calloc((size_t)data->s * sizeof *w->topic, &mem));
    w->topic = mem;
    for (int64_t b = 0; b < data->n; b++)
        lay_out(o, spec->seed, b, sps_sequence_keys(data, b), w->topic + data->cu_k[b]);
    SPS_TRY(
        draw_centres(spec->seed, DRAW_CENTRE, data->g, o->topics, data->dk, &w->centre));
    return draw_centres(spec->seed, DRAW_CENTRE_V, data->g, o->topics, data->dv,
                        &w->centre_v);
}

static void add(float *row, double weight, const float *centre, int64_t d)
{
    for (int64_t c = 0; c < d; c++)
        row[c] += (float)weight * centre[c];
}

static void draw_keys(const struct sps_synthetic *spec, const struct topics *o,
                      const struct world *w, struct sps_data *data)
{
    float *k = data->k.data, *v = data->v.data;
    int64_t dk = data->dk, dv = data->dv;

    sps_draw_values(spec, data);
#pragma omp parallel for
    for (int64_t i = 0; i < data->s * data->g; i++) {
        struct sps_place place = sps_key_place(data, i / data->g);
        int64_t kv = i % data->g, centre = kv * o->topics + w->topic[i / data->g];
        sps_draw(spec->seed, DRAW_K, place.sequence, kv, place.position, dk, k + i * dk);
        add(k + i * dk, o->kappa, w->centre + centre * dk, dk);
        add(v + i * dv, o->lambda, w->centre_v + centre * dv, dv);
    }
}

/* The topic that query row `row` seeks for `head`. */
static int16_t row_topic(const struct sps_synthetic *spec, const struct topics *o,
                         const struct world *w, const struct sps_data *data, int64_t row,
                         int64_t kv)
{
    struct sps_place place = sps_query_place(data, row);
    int16_t own = w->topic[data->cu_k[place.sequence] + place.position];

    return sought(o, w->chance, spec->seed, place, kv, own);
}

static void draw_queries(const struct sps_synthetic *spec, const struct topics *o,
                         const struct world *w, struct sps_data *data)
{
    float *q = data->q.data;
    int64_t d = data->dk, G = data->h / data->g;

#pragma omp parallel for
    for (int64_t i = 0; i < data->t * data->h; i++) {
        int64_t row = i / data->h, head = i % data->h, kv = head / G;
        sps_draw_query(spec, o->share, sps_query_place(data, row), head, q + i * d);
        int16_t t = row_topic(spec, o, w, data, row, kv);
        add(q + i * d, o->rho, w->centre + (kv * o->topics + t) * d, d);
    }
}

static enum sps_status fill(const struct sps_synthetic *spec, const void *values,
                            struct sps_data *data)
{
    const struct topics *o = values;
    struct world w = {0};

    if (o->topics > data->dk || o->topics > data->dv)
        return sps_fail(SPS_ECONFIG,
                        "topics: %lld is not allowed: at most head_dim %lld and "
                        "value_dim %lld",
                        (long long)o->topics, (long long)data->dk, (long long)data->dv);
    enum sps_status status = world_new(spec, o, data, &w);
    if (status == SPS_OK) {
        draw_keys(spec, o, &w, data);
        draw_queries(spec, o, &w, data);
    }
    world_free(&w);
    return status;
}

/* ---- what came out ---- */

/* Share of keys that are of the most frequent topic of their block. */
static double purity(const int16_t *topic, int64_t length)
{
    int64_t pure = 0;

    for (int64_t begin = 0; begin < length; begin += BLOCK) {
        int64_t count[TOPICS_MAX] = {0}, most = 0;
        for (int64_t j = begin; j < begin + BLOCK && j < length; j++)
            if (++count[topic[j]] > most)
                most = count[topic[j]];
        pure += most;
    }
    return (double)pure / (double)length;
}

/* Mean purity of 64 layouts of the same options with seeds of their own; overwrites
 * `topic`. */
static double expected_purity(const struct sps_synthetic *spec, const struct topics *o,
                              int16_t *topic)
{
    enum { TRIALS = 64, LENGTH = 16384 };
    int64_t length = spec->length < LENGTH ? spec->length : LENGTH;
    double mean = 0;

    for (int64_t i = 0; i < TRIALS; i++) {
        lay_out(o, ~spec->seed, i, length, topic);
        mean += purity(topic, length) / TRIALS;
    }
    return mean;
}

/* Mean logit of keys of the sought topic less that of the others; false: one is empty. */
static bool logit_gap(const double *logit, const int16_t *topic, int64_t n, int16_t want,
                      double *gap)
{
    double sum[2] = {0};
    int64_t count[2] = {0};

    for (int64_t j = 0; j < n; j++) {
        sum[topic[j] == want] += logit[j];
        count[topic[j] == want]++;
    }
    if (count[0] == 0 || count[1] == 0)
        return false;
    *gap = sum[1] / (double)count[1] - sum[0] / (double)count[0];
    return true;
}

static double mean_gap(const struct sps_synthetic *spec, const struct topics *o,
                       const struct world *w, const struct sps_data *data, double *logit)
{
    enum { ROWS = 128 };
    int64_t all = data->t * data->h, rows = all < ROWS ? all : ROWS, used = 0;
    double total = 0, gap; /* no row tells: the mean of nothing is nan */

    for (int64_t i = 0; i < rows; i++) {
        int64_t pick = (i + 1) * all / rows - 1, row = pick / data->h,
                head = pick % data->h;
        int16_t want = row_topic(spec, o, w, data, row, head / (data->h / data->g));
        int64_t n = sps_row_logits(data, row, head, logit);
        const int16_t *topic = w->topic + data->cu_k[sps_query_place(data, row).sequence];
        if (logit_gap(logit, topic, n, want, &gap))
            total += gap, used++;
    }
    return total / (double)used;
}

/* Rows that seek their own topic: by the law, and as drawn. */
static void stays(const struct sps_synthetic *spec, const struct topics *o,
                  const struct world *w, const struct sps_data *data, double out[2])
{
    double law = 0, drawn = 0, pairs = (double)(data->t * data->g);

    for (int64_t row = 0; row < data->t; row++) {
        struct sps_place place = sps_query_place(data, row);
        int16_t own = w->topic[data->cu_k[place.sequence] + place.position];
        law += (o->stay + (1 - o->stay) * w->chance[own]) * (double)data->g;
        for (int64_t kv = 0; kv < data->g; kv++)
            drawn += row_topic(spec, o, w, data, row, kv) == own;
    }
    out[0] = law / pairs, out[1] = drawn / pairs;
}

/* Mean of v.v'/dv over neighbours of one topic. */
static double coherence(const struct sps_synthetic *spec, const struct world *w,
                        const struct sps_data *data)
{
    const float *v = data->v.data;
    int64_t step = data->g * data->dv, used = 0;
    double total = 0;

    for (int64_t j = 0; j + 1 < spec->length; j++)
        if (w->topic[j] == w->topic[j + 1])
            total += sps_dot(v + j * step, v + (j + 1) * step, data->dv), used++;
    return total / (double)used / (double)data->dv;
}

static int64_t realise(const struct sps_synthetic *spec, const void *values,
                       const struct sps_data *data, const char *names[8],
                       double target[8], double realised[8])
{
    const struct topics *o = values;
    struct world w = {0};
    double *logit = malloc((size_t)spec->length * sizeof *logit), both[2];
    int64_t lines = 0;

    if (logit && world_new(spec, o, data, &w) == SPS_OK) {
        SPS_REALISED(0, "value coherence", o->lambda * o->lambda,
                     coherence(spec, &w, data));
        stays(spec, o, &w, data, both);
        SPS_REALISED(1, "rows that seek their own topic", both[0], both[1]);
        double pure = purity(w.topic, spec->length);
        double gap = mean_gap(spec, o, &w, data, logit);
        lines = 3;
        if (isfinite(gap)) {
            SPS_REALISED(3, "logit gap of the sought topic",
                         o->kappa * o->rho * sqrt((double)data->dk), gap);
            lines = 4;
        }
        SPS_REALISED(2, "purity of 64-key blocks", expected_purity(spec, o, w.topic),
                     pure);
    }
    world_free(&w);
    free(logit);
    return lines;
}

const struct sps_generator sps_generator_topics = {
    .name = "topics",
    .summary = "segments about topics, which queries seek: block purity as a knob",
    .source =
        "clusters after Zipf (1935) and Pareto; MoBA's signal model (arXiv 2511.11571)",
    .options = options,
    .options_size = sizeof(struct topics),
    .fill = fill,
    .realise = realise,
};
