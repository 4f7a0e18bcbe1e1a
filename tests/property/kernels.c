/* kernels.c - properties of the ref and cpu kernels on random problems: they agree, and
 * each keeps the rules of docs/methods.  A failing seed is printed with its shape.
 * Over 400 lines because every slot meets every property. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/property/kernels_run.h"
#include "tests/tap.h"

enum { SEEDS = 34 };

static const char *const backends[] = {"ref", "cpu"};
enum { BACKENDS = 2 };

/* Report what failed, once, and where. */
static void check(bool good, const struct problem *p, const char *backend,
                  const char *what)
{
    if (!good) {
        printf("# %s: %s\n", backend, what);
        problem_print(p);
    }
    CU_ASSERT(good);
}

static void ok(enum sps_status status)
{
    if (status != SPS_OK)
        printf("# %s\n", sps_error());
    CU_ASSERT_EQUAL_FATAL(status, SPS_OK);
}

/* A property of one backend on one problem. */
typedef void property(struct sps_device *dev, struct problem *p);

static void for_all(property *holds, int threads)
{
    for (int b = 0; b < BACKENDS; b++) {
        struct sps_device dev;
        ok(sps_device_open(backends[b], threads, &dev));
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct problem p;
            problem_make(seed, &p);
            holds(&dev, &p);
            problem_free(&p);
        }
        sps_device_close(&dev);
    }
}

static void run(struct sps_device *dev, const struct problem *p,
                const struct outputs *given, struct outputs *out)
{
    struct options options;

    options_draw(p->seed, &options);
    ok(outputs_make(dev, p, &options, given, out));
}

static int64_t elements(const struct problem *p, const struct outputs *out, int which)
{
    return out->width[which] * (which < PER_ROW ? p->shape.t : 1);
}

static bool is_lse(int which)
{
    return strstr(output_name[which], "lse") != NULL;
}

static bool is_index(int which)
{
    return which == NSA_INDEX || which == MOBA_INDEX;
}

/* ---- cpu against ref ---- */

/* cpu's kernels on ref's intermediate results. */
static void agree(struct sps_device *ref, struct sps_device *cpu, const struct problem *p)
{
    struct outputs a, b;

    run(ref, p, NULL, &a);
    run(cpu, p, &a, &b);
    for (int i = 0; i < OUTPUTS; i++) {
        int64_t n = elements(p, &a, i);
        bool good = is_index(i) || i == NOISE ? same_bits(b.x[i], a.x[i], 4 * n)
                    : is_lse(i)               ? near_abs(b.x[i], a.x[i], n, 1e-4)
                                              : near_l2(b.x[i], a.x[i], n, 2e-5);
        check(good, p, "cpu against ref", output_name[i]);
    }
    outputs_free(&a);
    outputs_free(&b);
}

static void test_agree(void)
{
    struct sps_device ref, cpu;

    ok(sps_device_open("ref", 1, &ref));
    ok(sps_device_open("cpu", 1, &cpu));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct problem p;
        problem_make(seed, &p);
        agree(&ref, &cpu, &p);
        problem_free(&p);
    }
    sps_device_close(&ref);
    sps_device_close(&cpu);
}

static bool listed(const int32_t *list, int64_t width, int32_t block)
{
    for (int64_t i = 0; i < width; i++)
        if (list[i] == block)
            return true;
    return false;
}

/* Lists of two backends differ only where scores are tied: what a alone chose scores at
 * most `tie` of its size above what b alone chose, by a's scores. */
static bool tied(const int32_t *a, const int32_t *b, int64_t width, const float *scores,
                 double bound)
{
    double low = INFINITY, high = -INFINITY;

    for (int64_t i = 0; i < width; i++) {
        if (a[i] >= 0 && !listed(b, width, a[i]))
            low = fmin(low, scores[a[i]]);
        if (b[i] >= 0 && !listed(a, width, b[i]))
            high = fmax(high, scores[b[i]]);
    }
    return low == INFINITY ? high == -INFINITY : low - high <= bound;
}

/* sum |q||k| at most |q|_1 max|k|: an upper bound of every term in the tie rule. */
static double product_bound(const struct problem *p)
{
    double q = 0, k = 0;

    for (int64_t i = 0; i < p->shape.t * p->shape.h; i++) {
        double sum = 0;
        for (int64_t d = 0; d < p->shape.dk; d++)
            sum += fabs(((const float *)p->in.q.data)[i * p->shape.dk + d]);
        q = fmax(q, sum);
    }
    for (int64_t i = 0; i < sps_tensor_count(&p->in.k); i++)
        k = fmax(k, fabs(((const float *)p->in.k.data)[i]));
    return q * k;
}

static void selections_agree(struct sps_device *ref, struct sps_device *cpu,
                             const struct problem *p)
{
    const int which[][2] = {{NSA_INDEX, CMP_SCORES}, {MOBA_INDEX, GATE_SCORES}};
    int64_t heads[] = {p->shape.g, p->shape.h};
    double bound = 8 * 0x1p-24 * product_bound(p);
    struct outputs a, b;

    run(ref, p, NULL, &a);
    run(cpu, p, NULL, &b);
    for (int i = 0; i < 2; i++) {
        int64_t width = a.width[which[i][0]] / heads[i],
                nb = a.width[which[i][1]] / heads[i];
        for (int64_t x = 0; x < p->shape.t * heads[i]; x++) {
            const float *scores = a.x[which[i][1]] + x * nb;
            double most = 0;
            for (int64_t j = 0; j < nb; j++)
                most = fmax(most, scores[j]);
            check(tied((int32_t *)a.x[which[i][0]] + x * width,
                       (int32_t *)b.x[which[i][0]] + x * width, width, scores,
                       i == 0 ? bound * p->shape.scale * most : bound),
                  p, "cpu against ref", output_name[which[i][0]]);
        }
    }
    outputs_free(&a);
    outputs_free(&b);
}

static void test_selections(void)
{
    struct sps_device ref, cpu;

    ok(sps_device_open("ref", 1, &ref));
    ok(sps_device_open("cpu", 1, &cpu));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct problem p;
        problem_make(seed, &p);
        selections_agree(&ref, &cpu, &p);
        problem_free(&p);
    }
    sps_device_close(&ref);
    sps_device_close(&cpu);
}

/* ---- one backend ---- */

/* Attention over keys that `reads` says, in double, for the tests alone. */
static void naive(const struct problem *p, const struct sps_band *band, float *o,
                  float *lse)
{
    const struct sps_shape *shape = &p->shape;
    int64_t h = shape->h, g = shape->g, dk = shape->dk, dv = shape->dv;
    const float *q = p->in.q.data, *k = p->in.k.data, *v = p->in.v.data;

    for (int64_t i = 0; i < shape->t * h; i++) {
        int64_t row = i / h, kv = i % h / (h / g), sequence = 0;
        double sum = 0, acc[128] = {0};
        while (shape->cu_q[sequence + 1] <= row)
            sequence++;
        int64_t s = shape->cu_k[sequence + 1] - shape->cu_k[sequence];
        int64_t pos = shape->pos ? shape->pos[row] : s - shape->cu_q[sequence + 1] + row;
        for (int64_t j = 0; j < s; j++) {
            int64_t key = (shape->cu_k[sequence] + j) * g + kv;
            bool read =
                band->all || j < band->sink || (j <= pos && pos - j < band->window);
            double x = 0;
            if (!read || (shape->causal && j > pos))
                continue;
            for (int64_t d = 0; d < dk; d++)
                x += (double)q[i * dk + d] * k[key * dk + d];
            x = exp(shape->scale * x);
            sum += x;
            for (int64_t d = 0; d < dv; d++)
                acc[d] += x * v[key * dv + d];
        }
        lse[i] = (float)log(sum);
        for (int64_t d = 0; d < dv; d++)
            o[i * dv + d] = sum > 0 ? (float)(acc[d] / sum) : 0;
    }
}

static void dense_is_naive(struct sps_device *dev, struct problem *p)
{
    struct options options;
    options_draw(p->seed, &options);
    const struct sps_band bands[] = {
        {.all = true}, options.band, {.window = 20, .sink = 3}, {.sink = 500}, {0}};
    int64_t lists = p->shape.t * p->shape.h, n = lists * p->shape.dv;
    float *o = problem_floats(n + 1), *lse = problem_floats(lists + 1);
    float *want = problem_floats(n + 1), *want_lse = problem_floats(lists + 1);

    for (int i = 0; i < 10; i++) {
        p->shape.causal = i < 5;
        naive(p, &bands[i % 5], want, want_lse);
        ok(dev->kernels.dense(dev, &p->shape, &p->in, &bands[i % 5],
                              (struct sps_rows){0, p->shape.t}, o, lse));
        check(near_l2(o, want, n, 2e-5), p, dev->backend->name, "dense o is naive o");
        check(near_abs(lse, want_lse, lists, 1e-4), p, dev->backend->name,
              "dense lse is naive lse");
    }
    free(o), free(lse), free(want), free(want_lse);
}

static void test_naive(void)
{
    for_all(dense_is_naive, 1);
}

/* Every block chosen, as bounded and as packed lists of h, g or 1 heads, with any band.
 */
static void all_is_dense(struct sps_device *dev, struct problem *p)
{
    const struct sps_band all = {.all = true}, bands[] = {{0}, {.window = 37, .sink = 5}};
    static const int64_t blocks[] = {5, 16, 300};
    int64_t block = blocks[problem_draw(p->seed, 200, 0, 2)];
    int64_t heads[] = {p->shape.h, p->shape.g, 1},
            nb = sps_shape_blocks(&p->shape, block);
    int64_t lists = p->shape.t * p->shape.h, n = lists * p->shape.dv;
    float *o = problem_floats(n + 1), *lse = problem_floats(lists + 1);
    float *want = problem_floats(n + 1), *want_lse = problem_floats(lists + 1);
    int32_t *list = malloc((size_t)(lists * nb + 1) * sizeof *list);
    int64_t *offset = malloc((size_t)(lists + 1) * sizeof *offset);
    struct sps_rows rows = {0, p->shape.t};

    for (int64_t i = 0; i < lists * nb; i++)
        list[i] = (int32_t)(i % nb);
    for (int64_t i = 0; i <= lists; i++)
        offset[i] = i * nb;
    ok(dev->kernels.dense(dev, &p->shape, &p->in, &all, rows, want, want_lse));
    for (int i = 0; i < 12; i++) {
        struct sps_index index = {p->shape.t, heads[i % 3], block, nb, list, NULL};
        if (i >= 6)
            index.width = 0, index.offset = offset;
        ok(dev->kernels.attend(dev, &p->shape, &p->in, &index, &bands[i / 3 % 2], rows, o,
                               lse));
        check(near_l2(o, want, n, 2e-5) && near_abs(lse, want_lse, lists, 1e-4), p,
              dev->backend->name, "all blocks chosen is dense");
    }
    free(o), free(lse), free(want), free(want_lse), free(list), free(offset);
}

static void test_all_is_dense(void)
{
    for_all(all_is_dense, 1);
}

static void constant_returns(struct sps_device *dev, struct problem *p)
{
    const int o[][2] = {{DENSE_O, DENSE_LSE},  {BAND_O, BAND_LSE},
                        {CMP_O, CMP_LSE},      {BLOCKS_O, BLOCKS_LSE},
                        {HEADS_O, HEADS_LSE},  {UNION_O, UNION_LSE},
                        {TOKENS_O, TOKENS_LSE}};
    struct outputs out;
    bool good = true;

    for (int64_t i = 0; i < sps_tensor_count(&p->in.v); i++)
        ((float *)p->in.v.data)[i] = 3.5f;
    run(dev, p, NULL, &out);
    for (int x = 0; x < 7; x++)
        for (int64_t i = 0; i < p->shape.t * p->shape.h * p->shape.dv; i++) {
            float lse = out.x[o[x][1]][i / p->shape.dv];
            good &= fabs(out.x[o[x][0]][i] - (lse == -INFINITY ? 0 : 3.5)) <= 1e-5;
        }
    check(good, p, dev->backend->name, "constant v returns the constant");
    outputs_free(&out);
}

static void test_constant(void)
{
    for_all(constant_returns, 1);
}

/* Keys, values and the indexer's keys after position `cut` of each sequence become +-1e4:
 * outputs, scores and lists of rows at or before it keep every bit. */
static void future_is_unseen(struct sps_device *dev, struct problem *p)
{
    int64_t wk = p->shape.g * p->shape.dk, wv = p->shape.g * p->shape.dv, cut[8];
    int64_t wi = p->k_idx.dim[2];
    struct outputs a, b;

    run(dev, p, NULL, &a);
    for (int64_t i = 0; i < p->shape.n; i++) {
        int64_t s = sps_shape_keys(&p->shape, i);
        cut[i] = s ? problem_draw(p->seed, 300 + (uint64_t)i, 0, s - 1) : 0;
        for (int64_t j = p->cu_k[i] + cut[i] + 1; j < p->cu_k[i + 1]; j++) {
            for (int64_t d = 0; d < wk; d++)
                ((float *)p->in.k.data)[j * wk + d] = (j + d) % 3 ? 1e4f : -1e4f;
            for (int64_t d = 0; d < wv; d++)
                ((float *)p->in.v.data)[j * wv + d] = (j + d) % 3 ? 1e4f : -1e4f;
            for (int64_t d = 0; d < wi; d++)
                ((float *)p->k_idx.data)[j * wi + d] = (j + d) % 3 ? 1e4f : -1e4f;
        }
    }
    run(dev, p, NULL, &b);
    for (int64_t row = 0; row < p->shape.t; row++) {
        int64_t sequence = sps_shape_sequence(&p->shape, row);
        for (int i = 0;
             i < PER_ROW && sps_shape_pos(&p->shape, sequence, row) <= cut[sequence]; i++)
            check(same_bits(a.x[i] + row * a.width[i], b.x[i] + row * b.width[i],
                            4 * a.width[i]),
                  p, dev->backend->name, output_name[i]);
    }
    outputs_free(&a);
    outputs_free(&b);
}

static void test_future(void)
{
    for_all(future_is_unseen, 1);
}

/* kv groups in reverse order, and the heads of each in reverse order. */
static void permute(const struct problem *p, const float *from, int64_t heads, int64_t d,
                    int64_t rows, float *to)
{
    (void)p;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t x = 0; x < heads; x++)
            memcpy(to + (r * heads + x) * d, from + (r * heads + heads - 1 - x) * d,
                   (size_t)d * sizeof *to);
}

static void reverse_heads(const struct problem *p, struct sps_tensor *x)
{
    float *to = problem_floats(sps_tensor_count(x) + 1);

    permute(p, x->data, x->dim[1], x->dim[2], x->dim[0], to);
    free(x->data);
    x->data = to;
}

static void heads_permute(struct sps_device *dev, struct problem *p)
{
    const int o[] = {DENSE_O, BAND_O, CMP_O, HEADS_O, UNION_O};
    struct outputs a, b;
    int64_t n = p->shape.t * p->shape.h * p->shape.dv;
    float *back = problem_floats(n + 1);

    run(dev, p, NULL, &a);
    reverse_heads(p, &p->in.q);
    reverse_heads(p, &p->in.k);
    reverse_heads(p, &p->in.v);
    run(dev, p, NULL, &b);
    for (int i = 0; i < 5; i++) {
        permute(p, b.x[o[i]], p->shape.h, p->shape.dv, p->shape.t, back);
        check(near_l2(back, a.x[o[i]], n, 1e-4), p, dev->backend->name,
              output_name[o[i]]);
    }
    outputs_free(&a);
    outputs_free(&b);
    free(back);
}

static void test_permute(void)
{
    for_all(heads_permute, 1);
}

static void nothing_is_zero(struct sps_device *dev, struct problem *p)
{
    const int o[][2] = {{DENSE_O, DENSE_LSE},   {BAND_O, BAND_LSE},
                        {BLOCKS_O, BLOCKS_LSE}, {HEADS_O, HEADS_LSE},
                        {TOKENS_O, TOKENS_LSE}, {CMP_O, CMP_LSE}};
    int64_t h = p->shape.h, dv = p->shape.dv;
    struct options options;
    struct outputs out;

    options_draw(p->seed, &options);
    run(dev, p, NULL, &out);
    for (int64_t i = 0; i < p->shape.t * h; i++) {
        int64_t pos =
            sps_shape_pos(&p->shape, sps_shape_sequence(&p->shape, i / h), i / h);
        for (int x = 0; x < 6; x++) {
            bool empty = x == 5                         ? pos + 1 < options.l
                         : x == 1 && !options.band.sink ? pos < 0 || !options.band.window
                                                        : pos < 0;
            bool zero = out.x[o[x][1]][i] == -INFINITY;
            for (int64_t d = 0; zero && d < dv; d++)
                zero = out.x[o[x][0]][i * dv + d] == 0;
            check(zero == empty, p, dev->backend->name, output_name[o[x][1]]);
        }
    }
    outputs_free(&out);
}

static void test_nothing(void)
{
    for_all(nothing_is_zero, 1);
}

/* The first key of every sequence is NaN: so is every row that sees a key, if only that.
 */
static void nan_is_kept(struct sps_device *dev, struct problem *p)
{
    int64_t rows = p->shape.t * p->shape.h, dv = p->shape.dv,
            width = p->shape.g * p->shape.dk;
    float *o = problem_floats(rows * dv), *lse = problem_floats(rows);
    struct sps_band all = {.all = true};

    for (int64_t i = 0; i < p->shape.n; i++)
        for (int64_t d = 0; sps_shape_keys(&p->shape, i) > 0 && d < width; d++)
            ((float *)p->in.k.data)[p->cu_k[i] * width + d] = NAN;
    ok(dev->kernels.dense(dev, &p->shape, &p->in, &all, (struct sps_rows){0, p->shape.t},
                          o, lse));
    for (int64_t i = 0; i < rows; i++) {
        int64_t row = i / p->shape.h, sequence = sps_shape_sequence(&p->shape, row);
        bool sees = sps_shape_visible(&p->shape, sequence, row) > 0, lost = false;
        for (int64_t d = 0; d < dv; d++)
            lost |= isnan(o[i * dv + d]) != sees;
        check(!lost && isnan(lse[i]) == sees, p, dev->backend->name, "NaN");
    }
    free(o), free(lse);
}

static void test_nan(void)
{
    for_all(nan_is_kept, 1);
}

/* Mass sums to 1 per head, group mass is its heads' sum, and both are sums of probs. */
static void mass_is_probs(struct sps_device *dev, struct problem *p)
{
    struct options options;
    struct outputs out;
    int64_t h = p->shape.h, group = h / p->shape.g;

    options_draw(p->seed, &options);
    run(dev, p, NULL, &out);
    int64_t nb = out.width[MASS_H] / h, last = p->shape.n - 1,
            head = (int64_t)p->seed % h;
    for (int64_t i = 0; i < p->shape.t * h; i++) {
        int64_t row = i / h, sequence = sps_shape_sequence(&p->shape, row);
        double sum = 0;
        for (int64_t b = 0; b < nb; b++)
            sum += out.x[MASS_H][i * nb + b];
        double want = sps_shape_visible(&p->shape, sequence, row) > 0;
        check(fabs(sum - want) <= 1e-5, p, dev->backend->name, "mass sums to 1");
    }
    for (int64_t i = 0; i < p->shape.t * p->shape.g * nb; i++) {
        double sum = 0;
        for (int64_t x = 0; x < group; x++)
            sum += out.x[MASS_H][(i / nb * group + x) * nb + i % nb];
        check(fabs(sum - out.x[MASS_G][i]) <= 1e-5, p, dev->backend->name, "group mass");
    }
    struct sps_rows rows = {p->cu_q[last], p->cu_q[last + 1]};
    int64_t s = sps_shape_keys(&p->shape, last);
    float *probs = problem_floats((rows.end - rows.begin) * s + 1);
    ok(dev->kernels.probs(dev, &p->shape, &p->in, head, rows, probs));
    for (int64_t r = rows.begin; r < rows.end; r++)
        for (int64_t b = 0; b * options.block < s; b++) {
            double sum = 0;
            for (int64_t j = b * options.block; j < s && j < (b + 1) * options.block; j++)
                sum += probs[(r - rows.begin) * s + j];
            check(fabs(sum - out.x[MASS_H][(r * h + head) * nb + b]) <= 1e-5, p,
                  dev->backend->name, "probs match mass");
        }
    free(probs);
    outputs_free(&out);
}

static void test_mass(void)
{
    for_all(mass_is_probs, 1);
}

/* The largest q.k of block b of one head, in double; its keys are all visible. */
static double largest_product(const struct problem *p, int64_t row, int64_t head,
                              int64_t first, int64_t n)
{
    int64_t g = p->shape.g, dk = p->shape.dk, kv = head / (p->shape.h / g);
    const float *q = (const float *)p->in.q.data + (row * p->shape.h + head) * dk;
    double most = -INFINITY;

    for (int64_t j = first; j < first + n; j++) {
        const float *k = (const float *)p->in.k.data + (j * g + kv) * dk;
        double sum = 0;
        for (int64_t d = 0; d < dk; d++)
            sum += (double)q[d] * k[d];
        most = fmax(most, sum);
    }
    return most;
}

/* Every head's largest product of a block of the whole keys that a row sees, against the
 * group's score. */
static void max_is_max(struct sps_device *dev, struct problem *p)
{
    double slack = 8 * 0x1p-24 * product_bound(p);
    int64_t g = p->shape.g, group = p->shape.h / g;
    struct options options;
    struct outputs out;

    options_draw(p->seed, &options);
    run(dev, p, NULL, &out);
    int64_t nb = out.width[MAX_SCORES] / g, block = options.block;
    for (int64_t row = 0; row < p->shape.t; row += 7) {
        int64_t sequence = sps_shape_sequence(&p->shape, row), kv = row % g;
        int64_t visible = sps_shape_visible(&p->shape, sequence, row);
        for (int64_t b = 0; b < nb; b++) {
            int64_t n = visible - b * block < block ? visible - b * block : block;
            double most = n > 0 ? -INFINITY : 0;
            for (int64_t x = kv * group; n > 0 && x < (kv + 1) * group; x++)
                most = fmax(most,
                            largest_product(p, row, x, p->cu_k[sequence] + b * block, n));
            check(fabs(out.x[MAX_SCORES][(row * g + kv) * nb + b] - most) <= slack, p,
                  dev->backend->name, "largest q.k");
        }
    }
    outputs_free(&out);
}

static void test_max(void)
{
    for_all(max_is_max, 1);
}

/* No key of a page is larger; pages of one repeated key reach their bound. */
static void bound_holds(struct sps_device *dev, struct problem *p)
{
    double slack = 8 * 0x1p-24 * product_bound(p);
    struct options options;
    struct outputs out;

    options_draw(p->seed, &options);
    for (int repeated = 0; repeated < 2; repeated++) {
        int64_t width = p->shape.g * p->shape.dk, h = p->shape.h, block = options.block;
        for (int64_t i = width; repeated && i < sps_tensor_count(&p->in.k); i++)
            ((float *)p->in.k.data)[i] = ((float *)p->in.k.data)[i % width];
        run(dev, p, NULL, &out);
        int64_t nb = out.width[BOUND_SCORES] / h;
        for (int64_t row = 0; row < p->shape.t; row += 7) {
            int64_t sequence = sps_shape_sequence(&p->shape, row), head = row % h;
            int64_t whole = sps_shape_visible(&p->shape, sequence, row) / block;
            for (int64_t b = 0; b < whole; b++) {
                double most =
                    largest_product(p, row, head, p->cu_k[sequence] + b * block, block);
                double bound = out.x[BOUND_SCORES][(row * h + head) * nb + b];
                check(bound >= most - slack && (!repeated || bound <= most + slack), p,
                      dev->backend->name, "bound of q.k");
            }
        }
        outputs_free(&out);
    }
}

static void test_bound(void)
{
    for_all(bound_holds, 1);
}

static void threads_do_not_matter(struct sps_device *dev, struct problem *p)
{
    struct outputs a, b;

    dev->threads = 1;
    run(dev, p, NULL, &a);
    dev->threads = 2 + (int)(p->seed % 2);
    run(dev, p, NULL, &b);
    for (int i = 0; i < OUTPUTS; i++)
        check(same_bits(a.x[i], b.x[i], 4 * elements(p, &a, i)), p, dev->backend->name,
              output_name[i]);
    outputs_free(&a);
    outputs_free(&b);
}

static void test_threads(void)
{
    for_all(threads_do_not_matter, 3);
}

/* ---- scores of blocks below SPS_SCORE_LEAST ---- */

/* Two compressed keys, u = 1, l = 2, blocks of 2: logits 0 and `low`, one head.  The last
 * block gets p of the second alone. */
static float last_score(struct sps_device *dev, float low)
{
    static const int64_t cu[] = {0, 3}, keys[] = {0, 2};
    const float q[3] = {1, 1, 1}, k[2] = {0, low}, v[2] = {1, 1};
    struct sps_shape shape = {.h = 1,
                              .g = 1,
                              .t = 3,
                              .s = 3,
                              .dk = 1,
                              .dv = 1,
                              .n = 1,
                              .cu_q = cu,
                              .cu_k = cu,
                              .causal = true,
                              .scale = 1};
    struct sps_tensor tensor = {(void *)q, {3, 1, 1}, SPS_F32};
    struct sps_compression by = {.l = 2, .u = 1, .cu = keys};
    float o[3], lse[3], scores[2 * 3];

    ok(dev->kernels.compressed(dev, &shape, &tensor, k, v, &by, 2,
                               (struct sps_rows){0, 3}, o, lse, scores));
    return scores[5];
}

static void test_least_score(void)
{
    for (int i = 0; i < 2; i++) {
        struct sps_device dev;
        ok(sps_device_open(i == 0 ? "ref" : "cpu", 1, &dev));
        CU_ASSERT_DOUBLE_EQUAL(last_score(&dev, -44) / exp(-44), 1, 1e-5);
        CU_ASSERT_EQUAL(last_score(&dev, -45), 0); /* 2^-64 is exp(-44.4) */
        CU_ASSERT_EQUAL(last_score(&dev, -70), 0);
        sps_device_close(&dev);
    }
}

/* ---- top-k alone ---- */

enum { KEYS = 100, BLOCK = 10, BLOCKS = 10 };

/* Lists of every row of one sequence of KEYS tokens and rows, from all scores. */
static enum sps_status choose_each(struct sps_device *dev, const float *scores,
                                   struct sps_rule rule, int32_t *list, int64_t width)
{
    static const int64_t cu[] = {0, KEYS};
    struct sps_shape shape = {.h = 1,
                              .g = 1,
                              .t = KEYS,
                              .s = KEYS,
                              .n = 1,
                              .cu_q = cu,
                              .cu_k = cu,
                              .causal = true};
    struct sps_index index = {KEYS, 1, rule.block, width, list, NULL};

    return dev->kernels.topk(dev, &shape, scores, &rule, (struct sps_rows){0, KEYS},
                             &index);
}

/* The same from one row of scores of blocks of BLOCK keys. */
static enum sps_status choose(struct sps_device *dev, const float *score,
                              struct sps_rule rule, int32_t *list, int64_t width)
{
    float scores[KEYS * BLOCKS];

    for (int i = 0; i < KEYS * BLOCKS; i++)
        scores[i] = score[i % BLOCKS];
    return choose_each(dev, scores, rule, list, width);
}

static void expect(struct sps_device *dev, const float *score, struct sps_rule rule,
                   int row, const int32_t *want)
{
    int32_t list[KEYS * 12];

    ok(choose(dev, score, rule, list, 12));
    for (int i = 0; i < 12; i++)
        if (list[row * 12 + i] != want[i])
            printf("# %s: row %d, place %d: block %d, should be %d\n", dev->backend->name,
                   row, i, list[row * 12 + i], want[i]);
    CU_ASSERT(memcmp(list + (size_t)row * 12, want, 12 * sizeof *want) == 0);
}

static void topk_rules(struct sps_device *dev)
{
    static const float equal[BLOCKS] = {0}, signs[BLOCKS] = {0, -0.0f, -1, -2, 0, 0, 9};
    static const float mixed[BLOCKS] = {5, -INFINITY, 3, 4, 3, -7, 3, 1, 99, INFINITY};
    static const int32_t recent[12] = {7, 8, 9, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    static const int32_t forced[12] = {0, 7, 8, 9, -1, -1, -1, -1, -1, -1, -1, -1};
    static const int32_t few[12] = {0, 1, 2, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    static const int32_t ties[12] = {0, 3, 4, 6, 7, -1, -1, -1, -1, -1, -1, -1};
    static const int32_t zero[12] = {1, 4, 5, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    static const int32_t all[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, -1};

    expect(dev, equal, (struct sps_rule){BLOCK, 3, 0, 0}, 99, recent);
    expect(dev, equal, (struct sps_rule){BLOCK, 4, 1, 1}, 99, forced);
    expect(dev, equal, (struct sps_rule){BLOCK, 5, 1, 2}, 25, few);
    expect(dev, mixed, (struct sps_rule){BLOCK, 5, 0, 1}, 79, ties);
    expect(dev, signs, (struct sps_rule){BLOCK, 3, 0, 0}, 55, zero);
    expect(dev, mixed, (struct sps_rule){BLOCK, 12, 2, 2}, 99, all);
}

/* Few and many wanted of many, equal scores among them: as ref. */
static void topk_counts(struct sps_device *dev, struct sps_device *ref)
{
    static const int64_t counts[] = {1, 2, 8, 16, 17, 18, 19, 20, 50, 99};
    float scores[KEYS * KEYS];
    int32_t got[KEYS * KEYS], want[KEYS * KEYS];

    for (int i = 0; i < KEYS * KEYS; i++)
        scores[i] = (float)((i * 7919 + i / KEYS) % 37 - 18) / 4;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int init = 0; init + 1 <= counts[i] && init <= 2; init += 2) {
            struct sps_rule rule = {1, counts[i], init, 1};
            ok(choose_each(dev, scores, rule, got, counts[i]));
            ok(choose_each(ref, scores, rule, want, counts[i]));
            CU_ASSERT(memcmp(got, want, (size_t)(KEYS * counts[i]) * sizeof *got) == 0);
        }
}

static void topk_refuses(struct sps_device *dev)
{
    float nan[BLOCKS] = {0, 1, 2, NAN};
    int32_t list[KEYS * 12];

    CU_ASSERT_EQUAL(choose(dev, nan, (struct sps_rule){BLOCK, 3, 0, 1}, list, 12),
                    SPS_ENUMERIC);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "row 30, head 0"));
    CU_ASSERT_EQUAL(choose(dev, nan, (struct sps_rule){BLOCK, 2, 1, 2}, list, 12),
                    SPS_ECONFIG);
    CU_ASSERT_EQUAL(choose(dev, nan, (struct sps_rule){BLOCK, 0, 0, 0}, list, 12),
                    SPS_ECONFIG);
    CU_ASSERT_EQUAL(choose(dev, nan, (struct sps_rule){BLOCK, 13, 1, 2}, list, 12),
                    SPS_EINVAL);
}

static void test_topk(void)
{
    for (int b = 0; b < BACKENDS; b++) {
        struct sps_device dev, ref;
        ok(sps_device_open(backends[b], 2, &dev));
        ok(sps_device_open("ref", 1, &ref));
        topk_rules(&dev);
        topk_counts(&dev, &ref);
        topk_refuses(&dev);
        sps_device_close(&dev);
        sps_device_close(&ref);
    }
}

/* Equal keys everywhere: MoBA's gate cannot tell blocks apart, the most recent win. */
static void equal_keys_choose_recent(struct sps_device *dev, struct problem *p)
{
    struct options options;
    struct outputs out;
    int64_t width = p->shape.g * p->shape.dk;

    for (int64_t i = width; i < sps_tensor_count(&p->in.k); i++)
        ((float *)p->in.k.data)[i] = ((float *)p->in.k.data)[i % width];
    options_draw(p->seed, &options);
    run(dev, p, NULL, &out);
    for (int64_t i = 0; i < p->shape.t * p->shape.h; i++) {
        int64_t row = i / p->shape.h, sequence = sps_shape_sequence(&p->shape, row);
        int64_t visible = sps_shape_visible(&p->shape, sequence, row);
        int64_t blocks = (visible + options.block - 1) / options.block;
        int64_t kept = blocks < options.topk ? blocks : options.topk;
        for (int64_t x = 0; x < kept; x++)
            check(((int32_t *)out.x[MOBA_INDEX])[i * options.topk + x] ==
                      blocks - kept + x,
                  p, dev->backend->name, "equal keys: recent blocks");
    }
    outputs_free(&out);
}

static void test_equal_keys(void)
{
    for_all(equal_keys_choose_recent, 1);
}

/* ---- devices ---- */

static void test_device(void)
{
    struct sps_device dev = {0};
    double seconds;

    sps_device_close(&dev);
    CU_ASSERT_EQUAL(sps_device_open("cpuu", 1, &dev), SPS_ECONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "did you mean 'cpu'"));
    CU_ASSERT_EQUAL(sps_device_open("cpu", -1, &dev), SPS_EINVAL);
    for (int b = 0; b < BACKENDS; b++) {
        ok(sps_device_open(backends[b], 2, &dev));
        CU_ASSERT(dev.memory_bytes > 0 && dev.threads == 2);
        CU_ASSERT_EQUAL(dev.backend->accepts(SPS_BF16), SPS_F32);
        ok(dev.backend->mark(&dev, 0));
        ok(dev.backend->mark(&dev, 1));
        ok(dev.backend->elapsed(&dev, 0, 1, &seconds));
        CU_ASSERT(seconds >= 0);
        CU_ASSERT_EQUAL(dev.backend->mark(&dev, SPS_MARKS), SPS_EINVAL);
        ok(dev.backend->flush(&dev));
        sps_device_close(&dev);
    }
}

static const struct tap_test tests[] = {
    {"devices open, mark, flush and close", test_device},
    {"scores of blocks below 2^-64 are 0", test_least_score},
    {"top-k: ties, forced blocks, few blocks, NaN", test_topk},
    {"equal keys choose the recent blocks", test_equal_keys},
    {"dense is the naive sum", test_naive},
    {"cpu agrees with ref", test_agree},
    {"cpu selects as ref, ties aside", test_selections},
    {"all blocks chosen is dense", test_all_is_dense},
    {"constant v returns the constant", test_constant},
    {"future keys change no bit", test_future},
    {"permuted heads permute the output", test_permute},
    {"rows that see nothing give 0 and -inf", test_nothing},
    {"rows that see a NaN are NaN", test_nan},
    {"mass sums to 1 and matches probs", test_mass},
    {"largest q.k of blocks and groups", test_max},
    {"key ranges bound q.k", test_bound},
    {"thread count changes no bit", test_threads},
    {NULL, NULL},
};

int main(void)
{
    return tap_run("kernels", tests);
}
