/* topk_stored.cuh - choice of blocks (topk.cuh) from scores that a warp has in scratch of
 * its own, lists of any length.  Keys are read four at a time: behind those of a list's
 * visible blocks are zeros up to a multiple of four.
 */
#ifndef SPS_KERNELS_CUDA_SM90_TOPK_STORED_CUH
#define SPS_KERNELS_CUDA_SM90_TOPK_STORED_CUH

#include "kernels/cuda/topk.cuh"

/* Scores become keys; returns the lane's largest. */
SPS_DEVICE uint32_t store_keys(const struct topk_args *a, const struct list_view *view,
                               float *scores)
{
    int lane = threadIdx.x & 31, end = (view->visible + 3) / 4 * 4;
    uint32_t most = 0;

#pragma unroll 1
    for (int from = lane; from < end; from += HELD_FEW * 32) {
        float x[HELD_FEW];
#pragma unroll
        for (int i = 0; i < HELD_FEW; i++)
            x[i] = from + i * 32 < view->visible ? scores[from + i * 32] : 0;
        check_scores(a, view, x);
#pragma unroll
        for (int i = 0; i < HELD_FEW; i++) {
            uint32_t key = key_of(a, view, from + i * 32, x[i]);
            if (from + i * 32 < end)
                scores[from + i * 32] = __uint_as_float(key);
            most = most > key ? most : key;
        }
    }
    __syncwarp();
    return most;
}

/* Report a list whose keys, of which `most` is the lane's largest, have a NaN's. */
SPS_DEVICE void check_keys(const struct topk_args *a, const struct list_view *view,
                           uint32_t most)
{
    const float x[1] = {most > order_of(INFINITY) ? NAN : 0};

    check_scores(a, view, x);
}

/* Keys of the blocks that are kept whatever their scores. */
SPS_DEVICE void force_keys(const struct topk_args *a, const struct list_view *view,
                           uint32_t *keys)
{
    int lane = threadIdx.x & 31, init = a->init < view->visible ? a->init : view->visible,
        last = view->visible - a->local;

#pragma unroll 1
    for (int b = lane; b < init; b += 32)
        keys[b] = ~0u;
#pragma unroll 1
    for (int b = (last > 0 ? last : 0) + lane; b < view->visible; b += 32)
        keys[b] = ~0u;
    __syncwarp();
}

/* Set aside the stored keys that reach `bound`, in order; returns how many there are. */
SPS_DEVICE int gather_stored(const uint32_t *keys, int visible, uint32_t bound,
                             struct few_keys *few)
{
    constexpr int once = HELD_FEW / 4; /* rounds of 128 */
    int own = 4 * (threadIdx.x & 31), written = 0;

#pragma unroll 1
    for (int from = 0; from < visible; from += once * 128) {
        uint4 x[once];
#pragma unroll
        for (int i = 0; i < once; i++) {
            int b = from + i * 128 + own;
            x[i] = make_uint4(0, 0, 0, 0);
            if (b < visible)
                x[i] = *(const uint4 *)(keys + b);
        }
#pragma unroll
        for (int i = 0; i < once; i++) {
            const uint32_t key[4] = {x[i].x, x[i].y, x[i].z, x[i].w};
            written = add_few(key, from + i * 128 + own, bound, written, few);
        }
    }
    __syncwarp();
    return written;
}

/* Write one list from keys[visible], of which `most` is the largest that the lane wrote.
 */
SPS_DEVICE void choose_keys(const struct topk_args *a, const struct list_view *view,
                            const uint32_t *keys, uint32_t most, struct few_keys *few,
                            int32_t *out)
{
    int keep = view->visible < a->count ? view->visible : a->count, count = FEW + 1;
    auto stored = [=](int b) { return b < view->visible ? keys[b] : 0; };
    int written;

    if (keep == view->visible) {
        written = write_first(keep, out);
    } else {
        if (keep <= 32)
            count = gather_stored(keys, view->visible, find_lane(most, keep), few);
        written = count <= FEW ? choose_few(few, count, keep, out)
                               : choose_any(stored, view->visible, keep, out);
    }
    fill_list(a, written, out);
}

/* Write one list of any length from scores[visible], which are lost: long ones from keys
 * in place of their scores, HELD_FEW rounds at a time. */
SPS_DEVICE void choose_stored(const struct topk_args *a, const struct list_view *view,
                              float *scores, struct few_keys *few, int32_t *out)
{
    int keep = view->visible < a->count ? view->visible : a->count;
    auto held = [=](int b) { return b < view->visible ? scores[b] : 0; };

    if (view->visible <= HELD_FEW / 2 * 32) {
        fill_list(a, choose_held<HELD_FEW / 2>(a, view, held, keep, few, out), out);
    } else if (view->visible <= HELD_FEW * 32) {
        fill_list(a, choose_held<HELD_FEW>(a, view, held, keep, few, out), out);
    } else {
        uint32_t most = store_keys(a, view, scores);
        choose_keys(a, view, (const uint32_t *)scores, most, few, out);
    }
}

#endif
