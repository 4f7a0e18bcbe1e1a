/* rounded.c - nsa with `keep: input`: what it keeps is what it would have made, rounded
 * to the type of the input, on every CPU backend; and cpu does with it what ref does. */
#include <math.h>
#include <string.h>

#include "tests/property/methods_run.h"
#include "tests/tap.h"

enum { KEEP_FLOAT32, KEEP_INPUT, KEEPS };

static const struct setting means[KEEPS] = {
    {"nsa",
     {{"compress_block", "8"}, {"compress_stride", "4"}, {"select_block", "8"}},
     0},
    {"nsa",
     {{"compress_block", "8"},
      {"compress_stride", "4"},
      {"select_block", "8"},
      {"keep", "input"}},
     0},
};

static const struct setting maps[KEEPS] = {
    {"nsa",
     {{"compress_block", "8"}, {"compress", "linear"}, {"compress_stride", "4"}},
     0},
    {"nsa",
     {{"compress_block", "8"},
      {"compress", "linear"},
      {"compress_stride", "4"},
      {"keep", "input"}},
     0},
};

static bool open_run(const struct setting *setting, const char *backend, uint64_t seed,
                     struct run *run)
{
    *run = (struct run){0};
    problem_make(seed, &run->problem);
    run_inputs(run);
    run_draw_map(run);
    return run_start(setting, backend, run);
}

/* The nearest number of `digits` binary digits and no exponent below `least`, by the
 * processor's own rounding. */
static float nearest(float x, enum sps_dtype dtype)
{
    static const struct {
        int digits, least;
    } types[] = {[SPS_F32] = {24, -125}, [SPS_F16] = {11, -13}, [SPS_BF16] = {8, -125}};
    int exponent;

    frexpf(x, &exponent);
    if (exponent < types[dtype].least)
        exponent = types[dtype].least;
    exponent -= types[dtype].digits;
    return ldexpf(rintf(ldexpf(x, -exponent)), exponent);
}

/* Every number of `got` is that of `made` rounded; *moved counts those that changed. */
static bool is_rounded(const struct sps_tensor *made, const struct sps_tensor *got,
                       enum sps_dtype dtype, int64_t *moved)
{
    const float *from = made->data, *to = got->data;

    if (sps_tensor_count(made) != sps_tensor_count(got))
        return false;
    for (int64_t i = 0; i < sps_tensor_count(made); i++) {
        if (!(to[i] == nearest(from[i], dtype)))
            return false;
        *moved += to[i] != from[i];
    }
    return true;
}

static bool same_tensor(const struct sps_tensor *a, const struct sps_tensor *b)
{
    return sps_tensor_bytes(a) == sps_tensor_bytes(b) &&
           same_bits(a->data, b->data, (int64_t)sps_tensor_bytes(a));
}

static bool peek(const struct run *run, const char *name, struct sps_tensor *x)
{
    return run->pass.plan.method->peek(&run->pass.call, name, x);
}

static bool rounds(const struct setting keeps[KEEPS], const char *backend, uint64_t seed)
{
    struct run run[KEEPS];
    bool ok = open_run(&keeps[KEEP_FLOAT32], backend, seed, &run[KEEP_FLOAT32]);

    ok = open_run(&keeps[KEEP_INPUT], backend, seed, &run[KEEP_INPUT]) && ok;
    enum sps_dtype dtype = run->input.dtype;
    for (int k = 0; ok && k < 2; k++) {
        struct sps_tensor made, got;
        int64_t moved = 0;
        ok = peek(&run[KEEP_FLOAT32], kept_names[k], &made) &&
             peek(&run[KEEP_INPUT], kept_names[k], &got) &&
             is_rounded(&made, &got, dtype, &moved) &&
             (moved > 0) == (dtype != SPS_F32 && sps_tensor_count(&made) > 0);
    }
    if (!ok)
        run_report(keeps, backend, run);
    for (int i = 0; i < KEEPS; i++)
        run_close(&run[i]);
    return ok;
}

static void test_rounded(void)
{
    for (int b = 0; b < BACKENDS; b++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            CU_ASSERT(rounds(means, backends[b], seed));
            CU_ASSERT(rounds(maps, backends[b], seed));
        }
}

/* Means are the same bits, so that scores differ by no more than for float32 ones. */
static bool agree(uint64_t seed)
{
    struct run ref, cpu;
    bool same = open_run(&means[KEEP_INPUT], "ref", seed, &ref);

    same = open_run(&means[KEEP_INPUT], "cpu", seed, &cpu) && same;
    for (int k = 0; same && k < 2; k++) {
        struct sps_tensor a, b;
        same = peek(&ref, kept_names[k], &a) && peek(&cpu, kept_names[k], &b) &&
               same_tensor(&a, &b);
    }
    same = same && runs_agree(&cpu, &ref, 2e-5);
    if (!same)
        run_report(&means[KEEP_INPUT], "cpu", &cpu);
    run_close(&ref);
    run_close(&cpu);
    return same;
}

static void test_agree(void)
{
    for (uint64_t seed = 0; seed < 3 * SEEDS; seed++)
        CU_ASSERT(agree(seed));
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"kept keys and values are rounded once, to the input's type", test_rounded},
        {"cpu agrees with ref", test_agree},
        {NULL, NULL},
    };
    return tap_run("rounded", tests);
}
