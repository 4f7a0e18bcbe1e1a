/* attend.c - checks of attention over bands and over lists of blocks. */
#include "tests/gpu/checks.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

void check_dense(struct problem *p, struct sps_band band, const char *what)
{
    poison_output(p);
    MUST(ref.kernels.dense(&ref, &p->shape, &p->ref.in, &band, p->rows, p->ref.o,
                           p->ref.lse));
    MUST(gpu.kernels.dense(&gpu, &p->shape, &p->gpu.in, &band, p->rows, p->gpu.o,
                           p->gpu.lse));
    compare(p, what);
}

void check_attend(struct problem *p, const struct sps_index *a, const struct sps_index *b,
                  struct sps_band band, const char *what)
{
    poison_output(p);
    MUST(ref.kernels.attend(&ref, &p->shape, &p->ref.in, a, &band, p->rows, p->ref.o,
                            p->ref.lse));
    MUST(gpu.kernels.attend(&gpu, &p->shape, &p->gpu.in, b, &band, p->rows, p->gpu.o,
                            p->gpu.lse));
    compare(p, what);
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
    upload(b.offset, a.offset, (size_t)(lists + 1) * 8);
    upload(b.list, a.list, (size_t)(lists * w) * 4);
    check_attend(p, &a, &b, band, "attend packed");
    free(a.offset), free(a.list);
    device_free(b.offset), device_free(b.list);
}

/* Scores x[r,heads,nb] of ref and y of the GPU become noise, the same bits. */
static void check_noise(struct problem *p, int64_t heads, int64_t block, float *x,
                        float *y)
{
    int64_t all =
        (p->rows.end - p->rows.begin) * heads * sps_shape_blocks(&p->shape, block);

    poison(y, all);
    MUST(ref.kernels.noise(&ref, &p->shape, p->seed, block, heads, p->rows, x));
    MUST(gpu.kernels.noise(&gpu, &p->shape, p->seed, block, heads, p->rows, y));
    float *z = fetch(y, all);
    verdict(memcmp(x, z, (size_t)all * 4) == 0, p->spec.name, "noise", gpu.impl, 1, 0);
    free(z);
}

/* The rows of the problem's range whose tiles it does not part. */
static struct sps_rows whole_tiles(const struct problem *p, int64_t tile)
{
    struct sps_rows first = sps_shape_tile(&p->shape, tile, p->rows.begin),
                    last = sps_shape_tile(&p->shape, tile, p->rows.end - 1);

    return (struct sps_rows){first.begin < p->rows.begin ? first.end : first.begin,
                             last.end > p->rows.end ? last.begin : last.end};
}

/* Noise of rows that choose together, added up on both.  x and y as above. */
static void check_share(struct problem *p, int64_t heads, int64_t block, float *x,
                        float *y)
{
    int64_t columns = heads * sps_shape_blocks(&p->shape, block);

    for (int64_t tile = 2; tile <= 64; tile *= 4) {
        struct sps_rows rows = whole_tiles(p, tile);
        int64_t all = (rows.end - rows.begin) * columns;
        if (all <= 0)
            continue;
        MUST(ref.kernels.noise(&ref, &p->shape, p->seed, block, heads, rows, x));
        upload(y, x, (size_t)all * 4);
        MUST(ref.kernels.share(&ref, &p->shape, tile, block, heads, rows, x));
        MUST(gpu.kernels.share(&gpu, &p->shape, tile, block, heads, rows, y));
        close_to(p, "share", y, x, all, columns, 1e-6);
    }
}

/* Lists by noise, then by coarse scores, which tie.  x and y as above. */
static void check_topk(struct problem *p, struct sps_rule rule, float *x, float *y,
                       struct lists *l)
{
    int64_t nb = sps_shape_blocks(&p->shape, rule.block),
            all = (p->rows.end - p->rows.begin) * l->ref.heads * nb;

    for (int ties = 0; ties < 2; ties++) {
        for (int64_t i = 0; ties && i < all; i++)
            x[i] = roundf(x[i] * 6) - 3;
        upload(y, x, (size_t)all * 4);
        MUST(ref.kernels.topk(&ref, &p->shape, x, &rule, p->rows, &l->ref));
        MUST(gpu.kernels.topk(&gpu, &p->shape, y, &rule, p->rows, &l->gpu));
        lists_compare(p, l, x, nb, ties ? "topk with ties" : "topk", 0);
    }
}

void check_index(struct problem *p, int64_t heads, int64_t block, int64_t count)
{
    int64_t all =
        (p->rows.end - p->rows.begin) * heads * sps_shape_blocks(&p->shape, block);
    struct sps_rule rule = {block, count, count > 2, 1};
    struct sps_band none = {false, 0, 0}, band = {false, 2 * block + 3, 5};
    struct lists l;

    if (p->spec.free_rows) {
        skip();
        return;
    }
    float *x = host((size_t)all * 4), *y = device((size_t)all * 4);
    lists_new(p, heads, block, count > 1 ? count + 1 : 1, &l);
    check_share(p, heads, block, x, y);
    check_noise(p, heads, block, x, y);
    check_topk(p, rule, x, y, &l);
    upload(l.gpu.list, l.ref.list, (size_t)(p->shape.t * heads * l.ref.width) * 4);
    check_attend(p, &l.ref, &l.gpu, none, "attend");
    check_attend(p, &l.ref, &l.gpu, band, "attend and band");
    check_packed(p, &l, none);
    lists_drop(&l);
    free(x);
    device_free(y);
}

/* Three times the same part, with gates and with constants. */
void check_combine(struct problem *p)
{
    int64_t count = p->shape.t * p->spec.h, all = count * p->spec.dv;
    struct sps_rows rows = {0, p->shape.t};
    float *x = host((size_t)all * 4), *gate = host((size_t)count * 3 * 4);
    float *part = host((size_t)all * 4), *gate_gpu = device((size_t)count * 3 * 4);
    float *part_gpu[3], constant[3] = {0.5f, 0.25f, -1};
    const float *parts[3] = {part, part, part}, *parts_gpu[3];

    sps_normals(p->seed, 6, 0, all, part);
    sps_normals(p->seed, 7, 0, count * 3, gate);
    upload(gate_gpu, gate, (size_t)count * 3 * 4);
    for (int i = 0; i < 3; i++) {
        parts_gpu[i] = part_gpu[i] = device((size_t)all * 4);
        upload(part_gpu[i], part, (size_t)all * 4);
    }
    for (int i = 0; i < 2; i++) {
        poison(p->gpu.o, all);
        MUST(ref.kernels.combine(&ref, &p->shape, 3, parts, i ? gate : NULL, constant,
                                 rows, x));
        MUST(gpu.kernels.combine(&gpu, &p->shape, 3, parts_gpu, i ? gate_gpu : NULL,
                                 constant, rows, p->gpu.o));
        close_to(p, "combine", p->gpu.o, x, all, all, 1e-6);
    }
    free(x), free(gate), free(part);
    for (int i = 0; i < 3; i++)
        device_free(part_gpu[i]);
    device_free(gate_gpu);
}

/* Lists of one head each: key tiles that blocks do not fill, one block a row, more blocks
 * than a warp has lanes, all blocks, values at the ends of their range. */
void check_blocks(void)
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
        problem_build(&p, &specs[i], i + 400);
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
            check_index(&p, p.spec.h, kinds[j][0], kinds[j][1]);
            check_index(&p, p.spec.g, kinds[j][0], kinds[j][1]);
        }
        problem_drop(&p);
    }
}
