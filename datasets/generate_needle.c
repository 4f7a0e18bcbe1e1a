/* generate_needle.c - a few keys that the last rows must find, with a set mass.
 *
 * Every kv head has a unit direction u per needle.  The needle's key is sqrt(dk) u,
 * of the norm of any other; other keys are normals without their part along any u.
 * A probing query is a u + noise z, |z| = sqrt(dk), z without a part along any u, so
 * that its logit at the needle is a and elsewhere N(0, noise^2).  Mass m among n others:
 *
 *     a = ln(m / (1 - m)) + ln n + noise^2 / 2
 *
 * (log-normal mean of the n others' weights); a grows with n, m stays.  A distractor is
 * a key sqrt(dk) (c u + sqrt(1 - c^2) w), w random: its weight exp(c a + (1 - c^2)
 * noise^2 / 2) is part of the sum, and a solves a fixed point.
 * The task is RULER's needle in a haystack (arXiv 2404.06654) without the text.
 */
#include "datasets/generate.h"

#include <math.h>
#include <stdlib.h>

struct needle {
    double mass, noise, share, depth, cosine, payload;
    int64_t rows, needles, distractors;
};

enum { NEEDLES_MAX = 16, DISTRACTORS_MAX = 64 };

#define AT(member) offsetof(struct needle, member)
static const struct sps_option options[] = {
    {"mass", SPS_OPT_REAL, SPS_LIST_AXIS, AT(mass), "0.5", 0.001, 0.999, NULL, NULL,
     "attention that a probing row gives its needle"},
    {"noise", SPS_OPT_REAL, SPS_LIST_AXIS, AT(noise), "1", 0, 4, NULL, NULL,
     "standard deviation of the other keys' logits, in nats"},
    {"rows", SPS_OPT_INT, SPS_LIST_AXIS, AT(rows), "4", 1, 256, NULL, NULL,
     "the last so many rows of each sequence probe"},
    {"needles", SPS_OPT_INT, SPS_LIST_AXIS, AT(needles), "1", 1, NEEDLES_MAX, NULL, NULL,
     "needles a sequence; probing rows take turns"},
    {"depth", SPS_OPT_REAL, SPS_LIST_AXIS, AT(depth), "-1", -1, 1, NULL, NULL,
     "place in the needle's part of the sequence, 0 first, 1 last, below 0 seeded"},
    {"distractors", SPS_OPT_INT, SPS_LIST_AXIS, AT(distractors), "0", 0, DISTRACTORS_MAX,
     NULL, NULL, "keys a needle that resemble it"},
    {"cosine", SPS_OPT_REAL, SPS_LIST_AXIS, AT(cosine), "0.5", 0, 0.95, NULL, NULL,
     "of a distractor and its needle"},
    {"payload", SPS_OPT_REAL, SPS_LIST_AXIS, AT(payload), "4", 0, 100, NULL, NULL,
     "added to every number of a needle's value, with a sign each"},
    {"share", SPS_OPT_REAL, SPS_LIST_AXIS, AT(share), "0.5", 0, 1, NULL, NULL,
     "correlation of the noise of one group's heads"},
    {0}};

/* Where the special keys of one sequence stand: needles, then distractors by needle. */
struct plants {
    int64_t count, needles;
    int64_t place[NEEDLES_MAX * (1 + DISTRACTORS_MAX)];
};

/* Of every sequence alike: check() refuses one that is shorter. */
static int64_t probing_rows(const struct sps_synthetic *spec, const struct needle *o)
{
    return spec->queries && spec->queries < o->rows ? spec->queries : o->rows;
}

static bool taken(const struct plants *p, int64_t place)
{
    for (int64_t i = 0; i < p->count; i++)
        if (p->place[i] == place)
            return true;
    return false;
}

/* Part `i` of `parts` of the keys before the probing rows, at fraction x of it; the
 * next free key if that one is taken. */
static void plant(struct plants *p, int64_t keys, int64_t i, int64_t parts, double x)
{
    int64_t begin = keys * i / parts, end = keys * (i + 1) / parts;
    int64_t place = begin + llround(x * (double)(end - begin - 1));

    while (taken(p, place))
        place = (place + 1) % keys;
    p->place[p->count++] = place;
}

static void plant_all(const struct sps_synthetic *spec, const struct needle *o,
                      const struct sps_data *data, int64_t sequence, struct plants *p)
{
    int64_t keys = sps_sequence_keys(data, sequence) - probing_rows(spec, o),
            near = o->needles * o->distractors;
    float x[4];

    p->count = 0, p->needles = o->needles;
    for (int64_t i = 0; i < o->needles + near; i++) {
        sps_draw_uniform(spec->seed, DRAW_PLACE, sequence, 0, i, x);
        if (i < o->needles)
            plant(p, keys, i, o->needles, o->depth < 0 ? x[0] : o->depth);
        else
            plant(p, keys, i - o->needles, near, x[0]);
    }
}

/* The orthonormal directions [needles, dk] of one kv head, the same in every sequence. */
static void directions(const struct sps_synthetic *spec, const struct needle *o,
                       int64_t kv, float *unit)
{
    for (int64_t m = 0; m < o->needles; m++) {
        float *row = unit + m * spec->head_dim;
        sps_draw(spec->seed, DRAW_DIRECTION, 0, kv, m, spec->head_dim, row);
        sps_project_out(row, unit, m, spec->head_dim);
        sps_scale_to(row, spec->head_dim, 1);
    }
}

/* Normals without a part along the directions. */
static void plain_keys(const struct sps_synthetic *spec, const struct needle *o,
                       struct sps_data *data, const float *unit)
{
    float *k = data->k.data;
    int64_t d = data->dk;

#pragma omp parallel for
    for (int64_t i = 0; i < data->s * data->g; i++) {
        struct sps_place place = sps_key_place(data, i / data->g);
        int64_t kv = i % data->g;
        sps_draw(spec->seed, DRAW_K, place.sequence, kv, place.position, d, k + i * d);
        sps_project_out(k + i * d, unit + kv * o->needles * d, o->needles, d);
    }
}

/* Turn the plain key at plant i into a needle or a distractor. */
static void plant_key(const struct needle *o, int64_t d, const float *unit, int64_t i,
                      float *key)
{
    bool needle = i < o->needles;
    int64_t m = needle ? i : (i - o->needles) / o->distractors;
    double c = needle ? 1 : o->cosine, norm = sqrt((double)d);

    sps_scale_to(key, d, norm * sqrt(1 - c * c));
    for (int64_t n = 0; n < d; n++)
        key[n] += (float)(norm * c) * unit[m * d + n];
}

static void plant_keys(const struct sps_synthetic *spec, const struct needle *o,
                       struct sps_data *data, const float *unit)
{
    float *k = data->k.data, *v = data->v.data, sign[GENERATE_DIM_MAX];
    struct plants p;

    for (int64_t b = 0; b < data->n; b++) {
        plant_all(spec, o, data, b, &p);
        for (int64_t i = 0; i < p.count * data->g; i++) {
            int64_t kv = i % data->g, n = i / data->g;
            int64_t at = (data->cu_k[b] + p.place[n]) * data->g + kv;
            plant_key(o, data->dk, unit + kv * o->needles * data->dk, n,
                      k + at * data->dk);
            if (n >= o->needles)
                continue;
            sps_draw(spec->seed, DRAW_PAYLOAD, 0, kv, n, data->dv, sign);
            for (int64_t c = 0; c < data->dv; c++)
                v[at * data->dv + c] += (float)copysign(o->payload, sign[c]);
        }
    }
}

/* The logit that gives the needle its mass in a row that sees `others` more keys.
 * With distractors a fixed point: each step shrinks the error by `cosine` or more. */
static double needle_logit(const struct needle *o, int64_t others)
{
    double near = (double)o->distractors, c = o->cosine, variance = o->noise * o->noise;
    double odds = log(o->mass / (1 - o->mass));
    double rest = log((double)others - near) + variance / 2, a = odds + rest;

    for (int i = 0; i < 400 && near > 0; i++) {
        double twin = log(near) + c * a + (1 - c * c) * variance / 2;
        a = odds + fmax(rest, twin) + log1p(exp(-fabs(rest - twin)));
    }
    return a;
}

static void queries(const struct sps_synthetic *spec, const struct needle *o,
                    struct sps_data *data, const float *unit)
{
    float *q = data->q.data;
    int64_t d = data->dk, probing = probing_rows(spec, o);

#pragma omp parallel for
    for (int64_t i = 0; i < data->t * data->h; i++) {
        struct sps_place place = sps_query_place(data, i / data->h);
        int64_t head = i % data->h,
                from_end = sps_sequence_keys(data, place.sequence) - 1 - place.position;
        const float *u = unit + head / (data->h / data->g) * o->needles * d;
        float *row = q + i * d;
        sps_draw_query(spec, o->share, place, head, row);
        sps_project_out(row, u, o->needles, d);
        sps_scale_to(row, d, o->noise * sqrt((double)d));
        if (from_end >= probing)
            continue;
        float a = (float)needle_logit(o, place.position);
        u += from_end % o->needles * d;
        for (int64_t c = 0; c < d; c++)
            row[c] += a * u[c];
    }
}

/* Every probing row and head, or SPS_PROBES_MAX of them evenly spaced. */
static enum sps_status list_probes(const struct sps_synthetic *spec,
                                   const struct needle *o, struct sps_data *data)
{
    int64_t probing = probing_rows(spec, o), all = data->n * probing * data->h;
    struct plants p;
    void *mem;

    data->probe_count = all < SPS_PROBES_MAX ? all : SPS_PROBES_MAX;
    SPS_TRY(sps_calloc((size_t)data->probe_count * sizeof *data->probes, &mem));
    data->probes = mem;
    for (int64_t i = 0, planted = -1; i < data->probe_count; i++) {
        int64_t pick = i * all / data->probe_count, b = pick / data->h / probing;
        int64_t from_end = probing - 1 - pick / data->h % probing;
        if (b != planted)
            plant_all(spec, o, data, planted = b, &p);
        data->probes[i] = (struct sps_probe){.row = data->cu_q[b + 1] - 1 - from_end,
                                             .head = pick % data->h,
                                             .key = p.place[from_end % o->needles]};
    }
    return SPS_OK;
}

static enum sps_status check(const struct sps_synthetic *spec, const struct needle *o,
                             const struct sps_data *data)
{
    int64_t plants = o->needles * (1 + o->distractors);

    for (int64_t b = 0; b < data->n; b++) {
        int64_t length = sps_sequence_keys(data, b), rows = probing_rows(spec, o);
        if (plants >= length - rows)
            return sps_fail(SPS_ECONFIG,
                            "needles: %lld keys to plant, length %lld has %lld before "
                            "its %lld probing rows and needs more",
                            (long long)plants, (long long)length,
                            (long long)(length > rows ? length - rows : 0),
                            (long long)rows);
    }
    if (o->needles >= spec->head_dim)
        return sps_fail(SPS_ECONFIG, "needles: %lld is not allowed: below head_dim %lld",
                        (long long)o->needles, (long long)spec->head_dim);
    return SPS_OK;
}

static enum sps_status fill(const struct sps_synthetic *spec, const void *values,
                            struct sps_data *data)
{
    const struct needle *o = values;
    void *unit;

    SPS_TRY(check(spec, o, data));
    SPS_TRY(list_probes(spec, o, data));
    SPS_TRY(sps_calloc((size_t)(data->g * o->needles * data->dk) * sizeof(float), &unit));
    for (int64_t kv = 0; kv < data->g; kv++)
        directions(spec, o, kv, (float *)unit + kv * o->needles * data->dk);
    plain_keys(spec, o, data, unit);
    sps_draw_values(spec, data);
    plant_keys(spec, o, data, unit);
    queries(spec, o, data, unit);
    free(unit);
    return SPS_OK;
}

/* The needle's softmax mass in one row, and the deviation of the other logits. */
static void measure(const double *logit, int64_t n, int64_t key, double *mass,
                    double *noise)
{
    double total = 0, sum = 0, sum2 = 0, most = logit[key];

    for (int64_t j = 0; j < n; j++)
        most = fmax(most, logit[j]);
    for (int64_t j = 0; j < n; j++) {
        double other = j == key ? 0 : logit[j];
        total += exp(logit[j] - most);
        sum += other, sum2 += other * other;
    }
    double mean = sum / (double)(n - 1);
    *mass = exp(logit[key] - most) / total;
    *noise = sqrt(fmax(0, sum2 / (double)(n - 1) - mean * mean));
}

/* Means over up to 32 probes. */
static int64_t realise(const struct sps_synthetic *spec, const void *values,
                       const struct sps_data *data, const char *names[8],
                       double target[8], double realised[8])
{
    enum { PROBES = 32 };
    const struct needle *o = values;
    double *logit = malloc((size_t)spec->length * sizeof *logit), mass = 0, noise = 0;
    int64_t count = data->probe_count < PROBES ? data->probe_count : PROBES;

    if (!logit)
        return 0;
    for (int64_t i = 0; i < count; i++) {
        const struct sps_probe *p = &data->probes[i * data->probe_count / count];
        double m, sd;
        measure(logit, sps_row_logits(data, p->row, p->head, logit), p->key, &m, &sd);
        mass += m / (double)count, noise += sd / (double)count;
    }
    free(logit);
    SPS_REALISED(0, "needle mass", o->mass, mass);
    if (o->distractors > 0)
        return 1; /* they widen the other logits */
    SPS_REALISED(1, "logit deviation of others", o->noise, noise);
    return 2;
}

const struct sps_generator sps_generator_needle = {
    .name = "needle",
    .summary = "planted keys that the last rows must find, with a set mass",
    .source = "RULER's needle in a haystack (arXiv 2404.06654), as vectors",
    .options = options,
    .options_size = sizeof(struct needle),
    .fill = fill,
    .realise = realise,
};
