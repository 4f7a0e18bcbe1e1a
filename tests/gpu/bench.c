/* bench.c - quick timings of the cuda backend's kernels: events, L2 flushed before every
 * run, median, 5 % and 95 % of the runs.
 * usage: bench [dense|nsa|moba|mass|all] [runs] [backend: cuda or cuda_portable]
 * Over 400 lines because it is one program to carry to a machine, with its own lists.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/backend.h"

enum { POOL = 8000009, RUNS = 100 };

static struct sps_device gpu;
static uint16_t *pool;
static int runs = 20;

#define MUST(call)                                                                       \
    do {                                                                                 \
        if ((call) != SPS_OK) {                                                          \
            printf("%s: %s\n", #call, sps_error());                                      \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

static void *device(int64_t bytes)
{
    void *p;

    MUST(gpu.backend->alloc(&gpu, (size_t)bytes, &p));
    return p;
}

/* bf16 normals, the pool over and over. */
static struct sps_tensor normals(int64_t d0, int64_t d1, int64_t d2)
{
    int64_t count = d0 * d1 * d2;
    uint16_t *x = device(count * 2);

    for (int64_t at = 0; at < count; at += POOL)
        MUST(gpu.backend->upload(&gpu, x + at, pool,
                                 (size_t)(count - at < POOL ? count - at : POOL) * 2));
    return sps_tensor_view(x, SPS_BF16, d0, d1, d2, 1);
}

struct data {
    int64_t cu[2];
    struct sps_shape shape;
    struct sps_qkv in;
    float *o[4], *lse;
    struct sps_rows rows;
};

static void build(struct data *d, int64_t n, int64_t h, int64_t g, int64_t dk, int64_t dv,
                  int outputs)
{
    *d = (struct data){.cu = {0, n}, .rows = {0, n}};
    d->shape = (struct sps_shape){.h = h,
                                  .g = g,
                                  .t = n,
                                  .s = n,
                                  .dk = dk,
                                  .dv = dv,
                                  .n = 1,
                                  .cu_q = d->cu,
                                  .cu_k = d->cu,
                                  .causal = true,
                                  .scale = 1 / sqrt((double)dk)};
    d->in.q = normals(n, h, dk);
    d->in.k = normals(n, g, dk);
    d->in.v = normals(n, g, dv);
    for (int i = 0; i < outputs; i++)
        d->o[i] = device(n * h * dv * 4);
    d->lse = device(n * h * 4);
}

static void drop(struct data *d)
{
    gpu.backend->free(&gpu, d->in.q.data);
    gpu.backend->free(&gpu, d->in.k.data);
    gpu.backend->free(&gpu, d->in.v.data);
    for (int i = 0; i < 4; i++)
        gpu.backend->free(&gpu, d->o[i]);
    gpu.backend->free(&gpu, d->lse);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* "name  median (5 % .. 95 %) ms  TFLOPS  kernel" of times in ms; flops 0: no rate. */
static void report(const char *name, double flops, double *ms)
{
    qsort(ms, (size_t)runs, sizeof *ms, ascending);
    printf("%-44s %9.3f (%.3f .. %.3f) ms ", name, ms[runs / 2], ms[runs / 20],
           ms[runs - 1 - runs / 20]);
    if (flops > 0)
        printf("%7.1f TFLOPS  %s\n", flops / ms[runs / 2] * 1e-9, gpu.impl);
    else
        printf("%16s%s\n", "", gpu.impl);
    fflush(stdout);
}

/* Time the statement and report it; three runs warm up. */
#define TIME(name, flops, ...)                                                           \
    do {                                                                                 \
        double ms_[RUNS];                                                                \
        for (int i_ = -3; i_ < runs; i_++) {                                             \
            double s_;                                                                   \
            MUST(gpu.backend->flush(&gpu));                                              \
            MUST(gpu.backend->mark(&gpu, 0));                                            \
            __VA_ARGS__;                                                                 \
            MUST(gpu.backend->mark(&gpu, 1));                                            \
            MUST(gpu.backend->elapsed(&gpu, 0, 1, &s_));                                 \
            if (i_ >= 0)                                                                 \
                ms_[i_] = s_ * 1e3;                                                      \
        }                                                                                \
        report(name, flops, ms_);                                                        \
    } while (0)

static void dense(int64_t n, int64_t h, int64_t g, int64_t dk, int64_t dv)
{
    struct sps_band all = {true, 0, 0};
    struct data d;
    char name[80];

    build(&d, n, h, g, dk, dv, 1);
    snprintf(name, sizeof name, "dense %lldk %lld/%lld d %lld/%lld", (long long)n / 1024,
             (long long)h, (long long)g, (long long)dk, (long long)dv);
    TIME(name, 2.0 * (double)(dk + dv) * (double)h * sps_shape_pairs(&d.shape),
         MUST(gpu.kernels.dense(&gpu, &d.shape, &d.in, &all, d.rows, d.o[0], d.lse)));
    drop(&d);
}

static void random_lists(struct data *d, struct sps_rule rule, struct sps_index *index)
{
    int64_t nb = sps_shape_blocks(&d->shape, rule.block), step = 4096;
    float *x = device(step * index->heads * nb * 4);

    for (int64_t r = 0; r < d->shape.t; r += step) {
        struct sps_rows rows = {r, r + step < d->shape.t ? r + step : d->shape.t};
        MUST(gpu.kernels.noise(&gpu, &d->shape, 1, rule.block, index->heads, rows, x));
        MUST(gpu.kernels.topk(&gpu, &d->shape, x, &rule, rows, index));
    }
    gpu.backend->free(&gpu, x);
}

static int ascending_units(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* `unit` unless it is there already. */
static int add_unit(int32_t *list, int count, int32_t unit)
{
    for (int i = 0; i < count; i++)
        if (list[i] == unit)
            return count;
    list[count] = unit;
    return count + 1;
}

/* Lists as recorded heads choose them: the first, own and previous block, and 13 picks of
 * which each is the last row's with probability 3/4; all anew every 64 rows. */
static void clustered_lists(struct data *d, struct sps_index *index)
{
    int64_t t = d->shape.t, g = index->heads, w = index->width;
    int32_t *list = malloc((size_t)(t * g * w) * 4), kept[64], picks = 0;
    uint32_t word[4];

    for (int64_t head = 0; head < g; head++)
        for (int64_t row = 0; row < t; row++) {
            int32_t *to = list + (row * g + head) * w, own = (int32_t)(row / 64);
            int count = add_unit(to, add_unit(to, add_unit(to, 0, 0), own), own - !!own);
            int forced = count;
            for (int i = 0; row % 64 && i < picks; i++) {
                sps_philox(11, (uint64_t)(head * t + row), (uint64_t)i, word);
                if (word[0] % 4 < 3)
                    count = add_unit(to, count, kept[i]);
            }
            for (uint64_t i = 64; count < w && count <= own; i++) {
                sps_philox(11, (uint64_t)(head * t + row), i, word);
                count = add_unit(to, count, (int32_t)(word[0] % (uint32_t)(own + 1)));
            }
            picks = count - forced;
            memcpy(kept, to + forced, (size_t)picks * 4);
            qsort(to, (size_t)count, 4, ascending_units);
            while (count < w)
                to[count++] = -1;
        }
    MUST(gpu.backend->upload(&gpu, index->list, list, (size_t)(t * g * w) * 4));
    free(list);
}

struct nsa {
    struct data d;
    struct sps_compression by;
    struct sps_rule rule;
    struct sps_index index;
    float *k, *v;
    double free_flops, near_flops; /* of the selected branch and of the window */
};

static const float third[3] = {1 / 3.f, 1 / 3.f, 1 / 3.f};

/* Selected branch, window and sum from o_cmp: one kernel where that is to be had. */
static void nsa_attend(const struct nsa *n)
{
    static const struct sps_band window = {false, 512, 0}, none = {false, 0, 0};
    const struct data *d = &n->d;
    const float *part[3] = {d->o[0], d->o[1], d->o[2]};

    if (gpu.kernels.attend_gated &&
        gpu.kernels.attend_gated_suits(&gpu, &d->shape, SPS_BF16, &n->index)) {
        MUST(gpu.kernels.attend_gated(&gpu, &d->shape, &d->in, &n->index, 512, d->o[0],
                                      NULL, third, d->rows, d->o[3]));
        return;
    }
    MUST(gpu.kernels.attend(&gpu, &d->shape, &d->in, &n->index, &none, d->rows, d->o[1],
                            d->lse));
    MUST(gpu.kernels.dense(&gpu, &d->shape, &d->in, &window, d->rows, d->o[2], d->lse));
    MUST(gpu.kernels.combine(&gpu, &d->shape, 3, part, NULL, third, d->rows, d->o[3]));
}

/* Every stage; the lists chosen go to `chosen`, those of n->index are read. */
static void nsa_whole(const struct nsa *n, struct sps_index *chosen)
{
    const struct data *d = &n->d;

    MUST(gpu.kernels.compress_mean(&gpu, &d->shape, &d->in.k, &n->by, n->k));
    MUST(gpu.kernels.compress_mean(&gpu, &d->shape, &d->in.v, &n->by, n->v));
    MUST(gpu.kernels.compressed_select(&gpu, &d->shape, &d->in.q, n->k, n->v, &n->by,
                                       &n->rule, d->rows, d->o[0], d->lse, chosen));
    nsa_attend(n);
}

/* Keys and values by means, exact or rounded once. */
static void nsa_compress(struct nsa *n, enum sps_dtype rounded)
{
    n->by.rounded = rounded;
    MUST(gpu.kernels.compress_mean(&gpu, &n->d.shape, &n->d.in.k, &n->by, n->k));
    MUST(gpu.kernels.compress_mean(&gpu, &n->d.shape, &n->d.in.v, &n->by, n->v));
}

static void nsa_select(struct nsa *n, const char *name, double flops)
{
    struct data *d = &n->d;

    TIME(name, flops,
         MUST(gpu.kernels.compressed_select(&gpu, &d->shape, &d->in.q, n->k, n->v, &n->by,
                                            &n->rule, d->rows, d->o[0], d->lse,
                                            &n->index)));
}

/* Stages that no list decides; the lists chosen stay in n->index. */
static void nsa_stages(struct nsa *n)
{
    struct data *d = &n->d;
    int64_t g = d->shape.g, dk = d->shape.dk, m = n->by.cu[1];
    struct sps_tensor w = normals(g, n->by.l * dk, dk), pe = normals(g, n->by.l, dk);
    struct sps_band window = {false, 512, 0};
    const float *part[3] = {d->o[0], d->o[1], d->o[2]};
    double pairs = 0;

    for (int64_t i = 0; i < d->shape.t; i++)
        pairs += (double)sps_compressed_visible(i, n->by.l, n->by.u);
    double flops = 6.0 * (double)(dk * d->shape.h) * pairs;
    TIME("  compress linear k", 2.0 * (double)(m * g * n->by.l * dk * dk),
         MUST(gpu.kernels.compress_linear(&gpu, &d->shape, &d->in.k, &pe, &w, &n->by,
                                          n->k)));
    TIME("  compress mean k", 0,
         MUST(gpu.kernels.compress_mean(&gpu, &d->shape, &d->in.k, &n->by, n->k)));
    nsa_compress(n, SPS_F32);
    nsa_select(n, "  compressed + scores + top-16 (useful flops)", flops);
    nsa_compress(n, SPS_BF16);
    nsa_select(n, "  the same, keys rounded once", flops);
    TIME("  window 512", n->near_flops,
         MUST(gpu.kernels.dense(&gpu, &d->shape, &d->in, &window, d->rows, d->o[2],
                                d->lse)));
    TIME("  combine", 0,
         MUST(gpu.kernels.combine(&gpu, &d->shape, 3, part, NULL, third, d->rows,
                                  d->o[3])));
    gpu.backend->free(&gpu, w.data), gpu.backend->free(&gpu, pe.data);
}

/* What reads n->index, and all stages in one timing, whose own choice goes to `chosen`.
 */
static void nsa_reads(struct nsa *n, const char *lists, struct sps_index *chosen)
{
    struct sps_band none = {false, 0, 0};
    struct data *d = &n->d;
    char name[80];

    snprintf(name, sizeof name, "  selected, %s", lists);
    TIME(name, n->free_flops,
         MUST(gpu.kernels.attend(&gpu, &d->shape, &d->in, &n->index, &none, d->rows,
                                 d->o[1], d->lse)));
    snprintf(name, sizeof name, "  selected, window and sum, %s", lists);
    TIME(name, n->free_flops + n->near_flops, nsa_attend(n));
    for (int once = 0; once < 2; once++) {
        n->by.rounded = once ? SPS_BF16 : SPS_F32;
        snprintf(name, sizeof name, "  whole (mean%s, %s)", once ? " rounded" : "",
                 lists);
        TIME(name, 0, nsa_whole(n, chosen));
    }
}

/* All 16 blocks valid for most rows. */
static void nsa(int64_t t, int64_t h, int64_t g, int64_t dk)
{
    int64_t cu[2];
    struct nsa n = {.by = {.l = 32, .u = 16, .cu = cu},
                    .rule = {64, 16, 1, 2},
                    .index = {t, g, 64, 16, NULL, NULL},
                    .free_flops = 4.0 * (double)(dk * h * t) * 1024,
                    .near_flops = 4.0 * (double)(dk * h * t) * 512};

    build(&n.d, t, h, g, dk, dk, 4);
    int64_t m = sps_compressed_offsets(&n.d.shape, n.by.l, n.by.u, cu);
    n.k = device(m * g * dk * 4), n.v = device(m * g * dk * 4);
    n.index.list = device(t * g * 16 * 4);
    struct sps_index other = n.index;
    other.list = device(t * g * 16 * 4);
    printf("nsa %lldk %lld/%lld d %lld\n", (long long)t / 1024, (long long)h,
           (long long)g, (long long)dk);
    nsa_stages(&n);
    nsa_reads(&n, "own choice", &n.index);
    random_lists(&n.d, n.rule, &n.index);
    nsa_reads(&n, "random", &other);
    clustered_lists(&n.d, &n.index);
    nsa_reads(&n, "clustered", &other);
    gpu.backend->free(&gpu, n.k), gpu.backend->free(&gpu, n.v);
    gpu.backend->free(&gpu, n.index.list), gpu.backend->free(&gpu, other.list);
    drop(&n.d);
}

static void moba(int64_t n, int64_t h, int64_t g, int64_t block, int64_t topk)
{
    int64_t cu[2];
    struct sps_band none = {false, 0, 0};
    struct sps_rule rule = {block, topk, 0, 1};
    struct sps_index index = {n, h, block, topk, NULL, NULL};
    struct data d;

    build(&d, n, h, g, 128, 128, 1);
    int64_t m = sps_compressed_offsets(&d.shape, block, block, cu);
    struct sps_compression by = {.l = block, .u = block, .cu = cu};
    float *means = device((m + 1) * g * 128 * 4);
    index.list = device(n * h * topk * 4);
    printf("moba %lldk %lld/%lld B %lld k %lld\n", (long long)n / 1024, (long long)h,
           (long long)g, (long long)block, (long long)topk);
    double flops = 4.0 * 128 * (double)(h * n) * (double)(block * (topk - 1) + block / 2);
    TIME("  means", 0,
         MUST(gpu.kernels.compress_mean(&gpu, &d.shape, &d.in.k, &by, means)));
    TIME("  gate + top-k", 128.0 * (double)(h * n) * (double)m,
         MUST(gpu.kernels.gate_select(&gpu, &d.shape, &d.in.q, means, &by, &rule, d.rows,
                                      &index)));
    TIME("  attend", flops,
         MUST(gpu.kernels.attend(&gpu, &d.shape, &d.in, &index, &none, d.rows, d.o[0],
                                 d.lse)));
    TIME("  whole", flops, {
        MUST(gpu.kernels.compress_mean(&gpu, &d.shape, &d.in.k, &by, means));
        MUST(gpu.kernels.gate_select(&gpu, &d.shape, &d.in.q, means, &by, &rule, d.rows,
                                     &index));
        MUST(gpu.kernels.attend(&gpu, &d.shape, &d.in, &index, &none, d.rows, d.o[0],
                                d.lse));
    });
    gpu.backend->free(&gpu, means), gpu.backend->free(&gpu, index.list);
    drop(&d);
}

static void mass(int64_t n, int64_t h, int64_t g, int64_t heads)
{
    struct data d;
    int64_t nb = n / 64, step = 8192;
    float *x = device(step * heads * nb * 4);
    char name[80];

    build(&d, n, h, g, 128, 128, 1);
    snprintf(name, sizeof name, "mass %lldk %lld/%lld, %lld score heads, blocks of 64",
             (long long)n / 1024, (long long)h, (long long)g, (long long)heads);
    TIME(name, 4.0 * 128 * (double)h * sps_shape_pairs(&d.shape), {
        for (int64_t r = 0; r < n; r += step) {
            struct sps_rows rows = {r, r + step};
            MUST(gpu.kernels.mass(&gpu, &d.shape, &d.in, 64, heads, rows, x));
        }
    });
    gpu.backend->free(&gpu, x);
    drop(&d);
}

static void fill_pool(void)
{
    float *x = malloc((POOL + 3) * sizeof *x);

    pool = malloc((POOL + 3) * sizeof *pool);
    sps_normals(1, 1, 0, POOL, x);
    sps_from_f32(x, POOL, SPS_BF16, pool);
    free(x);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    bool all = strcmp(what, "all") == 0;
    struct sps_roofs roofs;

    runs = argc > 2 ? atoi(argv[2]) : runs;
    runs = runs < 1 ? 1 : runs > RUNS ? RUNS : runs;
    MUST(sps_device_open(argc > 3 ? argv[3] : "cuda", 0, &gpu));
    fill_pool();
    MUST(gpu.backend->roofs(&gpu, &roofs));
    printf("%s, %s: mma %.0f TFLOPS, read %.0f, copy %.0f GB/s\n", gpu.backend->name,
           gpu.name, roofs.matrix_flops * 1e-12, roofs.read_bytes * 1e-9,
           roofs.copy_bytes * 1e-9);
    if (all || strcmp(what, "dense") == 0) { /* short ones first: the card is cool */
        for (int64_t n = 8192; n <= 65536; n *= 2)
            dense(n, 16, 16, 128, 128);
        for (int64_t n = 8192; n <= 65536; n *= 2)
            dense(n, 64, 4, 128, 128);
        dense(16384, 64, 4, 64, 64);
        dense(16384, 32, 4, 192, 128);
        dense(16384, 32, 4, 256, 256);
    }
    if (all || strcmp(what, "nsa") == 0) {
        nsa(65536, 64, 4, 128);
        nsa(65536, 32, 8, 128);
        nsa(16384, 64, 4, 128);
        nsa(8192, 64, 4, 128);
        nsa(8192, 16, 16, 128);
        nsa(65536, 16, 16, 128);
        nsa(16384, 8, 2, 256);
    }
    if (all || strcmp(what, "moba") == 0) {
        moba(65536, 16, 16, 512, 8);
        moba(65536, 16, 16, 128, 8);
        moba(65536, 16, 16, 512, 3);
        moba(65536, 16, 16, 2048, 3);
        moba(16384, 16, 16, 512, 8);
        moba(32768, 16, 16, 512, 32);
        moba(8192, 16, 16, 512, 8);
    }
    if (all || strcmp(what, "mass") == 0) {
        mass(65536, 64, 4, 64);
        mass(65536, 64, 4, 4);
    }
    sps_device_close(&gpu);
    free(pool);
    return 0;
}
