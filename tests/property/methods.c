/* methods.c - what holds for every registered method on every CPU backend. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/quality.h"
#include "sim/run/pass.h"
#include "tests/problem.h"
#include "tests/tap.h"

enum { SEEDS = 12, SETTINGS_MAX = 5 };

static const char *const backends[] = {"ref", "cpu"};

/* Small enough options that a random problem has something to choose. */
static const struct setting {
    const char *method;
    const char *set[SETTINGS_MAX][2];
    bool single; /* one softmax: constant v comes back unchanged */
} settings[] = {
    {"full", {{0}}, true},
    {"window", {{"window", "7"}, {"sink", "2"}}, true},
    {"nsa",
     {{"compress_block", "8"},
      {"compress_stride", "4"},
      {"select_block", "8"},
      {"select_count", "4"},
      {"window", "5"}},
     false},
    {"nsa",
     {{"compress_block", "4"},
      {"compress_stride", "4"},
      {"select_block", "16"},
      {"select_count", "3"},
      {"combine", "union"}},
     true},
    {"moba", {{"block", "8"}, {"topk", "3"}}, true},
    {"moba", {{"block", "32"}, {"topk", "2"}}, true},
    {"oracle_topk", {{"block", "8"}, {"topk", "3"}, {"share", "group"}}, true},
    {"oracle_topk", {{"block", "16"}, {"topk", "2"}}, true},
    {"random", {{"block", "8"}, {"topk", "3"}}, true},
    {"random", {{"block", "1"}, {"topk", "6"}, {"share", "group"}}, true},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

/* A method run on a random problem; everything to free together. */
struct run {
    struct problem problem;
    struct sps_problem input;
    struct sps_device dev;
    struct sps_pass pass;
    void *options;
    struct sps_index index;
    int64_t count; /* floats of the output */
};

static bool set_options(struct run *run, const struct setting *setting)
{
    const struct sps_method *m = sps_method_find(setting->method);

    run->options = calloc(1, m->options_size + 1);
    sps_options_default(m->options, run->options);
    for (int i = 0; i < SETTINGS_MAX && setting->set[i][0]; i++)
        if (sps_option_set(sps_option_find(m->options, setting->set[i][0]), run->options,
                           setting->set[i][1]) != SPS_OK)
            return false;
    return true;
}

static bool run_again(struct run *run)
{
    free(run->index.list);
    run->index.list = NULL;
    return sps_pass_run(&run->pass, NULL) == SPS_OK &&
           sps_pass_index(&run->pass, &run->index) == SPS_OK;
}

static bool run_open(const struct setting *setting, const char *backend, uint64_t seed,
                     struct run *run)
{
    *run = (struct run){0};
    problem_make(seed, &run->problem);
    run->problem.shape.causal = true;
    run->input = (struct sps_problem){.shape = run->problem.shape,
                                      .in = run->problem.in,
                                      .dtype = SPS_F32,
                                      .seed = seed};
    run->count = run->input.shape.t * run->input.shape.h * run->input.shape.dv;
    bool ok = set_options(run, setting) &&
              sps_device_open(backend, 2, &run->dev) == SPS_OK &&
              sps_pass_open(sps_method_find(setting->method), run->options, &run->input,
                            &run->dev, &run->pass) == SPS_OK &&
              run_again(run);
    if (!ok)
        printf("# %s on %s, seed %llu: %s\n", setting->method, backend,
               (unsigned long long)seed, sps_error());
    return ok;
}

static void run_close(struct run *run)
{
    sps_pass_close(&run->pass);
    sps_device_close(&run->dev);
    problem_free(&run->problem);
    free(run->options);
    free(run->index.list);
}

static void report(const struct setting *setting, const char *backend,
                   const struct run *run)
{
    printf("# %s on %s\n", setting->method, backend);
    problem_print(&run->problem);
}

/* Call `holds` for every setting, backend and seed. */
static void for_all(bool (*holds)(const struct setting *, struct run *))
{
    for (int i = 0; i < SETTINGS; i++)
        for (int b = 0; b < 2; b++)
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                struct run run;
                bool ok = run_open(&settings[i], backends[b], seed, &run);
                ok = ok && holds(&settings[i], &run);
                if (!ok)
                    report(&settings[i], backends[b], &run);
                CU_ASSERT(ok);
                run_close(&run);
            }
}

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

    for (int64_t n = 0; n < s->n; n++)
        for (int64_t j = s->cu_k[n] + cut + 1; j < s->cu_k[n + 1]; j++) {
            for (int64_t i = 0; i < s->g * s->dk; i++)
                k[j * s->g * s->dk + i] = i & 1 ? 1e4f : -1e4f;
            for (int64_t i = 0; i < s->g * s->dv; i++)
                v[j * s->g * s->dv + i] = i & 1 ? -1e4f : 1e4f;
        }
}

static bool future_is_not_read(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t row = s->h * s->dv, lists = run->index.heads * run->index.width;
    int64_t cut = problem_draw(run->problem.seed, 99, 0, 40);
    float *before = problem_floats(run->count);
    struct sps_index index = run->index;
    bool same = true;

    (void)setting;
    memcpy(before, run->pass.call.o, (size_t)run->count * sizeof *before);
    run->index.list = NULL;
    poison(run, cut);
    same = run_again(run);
    for (int64_t r = 0; same && r < s->t; r++) {
        if (sps_shape_pos(s, sps_shape_sequence(s, r), r) > cut)
            continue;
        same =
            same_bits(before + r * row, run->pass.call.o + r * row,
                      row * (int64_t)sizeof(float)) &&
            (!index.list || same_bits(index.list + r * lists, run->index.list + r * lists,
                                      lists * (int64_t)sizeof(int32_t)));
    }
    free(before);
    free(index.list);
    return same;
}

static void test_future(void)
{
    for_all(future_is_not_read);
}

/* Ascending, visible, in range, the own block among them, no more than asked. */
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
    return has_own && count == (own + 1 < rule->count ? own + 1 : rule->count);
}

static bool index_is_sound(const struct setting *setting, struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t count;

    (void)setting;
    for (int64_t r = 0; run->index.list && r < s->t; r++) {
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

/* The closed form that plan() gives and the count from the index. */
static bool prediction_is_count(const struct setting *setting, struct run *run)
{
    const struct sps_plan *plan = &run->pass.plan;
    struct sps_pairs pairs;
    struct sps_cost cost[SPS_STAGE_COUNT] = {{0}};
    bool exact = strcmp(setting->method, "nsa") != 0 || !setting->single;

    for (int64_t r = 0; r < run->input.shape.t; r++)
        if (sps_shape_pos(&run->input.shape, sps_shape_sequence(&run->input.shape, r),
                          r) < 0)
            return true;
    sps_count_pairs(&run->input.shape, run->index.list ? &run->index : NULL, &plan->band,
                    &pairs.both, &pairs.index);
    plan->method->cost(plan, pairs, cost);
    for (int s = 0; exact && s < SPS_STAGE_COUNT; s++)
        if (!(fabs(cost[s].flops - plan->cost[s].flops) <= 1e-9 * cost[s].flops) ||
            !(fabs(cost[s].bytes - plan->cost[s].bytes) <= 1e-9 * cost[s].bytes)) {
            printf("# stage %s: %g flops counted, %g predicted\n",
                   sps_stage_name((enum sps_stage)s), cost[s].flops, plan->cost[s].flops);
            return false;
        }
    return true;
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
        report(setting, backend, &sparse);
    run_close(&sparse);
    run_close(&full);
    return ok;
}

static void test_all_blocks(void)
{
    static const struct setting all[] = {
        {"moba", {{"block", "16"}, {"topk", "999"}}, true},
        {"oracle_topk", {{"block", "8"}, {"topk", "999"}}, true},
        {"random", {{"block", "4"}, {"topk", "999"}, {"share", "group"}}, true},
        {"window", {{"window", "9999"}}, true},
        {"nsa", {{"select_block", "16"}, {"select_count", "999"}}, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int b = 0; b < 2; b++)
            for (uint64_t seed = 0; seed < SEEDS; seed++)
                CU_ASSERT(all_is_full(backends[b], seed, &all[i]));
}

static void test_registry(void)
{
    for (const struct sps_method *const *m = sps_methods; *m; m++) {
        CU_ASSERT(sps_method_find((*m)->name) == *m);
        CU_ASSERT((*m)->summary && (*m)->source && (*m)->plan && (*m)->attend &&
                  (*m)->cost);
        CU_ASSERT(!(*m)->options == !(*m)->options_size);
    }
    CU_ASSERT(sps_method_find("nonsense") == NULL);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"registry entries are complete", test_registry},
        {"constant v comes back", test_constant},
        {"the future is not read", test_future},
        {"lists are ascending, visible, with the own block", test_index},
        {"the same bits again, on any number of threads", test_repeats},
        {"predicted cost is the counted cost", test_cost},
        {"all blocks chosen is full attention", test_all_blocks},
        {NULL, NULL},
    };
    return tap_run("methods", tests);
}
