/* gated.c - checks of attend_gated, attention over lists, window and gates in one. */
#include "tests/gpu/checks.h"

#include <string.h>

#include "base/rng.h"

/* What it reads: a first branch given, the lists and the gates; part[1], part[2]: what
 * the reference makes of the lists and of the window. */
struct gated {
    struct lists lists;
    float *part[3], *gate;       /* host: [t,h,dv], [t,h,3] */
    float *first_gpu, *gate_gpu; /* part[0] and gate on the GPU */
};

/* Lists by noise, on both sides. */
static void gated_lists(struct problem *p, struct lists *l)
{
    struct sps_shape *s = &p->shape;
    int64_t block = l->ref.block, count = l->ref.width, heads = l->ref.heads;
    struct sps_rule rule = {block, count, count > 2, 1};
    float *x = host(
        (size_t)((p->rows.end - p->rows.begin) * heads * sps_shape_blocks(s, block)) * 4);

    MUST(ref.kernels.noise(&ref, s, p->seed, block, heads, p->rows, x));
    MUST(ref.kernels.topk(&ref, s, x, &rule, p->rows, &l->ref));
    upload(l->gpu.list, l->ref.list, (size_t)(s->t * heads * count) * 4);
    free(x);
}

/* All but the lists, which it reads. */
static void gated_parts(struct problem *p, int64_t window, struct gated *x)
{
    struct sps_shape *s = &p->shape;
    struct sps_band none = {false, 0, 0}, band = {false, window, 0};
    int64_t rows = s->t * s->h, all = rows * s->dv;

    x->gate = host((size_t)rows * 12), x->gate_gpu = device((size_t)rows * 12);
    x->first_gpu = device((size_t)all * 4);
    for (int i = 0; i < 3; i++)
        x->part[i] = host((size_t)all * 4);
    sps_normals(p->seed, 6, 0, all, x->part[0]);
    for (int64_t i = 0; i < all; i++)
        x->part[0][i] *= 0.1f; /* or an error in the others would drown in it */
    sps_normals(p->seed, 7, 0, rows * 3, x->gate);
    upload(x->first_gpu, x->part[0], (size_t)all * 4);
    upload(x->gate_gpu, x->gate, (size_t)rows * 12);
    MUST(ref.kernels.attend(&ref, s, &p->ref.in, &x->lists.ref, &none, p->rows,
                            x->part[1], NULL));
    MUST(ref.kernels.dense(&ref, s, &p->ref.in, &band, p->rows, x->part[2], NULL));
}

static void gated_drop(struct gated *x)
{
    for (int i = 0; i < 3; i++)
        free(x->part[i]);
    free(x->gate);
    device_free(x->gate_gpu), device_free(x->first_gpu);
}

/* One run, with gates or with constants. */
static void compare_gated(struct problem *p, const struct gated *x, int64_t window,
                          bool gates)
{
    struct sps_shape *s = &p->shape;
    int64_t from = p->rows.begin * s->h, own = (p->rows.end - p->rows.begin) * s->h;
    const float *parts[3] = {x->part[0], x->part[1], x->part[2]};
    const float constant[3] = {0.5f, 0.25f, -1};
    char what[64];

    poison_output(p);
    MUST(ref.kernels.combine(&ref, s, 3, parts, gates ? x->gate : NULL, constant, p->rows,
                             p->ref.o));
    MUST(gpu.kernels.attend_gated(&gpu, s, &p->gpu.in, &x->lists.gpu, window,
                                  x->first_gpu, gates ? x->gate_gpu : NULL, constant,
                                  p->rows, p->gpu.o));
    float *o = fetch(p->gpu.o + from * s->dv, own * s->dv);
    double error = rel_l2(o, p->ref.o + from * s->dv, own * s->dv);
    snprintf(what, sizeof what, "attend_gated, window %lld", (long long)window);
    verdict(error <= p->tol, p->spec.name, what, gpu.impl, error, p->tol);
    free(o);
}

void check_gated(struct problem *p, int64_t block, int64_t count, int64_t window)
{
    struct gated x;

    lists_new(p, p->shape.g, block, count, &x.lists);
    if (p->spec.free_rows || !gpu.kernels.attend_gated ||
        !gpu.kernels.attend_gated_suits(&gpu, &p->shape, p->spec.dtype, &x.lists.gpu)) {
        skip();
    } else {
        gated_lists(p, &x.lists);
        gated_parts(p, window, &x);
        compare_gated(p, &x, window, false);
        compare_gated(p, &x, window, true);
        gated_drop(&x);
    }
    lists_drop(&x.lists);
}

/* What only attend_gated is asked: rows before their first key, windows over many tiles.
 */
void check_gated_shapes(void)
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
        {"gated, far positions", ONE(64, 40000), 32, 2, 128, 128, SPS_BF16,
         .spread = true},
    };
    static const int64_t windows[] = {1, 2, 63, 64, 65, 127, 500, 512, 513, 3000};
    struct problem p;

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        problem_build(&p, &specs[i], i + 700);
        for (size_t j = 0; j < sizeof windows / sizeof *windows; j++)
            check_gated(&p, 64, 4, windows[j]);
        problem_drop(&p);
    }
}

/* A first branch that is not there, and one or an output not on 16 bytes, is refused. */
void check_gated_refusals(void)
{
    struct spec spec = {"gated, refused", ONE(100, 100), 16, 1, 64, 64,
                        SPS_BF16,         .block = 64};
    const float constant[3] = {1, 1, 1};
    struct problem p;
    struct lists l;

    problem_build(&p, &spec, 720);
    lists_new(&p, 1, 64, 2, &l);
    float *first = device((size_t)(100 * 16 * 64 + 1) * 4);
    const float *bad[] = {NULL, first + 1, first};
    float *o[] = {p.gpu.o, p.gpu.o, p.gpu.o + 2};
    for (int i = 0; gpu.kernels.attend_gated && i < 3; i++) {
        enum sps_status status = gpu.kernels.attend_gated(
            &gpu, &p.shape, &p.gpu.in, &l.gpu, 10, bad[i], NULL, constant, p.rows, o[i]);
        verdict(status == SPS_ENOTSUP, spec.name, sps_error(), gpu.impl, status,
                SPS_ENOTSUP);
    }
    device_free(first);
    lists_drop(&l);
    problem_drop(&p);
}
