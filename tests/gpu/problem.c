/* problem.c - one attention problem on the reference and on the GPU, and comparisons of
 * what both make of it. */
#include "tests/gpu/problem.h"

#include <math.h>

#include "base/rng.h"

/* ---- inputs and outputs ---- */

/* Of streams 1, 2, 3: q, k, v. */
static float size_of(const struct spec *spec, uint64_t stream)
{
    const float size[] = {0, spec->q_size, spec->k_size, spec->v_size};

    return stream < 4 && size[stream] > 0 ? size[stream] : 1;
}

void fill(struct problem *p, uint64_t stream, struct sps_tensor *a, struct sps_tensor *b,
          int64_t d0, int64_t d1, int64_t d2)
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
    upload(z, y, (size_t)count * sps_dtype_size(dtype));
    free(y);
    *a = sps_tensor_view(x, SPS_F32, d0, d1, d2, 1);
    *b = sps_tensor_view(z, dtype, d0, d1, d2, 1);
}

/* Where sequences start; positions, if the spec wants them given. */
static void place_rows(struct problem *p)
{
    const struct spec *spec = &p->spec;

    for (int64_t i = 0; i < spec->n; i++) {
        p->cu_q[i + 1] = p->cu_q[i] + spec->t[i];
        p->cu_k[i + 1] = p->cu_k[i] + spec->s[i];
    }
    if (!spec->spread)
        return;
    p->pos = host((size_t)p->cu_q[spec->n] * 8);
    for (int64_t i = 0; i < spec->n; i++)
        for (int64_t r = 0; r < spec->t[i]; r++)
            p->pos[p->cu_q[i] + r] = r * spec->s[i] / spec->t[i];
}

void problem_build(struct problem *p, const struct spec *spec, uint64_t seed)
{
    *p = (struct problem){.spec = *spec, .seed = seed};
    place_rows(p);
    int64_t t = p->cu_q[spec->n], s = p->cu_k[spec->n];
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

void problem_drop(struct problem *p)
{
    free(p->ref.in.q.data), free(p->ref.in.k.data), free(p->ref.in.v.data);
    free(p->ref.o), free(p->ref.lse), free(p->pos);
    device_free(p->gpu.in.q.data);
    device_free(p->gpu.in.k.data);
    device_free(p->gpu.in.v.data);
    device_free(p->gpu.o);
    device_free(p->gpu.lse);
}

/* ---- comparisons ---- */

double rel_l2(const float *a, const float *b, int64_t count)
{
    double e = 0, n = 0;

    for (int64_t i = 0; i < count; i++) {
        double d = (double)a[i] - b[i];
        e += d * d;
        n += (double)b[i] * b[i];
    }
    return n > 0 ? sqrt(e / n) : sqrt(e);
}

void poison_output(struct problem *p)
{
    struct sps_shape *s = &p->shape;
    int64_t from = p->rows.begin * s->h, count = (p->rows.end - p->rows.begin) * s->h;

    poison(p->gpu.o + from * s->dv, count * s->dv);
    poison(p->gpu.lse + from, count);
}

void compare(struct problem *p, const char *what)
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

void close_to(struct problem *p, const char *what, const float *from, const float *want,
              int64_t count, int64_t row, double tol)
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
