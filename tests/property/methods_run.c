/* methods_run.c - run a registered method on a random problem. */
#include "tests/property/methods_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "tests/tap.h"

const char *const backends[BACKENDS] = {"ref", "cpu"};

const struct setting settings[] = {
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
    {"nsa",
     {{"compress_block", "8"},
      {"compress_stride", "4"},
      {"select_block", "8"},
      {"select_count", "4"},
      {"keep", "input"}},
     false},
    {"moba", {{"block", "8"}, {"topk", "3"}}, true},
    {"moba", {{"block", "32"}, {"topk", "2"}}, true},
    {"dsa", {{"topk", "12"}}, true},
    {"msa", {{"block", "8"}, {"topk", "3"}}, true},
    {"quest", {{"page", "4"}, {"topk", "3"}}, true},
    {"quest", {{"page", "16"}, {"topk", "2"}}, true},
    {"given", {{0}}, true},
    {"oracle_topk", {{"block", "8"}, {"topk", "3"}, {"share", "group"}}, true},
    {"oracle_topk", {{"block", "16"}, {"topk", "2"}}, true},
    {"oracle_topp", {{"block", "8"}, {"p", "0.7"}}, true},
    {"oracle_topp", {{"block", "4"}, {"p", "0.1"}}, true},
    {"oracle_topp", {{"block", "16"}, {"p", "0.95"}, {"share", "group"}}, true},
    {"random", {{"block", "8"}, {"topk", "3"}}, true},
    {"random", {{"block", "1"}, {"topk", "6"}, {"share", "group"}}, true},
    {NULL, {{0}}, false},
};

const struct setting linear_setting = {"nsa",
                                       {{"compress_block", "8"},
                                        {"compress_stride", "4"},
                                        {"select_block", "8"},
                                        {"select_count", "4"},
                                        {"compress", "linear"}},
                                       false};

const char *const kept_names[KEPT] = {"k_cmp", "v_cmp", "k_range"};

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

bool run_again(struct run *run)
{
    sps_pass_index_free(&run->index);
    return sps_pass_run(&run->pass, NULL) == SPS_OK &&
           sps_pass_index(&run->pass, &run->index) == SPS_OK;
}

enum { GIVEN_BLOCK = 4, GIVEN_WIDTH = 6 };

/* Random units that row r of `own` + 1 visible ones reads: ascending, the own one last.
 */
static void draw_list(uint64_t seed, uint64_t which, int64_t own, int32_t *list)
{
    int64_t kept = 0;

    for (int64_t unit = 0; unit < own && kept < GIVEN_WIDTH - 1; unit++)
        if (problem_draw(seed, which + (uint64_t)unit, 0, own) < GIVEN_WIDTH)
            list[kept++] = (int32_t)unit;
    if (own >= 0)
        list[kept++] = (int32_t)own;
    while (kept < GIVEN_WIDTH)
        list[kept++] = -1;
}

static void draw_given(struct run *run)
{
    const struct sps_shape *s = &run->problem.shape;
    const int64_t heads[] = {s->h, s->g, 1};
    int64_t n = heads[run->problem.seed % 3];

    run->given = (int32_t *)problem_floats(s->t * n * GIVEN_WIDTH + 1);
    run->input.extra.given =
        (struct sps_index){s->t, n, GIVEN_BLOCK, GIVEN_WIDTH, run->given, NULL};
    for (int64_t i = 0; i < s->t * n; i++) {
        int64_t row = i / n, sequence = sps_shape_sequence(s, row);
        int64_t seen = sps_shape_visible(s, sequence, row);
        draw_list(run->problem.seed, 1000 * (uint64_t)(i + 1),
                  (seen + GIVEN_BLOCK - 1) / GIVEN_BLOCK - 1,
                  run->given + i * GIVEN_WIDTH);
    }
}

/* q, k and v become numbers of the type; the device holds float32 all the same. */
static void round_inputs(struct sps_qkv *in, enum sps_dtype dtype)
{
    struct sps_tensor *const all[] = {&in->q, &in->k, &in->v};

    for (int i = 0; i < 3; i++)
        sps_round_f32(all[i]->data, sps_tensor_count(all[i]), dtype);
}

void run_inputs(struct run *run)
{
    enum sps_dtype dtype =
        (enum sps_dtype)problem_draw(run->problem.seed, 700, SPS_F32, SPS_BF16);

    round_inputs(&run->problem.in, dtype);
    run->input = (struct sps_problem){.shape = run->problem.shape,
                                      .in = run->problem.in,
                                      .extra = {.q_idx = run->problem.q_idx,
                                                .k_idx = run->problem.k_idx,
                                                .w_idx = run->problem.w_idx},
                                      .dtype = dtype,
                                      .seed = run->problem.seed};
    draw_given(run);
}

static void draw(uint64_t seed, uint64_t stream, int64_t a, int64_t b, int64_t c,
                 double scale, struct sps_tensor *x)
{
    float *to = problem_floats(a * b * c);

    *x = sps_tensor_view(to, SPS_F32, a, b, c, 1);
    sps_normals(seed, stream, 0, a * b * c, to);
    for (int64_t i = 0; i < a * b * c; i++)
        to[i] *= (float)scale;
}

void run_draw_map(struct run *run)
{
    const struct sps_shape *s = &run->problem.shape;
    uint64_t seed = run->problem.seed;
    int64_t l = strtol(linear_setting.set[0][1], NULL, 10);

    draw(seed, 7, s->g, l * s->dk, s->dk, 1 / sqrt((double)(l * s->dk)), &run->w_k);
    draw(seed, 8, s->g, l * s->dv, s->dv, 1 / sqrt((double)(l * s->dv)), &run->w_v);
    draw(seed, 9, s->g, l, s->dk, 1, &run->pe_k);
    run->input.extra.w_k = run->w_k;
    run->input.extra.w_v = run->w_v;
    run->input.extra.pe_k = run->pe_k;
}

bool run_start(const struct setting *setting, const char *backend, struct run *run)
{
    run->count = run->input.shape.t * run->input.shape.h * run->input.shape.dv;
    bool ok = set_options(run, setting) &&
              sps_device_open(backend, 2, &run->dev) == SPS_OK &&
              sps_pass_open(sps_method_find(setting->method), run->options, &run->input,
                            &run->dev, &run->pass) == SPS_OK &&
              run_again(run);
    if (!ok)
        printf("# %s on %s, seed %llu: %s\n", setting->method, backend,
               (unsigned long long)run->problem.seed, sps_error());
    return ok;
}

bool run_open(const struct setting *setting, const char *backend, uint64_t seed,
              struct run *run)
{
    *run = (struct run){0};
    problem_make(seed, &run->problem);
    run_inputs(run);
    return run_start(setting, backend, run);
}

void run_close(struct run *run)
{
    sps_pass_close(&run->pass);
    sps_device_close(&run->dev);
    problem_free(&run->problem);
    free(run->options);
    free(run->given);
    sps_tensor_free(&run->w_k);
    sps_tensor_free(&run->w_v);
    sps_tensor_free(&run->pe_k);
    sps_pass_index_free(&run->index);
}

void run_report(const struct setting *setting, const char *backend, const struct run *run)
{
    printf("# %s on %s\n", setting->method, backend);
    problem_print(&run->problem);
}

void for_all(bool (*holds)(const struct setting *, struct run *))
{
    for (int i = 0; settings[i].method; i++)
        for (int b = 0; b < BACKENDS; b++)
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                struct run run;
                bool ok = run_open(&settings[i], backends[b], seed, &run);
                ok = ok && holds(&settings[i], &run);
                if (!ok)
                    run_report(&settings[i], backends[b], &run);
                CU_ASSERT(ok);
                run_close(&run);
            }
}

bool same_lists(const struct sps_index *a, int64_t i, const struct sps_index *b,
                int64_t j)
{
    for (int64_t x = 0; x < a->heads; x++) {
        int64_t n, m;
        const int32_t *p = sps_index_list(a, i, x, &n), *q = sps_index_list(b, j, x, &m);
        if (n != m || !same_bits(p, q, n * (int64_t)sizeof *p))
            return false;
    }
    return true;
}

bool runs_agree(const struct run *a, const struct run *b, double relative)
{
    for (int64_t r = 0; r < b->input.shape.t; r++)
        if (!same_lists(&a->index, r, &b->index, r))
            return false;
    return near_l2(a->pass.call.o, b->pass.call.o, b->count, relative);
}
