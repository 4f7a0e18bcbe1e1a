/* topk.cuh - choice of blocks by one warp a list: the range that the k-th largest key can
 * be in is cut in four until k keys exactly lie above a cut.  Of long lists the few keys
 * that can be among the best are set aside first, and each counts those before it. Equals
 * go to the more recent block.
 */
#ifndef SPS_KERNELS_CUDA_TOPK_CUH
#define SPS_KERNELS_CUDA_TOPK_CUH

#include <limits.h>

#include "kernels/cuda/geometry.cuh"

struct topk_args {
    struct score_source from;
    int32_t *list; /* [t,heads,width] */
    int64_t heads, width;
    int32_t block, count, init, local;
    unsigned long long *fault; /* least list with a NaN, -1: none */
};

/* Order of floats as order of integers; 0 is kept for "no block", ~0 for forced, which a
 * NaN comes next to: a search counts on no more forced keys than are kept. */
SPS_DEVICE uint32_t order_of(float x)
{
    uint32_t bits = __float_as_uint(x + 0.0f);
    uint32_t key = bits & 0x80000000u ? ~bits : bits | 0x80000000u;

    return key < ~0u ? key : ~0u - 1;
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

/* What is kept: keys above `least`, and of those that equal it all but the first `skip`;
 * NO_TIES: none of these. */
enum { NO_TIES = INT_MAX };

struct cut {
    uint32_t least;
    int skip, ties, written;
};

/* How many of the warp's keys (HELD a lane) reach each of x. */
template <int HELD, int N>
SPS_DEVICE void count_from(const uint32_t (&key)[HELD], const uint32_t (&x)[N],
                           int (&found)[N])
{
#pragma unroll
    for (int j = 0; j < N; j++) {
        int own = 0;
#pragma unroll
        for (int i = 0; i < HELD; i++)
            own += key[i] >= x[j];
        found[j] = __reduce_add_sync(~0u, own);
    }
}

/* A key that `keep` reach at least, 0 if none is at hand, and the largest that is not
 * forced. */
struct key_range {
    uint32_t low, high;
};

/* low: the least of the largest keys of `keep` groups of lanes, or more.  Forced keys, no
 * more than `keep`, wrap round to 0 here. */
template <int HELD>
SPS_DEVICE struct key_range range_of(const uint32_t (&key)[HELD], int keep)
{
    uint32_t most = 0;
    int groups = 32;

#pragma unroll
    for (int i = 0; i < HELD; i++)
        most = most > key[i] + 1 ? most : key[i] + 1;
    uint32_t high = __reduce_max_sync(~0u, most);
#pragma unroll 1
    for (; groups / 2 >= keep; groups /= 2) {
        uint32_t other = __shfl_xor_sync(~0u, most, groups / 2);
        most = most > other ? most : other;
    }
    uint32_t low = __reduce_min_sync(~0u, keep > groups ? 0 : most);
    return {low > 0 ? low - 1 : 0, high > 0 ? high - 1 : 0};
}

/* Keep `keep` of the warp's keys, of which at least that many are not 0: the range that
 * the keep-th largest is in is cut in four, until a cut has as many above as are wanted.
 */
template <int HELD> SPS_DEVICE struct cut find_cut(const uint32_t (&key)[HELD], int keep)
{
    struct key_range in = range_of(key, keep);

#pragma unroll 1
    while (in.low < in.high) {
        uint32_t span = in.high - in.low, part = span / 4 + 1, x[3], exact = 0;
        int found[3];
#pragma unroll
        for (int i = 0; i < 3; i++)
            x[i] = (i + 1) * part < span ? in.low + (i + 1) * part : in.high;
        count_from(key, x, found);
#pragma unroll
        for (int i = 0; i < 3; i++) {
            exact = found[i] == keep ? x[i] : exact;
            in.low = found[i] > keep ? x[i] : in.low;
            in.high = found[2 - i] < keep ? x[2 - i] - 1 : in.high;
        }
        if (exact > 0)
            return {exact - 1, NO_TIES, 0, 0};
    }
    const uint32_t x[1] = {in.low};
    int found[1];
    count_from(key, x, found);
    return {in.low, found[0] - keep, 0, 0};
}

/* Write the blocks of lanes that take theirs, in order. */
SPS_DEVICE void write_taken(struct cut *cut, bool take, int block, int32_t *out)
{
    uint32_t taken = __ballot_sync(~0u, take);

    if (take)
        out[cut->written + __popc(taken & ((1u << (threadIdx.x & 31)) - 1))] = block;
    cut->written += __popc(taken);
}

/* Write the lanes' blocks that are kept; calls go in ascending order of blocks. */
SPS_DEVICE void write_kept(struct cut *cut, uint32_t key, int block, int32_t *out)
{
    bool tie = key == cut->least && key > 0;
    uint32_t same = __ballot_sync(~0u, tie);
    int before = cut->ties + __popc(same & ((1u << (threadIdx.x & 31)) - 1));

    write_taken(cut, key > cut->least || (tie && before >= cut->skip), block, out);
    cut->ties += __popc(same);
}

/* Write what is kept of the warp's keys, those of block(i) for key[i]; returns how many.
 */
template <int HELD, typename B>
SPS_DEVICE int write_cut(struct cut cut, const uint32_t (&key)[HELD], B block,
                         int32_t *out)
{
    if (cut.skip == NO_TIES) {
#pragma unroll
        for (int i = 0; i < HELD; i++)
            write_taken(&cut, key[i] > cut.least, block(i), out);
    } else {
#pragma unroll
        for (int i = 0; i < HELD; i++)
            write_kept(&cut, key[i], block(i), out);
    }
    return cut.written;
}

/* The best of a list, set aside in shared memory: one for each warp. */
enum { FEW = 64 };

struct __align__(16) few_keys
{
    uint32_t key[FEW];
    int32_t block[FEW];
};

/* Add those of the lanes' keys of N blocks each, from `block` on, that reach `bound` to
 * what is set aside, in order; returns how many there are then. */
template <int N>
SPS_DEVICE int add_few(const uint32_t (&key)[N], int block, uint32_t bound, int written,
                       struct few_keys *few)
{
    uint32_t before = (1u << (threadIdx.x & 31)) - 1;
    int at = written;

#pragma unroll
    for (int j = 0; j < N; j++) {
        uint32_t taken = __ballot_sync(~0u, key[j] >= bound);
        at += __popc(taken & before);
        written += __popc(taken);
    }
#pragma unroll
    for (int j = 0; j < N; j++)
        if (key[j] >= bound && at < FEW) {
            few->key[at] = key[j];
            few->block[at++] = block + j;
        }
    return written;
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
        const uint32_t own[1] = {key[i]};
        written = add_few(own, i * 32 + (threadIdx.x & 31), bound, written, few);
    }
    __syncwarp();
    return written;
}

/* How many of the `count` keys set aside go before each of the lane's, i * 32 + lane. */
template <int HELD>
SPS_DEVICE void rank_few(const struct few_keys *few, int count,
                         const uint32_t (&key)[HELD], int (&before)[HELD])
{
    int lane = threadIdx.x & 31;

#pragma unroll
    for (int i = 0; i < HELD; i++)
        before[i] = 0;
#pragma unroll 4
    for (int j = 0; j < count; j++) {
        uint32_t other = few->key[j];
#pragma unroll
        for (int i = 0; i < HELD; i++)
            before[i] += other > key[i] || (other == key[i] && j > i * 32 + lane);
    }
}

/* Write the `keep` largest of the `count` <= HELD * 32 keys set aside. */
template <int HELD>
SPS_DEVICE int write_few(const struct few_keys *few, int count, int keep, int32_t *out)
{
    int lane = threadIdx.x & 31, before[HELD];
    struct cut cut = {0, 0, 0, 0};
    uint32_t key[HELD];

#pragma unroll
    for (int i = 0; i < HELD; i++)
        key[i] = i * 32 + lane < count ? few->key[i * 32 + lane] : 0;
    rank_few(few, count, key, before);
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        bool kept = key[i] > 0 && before[i] < keep;
        write_taken(&cut, kept, kept ? few->block[i * 32 + lane] : 0, out);
    }
    __syncwarp();
    return cut.written;
}

/* The same of count <= FEW. */
SPS_DEVICE int choose_few(const struct few_keys *few, int count, int keep, int32_t *out)
{
    return count <= 32 ? write_few<1>(few, count, keep, out)
                       : write_few<FEW / 32>(few, count, keep, out);
}

/* The first `keep` blocks. */
SPS_DEVICE int write_first(int keep, int32_t *out)
{
#pragma unroll 1
    for (int b = threadIdx.x & 31; b < keep; b += 32)
        out[b] = b;
    return keep;
}

/* Keys a lane that a search goes over without setting any aside. */
enum { HELD_FEW = 8 };

/* A list of at most HELD * 32 blocks with score(b), 0 for blocks not seen; returns how
 * many were written. */
template <int HELD, typename S>
SPS_DEVICE int choose_held(const struct topk_args *a, const struct list_view *view,
                           S score, int keep, struct few_keys *few, int32_t *out)
{
    int lane = threadIdx.x & 31;
    uint32_t key[HELD];
    float x[HELD];

#pragma unroll
    for (int i = 0; i < HELD; i++)
        x[i] = score(i * 32 + lane);
    check_scores(a, view, x);
    if (keep == view->visible)
        return write_first(keep, out);
#pragma unroll
    for (int i = 0; i < HELD; i++)
        key[i] = key_of(a, view, i * 32 + lane, x[i]);
    if constexpr (HELD > HELD_FEW) {
        int rounds = (view->visible + 31) / 32;
        int count = gather_few<HELD>(key, rounds, keep, few);
        if (count <= FEW)
            return choose_few(few, count, keep, out);
    }
    return write_cut(
        find_cut(key, keep), key, [=](int i) { return i * 32 + lane; }, out);
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
