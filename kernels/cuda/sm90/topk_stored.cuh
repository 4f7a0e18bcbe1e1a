/* topk_stored.cuh - choice of blocks (topk.cuh) from scores that a warp has in scratch of
 * its own, lists of any length.
 */
#ifndef SPS_KERNELS_CUDA_SM90_TOPK_STORED_CUH
#define SPS_KERNELS_CUDA_SM90_TOPK_STORED_CUH

#include "kernels/cuda/topk.cuh"

/* Scores become keys; returns the lane's largest. */
SPS_DEVICE uint32_t store_keys(const struct topk_args *a, const struct list_view *view,
                               float *scores)
{
    int lane = threadIdx.x & 31;
    uint32_t most = 0;

#pragma unroll 1
    for (int from = lane; from < view->visible; from += HELD_FEW * 32) {
        float x[HELD_FEW];
#pragma unroll
        for (int i = 0; i < HELD_FEW; i++)
            x[i] = from + i * 32 < view->visible ? scores[from + i * 32] : 0;
        check_scores(a, view, x);
#pragma unroll
        for (int i = 0; i < HELD_FEW; i++) {
            uint32_t key = key_of(a, view, from + i * 32, x[i]);
            if (key > 0)
                scores[from + i * 32] = __uint_as_float(key);
            most = most > key ? most : key;
        }
    }
    return most;
}

/* Set aside the stored keys that reach `bound`, in order; returns how many there are. */
SPS_DEVICE int gather_stored(const uint32_t *keys, int visible, uint32_t bound,
                             struct few_keys *few)
{
    int lane = threadIdx.x & 31, written = 0;

#pragma unroll 1
    for (int from = 0; from < visible; from += HELD_FEW * 32) {
        uint32_t key[HELD_FEW];
#pragma unroll
        for (int i = 0; i < HELD_FEW; i++) {
            int b = from + i * 32 + lane;
            key[i] = b < visible ? keys[b] : 0;
        }
#pragma unroll
        for (int i = 0; i < HELD_FEW; i++)
            written = add_few(key[i], from + i * 32 + lane, bound, written, few);
    }
    __syncwarp();
    return written;
}

/* Write one list of any length from scores[visible], which are lost: long ones from keys
 * in place of their scores, HELD_FEW rounds at a time. */
SPS_DEVICE void choose_stored(const struct topk_args *a, const struct list_view *view,
                              float *scores, struct few_keys *few, int32_t *out)
{
    int keep = view->visible < a->count ? view->visible : a->count, count = FEW + 1;
    auto held = [=](int b) { return b < view->visible ? scores[b] : 0; };
    auto stored = [=](int b) {
        return b < view->visible ? __float_as_uint(scores[b]) : 0;
    };
    int written;

    if (view->visible <= HELD_FEW / 2 * 32) {
        written = choose_held<HELD_FEW / 2>(a, view, held, keep, few, out);
    } else if (view->visible <= HELD_FEW * 32) {
        written = choose_held<HELD_FEW>(a, view, held, keep, few, out);
    } else {
        uint32_t most = store_keys(a, view, scores);
        if (keep <= 32)
            count = gather_stored((const uint32_t *)scores, view->visible,
                                  find_lane(most, keep), few);
        written = count <= FEW ? choose_few(few, count, keep, out)
                               : choose_any(stored, view->visible, keep, out);
    }
    fill_list(a, written, out);
}

#endif
