/* mass.c - reference attention mass of blocks, and whole rows of probabilities. */
#include <string.h>

#include "kernels/check.h"
#include "kernels/ref/ref.h"

/* sum[blocks] += mass of each block under one head. */
static void add_mass(const struct sps_shape *shape, const struct sps_qkv *in,
                     const struct sps_ref_row *at, int64_t head, int64_t block, double *p,
                     double *sum)
{
    sps_ref_logits(shape, in, at, head, NULL, p);
    sps_ref_softmax(p, at->keys);
    for (int64_t j = 0; j < at->visible; j++)
        sum[j / block] += p[j];
}

enum sps_status sps_ref_mass(struct sps_device *dev, const struct sps_shape *shape,
                             const struct sps_qkv *in, int64_t block, int64_t heads,
                             struct sps_rows rows, float *scores)
{
    int64_t longest = sps_ref_longest(shape), blocks = sps_shape_blocks(shape, block);
    int64_t share = shape->h / heads;
    struct sps_scratch scratch;

    dev->impl = "mass_ref";
    SPS_TRY(sps_check_heads(shape, heads));
    SPS_TRY(sps_scratch_new(dev, (size_t)(longest + blocks) * sizeof(double), &scratch));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        double *p = sps_scratch_mine(&scratch), *sum = p + longest;
        for (int64_t x = 0; x < heads; x++) {
            memset(sum, 0, (size_t)blocks * sizeof *sum);
            for (int64_t head = x * share; head < (x + 1) * share; head++)
                add_mass(shape, in, &at, head, block, p, sum);
            for (int64_t b = 0; b < blocks; b++)
                scores[((row - rows.begin) * heads + x) * blocks + b] = (float)sum[b];
        }
    }
    sps_scratch_free(&scratch);
    return SPS_OK;
}

enum sps_status sps_ref_probs(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_qkv *in, int64_t head,
                              struct sps_rows rows, float *p)
{
    struct sps_scratch scratch;

    dev->impl = "probs_ref";
    SPS_TRY(sps_check_one_sequence(shape, rows));
    SPS_TRY(
        sps_scratch_new(dev, (size_t)sps_ref_longest(shape) * sizeof(double), &scratch));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        double *x = sps_scratch_mine(&scratch);
        sps_ref_logits(shape, in, &at, head, NULL, x);
        sps_ref_softmax(x, at.keys);
        for (int64_t j = 0; j < at.keys; j++)
            p[(row - rows.begin) * at.keys + j] = (float)x[j];
    }
    sps_scratch_free(&scratch);
    return SPS_OK;
}
