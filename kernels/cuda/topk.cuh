/* topk.cuh - choice of blocks by one warp a list: the few keys that can be among the best
 * are set aside and compared with each other; where they are too many, the k-th largest
 * of all is found bit by bit.  Equals go to the more recent block.
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

/* The key of block b with score x: 0 where it is not visible. */
SPS_DEVICE uint32_t key_of(const struct topk_args *a, const struct list_view *view, int b,
                           float x)
{
    if (b >= view->visible)
        return 0;
    return b < a->init || b >= view->visible - a->local ? ~0u : order_of(x);
}

/* Report a list with a NaN; scores of blocks that are not visible are none. */
template <int N>
SPS_DEVICE void check_scores(const struct topk_args *a, const struct list_view *view,
                             const float (&x)[N])
{
    bool wrong = false;

#pragma unroll
    for (int i = 0; i < N; i++)
        wrong |= isnan(x[i]);
    if (wrong)
        atomicMin(a->fault, (unsigned long long)view->list);
}

/* Largest `least` that at least `keep` of the warp's keys (HELD a lane) reach. */
template <int HELD> SPS_DEVICE uint32_t find_least(const uint32_t *key, int keep)
{
    uint32_t least = 0;

#pragma unroll 1
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

/* The keep-th largest of the lanes' keys, of which `keep` at least are not 0; ~0 for
 * none. */
SPS_DEVICE uint32_t find_lane(uint32_t key, int keep)
{
    int above = 0;

#pragma unroll
    for (int i = 0; i < 32; i++)
        above += __shfl_sync(~0u, key, i) > key;
    return __reduce_min_sync(~0u, above < keep ? key : ~0u);
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

struct __align__(16) few_keys
{
    uint32_t key[FEW];
    int32_t block[FEW];
};

/* Add the lanes' keys of a round that reach `bound` to those set aside, in order. */
SPS_DEVICE int add_few(uint32_t key, int block, uint32_t bound, int written,
                       struct few_keys *few)
{
    uint32_t taken = __ballot_sync(~0u, key >= bound);
    int at = written + __popc(taken & ((1u << (threadIdx.x & 31)) - 1));

    if (key >= bound && at < FEW) {
        few->key[at] = key;
        few->block[at] = block;
    }
    return written + __popc(taken);
}

/* Keys that reach a bound which at least `keep` reach, set aside in order: the keep-th
 * largest of the lanes' maxima is such a bound.  Returns how many; over FEW: too many. */
template <int HELD>
SPS_DEVICE int gather_few(const uint32_t *key, int rounds, int keep, struct few_keys *few)
{
    uint32_t most = 0;
    int written = 0;

    if (keep > 32)
        return FEW + 1;
#pragma unroll
    for (int i = 0; i < HELD; i++)
        most = most > key[i] ? most : key[i];
    uint32_t bound = find_lane(most, keep);
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        if (i >= rounds)
            break;
        written = add_few(key[i], i * 32 + (threadIdx.x & 31), bound, written, few);
    }
    __syncwarp();
    return written;
}

/* The keep-th largest of the lanes' HELD keys, which are the `count` set aside: each key
 * is compared with all. */
template <int HELD>
SPS_DEVICE uint32_t find_few(const struct few_keys *few, const uint32_t (&key)[HELD],
                             int count, int keep)
{
    int above[HELD] = {};
    uint32_t least = ~0u;

#pragma unroll 1
    for (int i = 0; i < count; i += 4) {
        uint4 x = *(const uint4 *)(few->key + i);
#pragma unroll
        for (int j = 0; j < HELD; j++) {
            above[j] += x.x > key[j];
            above[j] += i + 1 < count && x.y > key[j];
            above[j] += i + 2 < count && x.z > key[j];
            above[j] += i + 3 < count && x.w > key[j];
        }
    }
#pragma unroll
    for (int j = 0; j < HELD; j++)
        least = above[j] < keep && key[j] < least && key[j] > 0 ? key[j] : least;
    return __reduce_min_sync(~0u, least);
}

/* Write the `keep` largest of the `count` <= HELD * 32 keys set aside. */
template <int HELD>
SPS_DEVICE int choose_few(const struct few_keys *few, int count, int keep, int32_t *out)
{
    int lane = threadIdx.x & 31;
    uint32_t key[HELD];

#pragma unroll
    for (int i = 0; i < HELD; i++)
        key[i] = i * 32 + lane < count ? few->key[i * 32 + lane] : 0;
    struct cut cut = cut_of<HELD>(key, keep, find_few<HELD>(few, key, count, keep));
#pragma unroll
    for (int i = 0; i < HELD; i++)
        write_kept(&cut, key[i], few->block[i * 32 + lane], out);
    __syncwarp();
    return cut.written;
}

/* A list of at most HELD * 32 blocks with score(b), 0 for blocks not seen; returns how
 * many were written. */
template <int HELD, typename S>
SPS_DEVICE int choose_held(const struct topk_args *a, const struct list_view *view,
                           S score, int keep, struct few_keys *few, int32_t *out)
{
    int lane = threadIdx.x & 31, rounds = (view->visible + 31) / 32;
    uint32_t key[HELD];
    float x[HELD];

#pragma unroll
    for (int i = 0; i < HELD; i++)
        x[i] = score(i * 32 + lane);
    check_scores(a, view, x);
#pragma unroll
    for (int i = 0; i < HELD; i++)
        key[i] = key_of(a, view, i * 32 + lane, x[i]);
    int count = gather_few<HELD>(key, rounds, keep, few);
    if (count <= FEW)
        return count <= 32 ? choose_few<1>(few, count, keep, out)
                           : choose_few<2>(few, count, keep, out);
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

#pragma unroll 1
    for (int bit = 31; bit >= 0; bit--) {
        uint32_t wish = least | 1u << bit;
        int found = 0;
#pragma unroll 1
        for (int i = 0; i < rounds; i++)
            found += key(i * 32 + lane) >= wish;
        if (__reduce_add_sync(~0u, found) >= keep)
            least = wish;
    }
#pragma unroll 1
    for (int i = 0; i < rounds; i++) {
        uint32_t x = key(i * 32 + lane);
        more += x > least;
        equal += x == least && x > 0;
    }
    more = __reduce_add_sync(~0u, more);
    equal = __reduce_add_sync(~0u, equal);
    struct cut cut = {least, equal - (keep - more), 0, 0};
#pragma unroll 1
    for (int i = 0; i < rounds; i++)
        write_kept(&cut, key(i * 32 + lane), i * 32 + lane, out);
    return cut.written;
}

SPS_DEVICE void fill_list(const struct topk_args *a, int written, int32_t *out)
{
#pragma unroll 1
    for (int i = written + (threadIdx.x & 31); i < a->width; i += 32)
        out[i] = -1;
}

/* Lists of at most STORED_HELD * 32 blocks are chosen in registers, those of more from
 * keys in place of their scores, STORED_HELD rounds at a time. */
enum { STORED_HELD = 8 };

/* Scores become keys; returns the lane's largest. */
SPS_DEVICE uint32_t store_keys(const struct topk_args *a, const struct list_view *view,
                               float *scores)
{
    int lane = threadIdx.x & 31;
    uint32_t most = 0;

#pragma unroll 1
    for (int from = lane; from < view->visible; from += STORED_HELD * 32) {
        float x[STORED_HELD];
#pragma unroll
        for (int i = 0; i < STORED_HELD; i++)
            x[i] = from + i * 32 < view->visible ? scores[from + i * 32] : 0;
        check_scores(a, view, x);
#pragma unroll
        for (int i = 0; i < STORED_HELD; i++) {
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
    for (int from = 0; from < visible; from += STORED_HELD * 32) {
        uint32_t key[STORED_HELD];
#pragma unroll
        for (int i = 0; i < STORED_HELD; i++) {
            int b = from + i * 32 + lane;
            key[i] = b < visible ? keys[b] : 0;
        }
#pragma unroll
        for (int i = 0; i < STORED_HELD; i++)
            written = add_few(key[i], from + i * 32 + lane, bound, written, few);
    }
    __syncwarp();
    return written;
}

/* Write one list of any length from scores[visible], which are lost. */
SPS_DEVICE void choose_stored(const struct topk_args *a, const struct list_view *view,
                              float *scores, struct few_keys *few, int32_t *out)
{
    int keep = view->visible < a->count ? view->visible : a->count, count = FEW + 1;
    auto held = [=](int b) { return b < view->visible ? scores[b] : 0; };
    auto stored = [=](int b) {
        return b < view->visible ? __float_as_uint(scores[b]) : 0;
    };
    int written;

    if (view->visible <= STORED_HELD * 32) {
        written = choose_held<STORED_HELD>(a, view, held, keep, few, out);
    } else {
        uint32_t most = store_keys(a, view, scores);
        if (keep <= 32)
            count = gather_stored((const uint32_t *)scores, view->visible,
                                  find_lane(most, keep), few);
        written = count <= FEW ? choose_few<2>(few, count, keep, out)
                               : choose_any(stored, view->visible, keep, out);
    }
    fill_list(a, written, out);
}

/* Write one list: HELD keys a lane in registers; 0: any number. */
template <int HELD>
SPS_DEVICE void choose_list(const struct topk_args *a, const struct list_view *view,
                            int32_t *out, struct few_keys *few)
{
    int keep = view->visible < a->count ? view->visible : a->count, written;
    auto score = [=](int b) {
        return b < view->visible ? score_of(&a->from, view->scores, b, view->seen) : 0;
    };

    if constexpr (HELD > 0)
        written = choose_held<HELD>(a, view, score, keep, few, out);
    else
        written = choose_any(
            [=](int b) {
                float x[1] = {score(b)};
                check_scores(a, view, x);
                return key_of(a, view, b, x[0]);
            },
            view->visible, keep, out);
    fill_list(a, written, out);
}

#endif
