/* big.c - checks past 2^31 elements of q and o; only the last rows are filled and
 * computed.
 */
#include "tests/gpu/checks.h"

#include <string.h>

enum { ROWS = 24 };

/* q [t,h,dk] of zeros on both sides, but for its last ROWS rows. */
static void fill_last(struct problem *p)
{
    int64_t t = p->shape.t, h = p->shape.h, d = p->shape.dk;
    int64_t all = t * h * d, own = ROWS * h * d;
    struct sps_tensor q, q_gpu;
    uint16_t *half = host((size_t)own * 2);

    fill(p, 1, &q, &q_gpu, ROWS, h, d);
    p->ref.in.q = sps_tensor_view(host((size_t)all * 4), SPS_F32, t, h, d, 1);
    p->gpu.in.q = sps_tensor_view(device((size_t)all * 2), SPS_BF16, t, h, d, 1);
    memcpy((float *)p->ref.in.q.data + all - own, q.data, (size_t)own * 4);
    sps_from_f32(q.data, own, SPS_BF16, half);
    upload((uint16_t *)p->gpu.in.q.data + all - own, half, (size_t)own * 2);
    free(half), free(q.data);
    device_free(q_gpu.data);
}

/* problem_build() would fill all of q. */
static void build(struct problem *p)
{
    int64_t t = 132000, h = 128, d = 128;

    *p = (struct problem){
        .spec = {"big", ONE(132000, 132000), 128, 1, 128, 128, SPS_BF16, .block = 64},
        .seed = 7,
        .tol = 6e-3};
    p->cu_q[1] = t, p->cu_k[1] = t;
    p->shape = (struct sps_shape){.h = h,
                                  .g = 1,
                                  .t = t,
                                  .s = t,
                                  .dk = d,
                                  .dv = d,
                                  .n = 1,
                                  .cu_q = p->cu_q,
                                  .cu_k = p->cu_k,
                                  .causal = true,
                                  .scale = 0.1};
    p->rows = (struct sps_rows){t - ROWS, t};
    fill_last(p);
    fill(p, 2, &p->ref.in.k, &p->gpu.in.k, t, 1, d);
    fill(p, 3, &p->ref.in.v, &p->gpu.in.v, t, 1, d);
    p->ref.o = host((size_t)(t * h * d) * 4), p->ref.lse = host((size_t)(t * h) * 4);
    p->gpu.o = device((size_t)(t * h * d) * 4), p->gpu.lse = device((size_t)(t * h) * 4);
}

/* Over the GPU's own lists. */
static void check_big_lists(struct problem *p)
{
    struct sps_rule rule = {64, 16, 1, 2};
    struct lists l;

    lists_new(p, 1, 64, 16, &l);
    float *y = device((size_t)(ROWS * sps_shape_blocks(&p->shape, 64)) * 4);
    MUST(gpu.kernels.noise(&gpu, &p->shape, 5, 64, 1, p->rows, y));
    MUST(gpu.kernels.topk(&gpu, &p->shape, y, &rule, p->rows, &l.gpu));
    MUST(gpu.backend->download(&gpu, l.ref.list, l.gpu.list,
                               (size_t)(p->shape.t * 16) * 4));
    check_attend(p, &l.ref, &l.gpu, (struct sps_band){0}, "attend past 2^31");
    lists_drop(&l);
    device_free(y);
}

void check_big(void)
{
    struct problem p;

    build(&p);
    check_dense(&p, (struct sps_band){true, 0, 0}, "dense past 2^31");
    check_mass(&p, 1, 64);
    check_big_lists(&p);
    problem_drop(&p);
}
