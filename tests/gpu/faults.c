/* faults.c - checks that NaN scores are told with their place: the packed row, wherever
 * the range starts, and the index head; of several rows the first.
 */
#include "tests/gpu/checks.h"

#include <math.h>
#include <string.h>

/* ---- where a NaN is told ---- */

/* The fault of (row, head) came as `status`, or comes when the host waits. */
static void told(enum sps_status status, int64_t row, int64_t head, const char *what)
{
    char place[64];

    if (status == SPS_OK)
        status = gpu.backend->download(&gpu, NULL, NULL, 0);
    snprintf(place, sizeof place, "row %lld, head %lld ", (long long)row,
             (long long)head);
    verdict(status == SPS_ENUMERIC && strstr(sps_error(), place), what, sps_error(),
            gpu.impl, status, SPS_ENUMERIC);
}

/* The range's first row that sees token `last`, in a problem of one sequence with a row
 * for every key. */
static int64_t first_row(const struct problem *p, int64_t last)
{
    return p->rows.begin > last ? p->rows.begin : last;
}

/* count zeros on the GPU, but for a NaN; ended by device_free(). */
static float *zeros_but(int64_t count, int64_t nan)
{
    float *x = host((size_t)count * 4), *y = device((size_t)count * 4);

    x[nan] = NAN;
    upload(y, x, (size_t)count * 4);
    free(x);
    return y;
}

/* Compressed keys [m,2,64] of zeros, but for a NaN of head 1 in key `bad`. */
static float *bad_key(int64_t m, int64_t bad)
{
    return zeros_but(m * 2 * 64, (bad * 2 + 1) * 64 + 5);
}

/* ---- of 2 kv heads, d 64 ---- */

/* Scores of 300 keys. */
static void check_nan_topk(struct problem *p)
{
    struct sps_rule rule = {16, 4, 0, 1};
    int64_t nb = 19, rows = p->rows.end - p->rows.begin;
    float *y = zeros_but(rows * 2 * nb, ((250 - p->rows.begin) * 2 + 1) * nb + 3);
    struct lists l;

    lists_new(p, 2, 16, 4, &l);
    told(gpu.kernels.topk(&gpu, &p->shape, y, &rule, p->rows, &l.gpu), 250, 1,
         "nan, topk");
    lists_drop(&l);
    device_free(y);
}

/* The mean of tokens 48 to 63. */
static void check_nan_gate(struct problem *p)
{
    struct sps_rule rule = {16, 4, 0, 1};
    int64_t cu[2], m = sps_compressed_offsets(&p->shape, 16, 16, cu);
    struct sps_compression by = {.l = 16, .u = 16, .cu = cu};
    float *y = bad_key(m, 3);
    struct lists l;

    lists_new(p, 2, 16, 4, &l);
    told(gpu.kernels.gate_select(&gpu, &p->shape, &p->gpu.in.q, y, &by, &rule, p->rows,
                                 &l.gpu),
         first_row(p, 63), 1, "nan, gate_select");
    lists_drop(&l);
    device_free(y);
}

/* Compressed key `bad`, of tokens 16 bad to 16 bad + 31. */
static void check_nan_key(struct problem *p, int64_t block, int64_t bad, const char *what)
{
    struct sps_rule rule = {block, 4, 0, 1};
    int64_t cu[2], m = sps_compressed_offsets(&p->shape, 32, 16, cu);
    struct sps_compression by = {.l = 32, .u = 16, .cu = cu};
    float *k = bad_key(m, bad), *v = device((size_t)(m * 2 * 64) * 4);
    struct lists l;

    lists_new(p, 2, block, 4, &l);
    told(gpu.kernels.compressed_select(&gpu, &p->shape, &p->gpu.in.q, k, v, &by, &rule,
                                       p->rows, p->gpu.o, p->gpu.lse, &l.gpu),
         first_row(p, 16 * bad + 31), 1, what);
    lists_drop(&l);
    device_free(k), device_free(v);
}

/* Rows from `from` on. */
static void check_nan(int64_t from)
{
    struct spec spec = {"nan",       ONE(300, 300), 2,        2, 64, 64, SPS_BF16,
                        .block = 16, .from = from,  .to = 300};
    struct problem p;

    problem_build(&p, &spec, 3);
    check_nan_topk(&p);
    check_nan_gate(&p);
    check_nan_key(&p, 16, 3, "nan, compressed_select");
    problem_drop(&p);
}

/* Blocks of four strides, whose scores are made at once; few of them, and more than are
 * chosen in registers.  A key that all rows of a late range see, and the last key, which
 * its first rows do not. */
static void check_nan_blocks(void)
{
    static const struct spec specs[] = {
        {"nan, blocks of 64, G 4", ONE(300, 300), 8, 2, 64, 64, SPS_BF16, .block = 64},
        {"nan, blocks of 64, G 16", ONE(300, 300), 32, 2, 64, 64, SPS_F16, .block = 64},
        {"nan, 266 blocks, G 4", ONE(17000, 17000), 8, 2, 64, 64, SPS_F16, .block = 64,
         .from = 16960},
        {"nan, 266 blocks, G 16", ONE(17000, 17000), 32, 2, 64, 64, SPS_BF16, .block = 64,
         .from = 16960},
        {"nan, 266 blocks, G 32", ONE(17000, 17000), 64, 2, 64, 64, SPS_F16, .block = 64,
         .from = 16960},
        {"nan, 530 blocks, G 16", ONE(33900, 33900), 32, 2, 64, 64, SPS_BF16, .block = 64,
         .from = 33860},
    };
    struct problem p;

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        problem_build(&p, &specs[i], i + 10);
        check_nan_key(&p, 64, 3, specs[i].name);
        check_nan_key(&p, 64, (p.shape.s - 32) / 16, specs[i].name);
        problem_drop(&p);
    }
}

/* ---- more NaN scores than blocks are kept ---- */

/* Lists [s,2,4] of the GPU, 7 before the choice: rows before `from` still are, those
 * after it are the last four blocks, but for the bad one. */
static int64_t lists_spoilt(const int32_t *list, int64_t s, int64_t from, int64_t bad)
{
    int64_t spoilt = 0;

    for (int64_t i = 0; i < s * 2; i++)
        for (int32_t j = 0; i != bad && j < 4; j++)
            spoilt += list[i * 4 + j] != (i < from * 2 ? 7 : (int32_t)(s / 16) - 4 + j);
    return spoilt;
}

/* Of the last three rows of s keys, a multiple of 16, one has NaN for every block. */
static void check_nan_row(int64_t s)
{
    struct spec spec = {"nan, a row of them", ONE(s, s),    2, 2, 64, 64, SPS_BF16,
                        .block = 16,          .from = s - 3};
    struct sps_rule rule = {16, 4, 0, 1};
    int64_t nb = s / 16, bad = (s - 2) * 2 + 1;
    size_t bytes = (size_t)(3 * 2 * nb) * 4;
    float *x = host(bytes), *y = device(bytes);
    struct problem p;
    struct lists l;

    problem_build(&p, &spec, 5);
    lists_new(&p, 2, 16, 4, &l);
    for (int64_t i = 0; i < nb; i++)
        x[3 * nb + i] = NAN;
    for (int64_t i = 0; i < s * 2 * 4; i++)
        l.got[i] = 7;
    upload(y, x, bytes);
    upload(l.gpu.list, l.got, (size_t)(s * 2 * 4) * 4);
    told(gpu.kernels.topk(&gpu, &p.shape, y, &rule, p.rows, &l.gpu), s - 2, 1, spec.name);
    MUST(gpu.backend->download(&gpu, l.got, l.gpu.list, (size_t)(s * 2 * 4) * 4));
    int64_t spoilt = lists_spoilt(l.got, s, s - 3, bad);
    verdict(spoilt == 0, spec.name, "other lists", gpu.impl, (double)spoilt, 0);
    lists_drop(&l);
    problem_drop(&p);
    free(x), device_free(y);
}

/* ---- two choices without a wait between ---- */

/* A NaN of row 250, head 2 in the first: told by the second choice, whose heads are
 * others in number or not, or by the wait behind it; after that a choice is as good as
 * any. */
static void check_nan_then(struct problem *p, int64_t heads, const char *what)
{
    struct sps_rule rule = {16, 4, 0, 1};
    int64_t nb = 19, all = p->shape.t * 4 * nb;
    float *bad = zeros_but(all, (250 * 4 + 2) * nb + 3), *good = device((size_t)all * 4);
    struct lists first, second;

    lists_new(p, 4, 16, 4, &first);
    lists_new(p, heads, 16, 4, &second);
    MUST(gpu.kernels.topk(&gpu, &p->shape, bad, &rule, p->rows, &first.gpu));
    told(gpu.kernels.topk(&gpu, &p->shape, good, &rule, p->rows, &second.gpu), 250, 2,
         what);
    enum sps_status status =
        gpu.kernels.topk(&gpu, &p->shape, good, &rule, p->rows, &second.gpu);
    if (status == SPS_OK)
        status = gpu.backend->download(&gpu, second.got, second.gpu.list,
                                       (size_t)second.count * 4);
    verdict(status == SPS_OK, what, "a clean choice afterwards", gpu.impl, status,
            SPS_OK);
    lists_drop(&first), lists_drop(&second);
    device_free(bad), device_free(good);
}

void check_nans(void)
{
    struct spec spec = {"nan, two choices", ONE(300, 300), 4, 4, 64, 64,
                        SPS_BF16,           .block = 16};
    struct problem p;

    check_nan(0);
    check_nan(100);
    check_nan_blocks();
    for (int64_t s = 256; s <= 65536; s *= 4) /* by the blocks that a lane holds */
        check_nan_row(s);
    problem_build(&p, &spec, 4);
    check_nan_then(&p, 1, "nan, then lists of one head");
    check_nan_then(&p, 4, "nan, then lists of as many heads");
    problem_drop(&p);
}
