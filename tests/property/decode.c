/* decode.c - a decode step is the last row of prefill, for every method on every CPU
 * backend, whatever steps were done before it.
 *
 * Sequences of unequal lengths grow by a token a step.  What a method keeps (compressed
 * keys, means, ranges) is carried from step to step, so that every key that appears was
 * made by one step and used by those that follow.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/property/methods_run.h"
#include "tests/tap.h"

enum { SEQUENCES = 3, STEPS = 100, TRIES = 6 };

/* Every row of the longest sequences, the step under way and the one before. */
struct decode {
    const struct setting *setting;
    int64_t keys[SEQUENCES]; /* before the first step */
    struct run whole, step[2];
};

/* Of the sequences one is a few tokens long, so that it meets its first whole block. */
static bool decode_open(const struct setting *setting, const char *backend, uint64_t seed,
                        struct decode *d)
{
    int64_t keys[SEQUENCES];

    *d = (struct decode){.setting = setting};
    for (int64_t i = 0; i < SEQUENCES; i++) {
        d->keys[i] = problem_draw(seed, 500 + (uint64_t)i, 1, i == 1 ? 4 : 150);
        keys[i] = d->keys[i] + STEPS - 1;
    }
    problem_square(seed, SEQUENCES, keys, &d->whole.problem);
    run_inputs(&d->whole);
    run_draw_map(&d->whole);
    return run_start(setting, backend, &d->whole);
}

/* A step borrows the device of the whole. */
static void step_close(struct run *step)
{
    step->dev = (struct sps_device){0};
    run_close(step);
}

static void decode_close(struct decode *d)
{
    step_close(&d->step[0]);
    step_close(&d->step[1]);
    run_close(&d->whole);
}

/* Rows [from[i], to[i]) of each sequence of x, one after the other. */
static struct sps_tensor gather(const struct sps_tensor *x, const int64_t *from,
                                const int64_t *to)
{
    int64_t width = x->dim[1] * x->dim[2], count = 0;

    for (int64_t i = 0; i < SEQUENCES; i++)
        count += to[i] - from[i];
    float *out = problem_floats(count * width);
    struct sps_tensor y = sps_tensor_view(out, SPS_F32, count, x->dim[1], x->dim[2], 1);
    for (int64_t i = 0; i < SEQUENCES; i++) {
        int64_t n = (to[i] - from[i]) * width;
        memcpy(out, (const float *)x->data + from[i] * width, (size_t)n * sizeof *out);
        out += n;
    }
    return y;
}

/* The newest row of each sequence after `x` steps, and the keys up to it. */
static void step_inputs(const struct decode *d, int64_t x, struct run *step)
{
    const struct problem *all = &d->whole.problem;
    struct problem *p = &step->problem;
    int64_t first[SEQUENCES], last[SEQUENCES], end[SEQUENCES];

    *step = (struct run){0};
    p->seed = all->seed;
    p->shape = all->shape;
    for (int64_t i = 0; i < SEQUENCES; i++) {
        first[i] = all->cu_k[i];
        end[i] = first[i] + d->keys[i] + x;
        last[i] = end[i] - 1;
        p->cu_q[i + 1] = i + 1;
        p->cu_k[i + 1] = p->cu_k[i] + d->keys[i] + x;
    }
    p->shape.cu_q = p->cu_q;
    p->shape.cu_k = p->cu_k;
    p->shape.t = SEQUENCES;
    p->shape.s = p->cu_k[SEQUENCES];
    p->in.q = gather(&all->in.q, last, end);
    p->in.k = gather(&all->in.k, first, end);
    p->in.v = gather(&all->in.v, first, end);
    p->q_idx = gather(&all->q_idx, last, end);
    p->k_idx = gather(&all->k_idx, first, end);
    p->w_idx = gather(&all->w_idx, last, end);
    run_inputs(step);
    step->input.decode = true;
    step->input.extra.w_k = d->whole.w_k;
    step->input.extra.w_v = d->whole.w_v;
    step->input.extra.pe_k = d->whole.pe_k;
    struct sps_index *given = &step->input.extra.given;
    const struct sps_index *lists = &d->whole.input.extra.given;
    int64_t size = lists->heads * lists->width;
    for (int64_t i = 0; i < SEQUENCES; i++)
        memcpy(given->list + i * size, lists->list + last[i] * size,
               (size_t)size * sizeof *lists->list);
}

/* Kept keys of a sequence that are the same, bit for bit; or nearly, where a product of
 * another size made them. */
static bool kept_equal(const struct sps_tensor *a, int64_t i, const struct sps_tensor *b,
                       int64_t j, int64_t count, bool near)
{
    int64_t width = a->dim[1] * a->dim[2] * a->dim[3];
    const float *x = (const float *)a->data + i * width,
                *y = (const float *)b->data + j * width;

    return near ? near_l2(x, y, count * width, 1e-6)
                : same_bits(x, y, count * width * (int64_t)sizeof *x);
}

/* Whether the maker of kept keys rounds by the number of keys it makes at once. */
static bool rounds(const struct decode *d)
{
    return d->setting == &linear_setting &&
           strcmp(d->whole.dev.backend->name, "cpu") == 0;
}

/* What prepare() made is what the step before kept.  Then lose it, and take that. */
static bool carry(const struct decode *d, const struct run *last, struct run *step)
{
    const struct sps_plan *plan = &step->pass.plan;
    bool same = true;

    for (int k = 0; plan->method->peek && k < KEPT; k++) {
        struct sps_tensor now, before;
        if (!plan->method->peek(&step->pass.call, kept_names[k], &now) ||
            !plan->method->peek(&last->pass.call, kept_names[k], &before))
            continue;
        int64_t width = now.dim[1] * now.dim[2] * now.dim[3];
        const int64_t *to = plan->by.cu, *from = last->pass.plan.by.cu;
        float *all = problem_floats(now.dim[0] * width);
        for (int64_t i = 0; i < now.dim[0] * width; i++)
            all[i] = NAN;
        for (int64_t i = 0; i < SEQUENCES; i++) {
            int64_t count = from[i + 1] - from[i];
            same &= count == plan->by.first[i] &&
                    kept_equal(&now, to[i], &before, from[i], count, rounds(d));
            if (count > 0)
                memcpy(all + to[i] * width, (const float *)before.data + from[i] * width,
                       (size_t)(count * width) * sizeof *all);
        }
        if (now.dim[0] > 0)
            memcpy(now.data, all, (size_t)(now.dim[0] * width) * sizeof *all);
        free(all);
    }
    return same;
}

/* After the step everything kept is what prefill made. */
static bool kept_is_whole(const struct decode *d, const struct run *step)
{
    const struct sps_plan *plan = &step->pass.plan;
    bool same = true;

    for (int k = 0; plan->method->peek && k < KEPT; k++) {
        struct sps_tensor now, whole;
        if (!plan->method->peek(&step->pass.call, kept_names[k], &now) ||
            !plan->method->peek(&d->whole.pass.call, kept_names[k], &whole))
            continue;
        for (int64_t i = 0; i < SEQUENCES; i++)
            same &= kept_equal(&now, plan->by.cu[i], &whole, d->whole.pass.plan.by.cu[i],
                               plan->by.cu[i + 1] - plan->by.cu[i], rounds(d));
    }
    return same;
}

/* A step makes a compressed key of each sequence whose new token completes one, and its
 * cost says so. */
static bool makes_little(const struct run *step)
{
    const struct sps_plan *plan = &step->pass.plan;
    int64_t want = 0;

    if (!plan->by.cu)
        return true;
    for (int64_t i = 0; i < SEQUENCES; i++) {
        int64_t keys = sps_shape_keys(&step->problem.shape, i);
        want += keys >= plan->by.l && (keys - plan->by.l) % plan->by.u == 0;
    }
    return plan->made == want && (plan->cost[SPS_STAGE_COMPRESS].flops > 0) == (want > 0);
}

/* What is kept is read and never made again: a mark in it outlives a step. */
static bool leaves_kept(struct run *step)
{
    const struct sps_plan *plan = &step->pass.plan;
    bool same = true;

    for (int k = 0; plan->method->peek && k < KEPT; k++) {
        struct sps_tensor now;
        if (!plan->method->peek(&step->pass.call, kept_names[k], &now))
            continue;
        int64_t width = now.dim[1] * now.dim[2] * now.dim[3];
        float *x = now.data;
        for (int64_t i = 0; i < now.dim[0] * width; i++)
            x[i] = 0.5f;
        same &= sps_pass_run(&step->pass, NULL) == SPS_OK;
        for (int64_t i = 0; i < SEQUENCES; i++)
            for (int64_t j = 0; j < plan->by.first[i] * width; j++)
                same &= x[plan->by.cu[i] * width + j] == 0.5f;
    }
    return same;
}

/* ref works row by row; cpu's products round by how many rows they hold: 2e-6, as where
 * all blocks are compared with full attention. */
static bool rows_equal(const struct decode *d, int64_t x, const struct run *step)
{
    const struct sps_shape *s = &d->whole.problem.shape;
    int64_t width = s->h * s->dv;
    bool exact = strcmp(d->whole.dev.backend->name, "ref") == 0, same = true;

    for (int64_t i = 0; i < SEQUENCES; i++) {
        int64_t row = s->cu_k[i] + d->keys[i] + x - 1;
        const float *want = d->whole.pass.call.o + row * width,
                    *got = step->pass.call.o + i * width;
        same &= exact ? same_bits(got, want, width * (int64_t)sizeof *got)
                      : near_l2(got, want, width, 2e-6);
        if (step->index.heads)
            same &= same_lists(&step->index, i, &d->whole.index, row);
    }
    return same;
}

static bool step_holds(struct decode *d, int64_t x)
{
    struct run *step = &d->step[x & 1], *last = &d->step[(x + 1) & 1];
    const struct sps_method *method = d->whole.pass.plan.method;

    step_close(step);
    step_inputs(d, x, step);
    bool ok = sps_pass_open(method, d->whole.options, &step->input, &d->whole.dev,
                            &step->pass) == SPS_OK;
    if (!ok)
        printf("# %s\n", sps_error());
    if (ok && x > 0)
        ok = carry(d, last, step);
    return ok && run_again(step) && rows_equal(d, x, step) && kept_is_whole(d, step) &&
           makes_little(step) && (x < STEPS - 1 || leaves_kept(step));
}

static void check(const struct setting *setting, const char *backend, uint64_t seed)
{
    struct decode d;
    bool ok = decode_open(setting, backend, seed, &d);
    int64_t x = 0;

    while (ok && x < STEPS && (ok = step_holds(&d, x)))
        x++;
    if (!ok) {
        printf("# step %lld: ", (long long)x);
        run_report(setting, backend, &d.step[x & 1]);
    }
    CU_ASSERT(ok);
    decode_close(&d);
}

static void test_steps(void)
{
    for (int i = 0; settings[i].method; i++)
        for (int b = 0; b < BACKENDS; b++)
            for (uint64_t seed = 0; seed < TRIES; seed++)
                check(&settings[i], backends[b], seed);
}

static void test_linear(void)
{
    for (int b = 0; b < BACKENDS; b++)
        for (uint64_t seed = 0; seed < TRIES; seed++)
            check(&linear_setting, backends[b], seed);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"steps are the last rows of prefill", test_steps},
        {"and where compressed keys come from a linear map", test_linear},
        {NULL, NULL},
    };
    return tap_run("decode", tests);
}
