/* problem.c - random attention problems that a seed repeats, and comparisons. */
#include "tests/problem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { STREAM_SHAPE = 1000, STREAM_Q, STREAM_K, STREAM_V, STREAM_INDEXER };

int64_t problem_draw(uint64_t seed, uint64_t which, int64_t low, int64_t high)
{
    uint32_t word[4];

    sps_philox(seed, STREAM_SHAPE, which, word);
    return low + (int64_t)(word[0] % (uint64_t)(high - low + 1));
}

float *problem_floats(int64_t count)
{
    void *mem;

    if (sps_calloc((size_t)count * sizeof(float), &mem) != SPS_OK) {
        fprintf(stderr, "%s\n", sps_error());
        exit(99);
    }
    return mem;
}

/* Corners: t, s of one sequence. */
static const int64_t corner[][2] = {{1, 1},   {63, 63}, {65, 65},   {1, 300},
                                    {70, 67}, {2, 1},   {600, 600}, {129, 700}};
enum { CORNERS = sizeof corner / sizeof *corner };

static void draw_sequences(struct problem *p)
{
    struct sps_shape *shape = &p->shape;

    shape->n = p->seed < CORNERS ? 1 : problem_draw(p->seed, 0, 1, PROBLEM_SEQUENCES);
    for (int64_t i = 0; i < shape->n; i++) {
        uint64_t which = 10 + 10 * (uint64_t)i;
        int64_t s = problem_draw(p->seed, which, 0, 5) == 0
                        ? problem_draw(p->seed, which + 1, 0, 20)
                        : problem_draw(p->seed, which + 2, 1, 300);
        int64_t kind = problem_draw(p->seed, which + 3, 0, 5);
        int64_t t = kind == 0   ? 1
                    : kind == 1 ? s + problem_draw(p->seed, which + 4, 0, 5)
                    : kind <= 3 ? problem_draw(p->seed, which + 5, 0, s)
                                : s;
        if (p->seed < CORNERS)
            t = corner[p->seed][0], s = corner[p->seed][1];
        p->cu_q[i + 1] = p->cu_q[i] + t;
        p->cu_k[i + 1] = p->cu_k[i] + s;
    }
    shape->t = p->cu_q[shape->n];
    shape->s = p->cu_k[shape->n];
    shape->cu_q = p->cu_q;
    shape->cu_k = p->cu_k;
}

/* Ascending positions with gaps, in some problems whose sequences have keys enough. */
static void draw_positions(struct problem *p)
{
    if (problem_draw(p->seed, 5, 0, 3) != 0)
        return;
    for (int64_t i = 0; i < p->shape.n; i++)
        if (sps_shape_keys(&p->shape, i) < p->cu_q[i + 1] - p->cu_q[i])
            return;
    p->pos = calloc((size_t)p->shape.t + 1, sizeof *p->pos);
    for (int64_t i = 0; i < p->shape.n; i++) {
        int64_t t = p->cu_q[i + 1] - p->cu_q[i], s = sps_shape_keys(&p->shape, i);
        for (int64_t r = 0; r < t; r++)
            p->pos[p->cu_q[i] + r] = (r + 1) * s / t - 1;
    }
    p->shape.pos = p->pos;
}

static void draw_tensor(uint64_t seed, uint64_t stream, int64_t rows, int64_t heads,
                        int64_t d, struct sps_tensor *x)
{
    int64_t count = rows * heads * d;

    *x = sps_tensor_view(problem_floats(count), SPS_F32, rows, heads, d, 1);
    sps_normals(seed, stream, 0, count, x->data);
}

/* Some weights are negative, and some scores exactly 0. */
static void draw_indexer(struct problem *p)
{
    int64_t heads = problem_draw(p->seed, 6, 1, 4),
            size = 4 * problem_draw(p->seed, 7, 1, 5);

    draw_tensor(p->seed, STREAM_INDEXER, p->shape.t, heads, size, &p->q_idx);
    draw_tensor(p->seed, STREAM_INDEXER + 1, p->shape.s, 1, size, &p->k_idx);
    draw_tensor(p->seed, STREAM_INDEXER + 2, p->shape.t, 1, heads, &p->w_idx);
}

static void begin(uint64_t seed, struct problem *p)
{
    static const int64_t groups[] = {1, 2, 4, 6}, sizes[] = {8, 16, 24, 40, 64, 80};

    *p = (struct problem){.seed = seed};
    struct sps_shape *shape = &p->shape;
    shape->g = problem_draw(seed, 1, 1, 3);
    shape->h = shape->g * groups[problem_draw(seed, 2, 0, 3)];
    shape->dk = sizes[problem_draw(seed, 3, 0, 5)];
    shape->dv = sizes[problem_draw(seed, 4, 0, 5)];
    shape->causal = true;
    shape->scale = 1.5 / sqrt((double)shape->dk);
}

static void draw_tensors(uint64_t seed, struct problem *p)
{
    const struct sps_shape *shape = &p->shape;

    draw_tensor(seed, STREAM_Q, shape->t, shape->h, shape->dk, &p->in.q);
    draw_tensor(seed, STREAM_K, shape->s, shape->g, shape->dk, &p->in.k);
    draw_tensor(seed, STREAM_V, shape->s, shape->g, shape->dv, &p->in.v);
    draw_indexer(p);
}

void problem_make(uint64_t seed, struct problem *p)
{
    begin(seed, p);
    draw_sequences(p);
    draw_positions(p);
    draw_tensors(seed, p);
}

void problem_square(uint64_t seed, int64_t n, const int64_t *keys, struct problem *p)
{
    begin(seed, p);
    p->shape.n = n;
    for (int64_t i = 0; i < n; i++)
        p->cu_q[i + 1] = p->cu_k[i + 1] = p->cu_k[i] + keys[i];
    p->shape.t = p->shape.s = p->cu_k[n];
    p->shape.cu_q = p->cu_q;
    p->shape.cu_k = p->cu_k;
    draw_tensors(seed, p);
}

void problem_free(struct problem *p)
{
    free(p->pos);
    sps_tensor_free(&p->in.q);
    sps_tensor_free(&p->in.k);
    sps_tensor_free(&p->in.v);
    sps_tensor_free(&p->q_idx);
    sps_tensor_free(&p->k_idx);
    sps_tensor_free(&p->w_idx);
}

void problem_print(const struct problem *p)
{
    printf("# seed %" PRIu64 ": h %" PRId64 " g %" PRId64 " dk %" PRId64 " dv %" PRId64
           "%s, t/s",
           p->seed, p->shape.h, p->shape.g, p->shape.dk, p->shape.dv,
           p->pos ? ", positions given" : "");
    for (int64_t i = 0; i < p->shape.n; i++)
        printf(" %" PRId64 "/%" PRId64, p->cu_q[i + 1] - p->cu_q[i],
               p->cu_k[i + 1] - p->cu_k[i]);
    printf("\n");
}

bool same_bits(const void *a, const void *b, int64_t bytes)
{
    return bytes == 0 || memcmp(a, b, (size_t)bytes) == 0;
}

bool near_l2(const float *a, const float *b, int64_t count, double relative)
{
    double error = 0, norm = 0;

    for (int64_t i = 0; i < count; i++) {
        error += pow((double)a[i] - b[i], 2);
        norm += pow((double)b[i], 2);
    }
    return error == 0 || sqrt(error) <= relative * sqrt(norm);
}

bool near_abs(const float *a, const float *b, int64_t count, double absolute)
{
    for (int64_t i = 0; i < count; i++) {
        bool both = a[i] == -INFINITY && b[i] == -INFINITY;
        if (!both && !(fabs((double)a[i] - b[i]) <= absolute))
            return false;
    }
    return true;
}
