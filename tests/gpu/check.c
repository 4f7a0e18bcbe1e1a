/* check.c - every slot of the cuda backend against the reference, on seeded shapes.
 *
 * usage: check [all|edge|big] [random shapes, or with edge: shapes of its list]
 * One line a check that fails or is worth a figure; "N passed, N failed, N skipped" last.
 * `edge` is small enough for compute-sanitizer, `big` passes 2^31 elements.
 * Over 400 lines, because all slots share one problem and its comparisons.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/backend.h"

extern const struct sps_backend sps_backend_ref, sps_backend_cuda;

static int passed, failed, skipped;
static struct sps_device ref, gpu;

static void die(const char *what)
{
    printf("FAIL %s: %s\n%d passed, %d failed, %d skipped\n", what, sps_error(), passed,
           failed + 1, skipped);
    exit(1);
}

#define MUST(call)                                                                       \
    do {                                                                                 \
        if ((call) != SPS_OK)                                                            \
            die(#call);                                                                  \
    } while (0)

static void verdict(bool ok, const char *name, const char *what, const char *impl,
                    double got, double allowed)
{
    ok ? passed++ : failed++;
    if (!ok)
        printf("FAIL %s: %s (%s): %g, allowed %g\n", name, what, impl, got, allowed);
}

/* ---- a problem on both sides ---- */

struct spec {
    const char *name;
    int64_t n, t[4], s[4], h, g, dk, dv;
    enum sps_dtype dtype;
    bool free_rows; /* not causal */
    int64_t block;
    int64_t from, to; /* rows to compute; 0, 0: all */
    bool spread;      /* pos given: every third position, or as near as fits */
    float q_size, k_size, v_size; /* what each is multiplied by; 0: 1 */
};

struct side {
    struct sps_qkv in;
    float *o, *lse, *x; /* x: scores, keys, whatever else */
    int32_t *list;
    int64_t *offset;
};

struct problem {
    struct spec spec;
    int64_t cu_q[5], cu_k[5];
    int64_t *pos;
    struct sps_shape shape;
    struct sps_rows rows;
    struct side ref, gpu;
    size_t x_count;
    double tol;
    uint64_t seed;
};

static void *host(size_t bytes)
{
    void *p = calloc(bytes ? bytes : 1, 1);

    if (!p)
        die("host memory");
    return p;
}

static void *device(size_t bytes)
{
    void *p;

    MUST(gpu.backend->alloc(&gpu, bytes, &p));
    return p;
}

/* Of streams 1, 2, 3: q, k, v. */
static float size_of(const struct spec *spec, uint64_t stream)
{
    const float size[] = {0, spec->q_size, spec->k_size, spec->v_size};

    return stream < 4 && size[stream] > 0 ? size[stream] : 1;
}

/* Normals rounded to the type, as floats for ref and as the type on the device. */
static void fill(struct problem *p, uint64_t stream, struct sps_tensor *a,
                 struct sps_tensor *b, int64_t d0, int64_t d1, int64_t d2)
{
    enum sps_dtype dtype = p->spec.dtype;
    int64_t count = d0 * d1 * d2;
    float *x = host((size_t)count * 4);
    void *y = host((size_t)count * 4), *z = device((size_t)count * sps_dtype_size(dtype));

    sps_normals(p->seed, stream, 0, count, x);
    for (int64_t i = 0; i < count; i++)
        x[i] *= size_of(&p->spec, stream);
    sps_from_f32(x, count, dtype, y);
    sps_to_f32(y, dtype, count, x);
    MUST(gpu.backend->upload(&gpu, z, y, (size_t)count * sps_dtype_size(dtype)));
    free(y);
    *a = sps_tensor_view(x, SPS_F32, d0, d1, d2, 1);
    *b = sps_tensor_view(z, dtype, d0, d1, d2, 1);
}

static void build(struct problem *p, const struct spec *spec, uint64_t seed)
{
    *p = (struct problem){.spec = *spec, .seed = seed};
    for (int64_t i = 0; i < spec->n; i++) {
        p->cu_q[i + 1] = p->cu_q[i] + spec->t[i];
        p->cu_k[i + 1] = p->cu_k[i] + spec->s[i];
    }
    int64_t t = p->cu_q[spec->n], s = p->cu_k[spec->n];
    if (spec->spread) {
        p->pos = host((size_t)t * 8);
        for (int64_t i = 0; i < spec->n; i++)
            for (int64_t r = 0; r < spec->t[i]; r++)
                p->pos[p->cu_q[i] + r] = r * spec->s[i] / spec->t[i];
    }
    p->shape = (struct sps_shape){.h = spec->h,
                                  .g = spec->g,
                                  .t = t,
                                  .s = s,
                                  .dk = spec->dk,
                                  .dv = spec->dv,
                                  .n = spec->n,
                                  .cu_q = p->cu_q,
                                  .cu_k = p->cu_k,
                                  .pos = p->pos,
                                  .causal = !spec->free_rows,
                                  .scale = 1 / sqrt((double)spec->dk)};
    p->rows = (struct sps_rows){spec->from, spec->to > 0 ? spec->to : t};
    fill(p, 1, &p->ref.in.q, &p->gpu.in.q, t, spec->h, spec->dk);
    fill(p, 2, &p->ref.in.k, &p->gpu.in.k, s, spec->g, spec->dk);
    fill(p, 3, &p->ref.in.v, &p->gpu.in.v, s, spec->g, spec->dv);
    p->ref.o = host((size_t)(t * spec->h * spec->dv) * 4);
    p->ref.lse = host((size_t)(t * spec->h) * 4);
    p->gpu.o = device((size_t)(t * spec->h * spec->dv) * 4);
    p->gpu.lse = device((size_t)(t * spec->h) * 4);
    p->tol = spec->dtype == SPS_BF16 ? 6e-3 : spec->dtype == SPS_F16 ? 1e-3 : 1e-5;
}

static void drop(struct problem *p)
{
    free(p->ref.in.q.data), free(p->ref.in.k.data), free(p->ref.in.v.data);
    free(p->ref.o), free(p->ref.lse), free(p->pos);
    gpu.backend->free(&gpu, p->gpu.in.q.data);
    gpu.backend->free(&gpu, p->gpu.in.k.data);
    gpu.backend->free(&gpu, p->gpu.in.v.data);
    gpu.backend->free(&gpu, p->gpu.o);
    gpu.backend->free(&gpu, p->gpu.lse);
}

/* Device floats [from, from + count) on the host. */
static float *fetch(const float *from, int64_t count)
{
    float *x = host((size_t)count * 4);

    MUST(gpu.backend->download(&gpu, x, from, (size_t)count * 4));
    return x;
}

static void poison(float *to, int64_t count)
{
    float *x = host((size_t)count * 4);

    for (int64_t i = 0; i < count; i++)
        x[i] = NAN;
    MUST(gpu.backend->upload(&gpu, to, x, (size_t)count * 4));
    free(x);
}

/* |a - b| / |b| in L2; NaN anywhere gives NaN, which no tolerance accepts. */
static double rel_l2(const float *a, const float *b, int64_t count)
{
    double e = 0, n = 0;

    for (int64_t i = 0; i < count; i++) {
        double d = (double)a[i] - b[i];
        e += d * d;
        n += (double)b[i] * b[i];
    }
    return n > 0 ? sqrt(e / n) : sqrt(e);
}

static void poison_output(struct problem *p)
{
    struct sps_shape *s = &p->shape;
    int64_t from = p->rows.begin * s->h, count = (p->rows.end - p->rows.begin) * s->h;

    poison(p->gpu.o + from * s->dv, count * s->dv);
    poison(p->gpu.lse + from, count);
}

/* o and lse of the range, gpu against ref. */
static void compare(struct problem *p, const char *what)
{
    struct sps_shape *s = &p->shape;
    int64_t from = p->rows.begin * s->h, count = (p->rows.end - p->rows.begin) * s->h;
    float *o = fetch(p->gpu.o + from * s->dv, count * s->dv);
    float *lse = fetch(p->gpu.lse + from, count);
    double worst = 0, error = rel_l2(o, p->ref.o + from * s->dv, count * s->dv);

    for (int64_t i = 0; i < count; i++) {
        double a = lse[i], b = p->ref.lse[from + i];
        double d = a == b ? 0 : fabs(a - b) / (1 + fabs(b));
        if (!(d <= worst))
            worst = d;
    }
    verdict(error <= p->tol, p->spec.name, what, gpu.impl, error, p->tol);
    verdict(worst <= 2e-5, p->spec.name, "its lse", gpu.impl, worst, 2e-5);
    free(o), free(lse);
}

/* ---- slots ---- */

static void check_dense(struct problem *p, struct sps_band band, const char *what)
{
    poison_output(p);
    MUST(ref.kernels.dense(&ref, &p->shape, &p->ref.in, &band, p->rows, p->ref.o,
                           p->ref.lse));
    MUST(gpu.kernels.dense(&gpu, &p->shape, &p->gpu.in, &band, p->rows, p->gpu.o,
                           p->gpu.lse));
    compare(p, what);
}

static void close_to(struct problem *p, const char *what, const float *from,
                     const float *want, int64_t count, int64_t row, double tol)
{
    float *x = fetch(from, count);
    double worst = 0;

    for (int64_t i = 0; i < count; i += row) {
        double top = 1e-30;
        for (int64_t j = i; j < i + row; j++)
            top = fmax(top, fabs((double)want[j]));
        for (int64_t j = i; j < i + row; j++) {
            double d = fabs((double)x[j] - want[j]) / top;
            if (!(d <= worst))
                worst = d;
        }
    }
    verdict(worst <= tol, p->spec.name, what, gpu.impl, worst, tol);
    free(x);
}

struct lists {
    struct sps_index ref, gpu;
    int32_t *got;
    int64_t count; /* elements of the range's lists */
};

static void new_lists(struct problem *p, int64_t heads, int64_t block, int64_t width,
                      struct lists *l)
{
    size_t bytes = (size_t)(p->shape.t * heads * width) * 4;

    l->ref = (struct sps_index){p->shape.t, heads, block, width, host(bytes), NULL};
    l->gpu = l->ref;
    l->gpu.list = device(bytes);
    l->got = host(bytes);
    l->count = (p->rows.end - p->rows.begin) * heads * width;
}

static void free_lists(struct lists *l)
{
    free(l->ref.list), free(l->got);
    gpu.backend->free(&gpu, l->gpu.list);
}

/* Lists that differ, and the largest relative score gap that a difference would need. */
static int64_t differing(struct problem *p, struct lists *l, const float *scores,
                         int64_t nb, double *gap)
{
    int64_t w = l->ref.width, lists = l->count / w, bad = 0,
            from = p->rows.begin * l->ref.heads;

    MUST(gpu.backend->download(&gpu, l->got, l->gpu.list + from * w,
                               (size_t)l->count * 4));
    *gap = 0;
    for (int64_t i = 0; i < lists; i++) {
        const int32_t *a = l->got + i * w, *b = l->ref.list + (from + i) * w;
        if (memcmp(a, b, (size_t)w * 4) == 0)
            continue;
        bad++;
        const float *x = scores + i * nb;
        double top = 0, low = INFINITY, high = -INFINITY;
        for (int64_t j = 0; j < nb; j++)
            top = fmax(top, fabs((double)x[j]));
        for (int64_t j = 0; j < w; j++) {
            bool in_a = false, in_b = false;
            for (int64_t k = 0; k < w; k++)
                in_b |= a[j] == b[k], in_a |= b[j] == a[k];
            if (!in_b)
                low = a[j] >= 0 && a[j] < nb ? fmin(low, x[a[j]]) : NAN;
            if (!in_a)
                high = b[j] >= 0 ? fmax(high, x[b[j]]) : NAN;
        }
        double d = (high - low) / top;
        if (!(d <= *gap))
            *gap = d;
    }
    return bad;
}

static void same_lists(struct problem *p, struct lists *l, const float *scores,
                       int64_t nb, const char *what, double allowed)
{
    double gap;
    int64_t bad = differing(p, l, scores, nb, &gap);

    verdict(allowed > 0 ? gap <= allowed : bad == 0, p->spec.name, what, gpu.impl,
            allowed > 0 ? gap : (double)bad, allowed);
    if (bad > 0 && allowed > 0)
        printf("note %s: %s: %lld of %lld lists differ by ties (gap %.2g)\n",
               p->spec.name, what, (long long)bad, (long long)(l->count / l->ref.width),
               gap);
}

/* Turn bounded lists into packed ones, attend again. */
static void check_packed(struct problem *p, const struct lists *l, struct sps_band band)
{
    int64_t lists = l->ref.t * l->ref.heads, w = l->ref.width, at = 0;
    struct sps_index a = l->ref, b = l->gpu;

    a.width = b.width = 0;
    a.offset = host((size_t)(lists + 1) * 8);
    a.list = host((size_t)(lists * w) * 4);
    for (int64_t i = 0; i < lists; i++) {
        for (int64_t j = 0; j < w && l->ref.list[i * w + j] >= 0; j++)
            a.list[at++] = l->ref.list[i * w + j];
        a.offset[i + 1] = at;
    }
    b.offset = device((size_t)(lists + 1) * 8);
    b.list = device((size_t)(lists * w) * 4);
    MUST(gpu.backend->upload(&gpu, b.offset, a.offset, (size_t)(lists + 1) * 8));
    MUST(gpu.backend->upload(&gpu, b.list, a.list, (size_t)(lists * w) * 4));
    poison_output(p);
    MUST(ref.kernels.attend(&ref, &p->shape, &p->ref.in, &a, &band, p->rows, p->ref.o,
                            p->ref.lse));
    MUST(gpu.kernels.attend(&gpu, &p->shape, &p->gpu.in, &b, &band, p->rows, p->gpu.o,
                            p->gpu.lse));
    compare(p, "attend packed");
    free(a.offset), free(a.list);
    gpu.backend->free(&gpu, b.offset), gpu.backend->free(&gpu, b.list);
}

/* noise, topk with and without ties, attend with and without a band, packed. */
static void check_index(struct problem *p, int64_t heads, int64_t block, int64_t count)
{
    int64_t nb = sps_shape_blocks(&p->shape, block),
            lists = (p->rows.end - p->rows.begin) * heads;
    struct sps_rule rule = {block, count, count > 2, 1};
    struct sps_band none = {false, 0, 0}, band = {false, 2 * block + 3, 5};
    float *x = host((size_t)(lists * nb) * 4), *y = device((size_t)(lists * nb) * 4), *z;
    struct lists l;

    if (p->spec.free_rows) {
        skipped++;
        return;
    }
    new_lists(p, heads, block, count > 1 ? count + 1 : 1, &l);
    poison(y, lists * nb);
    MUST(ref.kernels.noise(&ref, &p->shape, p->seed, block, heads, p->rows, x));
    MUST(gpu.kernels.noise(&gpu, &p->shape, p->seed, block, heads, p->rows, y));
    z = fetch(y, lists * nb);
    verdict(memcmp(x, z, (size_t)(lists * nb) * 4) == 0, p->spec.name, "noise", gpu.impl,
            1, 0);
    free(z);
    for (int ties = 0; ties < 2; ties++) {
        for (int64_t i = 0; ties && i < lists * nb; i++)
            x[i] = roundf(x[i] * 6) - 3;
        MUST(gpu.backend->upload(&gpu, y, x, (size_t)(lists * nb) * 4));
        MUST(ref.kernels.topk(&ref, &p->shape, x, &rule, p->rows, &l.ref));
        MUST(gpu.kernels.topk(&gpu, &p->shape, y, &rule, p->rows, &l.gpu));
        same_lists(p, &l, x, nb, ties ? "topk with ties" : "topk", 0);
    }
    MUST(gpu.backend->upload(&gpu, l.gpu.list, l.ref.list,
                             (size_t)(p->shape.t * heads * l.ref.width) * 4));
    for (int i = 0; i < 2; i++) {
        poison_output(p);
        MUST(ref.kernels.attend(&ref, &p->shape, &p->ref.in, &l.ref, i ? &band : &none,
                                p->rows, p->ref.o, p->ref.lse));
        MUST(gpu.kernels.attend(&gpu, &p->shape, &p->gpu.in, &l.gpu, i ? &band : &none,
                                p->rows, p->gpu.o, p->gpu.lse));
        compare(p, i ? "attend and band" : "attend");
    }
    check_packed(p, &l, none);
    free_lists(&l);
    free(x);
    gpu.backend->free(&gpu, y);
}

static void check_mass(struct problem *p, int64_t heads, int64_t block)
{
    int64_t nb = sps_shape_blocks(&p->shape, block), rows = p->rows.end - p->rows.begin;
    float *x = host((size_t)(rows * heads * nb) * 4),
          *y = device((size_t)(rows * heads * nb) * 4);

    poison(y, rows * heads * nb);
    MUST(ref.kernels.mass(&ref, &p->shape, &p->ref.in, block, heads, p->rows, x));
    MUST(gpu.kernels.mass(&gpu, &p->shape, &p->gpu.in, block, heads, p->rows, y));
    close_to(p, "mass", y, x, rows * heads * nb, nb, 2e-5);
    free(x);
    gpu.backend->free(&gpu, y);
}

static void check_probs(struct problem *p)
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
    gpu.backend->free(&gpu, y);
}

/* Differences of gate scores in units of the tie width, 8 2^-24 sum |q||mean|. */
static void check_gate(struct problem *p, const struct sps_compression *by,
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
            double sum = 1e-30, e = fabs((double)x[i * nb + b] - want[i * nb + b]);
            for (int64_t j = 0; b < whole && j < d; j++)
                sum += fabs((double)q[j] * mean[j]);
            e /= 8 * 0x1p-24 * sum;
            if (!(e <= worst))
                worst = e;
        }
    }
    verdict(worst <= 1, p->spec.name, "gate, in tie widths", gpu.impl, worst, 1);
    free(x);
}

/* Compressed keys on the device, by the map w, or NULL: by means. */
static void make_keys(struct problem *p, const struct sps_compression *by,
                      const struct sps_tensor *pe, const struct sps_tensor *w, float *y)
{
    if (w)
        MUST(gpu.kernels.compress_linear(&gpu, &p->shape, &p->gpu.in.k, pe, w, by, y));
    else
        MUST(gpu.kernels.compress_mean(&gpu, &p->shape, &p->gpu.in.k, by, y));
}

/* y on the device, as many keys as `by` has, is `want`, bit for bit. */
static void same_keys(struct problem *p, const struct sps_compression *by,
                      const float *want, const float *y, const char *what)
{
    int64_t size = by->cu[p->shape.n] * p->spec.g * p->spec.dk;
    float *got = fetch(y, size);

    verdict(memcmp(want, got, (size_t)size * 4) == 0, p->spec.name, what, gpu.impl, 1, 0);
    free(got);
}

/* Keys rounded to the type of the input are `made` ones, rounded. */
static void check_rounded(struct problem *p, const struct sps_compression *by,
                          const struct sps_tensor *pe, const struct sps_tensor *w,
                          const float *made)
{
    int64_t size = by->cu[p->shape.n] * p->spec.g * p->spec.dk;
    struct sps_compression rounded = *by;
    float *y = device((size_t)size * 4), *want = fetch(made, size);

    rounded.rounded = p->spec.dtype;
    poison(y, size);
    make_keys(p, &rounded, pe, w, y);
    sps_round_f32(want, size, p->spec.dtype);
    same_keys(p, by, want, y, "rounded keys");
    free(want);
    gpu.backend->free(&gpu, y);
}

/* Compressed keys made in two goes, as decode steps make them, are those of one; by
 * means, or by the map w.  `whole` was made at once. */
static void check_made(struct problem *p, const struct sps_compression *by,
                       const struct sps_tensor *pe, const struct sps_tensor *w,
                       const float *whole)
{
    int64_t first[4], make[5] = {0}, rest[5] = {0}, n = p->shape.n;
    int64_t size = by->cu[n] * p->spec.g * p->spec.dk;
    struct sps_compression goes[] = {
        {.l = by->l, .u = by->u, .cu = by->cu, .make = make},
        {.l = by->l, .u = by->u, .cu = by->cu, .first = first, .make = rest}};
    float *y = device((size_t)size * 4), *want = fetch(whole, size);

    for (int64_t i = 0; i < n; i++) {
        int64_t all = by->cu[i + 1] - by->cu[i];
        first[i] = i % 2 ? all / 3 : all;
        make[i + 1] = make[i] + first[i];
        rest[i + 1] = rest[i] + all - first[i];
    }
    poison(y, size);
    for (int i = 0; i < 2; i++)
        make_keys(p, &goes[i], pe, w, y);
    same_keys(p, by, want, y, "made in two goes");
    free(want);
    gpu.backend->free(&gpu, y);
}

/* Means on both sides. */
static void check_mean(struct problem *p, const struct sps_compression *by, float *means,
                       float *means_gpu)
{
    int64_t size = by->cu[p->spec.n] * p->spec.g * p->spec.dk;

    poison(means_gpu, size);
    MUST(ref.kernels.compress_mean(&ref, &p->shape, &p->ref.in.k, by, means));
    MUST(gpu.kernels.compress_mean(&gpu, &p->shape, &p->gpu.in.k, by, means_gpu));
    close_to(p, "compress_mean", means_gpu, means, size, size > 0 ? size : 1, 1e-6);
    check_rounded(p, by, NULL, NULL, means_gpu);
}

/* Means, gate, and gate_select against ref's gate and topk.  `equal`: every mean is the
 * first one, so that all whole blocks tie. */
static void check_moba(struct problem *p, struct sps_rule rule, bool equal)
{
    int64_t cu[5], m = sps_compressed_offsets(&p->shape, rule.block, rule.block, cu);
    struct sps_compression by = {.l = rule.block, .u = rule.block, .cu = cu};
    int64_t nb = sps_shape_blocks(&p->shape, rule.block),
            rows = p->rows.end - p->rows.begin;
    int64_t size = m * p->spec.g * p->spec.dk, all = rows * p->spec.h * nb;
    float *means = host((size_t)size * 4), *means_gpu = device((size_t)size * 4);
    float *x = host((size_t)all * 4), *y = device((size_t)all * 4);
    struct lists l;

    if (p->spec.free_rows) {
        skipped++;
        return;
    }
    check_mean(p, &by, means, means_gpu);
    check_made(p, &by, NULL, NULL, means_gpu);
    for (int64_t i = p->spec.g * p->spec.dk; equal && i < size; i++)
        means[i] = means[i - p->spec.g * p->spec.dk];
    MUST(gpu.backend->upload(&gpu, means_gpu, means, (size_t)size * 4));
    poison(y, all);
    MUST(ref.kernels.gate(&ref, &p->shape, &p->ref.in.q, means, &by, p->rows, x));
    MUST(gpu.kernels.gate(&gpu, &p->shape, &p->gpu.in.q, means_gpu, &by, p->rows, y));
    check_gate(p, &by, means, y, x, nb);
    new_lists(p, p->spec.h, rule.block, rule.count, &l);
    MUST(ref.kernels.topk(&ref, &p->shape, x, &rule, p->rows, &l.ref));
    MUST(gpu.kernels.gate_select(&gpu, &p->shape, &p->gpu.in.q, means_gpu, &by, &rule,
                                 p->rows, &l.gpu));
    same_lists(p, &l, x, nb, equal ? "gate_select, equal means" : "gate_select",
               equal ? 0 : 1e-5);
    free_lists(&l);
    free(means), free(x);
    gpu.backend->free(&gpu, means_gpu), gpu.backend->free(&gpu, y);
}

/* Compressed keys by a linear map. */
static void check_linear(struct problem *p, const struct sps_compression *by)
{
    int64_t g = p->spec.g, dk = p->spec.dk, size = by->cu[p->shape.n] * g * dk;
    float *k = host((size_t)size * 4), *k_gpu = device((size_t)size * 4);
    struct sps_tensor w, w_gpu, pe, pe_gpu;

    fill(p, 4, &w, &w_gpu, g, by->l * dk, dk);
    fill(p, 5, &pe, &pe_gpu, g, by->l, dk);
    poison(k_gpu, size);
    MUST(ref.kernels.compress_linear(&ref, &p->shape, &p->ref.in.k, &pe, &w, by, k));
    make_keys(p, by, &pe_gpu, &w_gpu, k_gpu);
    close_to(p, "compress_linear", k_gpu, k, size, size > 0 ? size : 1, 1e-5);
    check_made(p, by, &pe_gpu, &w_gpu, k_gpu);
    check_rounded(p, by, &pe_gpu, &w_gpu, k_gpu);
    free(k), free(w.data), free(pe.data);
    gpu.backend->free(&gpu, k_gpu);
    gpu.backend->free(&gpu, w_gpu.data), gpu.backend->free(&gpu, pe_gpu.data);
}

/* Both ways of attention over compressed keys, which the reference made of means and, to
 * tell them apart, made larger. */
static void check_compressed(struct problem *p, const struct sps_compression *by,
                             int64_t block, int64_t count)
{
    enum { BOTH, SCORES, SELECT, NO_LSE, LISTS, WHATS };
    static const char *const names[2][WHATS] = {
        {"compressed", "compressed scores", "compressed_select",
         "compressed_select without lse", "compressed_select lists"},
        {"compressed, rounded keys", "compressed scores, rounded keys",
         "compressed_select, rounded keys", "compressed_select without lse, rounded keys",
         "compressed_select lists, rounded keys"}};
    const char *const *what = names[by->rounded != SPS_F32];
    int64_t nb = sps_shape_blocks(&p->shape, block), rows = p->rows.end - p->rows.begin;
    int64_t g = p->spec.g, m = by->cu[p->shape.n], all = rows * g * nb,
            outputs = p->shape.t * p->spec.h * p->spec.dv;
    size_t k_bytes = (size_t)(m * g * p->spec.dk) * 4,
           v_bytes = (size_t)(m * g * p->spec.dv) * 4;
    float *k = host(k_bytes), *k_gpu = device(k_bytes);
    float *v = host(v_bytes), *v_gpu = device(v_bytes);
    float *x = host((size_t)all * 4), *y = device((size_t)all * 4);
    struct sps_rule rule = {block, count, count > 3, count > 3 ? 2 : 1};
    struct lists lists;

    MUST(ref.kernels.compress_mean(&ref, &p->shape, &p->ref.in.k, by, k));
    MUST(ref.kernels.compress_mean(&ref, &p->shape, &p->ref.in.v, by, v));
    for (int64_t i = 0; i < m * g * p->spec.dk; i++)
        k[i] *= 4;
    MUST(gpu.backend->upload(&gpu, k_gpu, k, k_bytes));
    MUST(gpu.backend->upload(&gpu, v_gpu, v, v_bytes));
    MUST(ref.kernels.compressed(&ref, &p->shape, &p->ref.in.q, k, v, by, block, p->rows,
                                p->ref.o, p->ref.lse, x));
    poison_output(p);
    poison(y, all);
    MUST(gpu.kernels.compressed(&gpu, &p->shape, &p->gpu.in.q, k_gpu, v_gpu, by, block,
                                p->rows, p->gpu.o, p->gpu.lse, y));
    compare(p, what[BOTH]);
    close_to(p, what[SCORES], y, x, all, nb, 2e-5);
    new_lists(p, g, block, count, &lists);
    MUST(ref.kernels.topk(&ref, &p->shape, x, &rule, p->rows, &lists.ref));
    poison_output(p);
    MUST(gpu.kernels.compressed_select(&gpu, &p->shape, &p->gpu.in.q, k_gpu, v_gpu, by,
                                       &rule, p->rows, p->gpu.o, p->gpu.lse, &lists.gpu));
    compare(p, what[SELECT]);
    float *o = fetch(p->gpu.o, outputs);
    poison_output(p);
    MUST(gpu.kernels.compressed_select(&gpu, &p->shape, &p->gpu.in.q, k_gpu, v_gpu, by,
                                       &rule, p->rows, p->gpu.o, NULL, &lists.gpu));
    float *again = fetch(p->gpu.o, outputs);
    verdict(memcmp(o, again, (size_t)outputs * 4) == 0, p->spec.name, what[NO_LSE],
            gpu.impl, 1, 0);
    free(o), free(again);
    same_lists(p, &lists, x, nb, what[LISTS], 1e-5);
    free_lists(&lists);
    free(k), free(v), free(x);
    gpu.backend->free(&gpu, k_gpu), gpu.backend->free(&gpu, v_gpu);
    gpu.backend->free(&gpu, y);
}

/* Compressed keys by a linear map; compressed both ways over means, and over means
 * rounded to the input's type. */
static void check_nsa(struct problem *p, int64_t l, int64_t u, int64_t block,
                      int64_t count)
{
    int64_t cu[5];
    struct sps_compression by = {.l = l, .u = u, .cu = cu};

    if (p->spec.free_rows) {
        skipped++;
        return;
    }
    sps_compressed_offsets(&p->shape, l, u, cu);
    check_linear(p, &by);
    check_compressed(p, &by, block, count);
    by.rounded = p->spec.dtype;
    if (by.rounded != SPS_F32)
        check_compressed(p, &by, block, count);
}

static void check_combine(struct problem *p)
{
    int64_t count = p->shape.t * p->spec.h, all = count * p->spec.dv;
    float *x = host((size_t)all * 4), *gate = host((size_t)count * 3 * 4);
    float *part = host((size_t)all * 4), *gate_gpu = device((size_t)count * 3 * 4);
    float *part_gpu[3], constant[3] = {0.5f, 0.25f, -1};
    const float *parts[3] = {part, part, part}, *parts_gpu[3];

    sps_normals(p->seed, 6, 0, all, part);
    sps_normals(p->seed, 7, 0, count * 3, gate);
    MUST(gpu.backend->upload(&gpu, gate_gpu, gate, (size_t)count * 3 * 4));
    for (int i = 0; i < 3; i++) {
        parts_gpu[i] = part_gpu[i] = device((size_t)all * 4);
        MUST(gpu.backend->upload(&gpu, part_gpu[i], part, (size_t)all * 4));
    }
    for (int i = 0; i < 2; i++) {
        poison(p->gpu.o, all);
        struct sps_rows rows = {0, p->shape.t};
        MUST(ref.kernels.combine(&ref, &p->shape, 3, parts, i ? gate : NULL, constant,
                                 rows, x));
        MUST(gpu.kernels.combine(&gpu, &p->shape, 3, parts_gpu, i ? gate_gpu : NULL,
                                 constant, rows, p->gpu.o));
        close_to(p, "combine", p->gpu.o, x, all, all, 1e-6);
    }
    free(x), free(gate), free(part);
    for (int i = 0; i < 3; i++)
        gpu.backend->free(&gpu, part_gpu[i]);
    gpu.backend->free(&gpu, gate_gpu);
}

/* attend_gated against ref's attend, dense and combine, on lists of `count` units. */
static void check_gated(struct problem *p, int64_t block, int64_t count, int64_t window)
{
    struct sps_shape *s = &p->shape;
    int64_t rows = s->t * s->h, nb = sps_shape_blocks(s, block),
            from = p->rows.begin * s->h, own = (p->rows.end - p->rows.begin) * s->h;
    struct sps_rule rule = {block, count, count > 2, 1};
    struct sps_band none = {false, 0, 0}, band = {false, window, 0};
    float constant[3] = {0.5f, 0.25f, -1};
    struct lists l;
    char what[64];

    new_lists(p, s->g, block, count, &l);
    if (p->spec.free_rows || !gpu.kernels.attend_gated ||
        !gpu.kernels.attend_gated_suits(&gpu, s, p->spec.dtype, &l.gpu)) {
        skipped++;
        free_lists(&l);
        return;
    }
    float *x = host((size_t)((p->rows.end - p->rows.begin) * s->g * nb) * 4);
    float *gate = host((size_t)rows * 12), *gate_gpu = device((size_t)rows * 12);
    float *part[3], *first_gpu = device((size_t)(rows * s->dv) * 4);
    for (int i = 0; i < 3; i++)
        part[i] = host((size_t)(rows * s->dv) * 4);
    const float *parts[3] = {part[0], part[1], part[2]};
    MUST(ref.kernels.noise(&ref, s, p->seed, block, s->g, p->rows, x));
    MUST(ref.kernels.topk(&ref, s, x, &rule, p->rows, &l.ref));
    MUST(gpu.backend->upload(&gpu, l.gpu.list, l.ref.list,
                             (size_t)(s->t * s->g * count) * 4));
    sps_normals(p->seed, 6, 0, rows * s->dv, part[0]);
    for (int64_t i = 0; i < rows * s->dv; i++)
        part[0][i] *= 0.1f; /* or an error in the others would drown in it */
    sps_normals(p->seed, 7, 0, rows * 3, gate);
    MUST(gpu.backend->upload(&gpu, first_gpu, part[0], (size_t)(rows * s->dv) * 4));
    MUST(gpu.backend->upload(&gpu, gate_gpu, gate, (size_t)rows * 12));
    MUST(ref.kernels.attend(&ref, s, &p->ref.in, &l.ref, &none, p->rows, part[1], NULL));
    MUST(ref.kernels.dense(&ref, s, &p->ref.in, &band, p->rows, part[2], NULL));
    for (int i = 0; i < 2; i++) {
        poison_output(p);
        MUST(ref.kernels.combine(&ref, s, 3, parts, i ? gate : NULL, constant, p->rows,
                                 p->ref.o));
        MUST(gpu.kernels.attend_gated(&gpu, s, &p->gpu.in, &l.gpu, window, first_gpu,
                                      i ? gate_gpu : NULL, constant, p->rows, p->gpu.o));
        float *o = fetch(p->gpu.o + from * s->dv, own * s->dv);
        double error = rel_l2(o, p->ref.o + from * s->dv, own * s->dv);
        snprintf(what, sizeof what, "attend_gated, window %lld", (long long)window);
        verdict(error <= p->tol, p->spec.name, what, gpu.impl, error, p->tol);
        free(o);
    }
    for (int i = 0; i < 3; i++)
        free(part[i]);
    free_lists(&l);
    free(x), free(gate);
    gpu.backend->free(&gpu, gate_gpu), gpu.backend->free(&gpu, first_gpu);
}

static int64_t longest(const struct spec *s)
{
    int64_t most = 0;

    for (int64_t i = 0; i < s->n; i++)
        most = s->s[i] > most ? s->s[i] : most;
    return most;
}

static void check_all(const struct spec *spec, uint64_t seed)
{
    struct problem p;
    int64_t block = spec->block;

    build(&p, spec, seed);
    check_dense(&p, (struct sps_band){true, 0, 0}, "dense");
    check_dense(&p, (struct sps_band){false, 37, 0}, "window 37");
    check_dense(&p, (struct sps_band){false, 200, 3}, "window 200 sink 3");
    check_dense(&p, (struct sps_band){false, 0, 70}, "sink 70");
    check_index(&p, spec->g, block, 3);
    check_index(&p, spec->h, block, 5);
    check_index(&p, spec->g, 1, 7);
    check_index(&p, spec->g, 100, 2);
    check_index(&p, 1, block, 4);
    check_index(&p, spec->h, 192, 1);
    check_mass(&p, spec->g, block);
    check_mass(&p, spec->h, block);
    check_mass(&p, spec->g, 5);
    check_probs(&p);
    check_moba(&p, (struct sps_rule){block, 3, 0, 1}, false);
    if (longest(spec) <= 5000)
        check_moba(&p, (struct sps_rule){128, 8, 0, 1}, false);
    check_nsa(&p, 32, 16, 64, 16);
    check_nsa(&p, 64, 64, 64, 4);
    check_nsa(&p, 16, 4, 8, 3);
    check_combine(&p);
    for (int64_t window = 0; window <= 4096; window = window * 8 + (window == 0))
        check_gated(&p, 64, 5, window);
    check_gated(&p, 192, 2, 63);
    check_gated(&p, 64, 16, 65);
    drop(&p);
}

#define ONE(t, s)                                                                        \
    1, {t},                                                                              \
    {                                                                                    \
        s                                                                                \
    }

/* Lists of one head each: key tiles that blocks do not fill, one block a row, more blocks
 * than a warp has lanes, all blocks, values at the ends of their range. */
static void check_blocks(void)
{
    static const struct spec specs[] = {
        {"blocks, bf16", ONE(1700, 1700), 3, 3, 128, 128, SPS_BF16, .v_size = 0x1p100f},
        {"blocks, fp16", ONE(1700, 1700), 3, 3, 128, 128, SPS_F16, .v_size = 0x1p-20f},
        {"blocks, d 64", ONE(1700, 1700), 3, 3, 64, 64, SPS_F16, .v_size = 0x1p13f},
        {"blocks, heads",
         2,
         {900, 700},
         {1000, 700},
         12,
         2,
         128,
         128,
         SPS_BF16,
         .block = 64},
        {"blocks, d 80/48", ONE(1700, 1700), 2, 2, 80, 48, SPS_BF16, .spread = true},
        {"blocks, d 256", ONE(1300, 1300), 2, 2, 256, 256, SPS_BF16, .v_size = 0x1p100f},
        {"blocks, d 256, G 4",
         3,
         {500, 1, 400},
         {600, 90, 400},
         4,
         1,
         256,
         256,
         SPS_F16,
         .v_size = 0x1p-20f},
        {"blocks, d 80/200", ONE(700, 1200), 3, 1, 80, 200, SPS_BF16, .spread = true},
        {"blocks, d 192/128, G 8",
         2,
         {450, 300},
         {500, 300},
         8,
         1,
         192,
         128,
         SPS_BF16,
         .v_size = 0x1p100f},
        {"blocks, d 136/40", ONE(900, 900), 4, 2, 136, 40, SPS_F16, .spread = true},
    };
    static const int64_t kinds[][2] = {{32, 1},  {32, 40}, {64, 3},  {96, 5}, {128, 14},
                                       {160, 4}, {320, 2}, {511, 2}, {512, 1}};
    struct problem p;

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        build(&p, &specs[i], i + 400);
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
            check_index(&p, p.spec.h, kinds[j][0], kinds[j][1]);
            check_index(&p, p.spec.g, kinds[j][0], kinds[j][1]);
        }
        drop(&p);
    }
}

/* What only attend_gated is asked: rows before their first key, windows over many tiles.
 */
static void check_gated_shapes(void)
{
    static const struct spec specs[] = {
        {"gated, rows before keys",
         3,
         {190, 70, 5},
         {100, 70, 300},
         32,
         2,
         128,
         128,
         SPS_BF16,
         .block = 64},
        {"gated, d 64", ONE(1300, 1300), 32, 2, 64, 64, SPS_F16, .block = 64},
        {"gated, G 12, d 80/48", ONE(400, 900), 24, 2, 80, 48, SPS_BF16, .block = 64},
        {"gated, G 4", ONE(1500, 1500), 16, 4, 128, 128, SPS_F16, .from = 700,
         .to = 1400},
        {"gated, positions", ONE(90, 2000), 32, 2, 128, 128, SPS_BF16, .spread = true},
    };
    static const int64_t windows[] = {1, 2, 63, 64, 65, 127, 500, 512, 513, 3000};
    struct problem p;

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        build(&p, &specs[i], i + 700);
        for (size_t j = 0; j < sizeof windows / sizeof *windows; j++)
            check_gated(&p, 64, 4, windows[j]);
        drop(&p);
    }
}

/* A first branch that is not there, or not on 16 bytes, is refused. */
static void check_gated_refusals(void)
{
    struct spec spec = {"gated, refused", ONE(100, 100), 16, 1, 64, 64,
                        SPS_BF16,         .block = 64};
    const float constant[3] = {1, 1, 1};
    struct problem p;
    struct lists l;

    build(&p, &spec, 720);
    new_lists(&p, 1, 64, 2, &l);
    float *first = device((size_t)(100 * 16 * 64 + 1) * 4);
    const float *bad[] = {NULL, first + 1};
    for (int i = 0; gpu.kernels.attend_gated && i < 2; i++) {
        enum sps_status status =
            gpu.kernels.attend_gated(&gpu, &p.shape, &p.gpu.in, &l.gpu, 10, bad[i], NULL,
                                     constant, p.rows, p.gpu.o);
        verdict(status == SPS_ENOTSUP, spec.name, sps_error(), gpu.impl, status,
                SPS_ENOTSUP);
    }
    gpu.backend->free(&gpu, first);
    free_lists(&l);
    drop(&p);
}

/* Scores so small that their scale underflows; as many positions as make the buffer of
 * small uploads grow. */
static void check_extremes(void)
{
    static const struct spec tiny = {
        "tiny q and k",      ONE(300, 300),      8, 2, 128, 128, SPS_BF16,
        .q_size = 0x1p-120f, .k_size = 0x1p-100f};
    static const struct spec many = {"70000 positions", ONE(70000, 64), 1, 1, 64, 64,
                                     SPS_BF16,          .spread = true};
    struct problem p;

    build(&p, &many, 730);
    check_dense(&p, (struct sps_band){true, 0, 0}, "dense");
    drop(&p);
    build(&p, &tiny, 731);
    check_nsa(&p, 32, 16, 64, 4);
    drop(&p);
}

/* Gates of more blocks than a tile of means has, lists of every length that is held in
 * registers and one more, rows that do not fill a tile, blocks that always stay. */
static void check_gates(void)
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
        build(&p, &specs[i], i + 500);
        for (size_t j = 0; j < sizeof rules / sizeof *rules; j++)
            for (int equal = 0; equal < 2; equal++)
                check_moba(&p, rules[j], equal);
        drop(&p);
    }
}

/* Windows that overlap or not, of less and more than a thread adds up. */
static void check_means(void)
{
    static const struct spec specs[] = {
        {"means, bf16", ONE(1, 4200), 2, 2, 128, 16, SPS_BF16, .block = 16},
        {"means, fp16", 3, {1, 1, 1}, {900, 5, 1300}, 3, 3, 72, 16, SPS_F16, .block = 16},
        {"means, fp32", ONE(1, 2100), 2, 1, 20, 16, SPS_F32, .block = 16},
        {"means, odd", ONE(1, 2100), 3, 3, 20, 16, SPS_BF16, .block = 16},
    };
    static const int64_t windows[][2] = {{1, 1},     {16, 4},    {17, 5},   {32, 16},
                                         {127, 127}, {128, 64},  {300, 7},  {512, 512},
                                         {777, 100}, {2048, 64}, {4100, 50}};
    struct problem p;

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        build(&p, &specs[i], i + 600);
        for (size_t j = 0; j < sizeof windows / sizeof *windows; j++) {
            int64_t cu[5], l = windows[j][0], u = windows[j][1],
                           m = sps_compressed_offsets(&p.shape, l, u, cu);
            struct sps_compression by = {.l = l, .u = u, .cu = cu};
            size_t bytes = (size_t)(m * p.spec.g * p.spec.dk) * 4;
            float *means = host(bytes), *means_gpu = device(bytes);
            check_mean(&p, &by, means, means_gpu);
            free(means);
            gpu.backend->free(&gpu, means_gpu);
        }
        drop(&p);
    }
}

/* ---- scores that lie close ---- */

enum closeness { EQUAL, NEAR, WIDE, ROUNDED };

/* Compressed keys of four rows over and over: all alike, or apart by 2^-13 of themselves,
 * which an fp16 term drops; or free ones, some columns and some rows large, as they are
 * or rounded to the type of the input. */
static float *close_keys(struct problem *p, const int64_t *cu, enum closeness kind)
{
    int64_t d = p->spec.dk, row = p->spec.g * d, m = cu[p->spec.n];
    float *k = host((size_t)(m * row) * 4), *x = host((size_t)(4 * row) * 4);

    sps_normals(p->seed, 8, 0, m * row, k);
    sps_normals(p->seed, 9, 0, 4 * row, x);
    for (int64_t i = 0; i < p->spec.n; i++)
        for (int64_t j = cu[i] * row; j < cu[i + 1] * row; j++) {
            float like = x[(j - cu[i] * row) % (4 * row)];
            if (kind >= WIDE)
                k[j] *= (j % d % 61 == 5 ? 8.f : .25f) * (j / row % 37 == 9 ? 4.f : 1.f);
            else
                k[j] = kind == EQUAL ? like : like * (1 + 0x1p-13f * k[j]);
        }
    if (kind == ROUNDED)
        sps_round_f32(k, m * row, p->spec.dtype);
    free(x);
    return k;
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
    static const char *const names[] = {"equal blocks", "near blocks", "wide keys",
                                        "wide keys, rounded"};
    struct sps_rule rule = {64, 16, 1, 2};
    struct problem p;
    struct lists lists;
    int64_t cu[5];

    build(&p, spec, 300);
    int64_t m = sps_compressed_offsets(&p.shape, l, 16, cu), g = spec->g;
    int64_t nb = sps_shape_blocks(&p.shape, 64), rows = p.rows.end - p.rows.begin;
    size_t bytes = (size_t)(m * g * spec->dk) * 4,
           v_bytes = (size_t)(m * g * spec->dv) * 4;
    struct sps_compression by = {
        .l = l, .u = 16, .cu = cu, .rounded = kind == ROUNDED ? spec->dtype : SPS_F32};
    float *k = close_keys(&p, cu, kind), *k_gpu = device(bytes), *v = host(v_bytes),
          *v_gpu = device(v_bytes), *x = host((size_t)(rows * g * nb) * 4);

    sps_normals(p.seed, 10, 0, m * g * spec->dv, v);
    sps_round_f32(v, m * g * spec->dv, by.rounded);
    MUST(gpu.backend->upload(&gpu, k_gpu, k, bytes));
    MUST(gpu.backend->upload(&gpu, v_gpu, v, v_bytes));
    new_lists(&p, g, 64, 16, &lists);
    MUST(ref.kernels.compressed(&ref, &p.shape, &p.ref.in.q, k, v, &by, 64, p.rows,
                                p.ref.o, p.ref.lse, x));
    MUST(ref.kernels.topk(&ref, &p.shape, x, &rule, p.rows, &lists.ref));
    poison_output(&p);
    MUST(gpu.kernels.compressed_select(&gpu, &p.shape, &p.gpu.in.q, k_gpu, v_gpu, &by,
                                       &rule, p.rows, p.gpu.o, p.gpu.lse, &lists.gpu));
    compare(&p, names[kind]);
    same_lists(&p, &lists, x, nb, names[kind], kind == EQUAL ? 0 : tie_width(&p, k, m));
    free_lists(&lists);
    free(k), free(v), free(x);
    gpu.backend->free(&gpu, k_gpu), gpu.backend->free(&gpu, v_gpu);
    drop(&p);
}

static void check_closeness(void)
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
        for (int kind = EQUAL; kind <= ROUNDED; kind++) {
            check_close(&specs[i], 16, (enum closeness)kind);
            if (kind != EQUAL)
                check_close(&specs[i], 32, (enum closeness)kind);
        }
}

/* ---- reruns ---- */

static bool same_bits(struct problem *p, float **first)
{
    int64_t count = p->shape.t * p->spec.h * p->spec.dv;
    float *o = fetch(p->gpu.o, count);
    bool same = true;

    if (*first) {
        same = memcmp(*first, o, (size_t)count * 4) == 0;
        free(o);
    } else {
        *first = o;
    }
    return same;
}

/* Twenty runs of compressed_select: o, lse and lists, bit for bit. */
static void check_compressed_reruns(void)
{
    struct spec spec = {"rerun", 1,   {2500}, {2500},   32,
                        2,       128, 128,    SPS_BF16, .block = 64};
    struct sps_rule rule = {64, 16, 1, 2};
    struct problem p;
    struct lists l;
    float *first[2] = {0};
    int32_t *lists = NULL;
    bool same = true;
    int64_t cu[2];

    build(&p, &spec, 98);
    int64_t m = sps_compressed_offsets(&p.shape, 32, 16, cu), rows = p.shape.t * spec.h;
    struct sps_compression by = {.l = 32, .u = 16, .cu = cu};
    float *k = device((size_t)(m * 2 * 128) * 4), *v = device((size_t)(m * 2 * 128) * 4);
    new_lists(&p, 2, 64, 16, &l);
    MUST(gpu.kernels.compress_mean(&gpu, &p.shape, &p.gpu.in.k, &by, k));
    MUST(gpu.kernels.compress_mean(&gpu, &p.shape, &p.gpu.in.v, &by, v));
    for (int run = 0; run < 20; run++) {
        poison_output(&p);
        MUST(gpu.kernels.compressed_select(&gpu, &p.shape, &p.gpu.in.q, k, v, &by, &rule,
                                           p.rows, p.gpu.o, p.gpu.lse, &l.gpu));
        MUST(gpu.backend->download(&gpu, l.got, l.gpu.list, (size_t)l.count * 4));
        float *lse = fetch(p.gpu.lse, rows);
        if (!lists) {
            lists = host((size_t)l.count * 4);
            memcpy(lists, l.got, (size_t)l.count * 4);
            first[1] = lse;
        }
        same &= memcmp(lists, l.got, (size_t)l.count * 4) == 0;
        same &= memcmp(first[1], lse, (size_t)rows * 4) == 0;
        same &= same_bits(&p, &first[0]);
        if (lse != first[1])
            free(lse);
    }
    verdict(same, "rerun", "20 runs, same bits", gpu.impl, 1, 0);
    free_lists(&l);
    free(first[0]), free(first[1]), free(lists);
    gpu.backend->free(&gpu, k), gpu.backend->free(&gpu, v);
    drop(&p);
}

/* Twenty runs of every path that adds in an order, bit for bit. */
static void check_reruns(void)
{
    struct spec spec = {"rerun", 1,   {2048}, {2048},   8,
                        4,       128, 128,    SPS_BF16, .block = 64};
    struct sps_band all = {true, 0, 0}, none = {false, 0, 0};
    struct problem p;
    float *first[4] = {0};
    bool same[4] = {true, true, true, true};
    struct lists l[2];

    build(&p, &spec, 99);
    int64_t nb = 32;
    float *y = device((size_t)(2048 * 8 * nb) * 4);
    for (int i = 0; i < 2; i++) {
        int64_t heads = i ? 8 : 4;
        struct sps_rule rule = {64, 6, 1, 1};
        new_lists(&p, heads, 64, 6, &l[i]);
        MUST(gpu.kernels.noise(&gpu, &p.shape, 5, 64, heads, p.rows, y));
        MUST(gpu.kernels.topk(&gpu, &p.shape, y, &rule, p.rows, &l[i].gpu));
    }
    for (int run = 0; run < 20; run++) {
        MUST(gpu.kernels.dense(&gpu, &p.shape, &p.gpu.in, &all, p.rows, p.gpu.o,
                               p.gpu.lse));
        same[0] &= same_bits(&p, &first[0]);
        for (int i = 0; i < 2; i++) {
            MUST(gpu.kernels.attend(&gpu, &p.shape, &p.gpu.in, &l[i].gpu, &none, p.rows,
                                    p.gpu.o, p.gpu.lse));
            same[1 + i] &= same_bits(&p, &first[1 + i]);
        }
        MUST(gpu.kernels.mass(&gpu, &p.shape, &p.gpu.in, 64, 4, p.rows, p.gpu.o));
        same[3] &= same_bits(&p, &first[3]);
    }
    for (int i = 0; i < 4; i++) {
        verdict(same[i], "rerun", "20 runs, same bits", gpu.impl, 1, 0);
        free(first[i]);
    }
    free_lists(&l[0]), free_lists(&l[1]);
    gpu.backend->free(&gpu, y);
    drop(&p);
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
    MUST(gpu.backend->upload(&gpu, p->gpu.in.v.data, half, (size_t)count * 2));
    free(half);
}

/* Rows over lists alone, or with a window and gates behind. */
static void attend_either(struct problem *p, const struct lists *l, bool gated,
                          struct sps_rows rows)
{
    static const struct sps_band none = {false, 0, 0};
    static const float gates[3] = {0, 0.5f, 1.5f};

    if (gated)
        MUST(gpu.kernels.attend_gated(&gpu, &p->shape, &p->gpu.in, &l->gpu, 100, p->gpu.x,
                                      NULL, gates, rows, p->gpu.o));
    else
        MUST(gpu.kernels.attend(&gpu, &p->shape, &p->gpu.in, &l->gpu, &none, rows,
                                p->gpu.o, p->gpu.lse));
}

/* Rows computed one by one have the bits that they have among others, whatever the blocks
 * that the others choose hold; and all rows the same bits again. */
static void compare_alone(struct problem *p, const struct lists *l, bool gated)
{
    int64_t row = p->spec.h * p->spec.dv, differ = 0;
    size_t bytes = (size_t)row * 4;

    attend_either(p, l, gated, p->rows);
    float *all = fetch(p->gpu.o, p->shape.t * row);
    poison_output(p);
    for (int64_t i = 1; i < p->shape.t; i += 3)
        attend_either(p, l, gated, (struct sps_rows){i, i + 1});
    float *each = fetch(p->gpu.o, p->shape.t * row);
    for (int64_t i = 1; i < p->shape.t; i += 3)
        differ += memcmp(all + i * row, each + i * row, bytes) != 0;
    verdict(differ == 0, p->spec.name, "rows alone, same bits", gpu.impl, (double)differ,
            0);
    differ = 0;
    for (int run = 0; run < 10; run++) {
        poison_output(p);
        attend_either(p, l, gated, p->rows);
        float *again = fetch(p->gpu.o, p->shape.t * row);
        differ += memcmp(all, again, (size_t)p->shape.t * bytes) != 0;
        free(again);
    }
    verdict(differ == 0, p->spec.name, "10 runs, same bits", gpu.impl, (double)differ, 0);
    free(all), free(each);
}

static void check_alone(const struct spec *spec)
{
    struct problem p;
    struct lists l;
    struct sps_rule rule = {spec->block, 3, 0, 1};

    build(&p, spec, 5);
    shout(&p);
    new_lists(&p, spec->g, spec->block, 3, &l);
    float *y = device((size_t)(l.count * sps_shape_blocks(&p.shape, spec->block)) * 4);
    MUST(gpu.kernels.noise(&gpu, &p.shape, 5, spec->block, spec->g, p.rows, y));
    MUST(gpu.kernels.topk(&gpu, &p.shape, y, &rule, p.rows, &l.gpu));
    compare_alone(&p, &l, false);
    p.gpu.x = device((size_t)(p.shape.t * spec->h * spec->dv) * 4);
    if (gpu.kernels.attend_gated &&
        gpu.kernels.attend_gated_suits(&gpu, &p.shape, spec->dtype, &l.gpu))
        compare_alone(&p, &l, true);
    else
        skipped++;
    gpu.backend->free(&gpu, p.gpu.x);
    free_lists(&l);
    gpu.backend->free(&gpu, y);
    drop(&p);
}

/* ---- NaN scores are told with their place ---- */

static void told(enum sps_status status, int64_t row, const char *what)
{
    char place[64];

    if (status == SPS_OK) /* it is told when the host waits */
        status = gpu.backend->download(&gpu, NULL, NULL, 0);
    snprintf(place, sizeof place, "row %lld, head 1 ", (long long)row);
    verdict(status == SPS_ENUMERIC && strstr(sps_error(), place), what, sps_error(),
            gpu.impl, status, SPS_ENUMERIC);
}

/* y: zeros but for a NaN of head 1 in compressed key 3. */
static void upload_bad_key(float *x, float *y, int64_t keys)
{
    memset(x, 0, (size_t)(keys * 2 * 64) * 4);
    x[3 * 2 * 64 + 64 + 5] = NAN;
    MUST(gpu.backend->upload(&gpu, y, x, (size_t)(keys * 2 * 64) * 4));
}

/* Rows from `from` on: the place is that in the packed rows, wherever the range starts.
 */
static void check_nan(int64_t from)
{
    struct spec spec = {"nan",       ONE(300, 300), 2,        2, 64, 64, SPS_BF16,
                        .block = 16, .from = from,  .to = 300};
    struct problem p;
    struct lists l;
    struct sps_rule rule = {16, 4, 0, 1};
    int64_t nb = 19, all = 300 * 2 * 64, cu[2];
    float *x = host((size_t)all * 4), *y = device((size_t)all * 4);

    build(&p, &spec, 3);
    new_lists(&p, 2, 16, 4, &l);
    x[((250 - from) * 2 + 1) * nb + 3] = NAN;
    MUST(gpu.backend->upload(&gpu, y, x, (size_t)all * 4));
    told(gpu.kernels.topk(&gpu, &p.shape, y, &rule, p.rows, &l.gpu), 250, "nan, topk");
    struct sps_compression by = {.l = 16, .u = 16, .cu = cu};
    upload_bad_key(x, y, sps_compressed_offsets(&p.shape, 16, 16, cu));
    told(gpu.kernels.gate_select(&gpu, &p.shape, &p.gpu.in.q, y, &by, &rule, p.rows,
                                 &l.gpu),
         from > 63 ? from : 63, "nan, gate_select");
    by.l = 32; /* key 3: tokens 48 to 79 */
    upload_bad_key(x, y, sps_compressed_offsets(&p.shape, 32, 16, cu));
    float *v = device((size_t)all * 4);
    told(gpu.kernels.compressed_select(&gpu, &p.shape, &p.gpu.in.q, y, v, &by, &rule,
                                       p.rows, p.gpu.o, p.gpu.lse, &l.gpu),
         from > 79 ? from : 79, "nan, compressed_select");
    free_lists(&l);
    free(x);
    gpu.backend->free(&gpu, y), gpu.backend->free(&gpu, v);
    drop(&p);
}

/* ---- shapes ---- */

static const struct spec edges[] = {
    {"s 1", ONE(1, 1), 4, 2, 128, 128, SPS_BF16, .block = 64},
    {"s 63", ONE(63, 63), 16, 1, 128, 128, SPS_BF16, .block = 16},
    {"s 65", ONE(65, 65), 4, 4, 128, 128, SPS_F16, .block = 32},
    {"d 64", ONE(200, 200), 6, 2, 64, 64, SPS_BF16, .block = 32},
    {"d 192/128", ONE(130, 130), 8, 2, 192, 128, SPS_BF16, .block = 64},
    {"d 256", ONE(140, 140), 8, 1, 256, 256, SPS_BF16, .block = 64},
    {"d 80/48", ONE(70, 70), 4, 2, 80, 48, SPS_F16, .block = 16},
    {"fp32", ONE(80, 80), 4, 2, 128, 128, SPS_F32, .block = 16},
    {"d 20", ONE(50, 50), 2, 2, 20, 20, SPS_BF16, .block = 16},
    {"packed", 3, {70, 1, 129}, {70, 90, 200}, 4, 2, 128, 128, SPS_BF16, .block = 32},
    {"positions", ONE(60, 333), 4, 2, 128, 128, SPS_BF16, .block = 64, .spread = true},
    {"not causal", ONE(77, 201), 4, 2, 128, 128, SPS_BF16, true, .block = 64},
    {"G 64", ONE(40, 300), 64, 1, 128, 128, SPS_BF16, .block = 64},
    {"G 3", ONE(50, 260), 6, 2, 64, 64, SPS_F16, .block = 64},
    {"range", ONE(300, 300), 4, 1, 128, 128, SPS_BF16, .block = 64, .from = 100,
     .to = 201},
    {"G 16, 127 keys", ONE(25, 2047), 16, 1, 128, 128, SPS_BF16, .block = 64},
    {"G 16, 129 keys", ONE(23, 2095), 32, 2, 128, 128, SPS_F16, .block = 64},
    {"G 16, packed",
     4,
     {13, 1, 40, 12},
     {2081, 31, 700, 12},
     32,
     2,
     128,
     128,
     SPS_BF16,
     .block = 32},
    {"G 16, positions", ONE(37, 2200), 16, 1, 128, 128, SPS_BF16, .block = 64,
     .spread = true},
    {"G 16, range",
     2,
     {90, 200},
     {90, 2200},
     16,
     1,
     64,
     64,
     SPS_BF16,
     .block = 64,
     .from = 77,
     .to = 131},
    {"G 3, 128 keys", ONE(50, 2064), 6, 2, 128, 128, SPS_BF16, .block = 64},
    {"G 1, 193 rows", ONE(193, 600), 2, 2, 128, 128, SPS_BF16, .block = 64},
    {"G 12", ONE(30, 500), 24, 2, 128, 96, SPS_BF16, .block = 64},
    {"G 20", ONE(29, 700), 40, 2, 64, 64, SPS_BF16, .block = 64},
    {"G 40", ONE(11, 2100), 40, 1, 128, 128, SPS_F16, .block = 64},
    {"G 64, range", ONE(20, 2100), 128, 2, 128, 128, SPS_BF16, .block = 64, .from = 3,
     .to = 17},
    {"G 65", ONE(9, 300), 65, 1, 64, 64, SPS_BF16, .block = 64},
    {"rows before keys",
     3,
     {190, 70, 5},
     {100, 70, 300},
     8,
     2,
     64,
     64,
     SPS_BF16,
     .block = 32},
};

static const struct spec larger[] = {
    {"s 4095", ONE(4095, 4095), 2, 1, 128, 128, SPS_BF16, .block = 64, .from = 3900,
     .to = 4095},
    {"s 65537", ONE(65537, 65537), 2, 1, 128, 128, SPS_BF16, .block = 64, .from = 65500,
     .to = 65537},
    {"decode 65537", 2, {1, 3}, {65537, 777}, 16, 2, 128, 128, SPS_BF16, .block = 64},
    {"G 1, 2048", ONE(2048, 2048), 2, 2, 128, 128, SPS_BF16, .block = 32},
    {"G 2, packed",
     3,
     {1500, 200, 700},
     {1500, 300, 700},
     4,
     2,
     64,
     64,
     SPS_F16,
     .block = 64},
    {"d 256, 1200", ONE(1200, 1200), 2, 2, 256, 256, SPS_F16, .block = 64},
    {"d 192, 1200", ONE(1200, 1200), 2, 2, 192, 128, SPS_F16, .block = 64},
    {"G 16, 1500", ONE(1500, 1500), 16, 1, 128, 128, SPS_BF16, .block = 64},
    {"G 16, packed",
     4,
     {70, 1, 133, 13},
     {70, 90, 500, 13},
     32,
     2,
     128,
     128,
     SPS_F16,
     .block = 64},
    {"G 16, positions", ONE(90, 700), 32, 2, 96, 80, SPS_BF16, .block = 64,
     .spread = true},
    {"G 16, range", ONE(700, 700), 16, 1, 64, 64, SPS_BF16, .block = 64, .from = 401,
     .to = 600},
    {"G 8, block 128", ONE(300, 600), 16, 2, 128, 128, SPS_BF16, .block = 128},
    {"G 4, 900", ONE(900, 900), 8, 2, 128, 128, SPS_BF16, .block = 64},
    {"G 48, block 192", ONE(450, 450), 48, 1, 128, 64, SPS_F16, .block = 192},
    {"G 5, block 64", ONE(300, 500), 10, 2, 64, 64, SPS_F16, .block = 64},
    {"G 32, decode",
     3,
     {1, 2, 1},
     {5000, 64, 65},
     32,
     1,
     128,
     128,
     SPS_BF16,
     .block = 64},
};

static const struct spec alone[] = {
    {"alone, G 16", ONE(700, 700), 16, 1, 128, 128, SPS_F16, .block = 64},
    {"alone, G 16 bf16", ONE(900, 900), 64, 4, 128, 128, SPS_BF16, .block = 64},
    {"alone, G 4", ONE(500, 500), 8, 2, 64, 64, SPS_F16, .block = 64},
    {"alone, G 5", ONE(400, 400), 10, 2, 128, 128, SPS_F16, .block = 64},
    {"alone, G 1", ONE(700, 700), 4, 4, 128, 128, SPS_F16, .block = 64},
    {"alone, G 2", ONE(900, 900), 4, 2, 64, 64, SPS_BF16, .block = 64},
    {"alone, G 2, d 192", ONE(700, 700), 4, 2, 192, 128, SPS_F16, .block = 64},
    {"alone, G 4, d 256", ONE(500, 500), 8, 2, 256, 256, SPS_BF16, .block = 64},
};

static int64_t pick(uint64_t seed, uint64_t i, int64_t low, int64_t high)
{
    uint32_t word[4];

    sps_philox(seed, 77, i, word);
    return low + word[0] % (uint32_t)(high - low + 1);
}

static void check_random(uint64_t seed)
{
    static const int64_t dims[][2] = {
        {64, 64}, {128, 128}, {192, 128}, {256, 256}, {96, 96}};
    static const int64_t groups[] = {1, 2, 4, 8, 16, 5};
    int64_t g = pick(seed, 0, 1, 3), group = groups[pick(seed, 1, 0, 5)],
            d = pick(seed, 2, 0, 4);
    struct spec s = {.name = "random", .n = pick(seed, 3, 1, 3), .h = g * group, .g = g};
    static char name[64];

    for (int64_t i = 0; i < s.n; i++) {
        s.s[i] = pick(seed, 10 + (uint64_t)i, 1, 600);
        s.t[i] = pick(seed, 20 + (uint64_t)i, 1, s.s[i]);
    }
    s.dk = dims[d][0], s.dv = dims[d][1];
    s.dtype = pick(seed, 4, 0, 1) ? SPS_BF16 : SPS_F16;
    s.block = (int64_t)16 << pick(seed, 5, 0, 3);
    s.spread = pick(seed, 6, 0, 3) == 0;
    snprintf(name, sizeof name, "random %llu", (unsigned long long)seed);
    s.name = name;
    check_all(&s, seed);
}

/* q, o past 2^31 elements; only the last rows are filled and computed. */
static void check_big(void)
{
    int64_t t = 132000, h = 128, d = 128, s = 132000, g = 1, rows = 24;
    struct spec spec = {"big",    ONE(132000, 132000), 128, 1, 128, 128,
                        SPS_BF16, .block = 64};
    struct problem p = {.spec = spec, .seed = 7, .tol = 6e-3};
    struct sps_tensor q, q_gpu;
    struct sps_band all = {true, 0, 0}, none = {false, 0, 0};
    struct lists l;

    p.cu_q[1] = t, p.cu_k[1] = s;
    p.shape = (struct sps_shape){.h = h,
                                 .g = g,
                                 .t = t,
                                 .s = s,
                                 .dk = d,
                                 .dv = d,
                                 .n = 1,
                                 .cu_q = p.cu_q,
                                 .cu_k = p.cu_k,
                                 .causal = true,
                                 .scale = 0.1};
    p.rows = (struct sps_rows){t - rows, t};
    fill(&p, 1, &q, &q_gpu, rows, h, d);
    fill(&p, 2, &p.ref.in.k, &p.gpu.in.k, s, g, d);
    fill(&p, 3, &p.ref.in.v, &p.gpu.in.v, s, g, d);
    p.ref.in.q = sps_tensor_view(host((size_t)(t * h * d) * 4), SPS_F32, t, h, d, 1);
    p.gpu.in.q = sps_tensor_view(device((size_t)(t * h * d) * 2), SPS_BF16, t, h, d, 1);
    memcpy((float *)p.ref.in.q.data + (t - rows) * h * d, q.data,
           (size_t)(rows * h * d) * 4);
    uint16_t *half = host((size_t)(rows * h * d) * 2);
    sps_from_f32(q.data, rows * h * d, SPS_BF16, half);
    MUST(gpu.backend->upload(&gpu, (uint16_t *)p.gpu.in.q.data + (t - rows) * h * d, half,
                             (size_t)(rows * h * d) * 2));
    free(half);
    p.ref.o = host((size_t)(t * h * d) * 4), p.ref.lse = host((size_t)(t * h) * 4);
    p.gpu.o = device((size_t)(t * h * d) * 4), p.gpu.lse = device((size_t)(t * h) * 4);
    check_dense(&p, all, "dense past 2^31");
    check_mass(&p, 1, 64);
    new_lists(&p, 1, 64, 16, &l);
    float *y = device((size_t)(rows * 2063) * 4);
    MUST(gpu.kernels.noise(&gpu, &p.shape, 5, 64, 1, p.rows, y));
    struct sps_rule rule = {64, 16, 1, 2};
    MUST(gpu.kernels.topk(&gpu, &p.shape, y, &rule, p.rows, &l.gpu));
    MUST(gpu.backend->download(&gpu, l.ref.list, l.gpu.list, (size_t)(t * 16) * 4));
    poison_output(&p);
    MUST(ref.kernels.attend(&ref, &p.shape, &p.ref.in, &l.ref, &none, p.rows, p.ref.o,
                            p.ref.lse));
    MUST(gpu.kernels.attend(&gpu, &p.shape, &p.gpu.in, &l.gpu, &none, p.rows, p.gpu.o,
                            p.gpu.lse));
    compare(&p, "attend past 2^31");
    free_lists(&l);
    gpu.backend->free(&gpu, y);
    free(q.data);
    gpu.backend->free(&gpu, q_gpu.data);
    drop(&p);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    int randoms = argc > 2 ? atoi(argv[2]) : 12;

    setvbuf(stdout, NULL, _IOLBF, 0);
    ref.backend = &sps_backend_ref;
    gpu.backend = &sps_backend_cuda;
    MUST(ref.backend->open(&ref, 0));
    if (gpu.backend->open(&gpu, 0) != SPS_OK) {
        printf("0 passed, 0 failed, 1 skipped: %s\n", sps_error());
        return 77;
    }
    printf("%s\n", gpu.name);
    size_t shapes = sizeof edges / sizeof *edges;
    if (strcmp(what, "edge") == 0 && argc > 2 && (size_t)randoms < shapes)
        shapes = (size_t)randoms;
    for (size_t i = 0; i < shapes; i++)
        check_all(&edges[i], i + 1);
    check_nan(0);
    check_nan(100);
    check_closeness();
    if (strcmp(what, "edge") != 0) {
        check_extremes();
        check_gated_refusals();
        check_blocks();
        check_gated_shapes();
        check_gates();
        check_means();
        for (size_t i = 0; i < sizeof larger / sizeof *larger; i++)
            check_all(&larger[i], i + 50);
        for (int i = 0; i < randoms; i++)
            check_random((uint64_t)i + 100);
        check_reruns();
        for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
            check_alone(&alone[i]);
        check_compressed_reruns();
    }
    if (strcmp(what, "big") == 0)
        check_big();
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    gpu.backend->close(&gpu);
    ref.backend->close(&ref);
    return failed > 0;
}
