/* paged.c - keys in pages give what keys in a row give, bit for bit, for every method on
 * every CPU backend, in prefill, chunks and decode. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run/pages.h"
#include "tests/property/methods_run.h"
#include "tests/tap.h"

/* The same problem, keys in pages, on the same device. */
struct paged {
    struct sps_paging paging;
    struct sps_tensor k, v, k_idx;
    struct run run; /* borrows all else */
};

/* x[s,heads,d] in pages; what no key fills is NaN. */
static struct sps_tensor lay_out(const struct sps_tensor *x,
                                 const struct sps_paging *paging)
{
    int64_t width = x->dim[1] * x->dim[2];
    float *to = problem_floats(paging->slots * width + 1);

    for (int64_t i = 0; i < paging->slots; i++)
        for (int64_t j = 0; j < width; j++)
            to[i * width + j] =
                paging->row[i] < 0 ? NAN
                                   : ((const float *)x->data)[paging->row[i] * width + j];
    return sps_tensor_view(to, SPS_F32, paging->slots, x->dim[1], x->dim[2], 1);
}

static bool paged_open(const struct run *run, int64_t tokens, struct paged *p)
{
    const struct sps_shape *s = &run->input.shape;
    uint64_t seed = run->problem.seed;

    *p = (struct paged){0};
    if (sps_paging_make(s->cu_k, s->n, tokens, seed, &p->paging) != SPS_OK)
        return false;
    p->k = lay_out(&run->input.in.k, &p->paging);
    p->v = lay_out(&run->input.in.v, &p->paging);
    p->k_idx = lay_out(&run->input.extra.k_idx, &p->paging);
    p->run.input = run->input;
    p->run.input.shape.pages = &p->paging.pages;
    p->run.input.in.k = p->k;
    p->run.input.in.v = p->v;
    p->run.input.extra.k_idx = p->k_idx;
    p->run.dev = run->dev;
    return sps_pass_open(run->pass.plan.method, run->options, &p->run.input, &p->run.dev,
                         &p->run.pass) == SPS_OK &&
           run_again(&p->run);
}

static void paged_close(struct paged *p)
{
    sps_pass_close(&p->run.pass);
    sps_pass_index_free(&p->run.index);
    sps_paging_free(&p->paging);
    sps_tensor_free(&p->k);
    sps_tensor_free(&p->v);
    sps_tensor_free(&p->k_idx);
}

static bool same_kept(const struct run *a, const struct run *b)
{
    const struct sps_method *method = a->pass.plan.method;
    struct sps_tensor x, y;
    bool same = true;

    for (int k = 0; method->peek && k < KEPT; k++)
        if (method->peek(&a->pass.call, kept_names[k], &x) &&
            method->peek(&b->pass.call, kept_names[k], &y))
            same &= same_bits(x.data, y.data, (int64_t)sps_tensor_bytes(&x));
    return same;
}

/* Probabilities of the last query head, for the metrics. */
static bool same_probs(const struct run *a, const struct run *b)
{
    const struct sps_shape *s = &a->input.shape;
    bool same = true;

    for (int64_t n = 0; n < s->n; n++) {
        struct sps_rows rows = {s->cu_q[n], s->cu_q[n + 1]};
        int64_t count = (rows.end - rows.begin) * sps_shape_keys(s, n);
        float *p = problem_floats(count + 1), *q = problem_floats(count + 1);
        if (rows.end > rows.begin)
            same &= a->dev.kernels.probs((struct sps_device *)&a->dev, s, &a->input.in,
                                         s->h - 1, rows, p) == SPS_OK &&
                    b->dev.kernels.probs((struct sps_device *)&b->dev, &b->input.shape,
                                         &b->input.in, s->h - 1, rows, q) == SPS_OK &&
                    same_bits(p, q, count * (int64_t)sizeof *p);
        free(p);
        free(q);
    }
    return same;
}

static bool pages_change_nothing(const struct run *run, int64_t tokens)
{
    const struct sps_shape *s = &run->input.shape;
    struct paged p;
    bool same = paged_open(run, tokens, &p);

    if (!same)
        printf("# %s\n", sps_error());
    same = same &&
           same_bits(run->pass.call.o, p.run.pass.call.o,
                     run->count * (int64_t)sizeof(float)) &&
           same_bits(run->pass.call.lse, p.run.pass.call.lse,
                     s->t * s->h * (int64_t)sizeof(float)) &&
           same_kept(run, &p.run) && same_probs(run, &p.run);
    for (int64_t r = 0; same && run->index.heads && r < s->t; r++)
        same = same_lists(&run->index, r, &p.run.index, r);
    paged_close(&p);
    return same;
}

/* Every third problem is a step: its rows are new tokens. */
static bool make(const struct setting *setting, const char *backend, uint64_t seed,
                 struct run *run)
{
    *run = (struct run){0};
    problem_make(seed, &run->problem);
    run_inputs(run);
    run_draw_map(run);
    run->input.decode = seed % 3 == 0;
    return run_start(setting, backend, run);
}

static void check(const struct setting *setting, const char *backend, uint64_t seed)
{
    static const int64_t tokens[] = {SPS_PAGE_TOKENS, 16, 7, 1};
    struct run run;
    bool ok = make(setting, backend, seed, &run) &&
              pages_change_nothing(&run, tokens[problem_draw(seed, 600, 0, 3)]) &&
              pages_change_nothing(&run, SPS_PAGE_TOKENS);

    if (!ok)
        run_report(setting, backend, &run);
    CU_ASSERT(ok);
    run_close(&run);
}

static void test_methods(void)
{
    for (int b = 0; b < BACKENDS; b++)
        for (uint64_t seed = 3; seed < 3 + SEEDS; seed++) {
            for (int i = 0; settings[i].method; i++)
                check(&settings[i], backends[b], seed);
            check(&linear_setting, backends[b], seed);
        }
}

/* Every key has a slot of its own, in a page of its sequence's; the order follows the
 * seed. */
static void test_paging(void)
{
    static const int64_t cu_k[] = {0, 130, 130, 131, 1000};
    struct sps_paging a, b;
    int64_t at = 0, moved = 0;

    CU_ASSERT_EQUAL_FATAL(sps_paging_make(cu_k, 4, 64, 1, &a), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_paging_make(cu_k, 4, 64, 2, &b), SPS_OK);
    const struct sps_shape shape = {.cu_k = cu_k, .n = 4, .pages = &a.pages};
    CU_ASSERT_TRUE(a.slots == (3 + 0 + 1 + 14) * 64 && a.pages.width == 14);
    for (int64_t n = 0; n < 4; n++) {
        for (int64_t j = 0; j < cu_k[n + 1] - cu_k[n]; j++)
            CU_ASSERT_EQUAL(a.row[sps_shape_key(&shape, n, j)], cu_k[n] + j);
        for (int64_t p = 0; p < 14; p++)
            CU_ASSERT_EQUAL(a.table[n * 14 + p] >= 0,
                            p < (cu_k[n + 1] - cu_k[n] + 63) / 64);
    }
    for (int64_t i = 0; i < a.slots; i++)
        at += a.row[i] >= 0;
    CU_ASSERT_EQUAL(at, 1000);
    for (int64_t i = 0; i < 4 * 14; i++)
        moved += a.table[i] != b.table[i];
    CU_ASSERT_TRUE(moved > 9);
    sps_paging_free(&a);
    sps_paging_free(&b);
}

/* Gradients need a contiguous cache. */
static void test_refused(void)
{
    struct run run;
    struct sps_plan plan;

    CU_ASSERT_FATAL(run_open(&settings[0], "cpu", 3, &run));
    const struct sps_pages pages = {.tokens = 64};
    run.input.shape.pages = &pages;
    run.input.backward = true;
    CU_ASSERT_EQUAL(
        sps_plan_make(sps_method_find("full"), NULL, &run.input, &run.dev, &plan),
        SPS_ENOTSUP);
    CU_ASSERT_STRING_EQUAL(sps_error(), "cache paged: no backward pass, contiguous has");
    sps_plan_free(&plan);
    run_close(&run);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"every key lies in one slot", test_paging},
        {"pages change no bit", test_methods},
        {"no backward pass", test_refused},
        {NULL, NULL},
    };
    return tap_run("paged", tests);
}
