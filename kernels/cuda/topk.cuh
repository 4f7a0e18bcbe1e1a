/* topk.cuh - choice of blocks by one warp a list: keys in registers, the k-th largest
 * found bit by bit; equals go to the more recent block.
 */
#ifndef SPS_KERNELS_CUDA_TOPK_CUH
#define SPS_KERNELS_CUDA_TOPK_CUH

#include "kernels/cuda/geometry.cuh"

struct topk_args {
    struct score_source from;
    int32_t *list; /* [t,heads,width] */
    int64_t heads, width;
    int32_t block, count, init, local;
    unsigned long long *fault; /* least list with a NaN, -1: none */
};

/* Order of floats as order of integers; 0 is kept for "no block", ~0 for forced. */
SPS_DEVICE uint32_t order_of(float x)
{
    uint32_t bits = __float_as_uint(x + 0.0f);

    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct list_view {
    int64_t list;      /* row * heads + head */
    int64_t scores;    /* its row of the score source */
    int visible, seen; /* blocks; compressed keys */
};

SPS_DEVICE uint32_t key_of(const struct topk_args *a, const struct list_view *view, int b)
{
    if (b >= view->visible)
        return 0;
    float x = score_of(&a->from, view->scores, b, view->seen);
    if (isnan(x))
        atomicMin(a->fault, (unsigned long long)view->list);
    return b < a->init || b >= view->visible - a->local ? ~0u : order_of(x);
}

/* Largest `least` that at least `keep` of the warp's keys (HELD a lane) reach. */
template <int HELD> SPS_DEVICE uint32_t find_least(const uint32_t *key, int keep)
{
    uint32_t least = 0;

    for (int bit = 31; bit >= 0; bit--) {
        uint32_t wish = least | 1u << bit;
        int found = 0;
#pragma unroll
        for (int i = 0; i < HELD; i++)
            found += key[i] >= wish;
        if (__reduce_add_sync(~0u, found) >= keep)
            least = wish;
    }
    return least;
}

/* What of equal keys is left out: the first `skip` of those that equal `least`. */
struct cut {
    uint32_t least;
    int skip, ties, written;
};

template <int HELD>
SPS_DEVICE struct cut cut_of(const uint32_t *key, int keep, uint32_t least)
{
    int more = 0, equal = 0;

#pragma unroll
    for (int i = 0; i < HELD; i++) {
        more += key[i] > least;
        equal += key[i] == least && key[i] > 0;
    }
    more = __reduce_add_sync(~0u, more);
    equal = __reduce_add_sync(~0u, equal);
    return {least, equal - (keep - more), 0, 0};
}

/* Write the lanes' blocks that are kept; calls go in ascending order of blocks. */
SPS_DEVICE void write_kept(struct cut *cut, uint32_t key, int block, int32_t *out)
{
    uint32_t before = (1u << (threadIdx.x & 31)) - 1;
    bool tie = key == cut->least && key > 0;
    uint32_t same = __ballot_sync(~0u, tie);
    bool take =
        key > cut->least || (tie && cut->ties + __popc(same & before) >= cut->skip);
    uint32_t taken = __ballot_sync(~0u, take);

    if (take)
        out[cut->written + __popc(taken & before)] = block;
    cut->ties += __popc(same);
    cut->written += __popc(taken);
}

/* The best of a list, set aside in shared memory: one for each warp. */
enum { FEW = 64 };

struct few_keys {
    uint32_t key[FEW];
    int32_t block[FEW];
};

/* Keys that reach a bound which at least `keep` reach, in order, if they are FEW: the
 * keep-th largest of the lanes' maxima is such a bound.  Returns how many; 0: too many.
 */
template <int HELD>
SPS_DEVICE int gather_few(const uint32_t *key, int rounds, int keep, struct few_keys *few)
{
    uint32_t most = 0, before = (1u << (threadIdx.x & 31)) - 1;
    int found = 0, written = 0;

    if (keep > 32)
        return 0;
#pragma unroll
    for (int i = 0; i < HELD; i++)
        most = most > key[i] ? most : key[i];
    uint32_t bound = find_least<1>(&most, keep);
    bound = bound > 0 ? bound : 1;
#pragma unroll
    for (int i = 0; i < HELD; i++)
        found += key[i] >= bound;
    found = __reduce_add_sync(~0u, found);
    if (found > FEW || found < keep)
        return 0;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        if (i >= rounds)
            break;
        bool take = key[i] >= bound;
        uint32_t taken = __ballot_sync(~0u, take);
        int at = written + __popc(taken & before);
        if (take) {
            few->key[at] = key[i];
            few->block[at] = i * 32 + (threadIdx.x & 31);
        }
        written += __popc(taken);
    }
    __syncwarp();
    return written;
}

/* The `keep` largest of the `count` <= FEW keys set aside. */
SPS_DEVICE int choose_few(const struct few_keys *few, int count, int keep, int32_t *out)
{
    int lane = threadIdx.x & 31;
    uint32_t two[2] = {lane < count ? few->key[lane] : 0,
                       lane + 32 < count ? few->key[lane + 32] : 0};
    struct cut cut = cut_of<2>(two, keep, find_least<2>(two, keep));

    write_kept(&cut, two[0], few->block[lane], out);
    write_kept(&cut, two[1], few->block[lane + 32], out);
    __syncwarp();
    return cut.written;
}

/* A list of at most HELD * 32 blocks; returns how many were written. */
template <int HELD>
SPS_DEVICE int choose_held(const struct topk_args *a, const struct list_view *view,
                           int keep, struct few_keys *few, int32_t *out)
{
    int lane = threadIdx.x & 31, rounds = (view->visible + 31) / 32;
    uint32_t key[HELD];

#pragma unroll
    for (int i = 0; i < HELD; i++)
        key[i] = i < rounds ? key_of(a, view, i * 32 + lane) : 0;
    int count = gather_few<HELD>(key, rounds, keep, few);
    if (count > 0)
        return choose_few(few, count, keep, out);
    struct cut cut = cut_of<HELD>(key, keep, find_least<HELD>(key, keep));
#pragma unroll
    for (int i = 0; i < HELD; i++)
        if (i < rounds)
            write_kept(&cut, key[i], i * 32 + lane, out);
    return cut.written;
}

/* A list of any length: key(b) of all its blocks is asked for again for every bit. */
template <typename K>
SPS_DEVICE int choose_any(K key, int visible, int keep, int32_t *out)
{
    int lane = threadIdx.x & 31, rounds = (visible + 31) / 32, more = 0, equal = 0;
    uint32_t least = 0;

    for (int bit = 31; bit >= 0; bit--) {
        uint32_t wish = least | 1u << bit;
        int found = 0;
        for (int i = 0; i < rounds; i++)
            found += key(i * 32 + lane) >= wish;
        if (__reduce_add_sync(~0u, found) >= keep)
            least = wish;
    }
    for (int i = 0; i < rounds; i++) {
        uint32_t x = key(i * 32 + lane);
        more += x > least;
        equal += x == least && x > 0;
    }
    more = __reduce_add_sync(~0u, more);
    equal = __reduce_add_sync(~0u, equal);
    struct cut cut = {least, equal - (keep - more), 0, 0};
    for (int i = 0; i < rounds; i++)
        write_kept(&cut, key(i * 32 + lane), i * 32 + lane, out);
    return cut.written;
}

SPS_DEVICE void fill_list(const struct topk_args *a, int written, int32_t *out)
{
    for (int i = written + (threadIdx.x & 31); i < a->width; i += 32)
        out[i] = -1;
}

/* Set aside the stored keys that reach `bound`, in order; returns how many there are. */
SPS_DEVICE int gather_stored(const uint32_t *keys, int rounds, uint32_t bound,
                             struct few_keys *few)
{
    uint32_t before = (1u << (threadIdx.x & 31)) - 1;
    int written = 0;

#pragma unroll 4
    for (int i = 0; i < rounds; i++) {
        uint32_t key = keys[i * 32 + (threadIdx.x & 31)];
        uint32_t taken = __ballot_sync(~0u, key >= bound);
        int at = written + __popc(taken & before);
        if (key >= bound && at < FEW) {
            few->key[at] = key;
            few->block[at] = i * 32 + (threadIdx.x & 31);
        }
        written += __popc(taken);
    }
    __syncwarp();
    return written;
}

/* Write one list of any length, few registers: its keys go to keys[visible, to the next
 * 32], and those that reach the keep-th largest of the lanes' maxima are set aside. */
SPS_DEVICE void choose_stored(const struct topk_args *a, const struct list_view *view,
                              uint32_t *keys, struct few_keys *few, int32_t *out)
{
    int lane = threadIdx.x & 31, rounds = (view->visible + 31) / 32;
    int keep = view->visible < a->count ? view->visible : a->count, count = FEW + 1;
    uint32_t most = 0;

#pragma unroll 4
    for (int i = 0; i < rounds; i++) {
        uint32_t key = key_of(a, view, i * 32 + lane);
        keys[i * 32 + lane] = key;
        most = most > key ? most : key;
    }
    if (keep <= 32) {
        uint32_t bound = find_least<1>(&most, keep);
        count = gather_stored(keys, rounds, bound > 0 ? bound : 1, few);
    }
    int written = count <= FEW ? choose_few(few, count, keep, out)
                               : choose_any([=](int b) { return keys[b]; }, view->visible,
                                            keep, out);
    fill_list(a, written, out);
}

/* Write one list: HELD keys a lane in registers; 0: any number. */
template <int HELD>
SPS_DEVICE void choose_list(const struct topk_args *a, const struct list_view *view,
                            int32_t *out, struct few_keys *few)
{
    int keep = view->visible < a->count ? view->visible : a->count, written;

    if constexpr (HELD > 0)
        written = choose_held<HELD>(a, view, keep, few, out);
    else
        written = choose_any([=](int b) { return key_of(a, view, b); }, view->visible,
                             keep, out);
    fill_list(a, written, out);
}

#endif
