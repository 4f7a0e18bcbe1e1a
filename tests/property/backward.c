/* backward.c - gradients of every method that has them, on every CPU backend.
 * Over 400 lines because gradients have many partners to be held against. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sim/run/pass.h"
#include "tests/problem.h"
#include "tests/tap.h"

enum { SEEDS = 12, SETTINGS_MAX = 7, SMALL = 1000 };
enum { STREAM_GATE = 50, STREAM_W_K, STREAM_W_V, STREAM_PE, STREAM_D_O, STREAM_STEP };

static const char *const backends[] = {"ref", "cpu"};

static const struct setting {
    const char *method;
    const char *set[SETTINGS_MAX][2];
    bool open;   /* not causal */
    bool extras; /* the data brings gates and a linear map */
} settings[] = {
    {"full", {{0}}, false, false},
    {"full", {{0}}, true, false},
    {"window", {{"window", "7"}, {"sink", "2"}}, false, false},
    {"window", {{"window", "300"}, {"sink", "20"}}, false, false},
    {"nsa",
     {{"compress_block", "8"},
      {"compress_stride", "4"},
      {"select_block", "16"},
      {"select_count", "4"},
      {"window", "5"},
      {"compress", "linear"}},
     false,
     true},
    {"nsa",
     {{"compress_block", "8"},
      {"compress_stride", "8"},
      {"select_block", "8"},
      {"select_count", "4"},
      {"window", "0"}},
     false,
     false},
    {"nsa",
     {{"compress_block", "4"},
      {"compress_stride", "4"},
      {"select_block", "16"},
      {"select_count", "3"},
      {"window", "21"},
      {"combine", "union"}},
     false,
     false},
    {"moba", {{"block", "8"}, {"topk", "3"}}, false, false},
    {"moba", {{"block", "40"}, {"topk", "2"}}, false, false},
    {"random", {{"block", "1"}, {"topk", "9"}, {"share", "group"}}, false, false},
    {"random", {{"block", "6"}, {"topk", "9"}}, false, false},
    {"oracle_topk", {{"block", "300"}, {"topk", "2"}, {"share", "group"}}, false, false},
    {"oracle_topp", {{"block", "8"}, {"p", "0.7"}}, false, false},
    {"oracle_topp", {{"block", "16"}, {"p", "0.9"}, {"share", "group"}}, false, false},
    {"dsa", {{"topk", "12"}}, false, false},
    {"msa", {{"block", "32"}, {"topk", "2"}}, false, false},
    {"quest", {{"page", "4"}, {"topk", "5"}}, false, false},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

/* A method run forward and backward; everything to free together. */
struct run {
    const struct setting *setting;
    struct problem problem;
    struct sps_problem input;
    struct sps_device dev;
    struct sps_pass pass;
    void *options;
    struct sps_tensor gate, w_k, w_v, pe_k, d_o;
};

/* The gradients that tests look at, and what each is the gradient of. */
enum gradient { DQ, DK, DV, DGATE, DW_K, DW_V, DPE_K, GRADIENTS };
static const char *const name_of[GRADIENTS] = {"dq",   "dk",   "dv",   "dgate",
                                               "dw_k", "dw_v", "dpe_k"};

static struct sps_tensor gradient(const struct run *run, enum gradient which)
{
    const struct sps_call *call = &run->pass.call;
    const struct sps_qkv *in = &run->input.in;
    const struct sps_method *m = run->pass.plan.method;
    struct sps_tensor x = {0};

    if (which == DQ)
        x = in->q, x.data = call->dq;
    else if (which == DK)
        x = in->k, x.data = call->dk;
    else if (which == DV)
        x = in->v, x.data = call->dv;
    else if (!m->peek || !m->peek(call, name_of[which], &x))
        return (struct sps_tensor){0};
    return x;
}

static struct sps_tensor input_of(const struct run *run, enum gradient which)
{
    const struct sps_tensor inputs[GRADIENTS] = {
        run->input.in.q, run->input.in.k, run->input.in.v, run->gate,
        run->w_k,        run->w_v,        run->pe_k};

    return inputs[which];
}

static void draw(uint64_t seed, uint64_t stream, int64_t a, int64_t b, int64_t c,
                 float by, struct sps_tensor *x)
{
    *x = sps_tensor_view(problem_floats(a * b * c), SPS_F32, a, b, c, 1);
    sps_normals(seed, stream, 0, a * b * c, x->data);
    for (int64_t i = 0; i < a * b * c; i++)
        ((float *)x->data)[i] *= by;
}

/* Gates of either sign, and a linear map that keeps the size of a key. */
static void draw_extras(struct run *run, int64_t l)
{
    const struct sps_shape *s = &run->input.shape;
    uint64_t seed = run->problem.seed;
    float by_k = 1 / sqrtf((float)(l * s->dk)), by_v = 1 / sqrtf((float)(l * s->dv));

    draw(seed, STREAM_GATE, s->t, s->h, 3, 1, &run->gate);
    draw(seed, STREAM_W_K, s->g, l * s->dk, s->dk, by_k, &run->w_k);
    draw(seed, STREAM_W_V, s->g, l * s->dv, s->dv, by_v, &run->w_v);
    draw(seed, STREAM_PE, s->g, l, s->dk, 1, &run->pe_k);
    run->input.extra = (struct sps_extras){
        .gate = run->gate, .w_k = run->w_k, .w_v = run->w_v, .pe_k = run->pe_k};
}

/* Sequences short enough for finite differences: whole, a chunk, one row, none. */
static void shrink(struct problem *p)
{
    static const int64_t t[] = {40, 9, 1, 0}, s[] = {40, 33, 50, 3};

    p->shape.n = 4;
    p->shape.pos = NULL;
    p->shape.dk = p->seed % 2 ? 8 : 24;
    p->shape.dv = p->seed % 2 ? 16 : 8;
    for (int64_t i = 0; i < 4; i++) {
        p->cu_q[i + 1] = p->cu_q[i] + t[i];
        p->cu_k[i + 1] = p->cu_k[i] + s[i];
    }
    p->shape.t = p->cu_q[4];
    p->shape.s = p->cu_k[4];
    p->in.q.dim[0] = p->shape.t, p->in.q.dim[2] = p->shape.dk;
    p->in.k.dim[0] = p->shape.s, p->in.k.dim[2] = p->shape.dk;
    p->in.v.dim[0] = p->shape.s, p->in.v.dim[2] = p->shape.dv;
    p->q_idx.dim[0] = p->w_idx.dim[0] = p->shape.t;
    p->k_idx.dim[0] = p->shape.s;
    struct sps_tensor *const in[] = {&p->in.q,  &p->in.k,  &p->in.v,
                                     &p->q_idx, &p->k_idx, &p->w_idx};
    for (int i = 0; i < 6; i++) {
        struct sps_tensor *x = in[i];
        free(x->data);
        draw(p->seed, (uint64_t)(60 + i), x->dim[0], x->dim[1], x->dim[2], 1, x);
    }
}

static bool set_options(struct run *run)
{
    const struct sps_method *m = sps_method_find(run->setting->method);

    run->options = calloc(1, m->options_size + 1);
    sps_options_default(m->options, run->options);
    for (int i = 0; i < SETTINGS_MAX && run->setting->set[i][0]; i++)
        if (sps_option_set(sps_option_find(m->options, run->setting->set[i][0]),
                           run->options, run->setting->set[i][1]) != SPS_OK)
            return false;
    return true;
}

static void make_problem(struct run *run, uint64_t seed)
{
    problem_make(seed, &run->problem);
    if (seed >= SMALL)
        shrink(&run->problem);
    run->problem.shape.causal = !run->setting->open;
    run->input = (struct sps_problem){.shape = run->problem.shape,
                                      .in = run->problem.in,
                                      .dtype = SPS_F32,
                                      .seed = seed,
                                      .backward = true};
    if (run->setting->extras)
        draw_extras(run, 8);
    draw(seed, STREAM_D_O, run->input.shape.t, run->input.shape.h, run->input.shape.dv, 1,
         &run->d_o);
    run->input.extra.d_o = run->d_o;
    run->input.extra.q_idx = run->problem.q_idx;
    run->input.extra.k_idx = run->problem.k_idx;
    run->input.extra.w_idx = run->problem.w_idx;
}

static bool run_both(struct run *run)
{
    return sps_pass_run(&run->pass, NULL) == SPS_OK &&
           sps_pass_backward(&run->pass, NULL) == SPS_OK;
}

static bool run_open(const struct setting *setting, const char *backend, uint64_t seed,
                     struct run *run)
{
    *run = (struct run){.setting = setting};
    make_problem(run, seed);
    bool ok = set_options(run) && sps_device_open(backend, 2, &run->dev) == SPS_OK &&
              sps_pass_open(sps_method_find(setting->method), run->options, &run->input,
                            &run->dev, &run->pass) == SPS_OK &&
              run_both(run);
    if (!ok)
        printf("# %s on %s, seed %llu: %s\n", setting->method, backend,
               (unsigned long long)seed, sps_error());
    return ok;
}

static void run_close(struct run *run)
{
    struct sps_tensor *const owned[] = {&run->gate, &run->w_k, &run->w_v, &run->pe_k,
                                        &run->d_o};

    sps_pass_close(&run->pass);
    sps_device_close(&run->dev);
    problem_free(&run->problem);
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]->data);
    free(run->options);
}

static void report(const struct setting *setting, const char *backend,
                   const struct run *run)
{
    printf("# setting %d, %s on %s\n", (int)(setting - settings), setting->method,
           backend);
    problem_print(&run->problem);
}

typedef bool property(struct run *run);

/* Call `holds` for every setting and backend, seeds from `first` on. */
static void for_all(property *holds, int backend_first, uint64_t first, uint64_t count)
{
    for (int i = 0; i < SETTINGS; i++)
        for (int b = backend_first; b < 2; b++)
            for (uint64_t seed = first; seed < first + count; seed++) {
                struct run run;
                bool ok = run_open(&settings[i], backends[b], seed, &run);
                ok = ok && holds(&run);
                if (!ok)
                    report(&settings[i], backends[b], &run);
                CU_ASSERT(ok);
                run_close(&run);
            }
}

/* ---- finite differences, with the selection held where it was ---- */

static double loss(const struct run *run)
{
    const float *o = run->pass.call.o, *d_o = run->d_o.data;
    double sum = 0;

    for (int64_t i = 0; i < sps_tensor_count(&run->d_o); i++)
        sum += (double)d_o[i] * o[i];
    return sum;
}

/* Backward in two ranges of rows, over the lists that are there. */
static bool backward_ranges(struct run *run, int64_t cut)
{
    struct sps_call *call = &run->pass.call;
    const struct sps_method *m = run->pass.plan.method;

    for (int i = 0; i < GRADIENTS; i++) {
        struct sps_tensor x = gradient(run, (enum gradient)i);
        if (x.data)
            memset(x.data, 0, sps_tensor_bytes(&x));
    }
    if (call->gradients)
        memset(call->gradients, 0, run->pass.plan.gradient_bytes);
    return m->backward(call, (struct sps_rows){0, cut}) == SPS_OK &&
           m->backward(call, (struct sps_rows){cut, run->input.shape.t}) == SPS_OK &&
           (!m->backward_end || m->backward_end(call) == SPS_OK);
}

/* Forward again, and backward where wanted, over the lists of `index`. */
static bool run_held(struct run *run, const struct sps_index *index, bool backward)
{
    struct sps_call *call = &run->pass.call;
    struct sps_index chosen = call->index;
    bool ok = sps_pass_run(&run->pass, NULL) == SPS_OK;

    call->index = *index;
    ok = ok && sps_pass_attend(&run->pass) == SPS_OK;
    ok = ok && (!backward || backward_ranges(run, 0));
    call->index = chosen;
    return ok;
}

static double norm(const struct sps_tensor *x)
{
    double sum = 0;

    for (int64_t i = 0; i < sps_tensor_count(x); i++)
        sum += (double)((const float *)x->data)[i] * ((const float *)x->data)[i];
    return sqrt(sum);
}

/* One tensor, moved by +-1/64 of its size along a random direction: the loss must change
 * by what the gradient says, to 2e-3 of what a random direction changes it by on average.
 */
static bool slope_fits(struct run *run, enum gradient which,
                       const struct sps_index *index)
{
    struct sps_tensor x = input_of(run, which), dx = gradient(run, which);
    int64_t n = sps_tensor_count(&x);
    float step = (float)(norm(&x) / sqrt((double)n) / 64);
    float *at = x.data, *was = problem_floats(n), *u = problem_floats(n + 4);
    double expected = 0, change = 0, usual = 2 * (double)step * norm(&dx);
    bool ok = true;

    memcpy(was, at, (size_t)n * sizeof *was);
    sps_normals(run->problem.seed, STREAM_STEP + (uint64_t)which, 0, n, u);
    for (int64_t i = 0; i < n; i++) {
        double moved = (double)(was[i] + step * u[i]) - (double)(was[i] - step * u[i]);
        expected += moved * ((const float *)dx.data)[i];
    }
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int64_t i = 0; i < n; i++)
            at[i] = sign > 0 ? was[i] + step * u[i] : was[i] - step * u[i];
        ok = ok && run_held(run, index, false);
        change += sign * loss(run);
    }
    memcpy(at, was, (size_t)n * sizeof *was);
    free(was);
    free(u);
    bool fits = ok && fabs(change - expected) <= 2e-3 * usual + 1e-5;
    if (!fits)
        printf("# %s: %.9g by differences, %.9g by the gradient, usual %.3g\n",
               name_of[which], change, expected, usual);
    return fits;
}

static bool slopes_fit(struct run *run)
{
    struct sps_index index;
    bool ok = sps_pass_index(&run->pass, &index) == SPS_OK;

    for (int i = 0; i < GRADIENTS; i++)
        if (input_of(run, (enum gradient)i).data && gradient(run, (enum gradient)i).data)
            ok = slope_fits(run, (enum gradient)i, &index) && ok;
    sps_pass_index_free(&index);
    return ok;
}

static void test_differences(void)
{
    for_all(slopes_fit, 0, SMALL, 3);
}

/* ---- cpu against ref ---- */

/* Relative, but for what is 0 up to rounding (one key: p is 1 whatever q is). */
static bool near(const struct sps_tensor *a, const struct sps_tensor *b)
{
    int64_t n = sps_tensor_count(a);
    double error = 0, norm = 0;

    for (int64_t i = 0; i < n; i++) {
        double x = ((const float *)a->data)[i], y = ((const float *)b->data)[i];
        error += (x - y) * (x - y);
        norm += x * x;
    }
    return sqrt(error) <= 2e-5 * sqrt(norm) + 1e-6 * sqrt((double)n);
}

static bool agrees_with_ref(struct run *run)
{
    struct run ref;
    struct sps_index index = {0};
    bool ok = run_open(run->setting, "ref", run->problem.seed, &ref) &&
              sps_pass_index(&ref.pass, &index) == SPS_OK;

    ok = ok && run_held(run, &index, true);
    for (int i = 0; ok && i < DPE_K; i++) {
        struct sps_tensor a = gradient(&ref, (enum gradient)i);
        struct sps_tensor b = gradient(run, (enum gradient)i);
        ok = !a.data == !b.data && (!a.data || near(&a, &b));
        if (!ok)
            printf("# %s\n", name_of[i]);
    }
    sps_pass_index_free(&index);
    run_close(&ref);
    return ok;
}

static void test_backends(void)
{
    for_all(agrees_with_ref, 1, 0, SEEDS);
}

/* ---- structure ---- */

static bool finite_and_empty(struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    const float *dq = run->pass.call.dq;

    for (int i = 0; i < GRADIENTS; i++) {
        struct sps_tensor x = gradient(run, (enum gradient)i);
        for (int64_t j = 0; j < sps_tensor_count(&x); j++)
            if (!isfinite(((const float *)x.data)[j]))
                return false;
    }
    for (int64_t r = 0; s->causal && r < s->t; r++)
        for (int64_t i = 0; i < s->h * s->dk; i++)
            if (sps_shape_pos(s, sps_shape_sequence(s, r), r) < 0 &&
                dq[r * s->h * s->dk + i] != 0)
                return false;
    return true;
}

static void test_empty(void)
{
    for_all(finite_and_empty, 0, 0, SEEDS);
}

/* All gradients in one copy, for comparing bits. */
static float *copy_gradients(const struct run *run, int64_t *count)
{
    float *all;

    *count = 0;
    for (int i = 0; i < GRADIENTS; i++) {
        struct sps_tensor x = gradient(run, (enum gradient)i);
        *count += sps_tensor_count(&x);
    }
    float *to = all = problem_floats(*count);
    for (int i = 0; i < GRADIENTS; i++) {
        struct sps_tensor x = gradient(run, (enum gradient)i);
        if (sps_tensor_count(&x))
            memcpy(to, x.data, sps_tensor_bytes(&x));
        to += sps_tensor_count(&x);
    }
    return all;
}

static bool same_again(struct run *run)
{
    int64_t count;
    float *before = copy_gradients(run, &count);
    bool same = true;

    for (int threads = 1; threads <= 5 && same; threads += 2) {
        run->dev.threads = threads;
        same = sps_pass_backward(&run->pass, NULL) == SPS_OK;
        float *after = copy_gradients(run, &count);
        same = same && same_bits(before, after, count * (int64_t)sizeof(float));
        free(after);
    }
    free(before);
    return same;
}

static void test_threads(void)
{
    for_all(same_again, 0, 0, SEEDS);
}

/* Gradients stay what they are when `again` makes them in other pieces. */
static bool alike_in_pieces(struct run *run, bool (*again)(struct run *run))
{
    int64_t count;
    float *whole = copy_gradients(run, &count);
    struct sps_tensor a = sps_tensor_view(whole, SPS_F32, count, 1, 1, 1);
    bool ok = again(run);
    struct sps_tensor b =
        sps_tensor_view(copy_gradients(run, &count), SPS_F32, count, 1, 1, 1);

    ok = ok && near(&a, &b);
    free(whole);
    free(b.data);
    return ok;
}

static bool in_two_ranges(struct run *run)
{
    return backward_ranges(run, run->input.shape.t * 3 / 7);
}

/* Rows in two ranges add up to the whole. */
static bool ranges_add_up(struct run *run)
{
    return alike_in_pieces(run, in_two_ranges);
}

static void test_ranges(void)
{
    for_all(ranges_add_up, 0, 8, 4);
}

static bool in_chunks(struct run *run)
{
    if (run->pass.chunk > 7)
        run->pass.chunk = 7;
    return run_both(run);
}

/* Packed lists stand one chunk at a time and are selected again: gradients are those of
 * lists that all stand there. */
static bool chunks_add_up(struct run *run)
{
    return alike_in_pieces(run, in_chunks);
}

static void test_chunks(void)
{
    for_all(chunks_add_up, 0, 8, 4);
}

/* Choosing costs nothing backward, but for packed lists, which are chosen again.  nsa and
 * the dense methods have no stage that only chooses. */
static bool choice_is_free(struct run *run)
{
    const struct sps_plan *plan = &run->pass.plan;
    const struct sps_cost *cost = plan->cost;
    struct sps_problem forward = run->input;
    struct sps_plan other;

    if (strcmp(plan->method->name, "nsa") == 0)
        return true;
    forward.backward = false;
    bool ok =
        sps_plan_make(plan->method, plan->options, &forward, plan->dev, &other) == SPS_OK;
    const struct sps_cost *score = &other.cost[SPS_STAGE_SCORE];
    ok = ok && cost[SPS_STAGE_COMPRESS].flops == 0 && cost[SPS_STAGE_COMPRESS].bytes == 0;
    ok = ok && cost[SPS_STAGE_SCORE].flops == (plan->packed ? score->flops : 0) &&
         cost[SPS_STAGE_SCORE].bytes == (plan->packed ? score->bytes : 0);
    sps_plan_free(&other);
    return ok;
}

static void test_cost(void)
{
    for_all(choice_is_free, 0, 0, SEEDS);
}

/* Keys, values and d_o past position `cut` of every sequence become huge. */
static void poison(struct run *run, int64_t cut)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t dk = s->g * s->dk, dv = s->g * s->dv, d_o = s->h * s->dv;
    float *k = run->input.in.k.data, *v = run->input.in.v.data, *grad = run->d_o.data;
    float *k_idx = run->problem.k_idx.data;
    int64_t di = run->problem.k_idx.dim[2];

    for (int64_t n = 0; n < s->n; n++)
        for (int64_t j = s->cu_k[n] + cut + 1; j < s->cu_k[n + 1]; j++) {
            for (int64_t i = 0; i < dk; i++)
                k[j * dk + i] = i & 1 ? 1e4f : -1e4f;
            for (int64_t i = 0; i < dv; i++)
                v[j * dv + i] = i & 1 ? -1e4f : 1e4f;
            for (int64_t i = 0; i < di; i++)
                k_idx[j * di + i] = i & 1 ? 1e4f : -1e4f;
        }
    for (int64_t r = 0; r < s->t; r++)
        for (int64_t i = 0;
             i < d_o && sps_shape_pos(s, sps_shape_sequence(s, r), r) > cut; i++)
            grad[r * d_o + i] = i & 1 ? 1e4f : -1e4f;
}

static bool future_is_not_read(struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t cut = problem_draw(run->problem.seed, 99, 0, 40), row = s->h * s->dk;
    int64_t count = s->t * row;
    float *before = problem_floats(count);

    if (!s->causal) {
        free(before);
        return true;
    }
    memcpy(before, run->pass.call.dq, (size_t)count * sizeof *before);
    poison(run, cut);
    bool same = run_both(run);
    for (int64_t r = 0; same && r < s->t; r++)
        if (sps_shape_pos(s, sps_shape_sequence(s, r), r) <= cut)
            same = same_bits(before + r * row, run->pass.call.dq + r * row,
                             row * (int64_t)sizeof(float));
    free(before);
    return same;
}

static void test_future(void)
{
    for_all(future_is_not_read, 0, 0, SEEDS);
}

/* Every other row asks something else: the rows between choose and get what they did. */
static bool neighbours_do_not_matter(struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    int64_t row = s->h * s->dk, count = s->t * row;
    float *before = problem_floats(count), *q = run->input.in.q.data;

    memcpy(before, run->pass.call.dq, (size_t)count * sizeof *before);
    for (int64_t r = 0; r < s->t; r += 2)
        for (int64_t i = 0; i < row; i++)
            q[r * row + i] *= -3;
    bool same = run_both(run);
    for (int64_t r = 1; same && r < s->t; r += 2)
        same = same_bits(before + r * row, run->pass.call.dq + r * row,
                         row * (int64_t)sizeof(float));
    free(before);
    return same;
}

static void test_neighbours(void)
{
    for_all(neighbours_do_not_matter, 0, 6, 5);
}

/* pe moves every compressed key of a head alike: no output depends on it. */
static bool positions_get_nothing(struct run *run)
{
    struct sps_tensor dpe = gradient(run, DPE_K), dw = gradient(run, DW_K);

    return !dpe.data || norm(&dpe) <= 1e-5 * norm(&dw) + 1e-6;
}

static void test_positions(void)
{
    for_all(positions_get_nothing, 0, 0, SEEDS);
}

/* ---- compression alone, with a gradient that does not add up to 0 as nsa's does ---- */

/* Inputs and outputs of the linear map over the keys of a run. */
struct map {
    struct run *run;
    struct sps_compression by;
    int64_t cu[PROBLEM_SEQUENCES + 1];
    struct sps_tensor out, d_out;
};

static double map_loss(struct map *map, bool linear)
{
    struct run *run = map->run;
    const struct sps_kernels *kernels = &run->dev.kernels;
    const struct sps_shape *s = &run->input.shape;
    enum sps_status status =
        linear ? kernels->compress_linear(&run->dev, s, &run->input.in.k, &run->pe_k,
                                          &run->w_k, &map->by, map->out.data)
               : kernels->compress_mean(&run->dev, s, &run->input.in.k, &map->by,
                                        map->out.data);
    double sum = 0;

    CU_ASSERT_EQUAL(status, SPS_OK);
    for (int64_t i = 0; i < sps_tensor_count(&map->out); i++)
        sum += (double)((float *)map->out.data)[i] * ((float *)map->d_out.data)[i];
    return sum;
}

/* The loss is linear in each input, so one step along the gradient tells its length. */
static bool map_fits(struct map *map, bool linear, struct sps_tensor *x,
                     const struct sps_tensor *dx)
{
    float *at = x->data, *was = problem_floats(sps_tensor_count(x));
    double before = map_loss(map, linear), moved = 0;

    memcpy(was, at, sps_tensor_bytes(x));
    for (int64_t i = 0; i < sps_tensor_count(x); i++) {
        float slope = ((const float *)dx->data)[i];
        at[i] += slope;
        moved += (double)(at[i] - was[i]) * slope;
    }
    double change = map_loss(map, linear) - before;
    memcpy(at, was, sps_tensor_bytes(x));
    free(was);
    return fabs(change - moved) <= 1e-4 * moved + 1e-4;
}

static bool compression_fits(struct run *run)
{
    const struct sps_shape *s = &run->input.shape;
    const struct sps_kernels *kernels = &run->dev.kernels;
    struct map map = {.run = run, .by = {.l = 8, .u = 4}};
    struct sps_tensor dx, dw, dpe, mean;

    if (!run->setting->extras)
        return true;
    map.by.cu = map.cu;
    int64_t m = sps_compressed_offsets(s, 8, 4, map.cu);
    draw(run->problem.seed, 70, m, s->g, s->dk, 0, &map.out);
    draw(run->problem.seed, 71, m, s->g, s->dk, 1, &map.d_out);
    draw(run->problem.seed, 72, s->s, s->g, s->dk, 0, &dx);
    draw(run->problem.seed, 72, s->s, s->g, s->dk, 0, &mean);
    draw(run->problem.seed, 72, s->g, 8 * s->dk, s->dk, 0, &dw);
    draw(run->problem.seed, 72, s->g, 8, s->dk, 0, &dpe);
    bool ok =
        kernels->compress_linear_backward(&run->dev, s, &run->input.in.k, &run->pe_k,
                                          &run->w_k, map.d_out.data, &map.by, &dx,
                                          dw.data, dpe.data) == SPS_OK &&
        kernels->compress_mean_backward(&run->dev, s, map.d_out.data, &map.by, &mean) ==
            SPS_OK;
    ok = ok && map_fits(&map, true, &run->input.in.k, &dx) &&
         map_fits(&map, true, &run->w_k, &dw) && map_fits(&map, true, &run->pe_k, &dpe) &&
         map_fits(&map, false, &run->input.in.k, &mean);
    const struct sps_tensor owned[] = {map.out, map.d_out, dx, dw, dpe, mean};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i].data);
    return ok;
}

static void test_compression(void)
{
    for_all(compression_fits, 0, SMALL, 3);
}

/* null differentiates nothing and leaves the zeros that every pass starts from. */
static void test_null(void)
{
    const struct setting setting = {"null", {{0}}, false, false};

    for (int b = 0; b < 2; b++) {
        struct run run;
        CU_ASSERT_FATAL(run_open(&setting, backends[b], 1, &run));
        for (int i = DQ; i <= DV; i++) {
            struct sps_tensor x = gradient(&run, (enum gradient)i);
            memset(x.data, 0xff, sps_tensor_bytes(&x));
        }
        CU_ASSERT_EQUAL(sps_pass_backward(&run.pass, NULL), SPS_OK);
        for (int i = DQ; i <= DV; i++) {
            struct sps_tensor x = gradient(&run, (enum gradient)i);
            for (int64_t j = 0; j < sps_tensor_count(&x); j++)
                CU_ASSERT_TRUE_FATAL(((float *)x.data)[j] == 0);
        }
        run_close(&run);
    }
}

static void refuse(const struct sps_method *method, const char *option, const char *value,
                   const char *words)
{
    const struct setting setting = {method->name, {{option, value}}, false, false};
    struct run run = {.setting = &setting};

    make_problem(&run, 1);
    CU_ASSERT(set_options(&run));
    CU_ASSERT_EQUAL_FATAL(sps_device_open("ref", 1, &run.dev), SPS_OK);
    CU_ASSERT_EQUAL(sps_pass_open(method, run.options, &run.input, &run.dev, &run.pass),
                    SPS_ENOTSUP);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), words));
    run_close(&run);
}

static void test_refusals(void)
{
    struct sps_method forward = *sps_method_find("full");

    forward.backward = NULL;
    refuse(&forward, NULL, NULL, "full has no backward pass");
    refuse(sps_method_find("nsa"), "gate", "fit", "gate fit has no backward pass");
}

static const struct tap_test tests[] = {
    {"the loss changes as the gradient says", test_differences},
    {"cpu agrees with ref", test_backends},
    {"rows that see nothing get nothing", test_empty},
    {"thread count and repetition change no bit", test_threads},
    {"ranges of rows add up to the whole", test_ranges},
    {"chunks of packed lists add up to the whole", test_chunks},
    {"choosing costs nothing but for packed lists", test_cost},
    {"the future changes no bit of dq", test_future},
    {"other rows change no bit of dq", test_neighbours},
    {"dpe is 0", test_positions},
    {"compression passes its gradients on", test_compression},
    {"null leaves every gradient 0", test_null},
    {"what has no backward pass says so", test_refusals},
    {0},
};

int main(void)
{
    return tap_run("backward", tests);
}
