/* scores.c - checks of scores: masses, probabilities, gates and the choice by gates. */
#include "tests/gpu/checks.h"

#include <math.h>

void check_mass(struct problem *p, int64_t heads, int64_t block)
{
    int64_t nb = sps_shape_blocks(&p->shape, block),
            all = (p->rows.end - p->rows.begin) * heads * nb;
    float *x = host((size_t)all * 4), *y = device((size_t)all * 4);

    poison(y, all);
    MUST(ref.kernels.mass(&ref, &p->shape, &p->ref.in, block, heads, p->rows, x));
    MUST(gpu.kernels.mass(&gpu, &p->shape, &p->gpu.in, block, heads, p->rows, y));
    close_to(p, "mass", y, x, all, nb, 2e-5);
    free(x);
    device_free(y);
}

/* The last head's, of the range's rows in its last sequence. */
void check_probs(struct problem *p)
{
    int64_t last = sps_shape_sequence(&p->shape, p->rows.end - 1);
    int64_t from = p->cu_q[last] > p->rows.begin ? p->cu_q[last] : p->rows.begin;
    struct sps_rows rows = {from, p->rows.end};
    int64_t s = sps_shape_keys(&p->shape, last), count = (rows.end - rows.begin) * s;
    float *x = host((size_t)count * 4), *y = device((size_t)count * 4);

    poison(y, count);
    MUST(ref.kernels.probs(&ref, &p->shape, &p->ref.in, p->spec.h - 1, rows, x));
    MUST(gpu.kernels.probs(&gpu, &p->shape, &p->gpu.in, p->spec.h - 1, rows, y));
    close_to(p, "probs", y, x, count, s, 2e-5);
    free(x);
    device_free(y);
}

/* The tie width of a gate score, 8 2^-24 sum |q||mean|. */
static double gate_width(const float *q, const float *mean, int64_t d)
{
    double sum = 1e-30;

    for (int64_t j = 0; j < d; j++)
        sum += fabs((double)q[j] * mean[j]);
    return 8 * 0x1p-24 * sum;
}

/* Differences of gate scores in units of the tie width; a block not whole has none. */
static void compare_gates(struct problem *p, const struct sps_compression *by,
                          const float *means, const float *from, const float *want,
                          int64_t nb)
{
    int64_t h = p->spec.h, g = p->spec.g, d = p->spec.dk,
            rows = p->rows.end - p->rows.begin;
    float *x = fetch(from, rows * h * nb);
    double worst = 0;

    for (int64_t i = 0; i < rows * h; i++) {
        int64_t row = p->rows.begin + i / h,
                sequence = sps_shape_sequence(&p->shape, row);
        int64_t whole = sps_shape_visible(&p->shape, sequence, row) / by->l;
        const float *q = (const float *)p->ref.in.q.data + (p->rows.begin * h + i) * d;
        for (int64_t b = 0; b < nb; b++) {
            const float *mean =
                means + ((by->cu[sequence] + b) * g + i % h / (h / g)) * d;
            double e = fabs((double)x[i * nb + b] - want[i * nb + b]);
            e /= gate_width(q, mean, b < whole ? d : 0);
            if (!(e <= worst))
                worst = e;
        }
    }
    verdict(worst <= 1, p->spec.name, "gate, in tie widths", gpu.impl, worst, 1);
    free(x);
}

/* Gate scores of ref, in x[r,h,nb], and of the GPU. */
static void check_gate(struct problem *p, const struct sps_compression *by,
                       const float *means, const float *means_gpu, float *x)
{
    int64_t nb = sps_shape_blocks(&p->shape, by->l),
            all = (p->rows.end - p->rows.begin) * p->spec.h * nb;
    float *y = device((size_t)all * 4);

    poison(y, all);
    MUST(ref.kernels.gate(&ref, &p->shape, &p->ref.in.q, means, by, p->rows, x));
    MUST(gpu.kernels.gate(&gpu, &p->shape, &p->gpu.in.q, means_gpu, by, p->rows, y));
    compare_gates(p, by, means, y, x, nb);
    device_free(y);
}

/* The choice by x, ref's scores. */
static void check_gate_select(struct problem *p, const struct sps_compression *by,
                              struct sps_rule rule, const float *means_gpu,
                              const float *x, bool equal)
{
    struct lists l;

    lists_new(p, p->spec.h, rule.block, rule.count, &l);
    MUST(ref.kernels.topk(&ref, &p->shape, x, &rule, p->rows, &l.ref));
    MUST(gpu.kernels.gate_select(&gpu, &p->shape, &p->gpu.in.q, means_gpu, by, &rule,
                                 p->rows, &l.gpu));
    lists_compare(p, &l, x, sps_shape_blocks(&p->shape, rule.block),
                  equal ? "gate_select, equal means" : "gate_select", equal ? 0 : 1e-5);
    lists_drop(&l);
}

void check_moba(struct problem *p, struct sps_rule rule, bool equal)
{
    int64_t cu[5], m = sps_compressed_offsets(&p->shape, rule.block, rule.block, cu);
    struct sps_compression by = {.l = rule.block, .u = rule.block, .cu = cu};
    int64_t row = p->spec.g * p->spec.dk, size = m * row;
    int64_t scores = (p->rows.end - p->rows.begin) * p->spec.h *
                     sps_shape_blocks(&p->shape, rule.block);

    if (p->spec.free_rows) {
        skip();
        return;
    }
    float *means = host((size_t)size * 4), *means_gpu = device((size_t)size * 4);
    float *x = host((size_t)scores * 4);
    check_mean(p, &by, means, means_gpu);
    check_made(p, &by, NULL, NULL, means_gpu);
    for (int64_t i = row; equal && i < size; i++)
        means[i] = means[i - row];
    upload(means_gpu, means, (size_t)size * 4);
    check_gate(p, &by, means, means_gpu, x);
    check_gate_select(p, &by, rule, means_gpu, x, equal);
    free(means), free(x);
    device_free(means_gpu);
}

/* Gates of more blocks than a tile of means has, lists of every length that is held in
 * registers and one more, rows that do not fill a tile, blocks that always stay. */
void check_gates(void)
{
    static const struct spec specs[] = {
        {"gates, bf16", ONE(1100, 2100), 3, 3, 128, 16, SPS_BF16, .block = 16},
        {"gates, fp16", ONE(700, 700), 2, 2, 128, 16, SPS_F16, .block = 16},
        {"gates, G 5",
         3,
         {90, 1, 300},
         {1100, 600, 500},
         10,
         2,
         64,
         16,
         SPS_BF16,
         .from = 17,
         .to = 350},
        {"gates, d 80", ONE(500, 2000), 6, 2, 80, 16, SPS_BF16, .spread = true},
    };
    static const struct sps_rule rules[] = {
        {8, 1, 0, 1}, {8, 4, 0, 0},  {8, 5, 1, 2},  {16, 8, 0, 1},  {8, 8, 3, 4},
        {8, 9, 0, 0}, {4, 16, 0, 1}, {8, 17, 1, 1}, {100, 3, 0, 1}, {1100, 3, 0, 1}};
    struct problem p;

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        problem_build(&p, &specs[i], i + 500);
        for (size_t j = 0; j < sizeof rules / sizeof *rules; j++)
            for (int equal = 0; equal < 2; equal++)
                check_moba(&p, rules[j], equal);
        problem_drop(&p);
    }
}
