/* selection.c - what holds for every method that chooses: ties, larger budgets, NaN, and
 * the oracles' promises. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run/count.h"
#include "analysis/quality.h"
#include "tests/property/methods_run.h"
#include "tests/tap.h"

static bool is(const struct setting *setting, const char *method)
{
    return strcmp(setting->method, method) == 0;
}

/* Chooses by a score that other scores do not change, one count of units. */
static bool ranks(const struct run *run)
{
    return run->pass.plan.index_heads > 0 && !run->pass.plan.packed;
}

static bool contains(const int32_t *list, int64_t count, int32_t unit)
{
    for (int64_t i = 0; i < count; i++)
        if (list[i] == unit)
            return true;
    return false;
}

/* ---- larger budgets ---- */

/* The setting with one more unit kept, or more mass. */
static struct setting larger(const struct setting *setting, char text[32])
{
    struct setting more = *setting;

    for (int i = 0; i < SETTINGS_MAX && more.set[i][0]; i++) {
        const char *name = more.set[i][0];
        if (strcmp(name, "p") == 0)
            snprintf(text, 32, "%g", strtod(more.set[i][1], NULL) + 0.04);
        else if (strcmp(name, "topk") == 0 || strcmp(name, "select_count") == 0)
            snprintf(text, 32, "%ld", strtol(more.set[i][1], NULL, 10) + 1);
        else
            continue;
        more.set[i][1] = text;
    }
    return more;
}

/* A larger budget keeps what the smaller one kept: it never reads less mass. */
static bool more_keeps(const struct setting *setting, struct run *run)
{
    char text[32] = "";
    struct setting wide = larger(setting, text);
    struct run more;
    bool kept = true;

    if (!*text || !run->index.heads)
        return true;
    kept = run_open(&wide, run->dev.backend->name, run->problem.seed, &more);
    for (int64_t r = 0; kept && r < run->input.shape.t; r++)
        for (int64_t x = 0; x < run->index.heads; x++) {
            int64_t n, m;
            const int32_t *few = sps_index_list(&run->index, r, x, &n);
            const int32_t *many = sps_index_list(&more.index, r, x, &m);
            for (int64_t i = 0; i < n; i++)
                kept = kept && contains(many, m, few[i]);
        }
    run_close(&more);
    return kept;
}

static void test_more(void)
{
    for_all(more_keeps);
}

/* ---- ties ---- */

/* Every token alike: nothing tells blocks apart, the most recent are kept. */
static bool ties_are_recent(const struct setting *setting, struct run *run)
{
    const struct sps_rule *rule = &run->pass.plan.rule;
    const struct sps_shape *s = &run->input.shape;
    struct sps_tensor *const keys[] = {&run->input.in.k, &run->input.extra.k_idx};

    if (!ranks(run) || is(setting, "random") || is(setting, "given") ||
        is(setting, "nsa"))
        return true;
    for (int x = 0; x < 2; x++) {
        float *k = keys[x]->data;
        int64_t width = keys[x]->dim[1] * keys[x]->dim[2];
        for (int64_t i = width; i < s->s * width; i++)
            k[i] = k[i % width];
    }
    if (!run_again(run))
        return false;
    for (int64_t r = 0; r < s->t; r++) {
        int64_t sequence = sps_shape_sequence(s, r), count;
        int64_t visible = sps_shape_visible(s, sequence, r);
        int64_t units = (visible + rule->block - 1) / rule->block;
        for (int64_t x = 0; x < run->index.heads; x++) {
            const int32_t *list = sps_index_list(&run->index, r, x, &count);
            for (int64_t i = 0; i < count; i++)
                if (list[i] != units - count + i)
                    return false;
        }
    }
    return true;
}

static void test_ties(void)
{
    for_all(ties_are_recent);
}

/* ---- NaN ---- */

/* A NaN in the first key of a sequence reaches every score of its first block.  (The
 * oracles score probabilities, which a NaN leaves; inputs are checked before any pass.)
 */
static bool nan_is_refused(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t block = run->pass.plan.rule.block, sees = 0;
    float *k = run->input.in.k.data, *k_idx = run->input.extra.k_idx.data;

    if (!ranks(run) || is(setting, "random") || is(setting, "given") ||
        is(setting, "oracle_topk") || is(setting, "nsa"))
        return true;
    for (int64_t n = 0; n < s->n; n++) {
        for (int64_t i = 0; sps_shape_keys(s, n) > 0 && i < s->g * s->dk; i++)
            k[s->cu_k[n] * s->g * s->dk + i] = NAN;
        for (int64_t i = 0; sps_shape_keys(s, n) > 0 && i < run->input.extra.k_idx.dim[2];
             i++)
            k_idx[s->cu_k[n] * run->input.extra.k_idx.dim[2] + i] = NAN;
        for (int64_t r = s->cu_q[n]; r < s->cu_q[n + 1]; r++)
            sees += sps_shape_visible(s, n, r) >= block;
    }
    return sees == 0 || (sps_pass_run(&run->pass, NULL) == SPS_ENUMERIC &&
                         strstr(sps_error(), "is nan"));
}

static void test_nan(void)
{
    for_all(nan_is_refused);
}

/* ---- oracles ---- */

/* mass[t,heads,nb] of the index's unit and sharing, by the same backend. */
static float *mass_of(struct run *run, int64_t heads, int64_t *nb)
{
    const struct sps_shape *s = &run->input.shape;
    struct sps_rows rows = {0, s->t};

    *nb = sps_shape_blocks(s, run->pass.plan.index_block);
    float *mass = problem_floats(s->t * heads * *nb + 1);
    CU_ASSERT_EQUAL(run->dev.kernels.mass(&run->dev, s, &run->input.in,
                                          run->pass.plan.index_block, heads, rows, mass),
                    SPS_OK);
    return mass;
}

static double mass_read(const struct sps_index *index, int64_t row, int64_t x,
                        const float *mass)
{
    int64_t count;
    const int32_t *list = sps_index_list(index, row, x, &count);
    double sum = 0;

    for (int64_t i = 0; i < count; i++)
        sum += mass[list[i]];
    return sum;
}

/* oracle_topk of the same block, count and sharing reads no less. */
static bool oracle_is_best(const struct setting *setting, struct run *run)
{
    const struct sps_plan *plan = &run->pass.plan;
    const struct sps_shape *s = &run->input.shape;
    int64_t nb, heads = run->index.heads;
    char block[16], count[16];
    struct run best;

    if (!ranks(run) || (heads != s->h && heads != s->g) || plan->rule.init ||
        plan->rule.local != 1)
        return true;
    snprintf(block, sizeof block, "%lld", (long long)plan->rule.block);
    snprintf(count, sizeof count, "%lld", (long long)plan->rule.count);
    const struct setting oracle = {
        "oracle_topk",
        {{"block", block}, {"topk", count}, {"share", heads == s->h ? "head" : "group"}},
        true};
    bool ok = run_open(&oracle, run->dev.backend->name, run->problem.seed, &best);
    float *mass = mass_of(run, heads, &nb);
    for (int64_t i = 0; ok && i < s->t * heads; i++) {
        double got = mass_read(&run->index, i / heads, i % heads, mass + i * nb);
        ok = got <= mass_read(&best.index, i / heads, i % heads, mass + i * nb) + 1e-5;
    }
    free(mass);
    run_close(&best);
    (void)setting;
    return ok;
}

static void test_oracle(void)
{
    for_all(oracle_is_best);
}

/* The least mass of a listed block that is not the own one, INFINITY when alone. */
static double least(const int32_t *list, int64_t count, int64_t own, const float *mass)
{
    double low = INFINITY;

    for (int64_t i = 0; i < count; i++)
        if (list[i] != own)
            low = fmin(low, mass[list[i]]);
    return low;
}

/* Lists hold the share p, would not without their least block, and no block left out has
 * more mass than one that was taken. */
static bool fewest_hold_p(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t nb, count, heads = run->index.heads;
    bool ok = true;

    if (!is(setting, "oracle_topp"))
        return true;
    double p = strtod(setting->set[1][1], NULL) * (double)(s->h / heads);
    float *mass = mass_of(run, heads, &nb);
    for (int64_t i = 0; i < s->t * heads; i++) {
        const int32_t *list = sps_index_list(&run->index, i / heads, i % heads, &count);
        int64_t row = i / heads, sequence = sps_shape_sequence(s, row);
        int64_t own = sps_shape_pos(s, sequence, row) / run->pass.plan.rule.block;
        double sum = mass_read(&run->index, row, i % heads, mass + i * nb);
        double low = least(list, count, own, mass + i * nb);
        if (sps_shape_visible(s, sequence, row) == 0)
            continue;
        ok = ok && sum >= p - 1e-5 && (count == 1 || sum - low < p + 1e-5);
        for (int64_t b = 0; b < own; b++)
            ok = ok && (contains(list, count, (int32_t)b) || mass[i * nb + b] <= low);
    }
    free(mass);
    return ok;
}

static void test_topp(void)
{
    for_all(fewest_hold_p);
}

/* ---- packed lists, which never stand in memory together ---- */

/* Some rows' lists are those of the whole, other rows' are empty. */
static bool rows_are_rows(struct run *run)
{
    int64_t t = run->input.shape.t, kept = 0, count;
    int64_t *rows = malloc((size_t)(t + 1) * sizeof *rows);
    struct sps_index some;

    for (int64_t r = 0; r < t; r++)
        if (r % 5 == 1 || r % 7 == 2)
            rows[kept++] = r;
    bool same = sps_pass_index_rows(&run->pass, rows, kept, &some) == SPS_OK;
    for (int64_t r = 0; same && r < t; r++)
        if (r % 5 == 1 || r % 7 == 2 || !run->pass.plan.packed)
            same = same_lists(&some, r, &run->index, r);
        else
            for (int64_t x = 0; x < some.heads; x++) {
                sps_index_list(&some, r, x, &count);
                same = same && count == 0;
            }
    sps_pass_index_free(&some);
    free(rows);
    return same;
}

/* Chunks of any size: the same lists, pairs and tiles; outputs but for rounding. */
static bool chunks_do_not_matter(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    const struct sps_index *index = run->index.heads ? &run->index : NULL;
    struct sps_counts counts;
    double both, only;

    (void)setting;
    float *before = problem_floats(run->count);
    memcpy(before, run->pass.call.o, (size_t)run->count * sizeof *before);
    run->pass.chunk = 1 + (int64_t)(run->problem.seed * 13 % 70);
    run->pass.chunk = run->pass.chunk < s->t ? run->pass.chunk : s->t;
    bool same = sps_pass_run(&run->pass, NULL) == SPS_OK &&
                near_l2(before, run->pass.call.o, run->count, 2e-5) &&
                sps_count_pass(&run->pass, &run->index, &counts) == SPS_OK &&
                (!run->index.heads || rows_are_rows(run));
    free(before);
    sps_count_pairs(s, index, &run->pass.plan.band, &both, &only);
    return same && counts.pairs.both == both && counts.pairs.index == only &&
           counts.tile_pairs == sps_count_tile_pairs(s, index, &run->pass.plan.band,
                                                     SPS_TILE_ROWS, SPS_TILE_KEYS);
}

static void test_chunks(void)
{
    for_all(chunks_do_not_matter);
}

/* ---- gathered rows ---- */

/* Rows of x, in new memory. */
static struct sps_tensor take(const struct sps_tensor *x, const int64_t *rows,
                              int64_t count)
{
    int64_t width = x->dim[1] * x->dim[2];
    float *to = problem_floats(count * width + 1);

    for (int64_t i = 0; i < count; i++)
        memcpy(to + i * width, (const float *)x->data + rows[i] * width,
               (size_t)width * sizeof *to);
    return sps_tensor_view(to, SPS_F32, count, x->dim[1], x->dim[2], 1);
}

/* A third of the rows, at the positions that they had; rows[] says which. */
static void thin(const struct run *run, struct run *some, int64_t *rows)
{
    const struct sps_shape *s = &run->input.shape;
    struct problem *p = &some->problem;

    p->pos = calloc((size_t)s->t + 1, sizeof *p->pos);
    p->shape = *s;
    p->shape.t = 0;
    for (int64_t r = 0; r < s->t; r++) {
        int64_t sequence = sps_shape_sequence(s, r);
        if (r % 3 != 1)
            continue;
        p->pos[p->shape.t] = sps_shape_pos(s, sequence, r);
        rows[p->shape.t++] = r;
        for (int64_t n = sequence; n < s->n; n++)
            p->cu_q[n + 1]++;
    }
    p->shape.cu_q = p->cu_q;
    p->shape.pos = p->pos;
    p->in.q = take(&run->input.in.q, rows, p->shape.t);
    p->q_idx = take(&run->input.extra.q_idx, rows, p->shape.t);
    p->w_idx = take(&run->input.extra.w_idx, rows, p->shape.t);
    some->input = run->input;
    some->input.shape = p->shape;
    some->input.in.q = p->in.q;
    some->input.extra.q_idx = p->q_idx;
    some->input.extra.w_idx = p->w_idx;
}

/* What a row chooses does not depend on which other rows there are. */
static bool gathered_alike(const struct setting *setting, struct run *run)
{
    int64_t *rows = malloc((size_t)(run->input.shape.t + 1) * sizeof *rows);
    struct run some = {0};
    bool same = true;

    thin(run, &some, rows);
    if (!is(setting, "given") && run->index.heads)
        same = sps_pass_open(run->pass.plan.method, run->options, &some.input, &run->dev,
                             &some.pass) == SPS_OK &&
               run_again(&some);
    for (int64_t i = 0; same && some.index.heads && i < some.input.shape.t; i++)
        same = same_lists(&some.index, i, &run->index, rows[i]);
    run_close(&some);
    free(rows);
    return same;
}

static void test_gathered(void)
{
    for_all(gathered_alike);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"a larger budget keeps what a smaller one kept", test_more},
        {"equal keys keep the recent units", test_ties},
        {"a NaN score is refused", test_nan},
        {"oracle_topk reads most", test_oracle},
        {"oracle_topp reads the fewest blocks that hold p", test_topp},
        {"a row chooses alike among fewer rows", test_gathered},
        {"chunks of any size choose and count the same", test_chunks},
        {NULL, NULL},
    };
    return tap_run("selection", tests);
}
