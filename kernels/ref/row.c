/* row.c - what the reference's kernels share: one row's place, logits and softmax. */
#include "kernels/ref/ref.h"

struct sps_ref_row sps_ref_row(const struct sps_shape *shape, int64_t row)
{
    int64_t sequence = sps_shape_sequence(shape, row);

    return (struct sps_ref_row){.row = row,
                                .sequence = sequence,
                                .pos = sps_shape_pos(shape, sequence, row),
                                .visible = sps_shape_visible(shape, sequence, row),
                                .keys = sps_shape_keys(shape, sequence)};
}

int64_t sps_ref_longest(const struct sps_shape *shape)
{
    return sps_shape_blocks(shape, 1);
}

double sps_ref_dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

void sps_ref_logits(const struct sps_shape *shape, const struct sps_qkv *in,
                    const struct sps_ref_row *at, int64_t head, const bool *reads,
                    double *x)
{
    int64_t dk = shape->dk, kv = head / (shape->h / shape->g);
    const float *q = (const float *)in->q.data + (at->row * shape->h + head) * dk;

    for (int64_t j = 0; j < at->keys; j++) {
        bool read = j < at->visible && (!reads || reads[j]);
        const float *k = read ? sps_ref_token(shape, &in->k, at->sequence, j) : NULL;
        x[j] = read ? shape->scale * sps_ref_dot(q, k + kv * dk, dk) : -INFINITY;
    }
}

double sps_ref_softmax(double *x, int64_t n)
{
    double max = -INFINITY, sum = 0;
    bool any = false; /* also a NaN, which max passes over */

    for (int64_t i = 0; i < n; i++) {
        max = fmax(max, x[i]);
        any |= x[i] != -INFINITY;
    }
    if (!any) {
        for (int64_t i = 0; i < n; i++)
            x[i] = 0;
        return -INFINITY;
    }
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    for (int64_t i = 0; i < n; i++) {
        double p = exp(x[i] - max) / sum;
        x[i] = p < 0x1p-100 ? 0 : p;
    }
    return max + log(sum);
}
