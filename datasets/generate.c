/* generate.c - keyed rows of random numbers and the arithmetic of generators. */
#include "datasets/generate.h"
#include "base/rng.h"

#include <math.h>

static uint64_t stream(enum draw_kind kind, int64_t sequence, int64_t head)
{
    return (uint64_t)kind << 56 | (uint64_t)sequence << 24 | (uint64_t)head;
}

void sps_draw(uint64_t seed, enum draw_kind kind, int64_t sequence, int64_t head,
              int64_t position, int64_t count, float *row)
{
    uint64_t stride = ((uint64_t)count + 3) & ~(uint64_t)3;

    sps_normals(seed, stream(kind, sequence, head), (uint64_t)position * stride, count,
                row);
}

void sps_draw_uniform(uint64_t seed, enum draw_kind kind, int64_t sequence, int64_t head,
                      int64_t position, float out[4])
{
    uint32_t word[4];

    sps_philox(seed, stream(kind, sequence, head), (uint64_t)position, word);
    for (int i = 0; i < 4; i++)
        out[i] = sps_uniform(word[i]);
}

int64_t sps_sequence_keys(const struct sps_data *data, int64_t sequence)
{
    return data->cu_k[sequence + 1] - data->cu_k[sequence];
}

/* The one of n runs, which begin at cu[n + 1], that holds `row`. */
static int64_t find_run(const int64_t *cu, int64_t n, int64_t row)
{
    int64_t low = 0, high = n - 1;

    while (low < high) {
        int64_t mid = (low + high + 1) / 2;
        if (cu[mid] <= row)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

struct sps_place sps_query_place(const struct sps_data *data, int64_t row)
{
    int64_t n = find_run(data->cu_q, data->n, row);

    return (struct sps_place){n, sps_sequence_keys(data, n) - (data->cu_q[n + 1] - row)};
}

struct sps_place sps_key_place(const struct sps_data *data, int64_t row)
{
    int64_t n = find_run(data->cu_k, data->n, row);

    return (struct sps_place){n, row - data->cu_k[n]};
}

void sps_draw_query(const struct sps_synthetic *spec, double share,
                    struct sps_place place, int64_t head, float *row)
{
    float common[GENERATE_DIM_MAX];
    int64_t group = head / (spec->q_heads / spec->kv_heads), d = spec->head_dim;
    float a = (float)sqrt(share), b = (float)sqrt(1 - share);

    sps_draw(spec->seed, DRAW_Q_SHARED, place.sequence, group, place.position, d, common);
    sps_draw(spec->seed, DRAW_Q_OWN, place.sequence, head, place.position, d, row);
    for (int64_t i = 0; i < d; i++)
        row[i] = a * common[i] + b * row[i];
}

void sps_draw_values(const struct sps_synthetic *spec, struct sps_data *data)
{
    float *v = data->v.data;

#pragma omp parallel for
    for (int64_t i = 0; i < data->s * data->g; i++) {
        struct sps_place place = sps_key_place(data, i / data->g);
        sps_draw(spec->seed, DRAW_V, place.sequence, i % data->g, place.position,
                 data->dv, v + i * data->dv);
    }
}

double sps_dot(const float *a, const float *b, int64_t count)
{
    double sum = 0;

    for (int64_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

void sps_scale_to(float *row, int64_t count, double norm)
{
    double now = sqrt(sps_dot(row, row, count));

    for (int64_t i = 0; i < count && now > 0; i++)
        row[i] = (float)(row[i] * (norm / now));
}

void sps_project_out(float *row, const float *unit, int64_t directions, int64_t count)
{
    for (int64_t m = 0; m < directions; m++, unit += count) {
        float along = (float)sps_dot(row, unit, count);
        for (int64_t i = 0; i < count; i++)
            row[i] -= along * unit[i];
    }
}

int64_t sps_row_logits(const struct sps_data *data, int64_t row, int64_t head,
                       double *logit)
{
    int64_t n = find_run(data->cu_q, data->n, row);
    const float *q = (const float *)data->q.data + (row * data->h + head) * data->dk;
    const float *k = (const float *)data->k.data +
                     (data->cu_k[n] * data->g + head * data->g / data->h) * data->dk;
    int64_t seen = data->cu_k[n + 1] - data->cu_k[n] - (data->cu_q[n + 1] - row) + 1;

#pragma omp parallel for
    for (int64_t j = 0; j < seen; j++)
        logit[j] = data->scale * sps_dot(q, k + j * data->g * data->dk, data->dk);
    return seen;
}
