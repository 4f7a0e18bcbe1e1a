/* verify.c - run a golden file's method and compare. */
#include "sim/run/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run/compare.h"
#include "sim/run/golden.h"
#include "sim/run/pass.h"
#include "sim/run/problem.h"
#include "sim/run/ties.h"

/* Relative L2 that each backend must keep (docs/methods.md, precision).  Half types: the
 * tensor cores take probabilities rounded once, each off by at most the type's unit
 * roundoff, 2^-8 (bf16) or 2^-11 (fp16), and by 0.42 of it in the mean. */
static const struct {
    const char *backend;
    enum sps_dtype dtype;
    double rel_l2;
} tolerances[] = {
    {"ref", SPS_F32, 2e-6},
    {"ref", SPS_F16, 2e-6},
    {"ref", SPS_BF16, 2e-6},
    {"cpu", SPS_F32, 2e-5},
    {"cpu", SPS_F16, 2e-5},
    {"cpu", SPS_BF16, 2e-5},
    {"cuda", SPS_F32, 2e-5},
    {"cuda", SPS_F16, 0x1p-11},
    {"cuda", SPS_BF16, 0x1p-8},
    {"cuda_portable", SPS_F32, 2e-5},
    {"cuda_portable", SPS_F16, 0x1p-11},
    {"cuda_portable", SPS_BF16, 0x1p-8},
};

/* A file under check. */
struct check {
    const struct sps_golden *golden;
    struct sps_device *dev;
    struct sps_input input;
    struct sps_pass pass;
    struct sps_index expected, got; /* host, lists owned */
    void *own;                      /* the lists of `expected` on the device */
    bool *agree;                    /* [t * h] the selection that row and head read */
    enum sps_dtype dtype;
    int64_t differ; /* lists that are not the file's */
    double tolerance;
    FILE *out;
    struct sps_verify_counts *counts;
};

static double tolerance_of(const char *backend, enum sps_dtype dtype)
{
    for (size_t i = 0; i < sizeof tolerances / sizeof *tolerances; i++)
        if (strcmp(tolerances[i].backend, backend) == 0 && tolerances[i].dtype == dtype)
            return tolerances[i].rel_l2;
    return 0;
}

static void print_result(struct check *c, const char *name, const char *how,
                         const struct sps_difference *d)
{
    bool pass = d->masks_equal && d->rel_l2 <= c->tolerance;

    fprintf(c->out, "  %-8s %-14s max abs %.2e  rel l2 %.2e  cosine %.8f  %s", name, how,
            d->max_abs, d->rel_l2, d->cosine, pass ? "PASS" : "FAIL");
    if (!pass)
        fprintf(c->out, " (allowed %.0e, worst at element %lld%s)", c->tolerance,
                (long long)d->worst, d->masks_equal ? "" : ", nan or inf");
    fprintf(c->out, "\n");
    *(pass ? &c->counts->passed : &c->counts->failed) += 1;
}

/* Compare a device tensor of `count` floats with the file's tensor `name`. */
static enum sps_status compare(struct check *c, const char *name, const char *how,
                               const float *device, const bool *keep, int64_t group)
{
    struct sps_tensor expected;
    void *got = NULL;

    if (!sps_safetensors_has(c->golden->file, name))
        return SPS_OK;
    SPS_TRY(sps_golden_floats(c->golden, name, &expected));
    int64_t count = sps_tensor_count(&expected);
    enum sps_status status = sps_calloc((size_t)count * sizeof(float), &got);
    if (status == SPS_OK)
        status =
            c->dev->backend->download(c->dev, got, device, (size_t)count * sizeof(float));
    if (status == SPS_OK) {
        struct sps_difference d = sps_compare(expected.data, got, count, keep, group);
        print_result(c, name, how, &d);
    }
    free(got);
    sps_tensor_free(&expected);
    return status;
}

/* Lists that differ, and those of them that no tie explains. */
struct lists {
    int64_t differ, wrong;
};

/* Mark the rows and heads whose lists are equal and count the others. */
static enum sps_status compare_lists(struct check *c, struct sps_ties *ties,
                                     struct lists *lists)
{
    const struct sps_shape *s = &c->input.problem.shape;
    int64_t G = s->h / c->got.heads;

    for (int64_t r = 0; r < s->t; r++)
        for (int64_t x = 0; x < c->got.heads; x++) {
            int64_t a, b;
            const int32_t *e = sps_index_list(&c->expected, r, x, &a);
            const int32_t *g = sps_index_list(&c->got, r, x, &b);
            bool same = a == b && memcmp(e, g, (size_t)a * sizeof *e) == 0;
            bool tied = true;
            if (!same)
                SPS_TRY(sps_ties_explain(ties, r, x, &c->expected, &c->got, &tied));
            lists->differ += !same;
            lists->wrong += !tied;
            for (int64_t h = 0; h < G; h++)
                c->agree[r * s->h + x * G + h] = same;
        }
    return SPS_OK;
}

/* Selections compare as sets, list by list. */
static enum sps_status check_selection(struct check *c)
{
    const struct sps_shape *s = &c->input.problem.shape;
    void *mem;

    SPS_TRY(sps_golden_index(c->golden, &c->expected));
    if (!c->expected.list)
        return SPS_OK;
    SPS_TRY(sps_pass_index(&c->pass, &c->got));
    c->expected.block = c->got.block;
    if (c->expected.heads != c->got.heads || c->expected.t != c->got.t)
        return sps_fail(SPS_ECONFIG,
                        "selection of %lld rows and %lld heads: %lld and %lld expected",
                        (long long)c->expected.t, (long long)c->expected.heads,
                        (long long)c->got.t, (long long)c->got.heads);
    SPS_TRY(sps_calloc((size_t)(s->t * s->h), &mem));
    c->agree = mem;
    struct lists lists = {0};
    struct sps_ties ties;
    enum sps_status status = sps_ties_open(c->golden, &ties);
    if (status == SPS_OK)
        status = compare_lists(c, &ties, &lists);
    sps_ties_close(&ties);
    SPS_TRY(status);
    c->differ = lists.differ;
    bool pass = lists.wrong == 0;
    fprintf(c->out, "  %-8s %-14s %lld of %lld lists differ, %lld beyond ties  %s\n",
            "index", "as sets", (long long)lists.differ, (long long)(s->t * c->got.heads),
            (long long)lists.wrong, pass ? "PASS" : "FAIL");
    *(pass ? &c->counts->passed : &c->counts->failed) += 1;
    return SPS_OK;
}

static enum sps_status upload_own(struct check *c)
{
    const struct sps_index *index = &c->expected;
    size_t bytes = (size_t)(index->t * index->heads * index->width) * sizeof(int32_t);

    SPS_TRY(c->dev->backend->alloc(c->dev, bytes, &c->own));
    return c->dev->backend->upload(c->dev, c->own, index->list, bytes);
}

/* The file's own selection, as kernels take it. */
static struct sps_index own_index(const struct check *c)
{
    struct sps_index index = c->expected;

    index.list = c->own;
    return index;
}

/* Attention over the file's own selection: nsa's o_slc, or moba's whole o. */
static enum sps_status check_own_selection(struct check *c)
{
    static const struct sps_band none;
    const struct sps_problem *p = &c->input.problem;
    struct sps_index index;
    bool branch = sps_safetensors_has(c->golden->file, "o_slc");
    void *o;

    if (!c->expected.list)
        return SPS_OK;
    SPS_TRY(upload_own(c));
    index = own_index(c);
    SPS_TRY(c->dev->backend->alloc(
        c->dev, (size_t)(p->shape.t * p->shape.h * p->shape.dv) * sizeof(float), &o));
    enum sps_status status =
        c->dev->kernels.attend(c->dev, &p->shape, &p->in, &index, &none,
                               (struct sps_rows){0, p->shape.t}, o, NULL);
    if (status == SPS_OK)
        status = compare(c, branch ? "o_slc" : "o", "own selection", o, NULL, 1);
    c->dev->backend->free(c->dev, o);
    return status;
}

static enum sps_status compare_peeks(struct check *c, const struct sps_call *call)
{
    static const char *const names[] = {"k_cmp",   "v_cmp", "o_cmp",
                                        "lse_cmp", "o_slc", "o_win"};
    int64_t dv = c->golden->data.dv;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sps_tensor x;
        bool selected = strcmp(names[i], "o_slc") == 0;
        if (c->golden->method->peek(call, names[i], &x))
            SPS_TRY(compare(c, names[i], "end to end", x.data, selected ? c->agree : NULL,
                            dv));
    }
    return SPS_OK;
}

/* A pass of its own, because the one that is timed may leave intermediates out. */
static enum sps_status check_peeks(struct check *c)
{
    struct sps_problem problem = c->input.problem;
    struct sps_pass pass = {0};

    if (!c->golden->method->peek)
        return SPS_OK;
    problem.keep = true;
    enum sps_status status =
        sps_pass_open(c->golden->method, c->golden->options, &problem, c->dev, &pass);
    if (status == SPS_OK)
        status = sps_pass_run(&pass, NULL);
    if (status == SPS_OK)
        status = compare_peeks(c, &pass.call);
    sps_pass_close(&pass);
    return status;
}

static const char *const gradients[] = {"dq", "dk", "dv", "dgate", "dw_k", "dw_v"};
enum { GRADIENTS = sizeof gradients / sizeof *gradients };

/* What cannot be checked is said, not passed over. */
static void skip_gradients(struct check *c, const char *reason)
{
    for (size_t i = 0; i < GRADIENTS; i++)
        if (sps_safetensors_has(c->golden->file, gradients[i])) {
            fprintf(c->out, "  %-8s %-14s %s  SKIP\n", gradients[i], "", reason);
            c->counts->skipped++;
        }
}

static enum sps_status compare_gradients(struct check *c, const struct sps_call *call,
                                         const char *how)
{
    const struct sps_method *method = c->golden->method;
    const float *const first[] = {call->dq, call->dk, call->dv};

    for (size_t i = 0; i < GRADIENTS; i++) {
        struct sps_tensor x = {.data = i < 3 ? (void *)first[i] : NULL};
        if (x.data || (method->peek && method->peek(call, gradients[i], &x)))
            SPS_TRY(compare(c, gradients[i], how, x.data, NULL, 1));
    }
    return SPS_OK;
}

/* Every row reads what the file chose for it, forward and backward. */
static enum sps_status check_own_gradients(struct check *c, struct sps_pass *pass)
{
    struct sps_index chosen = pass->call.index;

    pass->call.index = own_index(c);
    enum sps_status status = sps_pass_attend(pass);
    if (status == SPS_OK)
        status = sps_pass_backward(pass, NULL);
    if (status == SPS_OK)
        status = compare_gradients(c, &pass->call, "own selection");
    pass->call.index = chosen;
    return status;
}

/* Every row's choice moves dk and dv: what was chosen here tells only where all rows
 * agree with the file. */
static enum sps_status check_chosen_gradients(struct check *c, struct sps_pass *pass)
{
    if (c->differ)
        return SPS_OK;
    SPS_TRY(sps_pass_backward(pass, NULL));
    return compare_gradients(c, &pass->call, "end to end");
}

/* A pass of its own, because a device may have forward kernels only. */
static enum sps_status run_backward(struct check *c, struct sps_pass *pass)
{
    struct sps_problem problem = c->input.problem;

    problem.backward = true;
    enum sps_status status =
        sps_pass_open(c->golden->method, c->golden->options, &problem, c->dev, pass);
    if (status == SPS_ENOTSUP) {
        skip_gradients(c, sps_error());
        return SPS_OK;
    }
    SPS_TRY(status);
    SPS_TRY(sps_pass_run(pass, NULL));
    SPS_TRY(check_chosen_gradients(c, pass));
    return c->expected.list ? check_own_gradients(c, pass) : SPS_OK;
}

static enum sps_status check_gradients(struct check *c)
{
    struct sps_pass pass = {0};

    if (!c->golden->data.d_o.data) {
        skip_gradients(c, "no do in the file");
        return SPS_OK;
    }
    enum sps_status status = run_backward(c, &pass);
    sps_pass_close(&pass);
    return status;
}

static enum sps_status check_all(struct check *c)
{
    const struct sps_golden *golden = c->golden;
    struct sps_take all = {.kv_heads = golden->data.g,
                           .backward = golden->data.d_o.data != NULL};

    SPS_TRY(sps_input_make(&golden->data, &all, c->dtype, 0, c->dev, &c->input));
    c->input.problem.backward = false;
    c->input.problem.shape.causal = golden->causal;
    SPS_TRY(sps_pass_open(golden->method, golden->options, &c->input.problem, c->dev,
                          &c->pass));
    SPS_TRY(sps_pass_run(&c->pass, NULL));
    SPS_TRY(check_selection(c));
    SPS_TRY(check_own_selection(c));
    SPS_TRY(check_peeks(c));
    SPS_TRY(compare(c, "o", "end to end", c->pass.call.o, c->agree, golden->data.dv));
    SPS_TRY(compare(c, "lse", "end to end", c->pass.call.lse, c->agree, 1));
    return check_gradients(c);
}

static void check_free(struct check *c)
{
    if (c->own)
        c->dev->backend->free(c->dev, c->own);
    sps_pass_close(&c->pass);
    sps_input_free(&c->input);
    free(c->expected.list);
    sps_pass_index_free(&c->got);
    free(c->agree);
}

enum sps_status sps_verify(const char *path, const char *backend, enum sps_dtype dtype,
                           FILE *out, struct sps_verify_counts *counts)
{
    struct sps_golden golden;
    struct sps_device dev;
    struct check c = {.golden = &golden,
                      .dev = &dev,
                      .out = out,
                      .counts = counts,
                      .dtype = dtype,
                      .tolerance = tolerance_of(backend, dtype)};

    SPS_TRY(sps_golden_open(path, &golden));
    enum sps_status status = sps_device_open(backend, 0, &dev);
    if (status == SPS_OK) {
        fprintf(out, "%s: %s on %s, %s\n", path, golden.method->name, backend,
                sps_dtype_name(dtype));
        status = check_all(&c);
        check_free(&c);
        sps_device_close(&dev);
    }
    sps_golden_close(&golden);
    return status == SPS_OK ? SPS_OK : sps_wrap(status, "%s", path);
}
