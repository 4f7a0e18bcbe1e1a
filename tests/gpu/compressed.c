/* compressed.c - checks of attention over compressed keys and of its choice of blocks:
 * on any problem, with many blocks kept, and where scores lie close.
 */
#include "tests/gpu/checks.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

/* ---- one branch on both sides ---- */

/* Keys and values [m,g,d] of `by`, by which the rule chooses blocks: ref's scores
 * x[r,g,nb] and lists. */
struct branch {
    struct sps_compression by;
    struct sps_rule rule;
    float *k, *v, *k_gpu, *v_gpu, *x;
    int64_t nb, scores; /* elements of x */
    struct lists lists;
};

/* Memory for all, ended by branch_drop(). */
static void branch_new(struct problem *p, const struct sps_compression *by,
                       struct sps_rule rule, struct branch *b)
{
    int64_t g = p->spec.g, m = by->cu[p->shape.n];
    size_t k_bytes = (size_t)(m * g * p->spec.dk) * 4,
           v_bytes = (size_t)(m * g * p->spec.dv) * 4;

    *b = (struct branch){.by = *by, .rule = rule};
    b->nb = sps_shape_blocks(&p->shape, rule.block);
    b->scores = (p->rows.end - p->rows.begin) * g * b->nb;
    b->k = host(k_bytes), b->k_gpu = device(k_bytes);
    b->v = host(v_bytes), b->v_gpu = device(v_bytes);
    b->x = host((size_t)b->scores * 4);
    lists_new(p, g, rule.block, rule.count, &b->lists);
}

static void branch_drop(struct branch *b)
{
    lists_drop(&b->lists);
    free(b->k), free(b->v), free(b->x);
    device_free(b->k_gpu), device_free(b->v_gpu);
}

/* What the reference makes of k and v, which go to the GPU too. */
static void branch_expect(struct problem *p, struct branch *b)
{
    int64_t rows = b->by.cu[p->shape.n] * p->spec.g;

    upload(b->k_gpu, b->k, (size_t)(rows * p->spec.dk) * 4);
    upload(b->v_gpu, b->v, (size_t)(rows * p->spec.dv) * 4);
    MUST(ref.kernels.compressed(&ref, &p->shape, &p->ref.in.q, b->k, b->v, &b->by,
                                b->rule.block, p->rows, p->ref.o, p->ref.lse, b->x));
    MUST(ref.kernels.topk(&ref, &p->shape, b->x, &b->rule, p->rows, &b->lists.ref));
}

/* The GPU's o, lse (or NULL) and lists, in one. */
static void branch_select(struct problem *p, struct branch *b, float *lse)
{
    poison_output(p);
    MUST(gpu.kernels.compressed_select(&gpu, &p->shape, &p->gpu.in.q, b->k_gpu, b->v_gpu,
                                       &b->by, &b->rule, p->rows, p->gpu.o, lse,
                                       &b->lists.gpu));
}

/* ---- on any problem ---- */

/* Names of the verdicts, by whether the keys are rounded. */
enum { BOTH, SCORES, SELECT, NO_LSE, LISTS, WHATS };
static const char *const whats[2][WHATS] = {
    {"compressed", "compressed scores", "compressed_select",
     "compressed_select without lse", "compressed_select lists"},
    {"compressed, rounded keys", "compressed scores, rounded keys",
     "compressed_select, rounded keys", "compressed_select without lse, rounded keys",
     "compressed_select lists, rounded keys"}};

/* Keys and values that the reference made of means; keys, to tell them apart, larger. */
static void branch_means(struct problem *p, struct branch *b)
{
    int64_t size = b->by.cu[p->shape.n] * p->spec.g * p->spec.dk;

    MUST(ref.kernels.compress_mean(&ref, &p->shape, &p->ref.in.k, &b->by, b->k));
    MUST(ref.kernels.compress_mean(&ref, &p->shape, &p->ref.in.v, &b->by, b->v));
    for (int64_t i = 0; i < size; i++)
        b->k[i] *= 4;
}

/* Output and scores of `compressed`. */
static void compare_scores(struct problem *p, struct branch *b, const char *const *what)
{
    float *y = device((size_t)b->scores * 4);

    poison_output(p);
    poison(y, b->scores);
    MUST(gpu.kernels.compressed(&gpu, &p->shape, &p->gpu.in.q, b->k_gpu, b->v_gpu, &b->by,
                                b->rule.block, p->rows, p->gpu.o, p->gpu.lse, y));
    compare(p, what[BOTH]);
    close_to(p, what[SCORES], y, b->x, b->scores, b->nb, 2e-5);
    device_free(y);
}

/* Without lse, the output that the GPU has has the same bits. */
static void compare_without_lse(struct problem *p, struct branch *b, const char *what)
{
    int64_t outputs = p->shape.t * p->spec.h * p->spec.dv;
    float *o = fetch(p->gpu.o, outputs);

    branch_select(p, b, NULL);
    float *again = fetch(p->gpu.o, outputs);
    verdict(memcmp(o, again, (size_t)outputs * 4) == 0, p->spec.name, what, gpu.impl, 1,
            0);
    free(o), free(again);
}

/* Both ways of attention over compressed keys. */
static void check_compressed(struct problem *p, const struct sps_compression *by,
                             int64_t block, int64_t count)
{
    struct sps_rule rule = {block, count, count > 3, count > 3 ? 2 : 1};
    const char *const *what = whats[by->rounded != SPS_F32];
    struct branch b;

    branch_new(p, by, rule, &b);
    branch_means(p, &b);
    branch_expect(p, &b);
    compare_scores(p, &b, what);
    branch_select(p, &b, p->gpu.lse);
    compare(p, what[SELECT]);
    compare_without_lse(p, &b, what[NO_LSE]);
    lists_compare(p, &b.lists, b.x, b.nb, what[LISTS], 1e-5);
    branch_drop(&b);
}

/* The same over means, and over means rounded to the input's type. */
static void check_rounding(struct problem *p, struct sps_compression by, int64_t block,
                           int64_t count)
{
    check_compressed(p, &by, block, count);
    by.rounded = p->spec.dtype;
    if (by.rounded != SPS_F32)
        check_compressed(p, &by, block, count);
}

void check_nsa(struct problem *p, int64_t l, int64_t u, int64_t block, int64_t count)
{
    int64_t cu[5];
    struct sps_compression by = {.l = l, .u = u, .cu = cu};

    if (p->spec.free_rows) {
        skip();
        return;
    }
    sps_compressed_offsets(&p->shape, l, u, cu);
    check_linear(p, &by);
    check_rounding(p, by, block, count);
}

/* ---- many blocks kept ---- */

/* Few blocks kept, and more than a warp has lanes, of more visible ones than are chosen
 * in registers (256); from sums of p, and from block scores made at once (blocks of 64),
 * by up to four warps a token or, of more than 480, by warps of their own; and more tiles
 * of rows than two for each multiprocessor. */
void check_long_lists(void)
{
    static const struct spec specs[] = {
        {"260 blocks of 8", ONE(45, 2080), 8, 2, 64, 64, SPS_BF16, .block = 8},
        {"325 blocks of 8", ONE(30, 2600), 32, 2, 64, 64, SPS_F16, .block = 8},
        {"257 blocks of 64", ONE(20, 16400), 8, 2, 64, 64, SPS_BF16, .block = 64},
        {"266 blocks of 64", ONE(30, 17000), 8, 2, 64, 64, SPS_F16, .block = 64},
        {"266 blocks, G 16", ONE(30, 17000), 32, 2, 64, 64, SPS_BF16, .block = 64},
        {"470 blocks, G 20", ONE(9, 30000), 40, 2, 64, 64, SPS_BF16, .block = 64},
        {"475 blocks, G 64", ONE(5, 30400), 64, 1, 64, 64, SPS_F16, .block = 64},
        {"522 blocks, G 20", ONE(9, 33400), 40, 2, 64, 64, SPS_BF16, .block = 64},
        {"530 blocks, G 16", ONE(40, 33900), 32, 2, 128, 128, SPS_BF16, .block = 64},
        {"525 blocks, G 12", ONE(30, 33600), 24, 2, 96, 128, SPS_F16, .block = 64},
        {"1560 blocks, G 64", ONE(5, 99840), 64, 1, 64, 64, SPS_BF16, .block = 64},
        {"267 tiles of rows", ONE(3200, 3200), 16, 1, 64, 64, SPS_BF16, .block = 64},
    };
    struct problem p;
    int64_t cu[5];

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        bool fine = specs[i].block == 8;
        struct sps_compression by = {.l = fine ? 16 : 32, .u = fine ? 4 : 16, .cu = cu};
        problem_build(&p, &specs[i], i + 800);
        sps_compressed_offsets(&p.shape, by.l, by.u, cu);
        check_rounding(&p, by, specs[i].block, 40);
        check_rounding(&p, by, specs[i].block, 16);
        problem_drop(&p);
    }
}

/* ---- scores that lie close ---- */

enum closeness { EQUAL, NEAR, SPIKE, WIDE, ROUNDED, GROWING };

/* Compressed keys of four rows over and over: all alike, or apart by 2^-13 of themselves,
 * which an fp16 term drops, or alike but for one that is far larger; or free ones, some
 * columns and some rows large, as they are or rounded to the type of the input; or free
 * ones that grow by 2^8, so that logits pass all that came before by 2^100, again and
 * again. */
static void close_keys(struct problem *p, const int64_t *cu, enum closeness kind,
                       float *k)
{
    int64_t d = p->spec.dk, row = p->spec.g * d, m = cu[p->spec.n];
    float *x = host((size_t)(4 * row) * 4);

    sps_normals(p->seed, 8, 0, m * row, k);
    sps_normals(p->seed, 9, 0, 4 * row, x);
    for (int64_t i = 0; i < p->spec.n; i++)
        for (int64_t j = cu[i] * row; j < cu[i + 1] * row; j++) {
            float like = x[(j - cu[i] * row) % (4 * row)];
            if (kind == GROWING)
                k[j] *= .25f * exp2f(8.f * (float)(j - cu[i] * row) /
                                     (float)((cu[i + 1] - cu[i]) * row));
            else if (kind >= WIDE)
                k[j] *= (j % d % 61 == 5 ? 8.f : .25f) * (j / row % 37 == 9 ? 4.f : 1.f);
            else
                k[j] = kind == EQUAL  ? like
                       : kind == NEAR ? like * (1 + 0x1p-13f * k[j])
                                      : like * (j / row - cu[i] == 150 ? 40 : 1);
        }
    if (kind == ROUNDED)
        sps_round_f32(k, m * row, p->spec.dtype);
    free(x);
}

/* The tie width of all rows, relative: 8 2^-24 max c sum|q||k|, and what float scores
 * leave out. */
static double tie_width(struct problem *p, const float *k, int64_t keys)
{
    int64_t h = p->spec.h, g = p->spec.g, d = p->spec.dk;
    const float *q = p->ref.in.q.data;
    double most = 0;

    for (int64_t i = p->rows.begin * h; i < p->rows.end * h; i++)
        for (int64_t j = 0; j < keys; j++) {
            const float *one = k + (j * g + i % h / (h / g)) * d;
            double sum = 0;
            for (int64_t c = 0; c < d; c++)
                sum += fabs((double)q[i * d + c] * one[c]);
            most = fmax(most, sum);
        }
    return 8 * 0x1p-24 * most * p->shape.scale + 0x1p-22;
}

/* Lists where blocks score alike: within the tie width, and of equal blocks the most
 * recent, to the block. */
static void check_close(const struct spec *spec, int64_t l, enum closeness kind)
{
    static const char *const names[] = {"equal blocks",          "near blocks",
                                        "equal blocks, a spike", "wide keys",
                                        "wide keys, rounded",    "growing keys"};
    struct problem p;
    struct branch b;
    int64_t cu[5];

    problem_build(&p, spec, 300);
    int64_t m = sps_compressed_offsets(&p.shape, l, 16, cu),
            size = m * spec->g * spec->dv;
    struct sps_compression by = {
        .l = l, .u = 16, .cu = cu, .rounded = kind == ROUNDED ? spec->dtype : SPS_F32};
    branch_new(&p, &by, (struct sps_rule){64, 16, 1, 2}, &b);
    close_keys(&p, cu, kind, b.k);
    sps_normals(p.seed, 10, 0, size, b.v);
    sps_round_f32(b.v, size, by.rounded);
    branch_expect(&p, &b);
    branch_select(&p, &b, p.gpu.lse);
    compare(&p, names[kind]);
    lists_compare(&p, &b.lists, b.x, b.nb, names[kind],
                  kind == EQUAL ? 0 : tie_width(&p, b.k, m));
    branch_drop(&b);
    problem_drop(&p);
}

void check_closeness(void)
{
    static const struct spec specs[] = {
        {"close, G 1", ONE(30, 3000), 2, 2, 128, 128, SPS_BF16, .spread = true},
        {"close, G 12", ONE(21, 3000), 24, 2, 128, 128, SPS_BF16, .spread = true},
        {"close, G 16", ONE(25, 7000), 16, 1, 128, 128, SPS_F16, .spread = true},
        {"close, G 16 d 80", ONE(25, 3000), 32, 2, 80, 64, SPS_BF16, .spread = true},
        {"close, G 64", ONE(10, 5000), 64, 1, 64, 64, SPS_BF16, .spread = true},
        {"close, packed",
         3,
         {9, 14, 5},
         {1700, 5100, 900},
         32,
         2,
         128,
         128,
         SPS_BF16,
         .block = 64},
    };

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int kind = EQUAL; kind <= GROWING; kind++) {
            check_close(&specs[i], 16, (enum closeness)kind);
            if (kind != EQUAL)
                check_close(&specs[i], 32, (enum closeness)kind);
        }
}
