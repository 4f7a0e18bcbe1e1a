/* generators.c - tests that generated sets are what they claim, and reproducible.
 * Over 400 lines because each generator has its own targets. */
#include "datasets/dataset.h"
#include "tests/tap.h"

#include <math.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "length=1k mass=0.1": each pair goes to the table that knows the name. */
static void set_all(const struct sps_generator *g, const char *text,
                    struct sps_synthetic *spec, void *options)
{
    char copy[512], *rest = copy;

    snprintf(copy, sizeof copy, "%s", text);
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        char *value = strchr(word, '=');
        if (!value)
            continue;
        *value++ = '\0';
        const struct sps_option *o = sps_option_find(sps_synthetic_options, word);
        void *values = o ? (void *)spec : options;
        if (!o)
            o = sps_option_find(g->options, word);
        CU_ASSERT_PTR_NOT_NULL_FATAL(o);
        CU_ASSERT_EQUAL_FATAL(sps_option_set(o, values, value), SPS_OK);
    }
}

struct made {
    const struct sps_generator *generator;
    struct sps_synthetic spec;
    void *options;
    struct sps_data data;
    enum sps_status status;
};

static void make(struct made *m, const char *name, const char *text, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    m->generator = sps_generator_find(name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m->generator);
    m->options = calloc(1, m->generator->options_size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m->options);
    sps_options_default(sps_synthetic_options, &m->spec);
    sps_options_default(m->generator->options, m->options);
    set_all(m->generator, text, &m->spec, m->options);
    m->spec.seed = seed;
    m->status = sps_generate(m->generator, &m->spec, m->options, &m->data);
}

static void end(struct made *m)
{
    sps_data_free(&m->data);
    free(m->options);
}

static const float *row(const struct sps_tensor *x, int64_t i, int64_t head)
{
    return (const float *)x->data + (i * x->dim[1] + head) * x->dim[2];
}

/* ---- claims ---- */

/* Realised values of each line must lie this near to the targets. */
static const struct {
    const char *name, *options;
    double tolerance[8];
    int lines;
} claims[] = {
    {"diffuse", "length=4k q_heads=4 queries=64 tau=0.5", {0.02, 0.03, 0.03}, 3},
    {"diffuse", "length=4k q_heads=4 queries=64 tau=1", {0.05, 0.1, 0.05}, 3},
    {"diffuse", "length=8k q_heads=4 queries=64 tau=1.5", {0.1, 0.3, 0.08}, 3},
    {"diffuse",
     "length=4k q_heads=8 kv_heads=4 batch=2 head_dim=64 queries=32",
     {0.05, 0.1, 0.05},
     3},
    {"diffuse", "length=64 tau=0", {1e-9, 1e-9, 1e-9}, 3},
    {"needle", "length=4k queries=16 mass=0.1", {0.01, 0.03}, 2},
    {"needle", "length=4k queries=16 mass=0.4", {0.02, 0.03}, 2},
    {"needle", "length=4k queries=16 mass=0.8", {0.02, 0.03}, 2},
    {"needle", "length=16k queries=16 mass=0.8 q_heads=4 noise=1.5", {0.03, 0.05}, 2},
    {"needle", "length=2k queries=16 mass=0.5 noise=0 head_dim=32", {0.001, 0.02}, 2},
    {"needle",
     "length=4k queries=16 q_heads=8 kv_heads=2 batch=2 needles=4 rows=8",
     {0.02, 0.03},
     2},
    {"needle", "length=4k queries=16 distractors=8 cosine=0.5", {0.02}, 1},
    {"needle",
     "length=4k queries=16 mass=0.3 distractors=16 cosine=0.9 noise=0.5",
     {0.02},
     1},
    {"needle", "length=1k head_dim=6 q_heads=2 value_dim=10", {0.1, 0.1}, 2},
    {"topics", "length=8k q_heads=4", {0.05, 0.02, 0.06, 0.4}, 4},
    {"topics",
     "length=16k q_heads=4 queries=1k segment=256 lambda=2 stay=0.5",
     {0.1, 0.05, 0.06, 0.4},
     4},
    {"topics",
     "length=16k q_heads=4 queries=1k segment=8 pareto=3 zipf=0 kappa=2",
     {0.05, 0.05, 0.06, 0.8},
     4},
    {"topics",
     "length=4k q_heads=8 kv_heads=2 batch=2 head_dim=64 topics=32 rho=1",
     {0.1, 0.02, 0.08, 0.5},
     4},
    {"topics", "length=512 topics=1", {0.1, 1e-9, 1e-9}, 3},
};

static void test_claims(void)
{
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        const char *names[8];
        double target[8], realised[8];
        struct made m;
        make(&m, claims[i].name, claims[i].options, 42);
        CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
        int64_t lines =
            m.generator->realise(&m.spec, m.options, &m.data, names, target, realised);
        CU_ASSERT_EQUAL(lines, claims[i].lines);
        for (int64_t j = 0; j < lines; j++) {
            bool near = fabs(realised[j] - target[j]) <= claims[i].tolerance[j];
            if (!near)
                printf("# %s %s: %s: %g for %g\n", claims[i].name, claims[i].options,
                       names[j], realised[j], target[j]);
            CU_ASSERT_TRUE(near);
        }
        CU_ASSERT_EQUAL(sps_data_check_finite(&m.data), SPS_OK);
        end(&m);
    }
}

/* ---- what every generator promises ---- */

static bool same(const struct sps_data *a, const struct sps_data *b)
{
    return memcmp(a->q.data, b->q.data, sps_tensor_bytes(&a->q)) == 0 &&
           memcmp(a->k.data, b->k.data, sps_tensor_bytes(&a->k)) == 0 &&
           memcmp(a->v.data, b->v.data, sps_tensor_bytes(&a->v)) == 0;
}

#define SMALL "length=300 batch=2 q_heads=6 kv_heads=3 head_dim=18 value_dim=21"

static void test_shapes(void)
{
    for (int i = 0; sps_generators[i]; i++) {
        struct made m;
        make(&m, sps_generators[i]->name, SMALL " queries=50", 1);
        CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
        const struct sps_data *d = &m.data;
        CU_ASSERT_TRUE(d->h == 6 && d->g == 3 && d->n == 2 && d->t == 100 && d->s == 600);
        CU_ASSERT_TRUE(d->cu_q[1] == 50 && d->cu_q[2] == 100);
        CU_ASSERT_TRUE(d->cu_k[1] == 300 && d->cu_k[2] == 600);
        CU_ASSERT_TRUE(d->dk == 18 && d->dv == 21 && d->q.dtype == SPS_F32);
        CU_ASSERT_TRUE(d->q.dim[0] == 100 && d->q.dim[1] == 6 && d->q.dim[2] == 18);
        CU_ASSERT_TRUE(d->v.dim[0] == 600 && d->v.dim[1] == 3 && d->v.dim[2] == 21);
        CU_ASSERT_TRUE(fabs(d->scale - 1 / sqrt(18)) <= 1e-15);
        CU_ASSERT_TRUE(d->heads[0] == 0 && d->heads[5] == 5);
        end(&m);
    }
}

/* Threads change nothing, bit for bit; the seed changes everything. */
static void test_reproducible(void)
{
    for (int i = 0; sps_generators[i]; i++) {
        struct made m[3];
        for (int j = 0; j < 3; j++) {
#ifdef _OPENMP
            omp_set_num_threads(j == 0 ? 1 : 5);
#endif
            make(&m[j], sps_generators[i]->name, SMALL, j == 2 ? 2 : 1);
            CU_ASSERT_EQUAL_FATAL(m[j].status, SPS_OK);
        }
        CU_ASSERT_TRUE(same(&m[0].data, &m[1].data));
        CU_ASSERT_STRING_EQUAL(m[0].data.sha256, m[1].data.sha256);
        CU_ASSERT_STRING_NOT_EQUAL(m[0].data.sha256, m[2].data.sha256);
        for (int64_t r = 0; r < 600; r++) {
            CU_ASSERT_NOT_EQUAL(row(&m[0].data.k, r, 0)[0], row(&m[2].data.k, r, 0)[0]);
            CU_ASSERT_NOT_EQUAL(row(&m[0].data.q, r, 5)[0], row(&m[2].data.q, r, 5)[0]);
        }
        for (int j = 0; j < 3; j++)
            end(&m[j]);
    }
}

/* The last queries alone are the last rows of all; a batch starts with its first. */
static void check_parts(const char *name, const char *set)
{
    struct made all, last, one;
    char text[2][256];

    snprintf(text[0], sizeof text[0], "%s queries=20", set);
    snprintf(text[1], sizeof text[1], "%s batch=1", set);
    make(&all, name, set, 3);
    make(&last, name, text[0], 3);
    make(&one, name, text[1], 3);
    CU_ASSERT_EQUAL_FATAL(all.status || last.status || one.status, SPS_OK);
    for (int64_t b = 0; b < 2; b++)
        CU_ASSERT_EQUAL(memcmp(row(&all.data.q, all.data.cu_q[b + 1] - 20, 0),
                               row(&last.data.q, b * 20, 0), 20 * 6 * 18 * sizeof(float)),
                        0);
    CU_ASSERT_EQUAL(
        memcmp(all.data.k.data, last.data.k.data, sps_tensor_bytes(&all.data.k)), 0);
    CU_ASSERT_EQUAL(
        memcmp(all.data.q.data, one.data.q.data, sps_tensor_bytes(&one.data.q)), 0);
    CU_ASSERT_EQUAL(
        memcmp(all.data.v.data, one.data.v.data, sps_tensor_bytes(&one.data.v)), 0);
    end(&all), end(&last), end(&one);
}

static void test_parts(void)
{
    for (int i = 0; sps_generators[i]; i++) {
        check_parts(sps_generators[i]->name, SMALL);
        check_parts(sps_generators[i]->name, SMALL " min_length=40");
    }
}

/* Lengths differ, lie in the range, follow the seed; a row depends on its place alone. */
static void test_lengths(void)
{
    struct made a, other, whole;

    make(&a, "diffuse", SMALL " batch=30 min_length=40", 3);
    make(&other, "diffuse", SMALL " batch=30 min_length=40", 4);
    make(&whole, "diffuse", SMALL " batch=30", 3);
    CU_ASSERT_EQUAL_FATAL(a.status || other.status || whole.status, SPS_OK);
    const struct sps_data *d = &a.data;
    int64_t below = 0, moved = 0;
    CU_ASSERT_TRUE(d->cu_k[1] == 300 && d->s == d->cu_k[30] && d->t == d->s);
    for (int64_t b = 0; b < 30; b++) {
        int64_t keys = d->cu_k[b + 1] - d->cu_k[b];
        CU_ASSERT_TRUE(keys >= 40 && keys <= 300);
        CU_ASSERT_EQUAL(d->cu_q[b + 1], d->cu_k[b + 1]);
        CU_ASSERT_EQUAL(memcmp(row(&d->k, d->cu_k[b], 0), row(&whole.data.k, b * 300, 0),
                               (size_t)keys * 3 * 18 * sizeof(float)),
                        0);
        below += keys < 170;
        moved += keys != other.data.cu_k[b + 1] - other.data.cu_k[b];
    }
    CU_ASSERT_TRUE(below >= 5 && below <= 25 && moved >= 20);
    end(&a), end(&other), end(&whole);
}

/* Every option is part of the digest. */
static void test_digest(void)
{
    static const char *const changes[][2] = {{"diffuse", "tau=1.0000000000000002"},
                                             {"diffuse", "share=0.25"},
                                             {"diffuse", "queries=7"},
                                             {"diffuse", "value_dim=18"},
                                             {"diffuse", "length=301"},
                                             {"diffuse", "min_length=299"},
                                             {"needle", "mass=0.6"},
                                             {"needle", "rows=3"},
                                             {"topics", "zipf=2"},
                                             {"topics", "segment=9"}};

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct made a, b;
        char text[256];
        snprintf(text, sizeof text, "%s %s", SMALL, changes[i][1]);
        make(&a, changes[i][0], SMALL, 1);
        make(&b, changes[i][0], text, 1);
        CU_ASSERT_STRING_NOT_EQUAL(a.data.sha256, b.data.sha256);
        end(&a), end(&b);
    }
}

/* Heads of a group correlate by `share`, heads of two groups not at all. */
static void test_share(void)
{
    struct made m;

    make(&m, "diffuse", "length=4k q_heads=4 kv_heads=2 head_dim=16 share=0.3", 1);
    CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
    double with[2] = {0}, count = (double)m.data.t * 16;
    for (int64_t i = 0; i < m.data.t; i++)
        for (int c = 0; c < 16; c++) {
            with[0] += row(&m.data.q, i, 0)[c] * row(&m.data.q, i, 1)[c] / count;
            with[1] += row(&m.data.q, i, 0)[c] * row(&m.data.q, i, 2)[c] / count;
        }
    CU_ASSERT_TRUE(fabs(with[0] - 0.3) <= 0.02);
    CU_ASSERT_TRUE(fabs(with[1]) <= 0.02);
    end(&m);
}

/* ---- needle ---- */

/* Probes name the last rows; their key outscores every other by far. */
static void test_probes(void)
{
    struct made m;

    make(&m, "needle",
         "length=512 batch=2 q_heads=4 kv_heads=2 needles=3 rows=6 mass=0.9", 5);
    CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
    CU_ASSERT_EQUAL(m.data.probe_count, 2 * 6 * 4);
    for (int64_t i = 0; i < m.data.probe_count; i++) {
        const struct sps_probe *p = &m.data.probes[i];
        int64_t b = p->row / 512, best = -1;
        double most = -INFINITY;
        CU_ASSERT_TRUE(p->row % 512 >= 506 && p->head == i % 4 && p->key < 506);
        for (int64_t j = 0; j <= p->row % 512; j++) {
            double s = 0;
            for (int64_t c = 0; c < 128; c++)
                s += row(&m.data.q, p->row, p->head)[c] *
                     row(&m.data.k, b * 512 + j, p->head / 2)[c];
            if (s > most)
                most = s, best = j;
        }
        CU_ASSERT_EQUAL(best, p->key);
    }
    end(&m);
}

static void test_many_probes(void)
{
    struct made m;

    make(&m, "needle", "length=600 q_heads=16 head_dim=8 rows=64", 5);
    CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
    CU_ASSERT_EQUAL(m.data.probe_count, SPS_PROBES_MAX);
    CU_ASSERT_EQUAL(m.data.probes[0].row, 600 - 64);
    CU_ASSERT_TRUE(m.data.probes[SPS_PROBES_MAX - 1].row == 599);
    end(&m);
    make(&m, "needle", "length=600 q_heads=2 head_dim=8 rows=64 queries=3", 5);
    CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
    CU_ASSERT_EQUAL(m.data.probe_count, 6); /* only rows that there are */
    CU_ASSERT_EQUAL(m.data.probes[5].row, 2);
    end(&m);
}

static void test_depth(void)
{
    static const struct {
        const char *options;
        int64_t key;
    } cases[] = {{"length=101 rows=1 depth=0", 0},
                 {"length=101 rows=1 depth=0.5", 50},
                 {"length=101 rows=1 depth=1", 99},
                 {"length=101 rows=1 depth=1 distractors=64", 99}};
    struct made m;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make(&m, "needle", cases[i].options, 5);
        CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
        CU_ASSERT_EQUAL(m.data.probes[0].key, cases[i].key);
        end(&m);
    }
}

/* However crowded, every planted key has a place of its own: they alone have a norm of
 * exactly sqrt(dk). */
static void test_crowded(void)
{
    struct made m;
    int64_t planted = 0;

    make(&m, "needle", "length=200 rows=1 depth=1 needles=3 distractors=60 head_dim=64",
         5);
    CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
    for (int64_t j = 0; j < 200; j++) {
        double square = 0;
        for (int64_t c = 0; c < 64; c++)
            square += pow(row(&m.data.k, j, 0)[c], 2);
        planted += fabs(square - 64) <= 1e-3;
    }
    CU_ASSERT_EQUAL(planted, 3 * 61);
    end(&m);
}

/* A needle's key has the norm of any other; its value stands out by the payload. */
static void test_needle_key(void)
{
    struct made m;

    make(&m, "needle", "length=256 payload=20 distractors=4 cosine=0.7", 5);
    CU_ASSERT_EQUAL_FATAL(m.status, SPS_OK);
    for (int64_t j = 0; j < 256; j++) {
        double norm = 0, least = INFINITY;
        for (int64_t c = 0; c < 128; c++) {
            norm += pow(row(&m.data.k, j, 0)[c], 2);
            least = fmin(least, fabs(row(&m.data.v, j, 0)[c]));
        }
        CU_ASSERT_TRUE(fabs(sqrt(norm) - sqrt(128)) <= 3.5); /* deviation is 0.7 */
        CU_ASSERT_EQUAL(least > 10, j == m.data.probes[0].key);
    }
    end(&m);
}

/* ---- refused ---- */

static void test_refused(void)
{
    static const struct {
        const char *name, *options, *message;
    } cases[] = {
        {"diffuse", "q_heads=6 kv_heads=4",
         "diffuse: q_heads: 6 is not allowed: a multiple"},
        {"diffuse", "length=8 queries=9", "queries: 9 is not allowed: at most length 8"},
        {"diffuse", "length=8 min_length=9",
         "min_length: 9 is not allowed: at most length 8"},
        {"diffuse", "length=8 min_length=4 queries=5",
         "queries: 5 is not allowed: at most min_length 4"},
        {"needle", "length=8 batch=20 min_length=5", "1 keys to plant, length 5 has 1"},
        {"needle", "length=5 rows=4", "needles: 1 keys to plant, length 5 has 1 before"},
        {"needle", "length=8 needles=4", "needles: 4 keys to plant, length 8 has 4"},
        {"needle", "length=100 needles=8 head_dim=8", "needles: 8 is not allowed: below"},
        {"topics", "length=100 topics=16 head_dim=8",
         "topics: 16 is not allowed: at most"},
        {"topics", "length=100 topics=16 value_dim=8",
         "topics: 16 is not allowed: at most"},
    };
    struct made m;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make(&m, cases[i].name, cases[i].options, 1);
        CU_ASSERT_EQUAL(m.status, SPS_ECONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), cases[i].message));
        end(&m);
    }
    make(&m, "diffuse", "length=8", 1);
    m.spec.kv_heads = 0; /* a caller that did not use the option table */
    struct sps_data data;
    CU_ASSERT_EQUAL(sps_generate(m.generator, &m.spec, m.options, &data), SPS_ECONFIG);
    end(&m);
}

static void test_registry(void)
{
    CU_ASSERT_PTR_NULL(sps_generator_find("noodle"));
    for (int i = 0; sps_generators[i]; i++) {
        const struct sps_generator *g = sps_generators[i];
        CU_ASSERT_PTR_EQUAL(sps_generator_find(g->name), g);
        CU_ASSERT_TRUE(g->summary && g->source && g->fill && g->realise);
        for (const struct sps_option *o = g->options; o->name; o++) {
            CU_ASSERT_PTR_NULL(sps_option_find(sps_synthetic_options, o->name));
            CU_ASSERT_PTR_NOT_NULL(o->def);
            CU_ASSERT_TRUE(o->offset + 8 <= g->options_size);
        }
    }
}

static const struct tap_test tests[] = {
    {"registry", test_registry},
    {"realised values are near their targets", test_claims},
    {"shapes", test_shapes},
    {"same bytes on any number of threads", test_reproducible},
    {"last queries and first sequence are parts of all", test_parts},
    {"unequal lengths", test_lengths},
    {"digest of every option", test_digest},
    {"correlation within a group", test_share},
    {"needle: probes", test_probes},
    {"needle: many probes, few rows", test_many_probes},
    {"needle: depth", test_depth},
    {"needle: planted keys do not meet", test_crowded},
    {"needle: key and value", test_needle_key},
    {"refused", test_refused},
    {0}};

int main(void)
{
    return tap_run("generators", tests);
}
