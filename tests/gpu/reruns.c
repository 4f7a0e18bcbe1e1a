/* reruns.c - checks of bits: runs repeat them, and a row's are its own. */
#include "tests/gpu/checks.h"

#include <string.h>

/* ---- reruns ---- */

enum { RUNS = 20 };

/* The first of several results stays in *first; later ones are compared and freed. */
static bool same_bits(void **first, void *got, size_t bytes)
{
    if (!*first) {
        *first = got;
        return true;
    }
    bool same = memcmp(*first, got, bytes) == 0;
    free(got);
    return same;
}

/* o of the GPU, all of it. */
static bool same_output(struct problem *p, void **first)
{
    int64_t count = p->shape.t * p->spec.h * p->spec.dv;

    return same_bits(first, fetch(p->gpu.o, count), (size_t)count * 4);
}

/* The GPU's lists, of all rows. */
static bool same_lists(const struct lists *l, void **first)
{
    size_t bytes = (size_t)l->count * 4;
    void *got = host(bytes);

    MUST(gpu.backend->download(&gpu, got, l->gpu.list, bytes));
    return same_bits(first, got, bytes);
}

/* Runs of compressed_select: o, lse and lists. */
static bool same_selects(struct problem *p, const struct sps_compression *by,
                         const float *k, const float *v, struct lists *l)
{
    struct sps_rule rule = {64, 16, 1, 2};
    int64_t rows = p->shape.t * p->spec.h;
    void *first[3] = {0};
    bool same = true;

    for (int run = 0; run < RUNS; run++) {
        poison_output(p);
        MUST(gpu.kernels.compressed_select(&gpu, &p->shape, &p->gpu.in.q, k, v, by, &rule,
                                           p->rows, p->gpu.o, p->gpu.lse, &l->gpu));
        same &= same_lists(l, &first[0]);
        same &= same_bits(&first[1], fetch(p->gpu.lse, rows), (size_t)rows * 4);
        same &= same_output(p, &first[2]);
    }
    free(first[0]), free(first[1]), free(first[2]);
    return same;
}

/* Lists of some rows by themselves are those that they have among others. */
static bool same_alone(struct problem *p, const struct sps_compression *by,
                       const float *k, const float *v, struct lists *l)
{
    struct sps_rule rule = {64, 16, 1, 2};
    size_t bytes = (size_t)l->count * 4, row = bytes / (size_t)p->shape.t;
    char *all = host(bytes), *alone = host(bytes);
    int64_t differ = 0;

    MUST(gpu.kernels.compressed_select(&gpu, &p->shape, &p->gpu.in.q, k, v, by, &rule,
                                       p->rows, p->gpu.o, NULL, &l->gpu));
    MUST(gpu.backend->download(&gpu, all, l->gpu.list, bytes));
    memset(alone, 0x77, bytes);
    upload(l->gpu.list, alone, bytes);
    for (int64_t i = 1; i < p->shape.t; i += 37)
        MUST(gpu.kernels.compressed_select(&gpu, &p->shape, &p->gpu.in.q, k, v, by, &rule,
                                           (struct sps_rows){i, i + 1}, p->gpu.o, NULL,
                                           &l->gpu));
    MUST(gpu.backend->download(&gpu, alone, l->gpu.list, bytes));
    for (size_t i = 1; i < (size_t)p->shape.t; i += 37)
        differ += memcmp(all + i * row, alone + i * row, row) != 0;
    free(all), free(alone);
    return differ == 0;
}

/* Of enough rows that CTAs draw tiles again: lists made by the warps that made their
 * scores, and by warps of their own. */
void check_compressed_reruns(void)
{
    static const struct spec specs[] = {
        {"rerun", ONE(2500, 2500), 32, 2, 128, 128, SPS_BF16, .block = 64},
        {"rerun, 532 blocks", ONE(3300, 34000), 16, 1, 64, 64, SPS_BF16, .block = 64},
    };
    int64_t cu[2];

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        const struct spec *spec = &specs[i];
        struct problem p;
        struct lists l;
        problem_build(&p, spec, 98 + i);
        int64_t size = sps_compressed_offsets(&p.shape, 32, 16, cu) * spec->g * spec->dk;
        struct sps_compression by = {.l = 32, .u = 16, .cu = cu};
        float *k = device((size_t)size * 4), *v = device((size_t)size * 4);
        lists_new(&p, spec->g, 64, 16, &l);
        MUST(gpu.kernels.compress_mean(&gpu, &p.shape, &p.gpu.in.k, &by, k));
        MUST(gpu.kernels.compress_mean(&gpu, &p.shape, &p.gpu.in.v, &by, v));
        verdict(same_selects(&p, &by, k, v, &l), spec->name, "20 runs, same bits",
                gpu.impl, 1, 0);
        verdict(same_alone(&p, &by, k, v, &l), spec->name, "rows alone, same lists",
                gpu.impl, 1, 0);
        lists_drop(&l);
        device_free(k), device_free(v);
        problem_drop(&p);
    }
}

/* The GPU's lists by noise: l is of blocks of `block`, as wide as `rule` keeps. */
static void choose_by_noise(struct problem *p, struct sps_rule rule, struct lists *l)
{
    int64_t heads = l->gpu.heads;
    float *y = device((size_t)((p->rows.end - p->rows.begin) * heads *
                               sps_shape_blocks(&p->shape, rule.block)) *
                      4);

    MUST(gpu.kernels.noise(&gpu, &p->shape, 5, rule.block, heads, p->rows, y));
    MUST(gpu.kernels.topk(&gpu, &p->shape, y, &rule, p->rows, &l->gpu));
    MUST(gpu.backend->download(&gpu, NULL, NULL, 0)); /* faults end with memory */
    device_free(y);
}

/* Every path that adds in an order: attention over all keys, over lists of each group and
 * of each head, masses (which go where o was). */
void check_reruns(void)
{
    struct spec spec = {"rerun", ONE(2048, 2048), 8, 4, 128, 128, SPS_BF16, .block = 64};
    struct sps_band all = {true, 0, 0}, none = {false, 0, 0};
    struct problem p;
    void *first[4] = {0};
    bool same[4] = {true, true, true, true};
    struct lists l[2];

    problem_build(&p, &spec, 99);
    for (int i = 0; i < 2; i++) {
        lists_new(&p, i ? 8 : 4, 64, 6, &l[i]);
        choose_by_noise(&p, (struct sps_rule){64, 6, 1, 1}, &l[i]);
    }
    for (int run = 0; run < RUNS; run++) {
        MUST(gpu.kernels.dense(&gpu, &p.shape, &p.gpu.in, &all, p.rows, p.gpu.o,
                               p.gpu.lse));
        same[0] &= same_output(&p, &first[0]);
        for (int i = 0; i < 2; i++) {
            MUST(gpu.kernels.attend(&gpu, &p.shape, &p.gpu.in, &l[i].gpu, &none, p.rows,
                                    p.gpu.o, p.gpu.lse));
            same[1 + i] &= same_output(&p, &first[1 + i]);
        }
        MUST(gpu.kernels.mass(&gpu, &p.shape, &p.gpu.in, 64, 4, p.rows, p.gpu.o));
        same[3] &= same_output(&p, &first[3]);
    }
    for (int i = 0; i < 4; i++) {
        verdict(same[i], "rerun", "20 runs, same bits", gpu.impl, 1, 0);
        free(first[i]);
    }
    lists_drop(&l[0]), lists_drop(&l[1]);
    problem_drop(&p);
}

/* ---- a row's bits are its own ---- */

/* Values of every other block 4096 times as large. */
static void shout(struct problem *p)
{
    float *v = p->ref.in.v.data;
    int64_t row = p->spec.g * p->spec.dv, count = p->shape.s * row;
    uint16_t *half = host((size_t)count * 2);

    for (int64_t i = 0; i < count; i++)
        if (i / row / p->spec.block % 2 == 0)
            v[i] *= 4096;
    sps_from_f32(v, count, p->spec.dtype, half);
    upload(p->gpu.in.v.data, half, (size_t)count * 2);
    free(half);
}

/* Rows over lists alone, or, where there is a first branch, with a window and gates
 * behind. */
static void attend_either(struct problem *p, const struct lists *l, const float *first,
                          struct sps_rows rows)
{
    static const struct sps_band none = {false, 0, 0};
    static const float gates[3] = {0, 0.5f, 1.5f};

    if (first)
        MUST(gpu.kernels.attend_gated(&gpu, &p->shape, &p->gpu.in, &l->gpu, 100, first,
                                      NULL, gates, rows, p->gpu.o));
    else
        MUST(gpu.kernels.attend(&gpu, &p->shape, &p->gpu.in, &l->gpu, &none, rows,
                                p->gpu.o, p->gpu.lse));
}

/* Every third row by itself has the bits that it has in `all`, the output of all rows. */
static void compare_each(struct problem *p, const struct lists *l, const float *first,
                         const float *all)
{
    int64_t row = p->spec.h * p->spec.dv, differ = 0;

    poison_output(p);
    for (int64_t i = 1; i < p->shape.t; i += 3)
        attend_either(p, l, first, (struct sps_rows){i, i + 1});
    float *each = fetch(p->gpu.o, p->shape.t * row);
    for (int64_t i = 1; i < p->shape.t; i += 3)
        differ += memcmp(all + i * row, each + i * row, (size_t)row * 4) != 0;
    verdict(differ == 0, p->spec.name, "rows alone, same bits", gpu.impl, (double)differ,
            0);
    free(each);
}

/* Rows computed one by one have the bits that they have among others, whatever the blocks
 * that the others choose hold; and all rows the same bits again. */
static void compare_alone(struct problem *p, const struct lists *l, const float *first)
{
    int64_t count = p->shape.t * p->spec.h * p->spec.dv, differ = 0;

    attend_either(p, l, first, p->rows);
    float *all = fetch(p->gpu.o, count);
    compare_each(p, l, first, all);
    for (int run = 0; run < 10; run++) {
        poison_output(p);
        attend_either(p, l, first, p->rows);
        float *again = fetch(p->gpu.o, count);
        differ += memcmp(all, again, (size_t)count * 4) != 0;
        free(again);
    }
    verdict(differ == 0, p->spec.name, "10 runs, same bits", gpu.impl, (double)differ, 0);
    free(all);
}

static void check_alone(const struct spec *spec)
{
    struct problem p;
    struct lists l;

    problem_build(&p, spec, 5);
    shout(&p);
    lists_new(&p, spec->g, spec->block, 3, &l);
    choose_by_noise(&p, (struct sps_rule){spec->block, 3, 0, 1}, &l);
    compare_alone(&p, &l, NULL);
    float *first = device((size_t)(p.shape.t * spec->h * spec->dv) * 4);
    if (gpu.kernels.attend_gated &&
        gpu.kernels.attend_gated_suits(&gpu, &p.shape, spec->dtype, &l.gpu))
        compare_alone(&p, &l, first);
    else
        skip();
    device_free(first);
    lists_drop(&l);
    problem_drop(&p);
}

void check_rows_alone(void)
{
    static const struct spec specs[] = {
        {"alone, G 16", ONE(700, 700), 16, 1, 128, 128, SPS_F16, .block = 64},
        {"alone, G 16 bf16", ONE(900, 900), 64, 4, 128, 128, SPS_BF16, .block = 64},
        {"alone, G 4", ONE(500, 500), 8, 2, 64, 64, SPS_F16, .block = 64},
        {"alone, G 5", ONE(400, 400), 10, 2, 128, 128, SPS_F16, .block = 64},
        {"alone, G 1", ONE(700, 700), 4, 4, 128, 128, SPS_F16, .block = 64},
        {"alone, G 2", ONE(900, 900), 4, 2, 64, 64, SPS_BF16, .block = 64},
        {"alone, G 2, d 192", ONE(700, 700), 4, 2, 192, 128, SPS_F16, .block = 64},
        {"alone, G 4, d 256", ONE(500, 500), 8, 2, 256, 256, SPS_BF16, .block = 64},
    };

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        check_alone(&specs[i]);
}
