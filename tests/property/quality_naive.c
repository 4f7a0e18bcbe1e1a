/* quality_naive.c - every metric again, by separate and plain code, on small problems. */
#include "tests/property/plain_metrics.h"
#include "tests/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { ROWS = 192, HEADS = 4 };

static const char *const metric_names[] = {
#define X(name, ...) #name,
    SPS_QUALITY_COLUMNS(X)
#undef X
};

static void same(const char *what, int64_t head, const double *got, const double *want)
{
    for (int m = 0; m < SPS_Q_COUNT; m++) {
        bool ok = isnan(want[m])
                      ? isnan(got[m])
                      : fabs(got[m] - want[m]) <= 1e-6 * fmax(1, fabs(want[m]));
        if (!ok)
            printf("# %s, head %d: %s is %.9g, not %.9g\n", what, (int)head,
                   metric_names[m], got[m], want[m]);
        CU_ASSERT(ok);
    }
}

static void compare(const char *what, const struct sample *p,
                    const struct sps_quality_in *in)
{
    static double recall[HEADS * ROWS], error[HEADS * ROWS];
    double want[HEADS][SPS_Q_COUNT], all[SPS_Q_COUNT];
    struct sps_quality got;
    int64_t errors = 0;

    CU_ASSERT_EQUAL_FATAL(sps_quality_measure(in, &got), SPS_OK);
    CU_ASSERT_EQUAL(got.heads, HEADS);
    for (int64_t head = 0; head < HEADS; head++) {
        double *rows = error + errors;
        plain_head(p, in, head, recall + head * in->count, want[head]);
        int64_t n = in->o ? plain_errors(in, head, rows, want[head]) : 0;
        plain_quantiles(recall + head * in->count, in->count, rows, n, want[head]);
        same(what, head, got.head[head], want[head]);
        errors += n;
    }
    double pairs = 0, most = NAN;
    for (int m = 0; m < SPS_Q_COUNT; m++) {
        double sum = 0, n = 0;
        for (int64_t head = 0; head < HEADS; head++)
            if (!isnan(want[head][m]))
                sum += want[head][m], n++;
        all[m] = n > 0 ? sum / n : NAN;
    }
    for (int64_t head = 0; head < HEADS; head++) {
        pairs += want[head][SPS_Q_tokens_read] * (double)in->count;
        most = fmax(most, want[head][SPS_Q_error_max_abs]);
    }
    all[SPS_Q_error_max_abs] = most;
    plain_quantiles(recall, HEADS * in->count, error, errors, all);
    same(what, -1, got.all, all);
    CU_ASSERT(fabs(got.pairs - pairs) <= 0.01);
    sps_quality_free(&got);
}

/* Measured rows of both sequences, with runs, gaps and some 1, 8, 64 apart. */
struct measured {
    int64_t rows[ROWS], at[ROWS], count;
    float *o, *o_full;
};

static void pick_rows(const struct sample *p, bool every, struct measured *m)
{
    int64_t width = p->shape.h * p->shape.dv;

    m->count = 0;
    for (int64_t row = 0; row < p->shape.t; row++)
        if (every || row % 7 < 2 || row % 8 == 0)
            m->rows[m->count++] = row;
    for (int64_t i = 0; i < m->count; i++)
        m->at[i] = m->rows[i];
    m->o = calloc((size_t)(p->shape.t * width), sizeof *m->o);
    m->o_full = calloc((size_t)(m->count * width), sizeof *m->o_full);
    for (int64_t i = 0; i < m->count; i++)
        memcpy(m->o_full + i * width, (float *)p->o_full.data + m->rows[i] * width,
               (size_t)width * sizeof(float));
    sps_normals(9, 9, 0, p->shape.t * width, m->o);
    for (int64_t i = 0; i < p->shape.t * width; i++)
        m->o[i] = ((float *)p->o_full.data)[i] + 0.1f * m->o[i];
    memset(m->o_full + 3 * width, 0, (size_t)width * sizeof(float)); /* no direction */
}

static const struct {
    const char *name;
    struct sps_rule rule;
    int64_t heads; /* 0: no index */
    struct sps_band band;
    bool every;
} cases[] = {
    {"moba", {8, 3, 0, 1}, 4, {false, 0, 0}, true},
    {"moba shared", {8, 3, 0, 1}, 2, {false, 0, 0}, false},
    {"nsa", {4, 6, 1, 2}, 2, {false, 6, 0}, true},
    {"nsa with sink", {4, 6, 1, 2}, 4, {false, 10, 3}, false},
    {"all forced", {8, 3, 1, 2}, 2, {false, 0, 0}, false},
    {"dsa", {1, 7, 0, 0}, 1, {false, 0, 0}, true},
    {"window", {0, 0, 0, 0}, 0, {false, 9, 4}, false},
    {"full", {0, 0, 0, 0}, 0, {true, 0, 0}, true},
    {"nothing", {0, 0, 0, 0}, 0, {false, 0, 0}, false},
};

static void compare_all(const char *backend)
{
    static const struct sample_size size = {HEADS, 2, 8, 6, {90, 47}, {101, 47}};
    const struct sps_needle needles[] = {
        {84, 0, 3}, {84, 2, 50}, {85, 3, 94}, {120, 1, 11}, {3, 1, 2}};
    struct sample p;
    struct measured m;

    sample_open(&p, backend, &size, 5);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct sps_index index = {0};
        pick_rows(&p, cases[c].every, &m);
        struct sps_quality_in in = sample_in(&p);
        in.rows = m.rows, in.at = m.at, in.count = m.count;
        in.rule = cases[c].rule, in.band = cases[c].band;
        in.o = m.o, in.o_full = m.o_full;
        in.needles = needles, in.needle_count = 5;
        if (cases[c].heads) {
            index_random(&p, &cases[c].rule, cases[c].heads, c, &index);
            in.index = &index;
        }
        compare(cases[c].name, &p, &in);
        free(m.o), free(m.o_full);
        index_free(&index);
    }
    sample_close(&p);
}

static void test_ref(void)
{
    compare_all("ref");
}

static void test_cpu(void)
{
    compare_all("cpu");
}

/* A packed index of uneven lists, some empty, without a rule. */
static void test_packed(void)
{
    static const struct sample_size size = {HEADS, 2, 8, 6, {40, 20}, {60, 25}};
    const struct sps_band window = {false, 2, 0};
    struct sps_index index, packed;
    struct sample p;

    sample_open(&p, "ref", &size, 6);
    index_random(&p, &(struct sps_rule){4, 8, 0, 1}, 2, 1, &index);
    index_dropped(&p, &index, &window, &packed);
    struct sps_quality_in in = sample_in(&p);
    in.index = &packed, in.band = window;
    compare("packed", &p, &in);
    index_free(&index), index_free(&packed);
    sample_close(&p);
}

/* Index and o hold the measured rows alone: at[] is where each stands. */
static void test_places(void)
{
    static const struct sample_size size = {HEADS, 2, 8, 6, {40, 20}, {60, 25}};
    const int64_t rows[] = {5, 17, 18, 44}, at[] = {2, 0, 3, 1};
    const struct sps_rule rule = {4, 5, 1, 1};
    struct sps_index index, moved;
    struct sample p;
    struct measured m;

    sample_open(&p, "ref", &size, 7);
    index_random(&p, &rule, 2, 1, &index);
    moved = index;
    moved.t = 4;
    moved.list = calloc(4 * 2 * 5, sizeof *moved.list);
    pick_rows(&p, true, &m);
    for (int i = 0; i < 4; i++) {
        memcpy(moved.list + at[i] * 10, index.list + rows[i] * 10,
               10 * sizeof *moved.list);
        memcpy(m.o_full + i * 24, (float *)p.o_full.data + rows[i] * 24,
               24 * sizeof(float));
    }
    struct sps_quality_in in = sample_in(&p);
    in.index = &moved, in.rule = rule, in.rows = rows, in.at = at, in.count = 4;
    in.o = m.o, in.o_full = m.o_full;
    compare("places", &p, &in);
    free(m.o), free(m.o_full);
    index_free(&index), index_free(&moved);
    sample_close(&p);
}

/* Equal keys: whole units tie exactly, and shares of 90 and 95 % are hit exactly. */
static void test_equal_keys(void)
{
    static const struct sample_size size = {HEADS, 2, 8, 6, {80, 20}, {80, 25}};
    static const struct sps_rule rules[] = {{4, 6, 1, 1}, {1, 9, 0, 0}};

    for (int i = 0; i < 2; i++) {
        struct sample p;
        struct sps_index index;
        sample_open(&p, "ref", &size, 8);
        memset(p.k.data, 0, sps_tensor_bytes(&p.k));
        index_random(&p, &rules[i], 2, 1, &index);
        struct sps_quality_in in = sample_in(&p);
        in.index = &index, in.rule = rules[i];
        compare("equal keys", &p, &in);
        index_free(&index);
        sample_close(&p);
    }
}

/* Lists that know nothing of the forced units of the rule that judges them. */
static void test_foreign_lists(void)
{
    static const struct sample_size size = {HEADS, 2, 8, 6, {60, 20}, {80, 25}};
    static const struct sps_rule made = {8, 4, 0, 0};
    static const struct sps_rule judged[] = {{8, 3, 1, 2}, {8, 3, 1, 1}, {8, 5, 0, 0}};

    for (int i = 0; i < 3; i++) {
        struct sample p;
        struct sps_index index;
        sample_open(&p, "ref", &size, 9);
        index_random(&p, &made, 2, 1, &index);
        struct sps_quality_in in = sample_in(&p);
        in.index = &index, in.rule = judged[i];
        compare("foreign lists", &p, &in);
        index_free(&index);
        sample_close(&p);
    }
}

static const struct tap_test tests[] = {
    {"every metric equals plain code, ref", test_ref},
    {"every metric equals plain code, cpu", test_cpu},
    {"packed lists, some empty, no rule", test_packed},
    {"rows of index and output are found by at[]", test_places},
    {"lists made by another rule", test_foreign_lists},
    {"equal keys tie exactly", test_equal_keys},
    {0},
};

int main(void)
{
    return tap_run("quality_naive", tests);
}
