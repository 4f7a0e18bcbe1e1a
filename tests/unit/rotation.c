/* rotation.c - tests of timed passes that take turns on equal inputs: the golden files
 * have every kind of input that a method reads. */
#include "sim/run/rotation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run/golden.h"
#include "tests/tap.h"

static void test_sets(void)
{
    const size_t M = 1 << 20;

    CU_ASSERT_EQUAL(sps_rotation_sets(18 * M, 32 * M, 1000 * M), 4);
    CU_ASSERT_EQUAL(sps_rotation_sets(M, 32 * M, 1000 * M), SPS_SETS_MAX);
    CU_ASSERT_EQUAL(sps_rotation_sets(900 * M, 32 * M, 1000 * M), 2);
    CU_ASSERT_EQUAL(sps_rotation_sets(900 * M, 32 * M, 899 * M), 1);
    CU_ASSERT_EQUAL(sps_rotation_sets(18 * M, 32 * M, 40 * M), 3);
    CU_ASSERT_EQUAL(sps_rotation_sets(18 * M, 0, 1000 * M), 2);
    CU_ASSERT_EQUAL(sps_rotation_sets(0, 32 * M, 1000 * M), 1);
}

/* What a pass computes: o, then dq, dk, dv where there is a backward pass. */
static float *answers(const struct sps_pass *pass, int64_t *count)
{
    const struct sps_shape *s = &pass->plan.problem->shape;
    const struct sps_call *call = &pass->call;
    const int64_t n[] = {s->t * s->h * s->dv, s->t * s->h * s->dk, s->s * s->g * s->dk,
                         s->s * s->g * s->dv};
    const float *const part[] = {call->o, call->dq, call->dk, call->dv};
    float *all = malloc((size_t)(n[0] + n[1] + n[2] + n[3]) * sizeof *all), *to = all;

    for (int i = 0; i < (call->dq ? 4 : 1); to += n[i++])
        memcpy(to, part[i], (size_t)n[i] * sizeof *to);
    *count = to - all;
    return all;
}

/* Run forward, and backward where the method has that. */
static enum sps_status both_ways(struct sps_pass *pass, struct sps_trace *trace)
{
    SPS_TRY(sps_pass_run(pass, trace));
    return pass->call.dq ? sps_pass_backward(pass, trace) : SPS_OK;
}

/* Whether one turn answers `want` to the bit. */
static bool turn(struct sps_rotation *rotation, struct sps_pass *pass, const float *want)
{
    int64_t count;

    if (sps_rotation_run(rotation, both_ways, pass, NULL) != SPS_OK)
        return false;
    float *got = answers(pass, &count);
    bool same = memcmp(got, want, (size_t)count * sizeof *got) == 0;
    free(got);
    return same;
}

static void erase(struct sps_problem *p)
{
    struct sps_tensor *const all[] = {&p->in.q,        &p->in.k,        &p->in.v,
                                      &p->extra.gate,  &p->extra.w_k,   &p->extra.w_v,
                                      &p->extra.pe_k,  &p->extra.q_idx, &p->extra.k_idx,
                                      &p->extra.w_idx, &p->extra.d_o};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->data)
            memset(all[i]->data, 0, sps_tensor_bytes(all[i]));
}

/* Turns on two sets answer alike, also when the first is erased in between: nothing that
 * a method reads stayed behind. */
static void take_turns(struct sps_input *input, struct sps_pass *pass)
{
    struct sps_rotation rotation;
    int64_t count;

    CU_ASSERT_EQUAL_FATAL(both_ways(pass, NULL), SPS_OK);
    float *want = answers(pass, &count);
    CU_ASSERT_EQUAL_FATAL(sps_rotation_open(input, input->bytes, &rotation), SPS_OK);
    CU_ASSERT_EQUAL(rotation.sets, 2);
    CU_ASSERT_TRUE(turn(&rotation, pass, want));
    erase(&input->problem);
    CU_ASSERT_TRUE(turn(&rotation, pass, want));
    CU_ASSERT_FALSE(turn(&rotation, pass, want));
    CU_ASSERT_TRUE(turn(&rotation, pass, want));
    CU_ASSERT_PTR_EQUAL(pass->plan.problem, &input->problem);
    sps_rotation_close(&rotation);
    free(want);
}

static void rotate(const char *file, const char *backend)
{
    const char *top = getenv("srcdir");
    struct sps_golden golden;
    struct sps_device dev;
    struct sps_input input;
    struct sps_pass pass;
    char path[1024];

    snprintf(path, sizeof path, "%s/tests/golden/%s", top ? top : ".", file);
    CU_ASSERT_EQUAL_FATAL(sps_golden_open(path, &golden), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_device_open(backend, 2, &dev), SPS_OK);
    struct sps_take all = {.kv_heads = golden.data.g,
                           .backward = golden.method->backward != NULL};
    CU_ASSERT_EQUAL_FATAL(sps_input_make(&golden.data, &all, SPS_F32, 0, &dev, &input),
                          SPS_OK);
    CU_ASSERT_EQUAL_FATAL(
        sps_pass_open(golden.method, golden.options, &input.problem, &dev, &pass),
        SPS_OK);
    take_turns(&input, &pass);
    sps_pass_close(&pass);
    sps_input_free(&input);
    sps_device_close(&dev);
    sps_golden_close(&golden);
}

static void test_turns(void)
{
    static const char *const files[] = {
        "dsa_k64.safetensors", "full_noncausal_ragged.safetensors",
        "moba_ragged_b32_k4.safetensors", "nsa_paper_linear_s5_w32.safetensors"};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        rotate(files[i], "ref");
        rotate(files[i], "cpu");
    }
}

static int allocations; /* that meagre_alloc grants */

static enum sps_status meagre_alloc(struct sps_device *dev, size_t bytes, void **mem)
{
    return allocations-- > 0 ? sps_backend_find("ref")->alloc(dev, bytes, mem)
                             : sps_fail(SPS_ENOMEM, "no more");
}

/* Three tensors a set: the third set does not come about, and nothing fails. */
static void test_meagre(void)
{
    struct sps_backend meagre = *sps_backend_find("ref");
    struct sps_device dev = {.backend = &meagre, .cache_bytes = 1 << 20};
    struct sps_rotation rotation;
    struct sps_input input = {.dev = &dev, .bytes = 12};
    struct sps_qkv *in = &input.problem.in;
    float x[3] = {1, 2, 3};

    meagre.alloc = meagre_alloc;
    in->q = sps_tensor_view(&x[0], SPS_F32, 1, 1, 1, 1);
    in->k = sps_tensor_view(&x[1], SPS_F32, 1, 1, 1, 1);
    in->v = sps_tensor_view(&x[2], SPS_F32, 1, 1, 1, 1);
    allocations = 4;
    CU_ASSERT_EQUAL_FATAL(sps_rotation_open(&input, 1 << 20, &rotation), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(rotation.sets, 2);
    CU_ASSERT_EQUAL(*(float *)rotation.copy[0].problem.in.v.data, 3);
    sps_rotation_close(&rotation);
}

static const struct tap_test tests[] = {
    {"as many sets as pass the cache and fit", test_sets},
    {"every set answers alike, and alone", test_turns},
    {"a device with less memory than it said", test_meagre},
    {0}};

int main(void)
{
    return tap_run("rotation", tests);
}
