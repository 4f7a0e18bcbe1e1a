/* merge.cu - outputs of rows from their partial ones, a block each (gather.h). */
#include "kernels/cuda/gather.h"

/* Partials as they are read, 16 bytes at a time. */
SPS_DEVICE void add_weighed(float (&o)[4], float w, uint4 x, const float *)
{
    o[0] += w * __uint_as_float(x.x), o[1] += w * __uint_as_float(x.y);
    o[2] += w * __uint_as_float(x.z), o[3] += w * __uint_as_float(x.w);
}

SPS_DEVICE void add_weighed(float (&o)[8], float w, uint4 x, const __half *)
{
    uint32_t two[4] = {x.x, x.y, x.z, x.w};

#pragma unroll
    for (int i = 0; i < 4; i++) {
        float2 pair = __half22float2(*(const __half2 *)&two[i]);
        o[2 * i] += w * pair.x, o[2 * i + 1] += w * pair.y;
    }
}

/* 16 bytes if they are wanted, else zeros; without a branch, so that loads overlap. */
SPS_DEVICE uint4 load_if(const void *from, bool wanted)
{
    uint4 x;
    asm volatile("{.reg .pred p; setp.ne.b32 p, %5, 0; mov.b32 %0, 0; mov.b32 %1, 0; "
                 "mov.b32 %2, 0; mov.b32 %3, 0; @p ld.global.cs.v4.u32 {%0,%1,%2,%3}, "
                 "[%4];}"
                 : "=&r"(x.x), "=&r"(x.y), "=&r"(x.z), "=&r"(x.w)
                 : "l"(from), "r"((int)wanted));
    return x;
}

/* 32 slots of a list from `first`: which hold a block, and this lane's head; one that
 * says "nothing" where there is none. */
struct merge_slots {
    unsigned there;
    struct partial_head own;
};

SPS_DEVICE struct merge_slots slots_at(const struct partial_head *heads,
                                       const int32_t *list, int first, int width)
{
    int lane = threadIdx.x & 31, slot = first + lane;
    struct merge_slots slots = {0, {-INFINITY, 0}};

    slots.there = __ballot_sync(~0u, slot < width && list[slot] >= 0);
    if (slots.there >> lane & 1)
        slots.own = heads[slot];
    return slots;
}

/* `lanes` lanes of a warp share a slot, hence at_once slots a load, of which this lane's
 * is `own`; MERGE_AHEAD loads are on their way at a time. */
enum { MERGE_AHEAD = 4, MERGE_SLOTS = 8 };

struct merge_view {
    int width, at_once, own;
};

/* Loads of slots first + own, then each at_once further; partial: the lane's columns. */
template <typename P>
SPS_DEVICE void load_partials(uint4 (&x)[MERGE_AHEAD], const struct merge_view *view,
                              unsigned there, const P *partial, int64_t dv, int first,
                              bool inside)
{
#pragma unroll
    for (int u = 0; u < MERGE_AHEAD; u++) {
        int slot = first + u * view->at_once + view->own;
        x[u] = load_if(partial + slot * dv, inside && (there >> (slot & 31) & 1));
    }
}

/* Sum of a lane's partials times their weights; x and slots: the first ones. */
template <typename P, int N>
SPS_DEVICE void add_partials(float (&o)[N], uint4 (&x)[MERGE_AHEAD],
                             struct merge_slots slots, const struct merge_view *view,
                             const P *partial, int64_t dv,
                             const struct partial_head *heads, const int32_t *list,
                             float top, float sum, bool inside)
{
    int step = MERGE_AHEAD * view->at_once;
    float weight = 0;

    for (int first = 0; first < view->width; first += step) {
        if (first % 32 == 0) {
            if (first > 0)
                slots = slots_at(heads, list, first, view->width);
            weight = sum > 0 ? exp2f(slots.own.lse - top) * slots.own.scale / sum : 0;
        }
        if (first > 0)
            load_partials(x, view, slots.there, partial, dv, first, inside);
#pragma unroll
        for (int u = 0; u < MERGE_AHEAD; u++) {
            float w = __shfl_sync(~0u, weight, first + u * view->at_once + view->own);
            if (w > 0)
                add_weighed(o, w, x[u], partial);
        }
    }
}

/* o, lse of one (row, head) from its partials: a warp each.  The first partials are on
 * their way before the weights are known. */
template <typename P>
static __global__ void __launch_bounds__(256, 4)
    merge(const __grid_constant__ struct attend_args a, const P *__restrict__ partial,
          const struct partial_head *__restrict__ heads, int64_t pairs, int lanes)
{
    constexpr int n = 16 / sizeof(P);
    int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / 32;
    int lane = threadIdx.x & 31, width = (int)a.width, d = lane % lanes * n;

    if (i >= pairs)
        return;
    int64_t row = i / a.h, head = i % a.h, to = (a.at.begin + row) * a.h + head;
    const int32_t *list =
        a.list +
        ((a.at.begin + row) * a.index_heads + head * a.index_heads / a.h) * width;
    struct merge_view view = {width, 32 / lanes, lane / lanes};
    uint4 x[MERGE_AHEAD];

    heads += i * width;
    partial += i * width * a.dv + d;
    struct merge_slots slots = slots_at(heads, list, 0, width);
    if ((slots.there & 3) == 1) /* one entry: written already */
        return;
    load_partials(x, &view, slots.there, partial, a.dv, 0, d < a.dv);
    float top = slots.own.lse;
    for (int first = 32; first < width; first += 32)
        top = fmaxf(top, slots_at(heads, list, first, width).own.lse);
    for (int step = 16; step > 0; step /= 2)
        top = fmaxf(top, __shfl_xor_sync(~0u, top, step));
    float base = top > -INFINITY ? top : 0;
    float sum = exp2f(slots.own.lse - base);
    for (int first = 32; first < width; first += 32)
        sum += exp2f(slots_at(heads, list, first, width).own.lse - base);
    for (int step = 16; step > 0; step /= 2)
        sum += __shfl_xor_sync(~0u, sum, step);
    for (int from = 0; from < a.dv; from += lanes * n, partial += lanes * n) {
        float o[n] = {};
        bool inside = from + d < a.dv;
        if (from > 0)
            load_partials(x, &view, slots.there, partial, a.dv, 0, inside);
        add_partials(o, x, slots, &view, partial, a.dv, heads, list, top, sum, inside);
        for (int step = lanes; step < 32; step *= 2)
#pragma unroll
            for (int e = 0; e < n; e++)
                o[e] += __shfl_xor_sync(~0u, o[e], step);
        float *out = a.o + to * a.dv + from + d;
#pragma unroll
        for (int e = 0; e < n; e += 4)
            if (inside && e / 4 % view.at_once == view.own)
                __stcs((float4 *)(out + e),
                       make_float4(o[e], o[e + 1], o[e + 2], o[e + 3]));
    }
    if (a.lse && lane == 0)
        a.lse[to] = sum > 0 ? (top + log2f(sum)) * LN2 : -INFINITY;
}

template <typename P>
static void launch_merge(const struct attend_args *a, const struct gather_work *w,
                         int64_t pairs, cudaStream_t stream)
{
    int lanes = 32 / MERGE_SLOTS, n = 16 / (int)sizeof(P);

    while (lanes < 32 && lanes * n < a->dv)
        lanes *= 2;
    merge<<<(unsigned)((pairs + 7) / 8), 256, 0, stream>>>(*a, (const P *)w->partial,
                                                           w->heads, pairs, lanes);
}

cudaError_t sps_cuda_merge(const struct attend_args *a, const struct gather_work *w,
                           int bytes, int64_t pairs, cudaStream_t stream)
{
    if (bytes == 2)
        launch_merge<__half>(a, w, pairs, stream);
    else
        launch_merge<float>(a, w, pairs, stream);
    return cudaGetLastError();
}
