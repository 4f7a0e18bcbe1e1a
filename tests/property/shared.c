/* shared.c - nsa with `select_share`: neighbouring rows choose by the sum of their
 * scores, on every CPU backend, whatever chunks the rows come in. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/method/nsa.h"
#include "tests/property/methods_run.h"
#include "tests/tap.h"

enum { SHARE = 4, BLOCK = 8, COUNT = 6, INIT = 1, LOCAL = 2 };

#define SIZES                                                                            \
    {"compress_block", "8"}, {"compress_stride", "4"}, {"select_block", "8"},            \
    {                                                                                    \
        "select_count", "6"                                                              \
    }

static const struct setting alone = {"nsa", {SIZES}, 0},
                            shared = {"nsa", {SIZES, {"select_share", "4"}}, 0};

static bool together(const struct sps_shape *shape, int64_t a, int64_t b)
{
    int64_t sequence = sps_shape_sequence(shape, a);

    return sps_shape_sequence(shape, b) == sequence &&
           floor((double)sps_shape_pos(shape, sequence, a) / SHARE) ==
               floor((double)sps_shape_pos(shape, sequence, b) / SHARE);
}

/* What the pass chose by: scores[t,g,nb], for all rows are one chunk. */
static const float *scores_of(const struct run *run)
{
    return run->pass.call.scratch;
}

static bool in_list(const int32_t *list, int64_t count, int64_t block)
{
    for (int64_t i = 0; i < count; i++)
        if (list[i] == block)
            return true;
    return false;
}

/* The list of row r and head x has what is forced, and nothing better is left out. */
static bool is_best(const struct run *run, int64_t r, int64_t x, const double *score)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t n,
        seen = (sps_shape_visible(s, sps_shape_sequence(s, r), r) + BLOCK - 1) / BLOCK;
    const int32_t *list = sps_index_list(&run->index, r, x, &n);
    double least = INFINITY, most = -INFINITY;

    for (int64_t b = 0; b < seen; b++) {
        bool forced = b < INIT || b >= seen - LOCAL, has = in_list(list, n, b);
        if (forced && !has)
            return false;
        if (has && !forced)
            least = fmin(least, score[b]);
        if (!has)
            most = fmax(most, score[b]);
    }
    return n == (seen < COUNT ? seen : COUNT) && most <= least * (1 + 1e-6) + 1e-30;
}

/* sps_shape_tile() names the rows that are together with r, SHARE at most. */
static bool is_tile(const struct sps_shape *s, int64_t r)
{
    struct sps_rows rows = sps_shape_tile(s, SHARE, r);

    for (int64_t i = 0; i < s->t; i++)
        if (together(s, r, i) != (i >= rows.begin && i < rows.end))
            return false;
    return rows.end - rows.begin <= SHARE;
}

/* Row r of `two` has chosen by the sum over its neighbours' scores in `one`. */
static bool row_holds(const struct run *one, const struct run *two, int64_t r)
{
    const struct sps_shape *s = &one->input.shape;
    int64_t nb = sps_shape_blocks(s, BLOCK);
    double *sum = (double *)problem_floats(2 * (nb + 1));
    bool ok = is_tile(s, r);

    for (int64_t x = 0; ok && x < s->g; x++) {
        for (int64_t b = 0; b < nb; b++) {
            sum[b] = 0;
            for (int64_t i = 0; i < s->t; i++)
                if (together(s, r, i))
                    sum[b] += scores_of(one)[(i * s->g + x) * nb + b];
            float got = scores_of(two)[(r * s->g + x) * nb + b];
            ok = ok && fabs(got - sum[b]) <= 1e-6 * sum[b];
        }
        ok = ok && is_best(two, r, x, sum);
    }
    free(sum);
    for (int64_t i = 0; ok && i < s->t; i++)
        ok = !together(s, r, i) ||
             sps_shape_visible(s, sps_shape_sequence(s, i), i) < 1 ||
             same_lists(&two->index, r, &two->index, i);
    return ok;
}

static bool sums(const char *backend, uint64_t seed)
{
    struct run one, two;
    bool ok = run_open(&alone, backend, seed, &one);

    ok = run_open(&shared, backend, seed, &two) && ok;
    ok = ok && two.pass.chunk >= two.input.shape.t;
    for (int64_t r = 0; ok && r < one.input.shape.t; r++)
        ok = row_holds(&one, &two, r);
    if (!ok)
        run_report(&shared, backend, &two);
    run_close(&one);
    run_close(&two);
    return ok;
}

static void test_sums(void)
{
    for (int b = 0; b < BACKENDS; b++)
        for (uint64_t seed = 0; seed < 3 * SEEDS; seed++)
            CU_ASSERT(sums(backends[b], seed));
}

/* Chunks of every length from a tile's on give the same lists; the output keeps within
 * what another order of sums in a tile of rows moves. */
static bool any_chunks(const char *backend, uint64_t seed)
{
    struct run whole, parts;
    bool ok = run_open(&shared, backend, seed, &whole);

    ok = run_open(&shared, backend, seed, &parts) && ok;
    for (int64_t chunk = SHARE; ok && chunk < 3 * SHARE; chunk++) {
        parts.pass.chunk = chunk;
        ok = run_again(&parts) && runs_agree(&parts, &whole, 1e-6);
    }
    if (!ok)
        run_report(&shared, backend, &parts);
    run_close(&whole);
    run_close(&parts);
    return ok;
}

static void test_chunks(void)
{
    for (int b = 0; b < BACKENDS; b++)
        for (uint64_t seed = 0; seed < SEEDS; seed++)
            CU_ASSERT(any_chunks(backends[b], seed));
}

static bool agree(uint64_t seed)
{
    struct run ref, cpu;
    bool same = run_open(&shared, "ref", seed, &ref);

    same = run_open(&shared, "cpu", seed, &cpu) && same;
    same = same && runs_agree(&cpu, &ref, 2e-5);
    if (!same)
        run_report(&shared, "cpu", &cpu);
    run_close(&ref);
    run_close(&cpu);
    return same;
}

static void test_agree(void)
{
    for (uint64_t seed = 0; seed < 3 * SEEDS; seed++)
        CU_ASSERT(agree(seed));
}

/* Planning with this share, for a decode step or not, fails and says why. */
static void refuse(int64_t share, bool decode, const char *why)
{
    struct run run;
    struct sps_pass pass;

    CU_ASSERT(run_open(&shared, "cpu", 1, &run));
    ((struct nsa_options *)run.options)->share = share;
    run.input.decode = decode;
    CU_ASSERT(sps_pass_open(sps_method_find("nsa"), run.options, &run.input, &run.dev,
                            &pass) != SPS_OK);
    CU_ASSERT(strstr(sps_error(), why) != NULL);
    sps_pass_close(&pass);
    run_close(&run);
}

static void test_refusals(void)
{
    refuse(3, false, "select_share 3 must divide select_block 8");
    refuse(4, true, "select_share 4: a decode step has one row");
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"neighbours choose by the sum of their scores", test_sums},
        {"whatever chunks the rows come in", test_chunks},
        {"cpu chooses as ref does", test_agree},
        {"refusals say why", test_refusals},
        {NULL, NULL},
    };

    return tap_run("shared choices", tests);
}
