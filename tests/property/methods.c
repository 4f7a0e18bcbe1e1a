/* methods.c - what holds for every registered method on every CPU backend. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/quality.h"
#include "tests/property/methods_run.h"
#include "tests/tap.h"

/* How much of a constant v survives in row r: gates of the branches that read something.
 */
static float survives(const struct setting *setting, const struct run *run, int64_t r)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t sequence = sps_shape_sequence(s, r), pos = sps_shape_pos(s, sequence, r);

    if (pos < 0)
        return 0;
    if (setting->single)
        return 1;
    bool compressed =
        sps_compressed_visible(pos, run->pass.plan.by.l, run->pass.plan.by.u) > 0;
    return (compressed ? 3 : 2) / 3.0f;
}

static bool constant_comes_back(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    float *v = run->input.in.v.data;

    for (int64_t i = 0; i < sps_tensor_count(&run->input.in.v); i++)
        v[i] = 3;
    if (!run_again(run))
        return false;
    for (int64_t r = 0; r < s->t; r++)
        for (int64_t i = 0; i < s->h * s->dv; i++) {
            float want = 3 * survives(setting, run, r);
            if (!(fabsf(run->pass.call.o[r * s->h * s->dv + i] - want) <= 2e-5f))
                return false;
        }
    return true;
}

static void test_constant(void)
{
    for_all(constant_comes_back);
}

/* Keys at positions beyond `cut` of every sequence become huge, of either sign. */
static void poison(struct run *run, int64_t cut)
{
    const struct sps_shape *s = &run->input.shape;
    float *k = run->input.in.k.data, *v = run->input.in.v.data;
    float *k_idx = run->input.extra.k_idx.data;
    int64_t di = run->input.extra.k_idx.dim[2];

    for (int64_t n = 0; n < s->n; n++)
        for (int64_t j = s->cu_k[n] + cut + 1; j < s->cu_k[n + 1]; j++) {
            for (int64_t i = 0; i < di; i++)
                k_idx[j * di + i] = i & 1 ? 1e4f : -1e4f;
            for (int64_t i = 0; i < s->g * s->dk; i++)
                k[j * s->g * s->dk + i] = i & 1 ? 1e4f : -1e4f;
            for (int64_t i = 0; i < s->g * s->dv; i++)
                v[j * s->g * s->dv + i] = i & 1 ? -1e4f : 1e4f;
        }
}

static bool future_is_not_read(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t row = s->h * s->dv;
    int64_t cut = problem_draw(run->problem.seed, 99, 0, 40);
    float *before = problem_floats(run->count);
    struct sps_index index = run->index;
    bool same = true;

    (void)setting;
    memcpy(before, run->pass.call.o, (size_t)run->count * sizeof *before);
    run->index = (struct sps_index){0};
    poison(run, cut);
    same = run_again(run);
    for (int64_t r = 0; same && r < s->t; r++) {
        if (sps_shape_pos(s, sps_shape_sequence(s, r), r) > cut)
            continue;
        same = same_bits(before + r * row, run->pass.call.o + r * row,
                         row * (int64_t)sizeof(float)) &&
               same_lists(&index, r, &run->index, r);
    }
    free(before);
    sps_pass_index_free(&index);
    return same;
}

static void test_future(void)
{
    for_all(future_is_not_read);
}

/* Ascending, visible, in range, the own block among them where it is forced, as many as
 * asked or there are; without a count at least one. */
static bool list_is_sound(const struct run *run, const int32_t *list, int64_t count,
                          int64_t pos)
{
    const struct sps_rule *rule = &run->pass.plan.rule;
    int64_t own = pos / rule->block;
    bool has_own = false;

    for (int64_t i = 0; i < count; i++) {
        if (list[i] < 0 || list[i] > own || (i && list[i] <= list[i - 1]))
            return false;
        has_own |= list[i] == own;
    }
    if (rule->count == 0 || strcmp(run->pass.plan.method->name, "given") == 0)
        return has_own;
    return (has_own || !rule->local) &&
           count == (own + 1 < rule->count ? own + 1 : rule->count);
}

static bool index_is_sound(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t count;

    (void)setting;
    for (int64_t r = 0; run->index.heads && r < s->t; r++) {
        int64_t pos = sps_shape_pos(s, sps_shape_sequence(s, r), r);
        for (int64_t x = 0; x < run->index.heads; x++) {
            const int32_t *list = sps_index_list(&run->index, r, x, &count);
            if (pos < 0 ? count != 0 : !list_is_sound(run, list, count, pos))
                return false;
        }
    }
    return true;
}

static void test_index(void)
{
    for_all(index_is_sound);
}

/* Two passes over the same memory, then one on one thread. */
static bool repeats(const struct setting *setting, struct run *run)
{
    float *before = problem_floats(run->count);

    (void)setting;
    memcpy(before, run->pass.call.o, (size_t)run->count * sizeof *before);
    bool same = run_again(run) &&
                same_bits(before, run->pass.call.o, run->count * (int64_t)sizeof(float));
    run->dev.threads = 1;
    same = same && run_again(run) &&
           same_bits(before, run->pass.call.o, run->count * (int64_t)sizeof(float));
    free(before);
    return same;
}

static void test_repeats(void)
{
    for_all(repeats);
}

/* Every stage as predicted and as counted, operations and bytes. */
static bool costs_agree(const struct sps_plan *plan, struct sps_pairs pairs)
{
    struct sps_cost cost[SPS_STAGE_COUNT] = {{0}};

    plan->method->cost(plan, pairs, cost);
    for (int i = 0; i < SPS_STAGE_COUNT; i++) {
        const struct sps_cost *a = &cost[i], *b = &plan->cost[i];
        if (!(fabs(a->flops - b->flops) <= 1e-9 * a->flops) ||
            !(fabs(a->bytes - b->bytes) <= 1e-9 * a->bytes)) {
            printf("# stage %s: %g flops, %g bytes counted, %g, %g predicted\n",
                   sps_stage_name((enum sps_stage)i), a->flops, a->bytes, b->flops,
                   b->bytes);
            return false;
        }
    }
    return true;
}

/* The same of the backward pass, of methods that have one. */
static bool backward_costs_agree(const struct sps_plan *plan, struct sps_pairs pairs)
{
    struct sps_problem problem = *plan->problem;
    struct sps_plan again;

    problem.backward = true;
    enum sps_status status =
        sps_plan_make(plan->method, plan->options, &problem, plan->dev, &again);
    bool good = status == SPS_OK ? costs_agree(&again, pairs) : status == SPS_ENOTSUP;
    sps_plan_free(&again);
    return good;
}

/* The closed form that plan() gives and the count from the index; for packed lists, whose
 * length depends on the data, it is a bound. */
static bool prediction_is_count(const struct setting *setting, struct run *run)
{
    const struct sps_plan *plan = &run->pass.plan;
    const struct sps_shape *s = &run->input.shape;
    struct sps_pairs pairs;
    struct sps_cost cost[SPS_STAGE_COUNT] = {{0}};
    bool exact = strcmp(setting->method, "given") != 0 &&
                 (strcmp(setting->method, "nsa") != 0 || !setting->single);

    for (int64_t r = 0; r < run->input.shape.t; r++)
        if (sps_shape_pos(&run->input.shape, sps_shape_sequence(&run->input.shape, r),
                          r) < 0)
            return true;
    sps_count_pairs(&run->input.shape, run->index.heads ? &run->index : NULL, &plan->band,
                    &pairs.both, &pairs.index);
    plan->method->cost(plan, pairs, cost);
    double attended = cost[SPS_STAGE_ATTEND].flops;
    if (setting->single)
        attended += cost[SPS_STAGE_WINDOW].flops;
    if (!(attended ==
          2.0 * (double)(s->dk + s->dv) * (setting->single ? pairs.both : pairs.index)))
        return false;
    if (plan->packed)
        return pairs.both <= plan->pairs.both &&
               cost[SPS_STAGE_SCORE].flops == plan->cost[SPS_STAGE_SCORE].flops;
    return !exact || (costs_agree(plan, pairs) && backward_costs_agree(plan, pairs));
}

static void test_cost(void)
{
    for_all(prediction_is_count);
}

/* All blocks chosen is full attention (nsa: its selected branch). */
static bool all_is_full(const char *backend, uint64_t seed, const struct setting *setting)
{
    struct run sparse, full;
    struct sps_tensor branch;
    bool ok = run_open(setting, backend, seed, &sparse);

    ok = run_open(&settings[0], backend, seed, &full) && ok;
    const float *o = sparse.pass.call.o;
    if (ok && sparse.pass.plan.method->peek &&
        sparse.pass.plan.method->peek(&sparse.pass.call, "o_slc", &branch))
        o = branch.data;
    ok = ok && near_l2(o, full.pass.call.o, sparse.count, 2e-6);
    if (!ok)
        run_report(setting, backend, &sparse);
    run_close(&sparse);
    run_close(&full);
    return ok;
}

static void test_all_blocks(void)
{
    static const struct setting all[] = {
        {"moba", {{"block", "16"}, {"topk", "999"}}, true},
        {"dsa", {{"topk", "999"}}, true},
        {"msa", {{"block", "16"}, {"topk", "999"}}, true},
        {"quest", {{"page", "8"}, {"topk", "999"}}, true},
        {"oracle_topk", {{"block", "8"}, {"topk", "999"}}, true},
        {"oracle_topp", {{"block", "8"}, {"p", "1"}}, true},
        {"random", {{"block", "4"}, {"topk", "999"}, {"share", "group"}}, true},
        {"window", {{"window", "9999"}}, true},
        {"nsa", {{"select_block", "16"}, {"select_count", "999"}}, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int b = 0; b < BACKENDS; b++)
            for (uint64_t seed = 0; seed < SEEDS; seed++)
                CU_ASSERT(all_is_full(backends[b], seed, &all[i]));
}

/* Rows before their sequence's first key: output 0, lse -inf, nothing listed. */
static bool nothing_is_zero(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    const struct sps_call *call = &run->pass.call;
    int64_t count = 0;

    for (int64_t r = 0; r < s->t; r++) {
        bool sees = sps_shape_visible(s, sps_shape_sequence(s, r), r) > 0;
        for (int64_t i = r * s->h * s->dv; !sees && i < (r + 1) * s->h * s->dv; i++)
            if (!(call->o[i] == 0))
                return false;
        for (int64_t i = r * s->h; setting->single && i < (r + 1) * s->h; i++)
            if (!(sees ? isfinite(call->lse[i]) : call->lse[i] == -INFINITY))
                return false;
        for (int64_t x = 0; !sees && x < run->index.heads; x++) {
            sps_index_list(&run->index, r, x, &count);
            if (count != 0)
                return false;
        }
    }
    return true;
}

static void test_nothing(void)
{
    for_all(nothing_is_zero);
}

/* Heads of x[rows, heads, d] in reverse order. */
static void reverse(struct sps_tensor *x)
{
    int64_t d = x->dim[2], heads = x->dim[1];
    float *to = x->data, *from = problem_floats(heads * d);

    for (int64_t r = 0; r < x->dim[0]; r++, to += heads * d) {
        memcpy(from, to, (size_t)(heads * d) * sizeof *to);
        for (int64_t i = 0; i < heads; i++)
            memcpy(to + i * d, from + (heads - 1 - i) * d, (size_t)d * sizeof *to);
    }
    free(from);
}

/* kv heads reversed and query heads within each: the output is reversed too, but for
 * random, whose draws are keyed by the head, and for given lists. */
static bool heads_permute(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    float *before = problem_floats(run->count);
    struct sps_tensor view = sps_tensor_view(before, SPS_F32, s->t, s->h, s->dv, 1);

    memcpy(before, run->pass.call.o, (size_t)run->count * sizeof *before);
    reverse(&run->input.in.q);
    reverse(&run->input.in.k);
    reverse(&run->input.in.v);
    bool same = run_again(run);
    reverse(&view);
    same = same && (strcmp(setting->method, "random") == 0 ||
                    strcmp(setting->method, "given") == 0 ||
                    near_l2(run->pass.call.o, before, run->count, 1e-4));
    free(before);
    return same;
}

static void test_permute(void)
{
    for_all(heads_permute);
}

static void test_registry(void)
{
    for (const struct sps_method *const *m = sps_methods; *m; m++) {
        CU_ASSERT(sps_method_find((*m)->name) == *m);
        CU_ASSERT((*m)->summary && (*m)->source && (*m)->plan && (*m)->attend &&
                  (*m)->cost);
        CU_ASSERT(!(*m)->options == !(*m)->options_size);
        bool tested = (*m)->idle;
        for (int i = 0; settings[i].method; i++)
            tested |= strcmp(settings[i].method, (*m)->name) == 0;
        CU_ASSERT(tested);
    }
    CU_ASSERT(sps_method_find("nonsense") == NULL);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"registry entries are complete, and tested here", test_registry},
        {"constant v comes back", test_constant},
        {"the future is not read", test_future},
        {"lists are ascending, visible, with the own block", test_index},
        {"the same bits again, on any number of threads", test_repeats},
        {"predicted cost is the counted cost", test_cost},
        {"all blocks chosen is full attention", test_all_blocks},
        {"rows that see nothing give 0 and -inf", test_nothing},
        {"permuted heads permute the output", test_permute},
        {NULL, NULL},
    };
    return tap_run("methods", tests);
}
