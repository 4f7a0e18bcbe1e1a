/* best.cuh - the K best of a row's scores, kept in registers by the four lanes that share
 * the row in a wgmma accumulator: each lane keeps the K best of its own columns, and at
 * the end the four lists become one.  Of equal scores the larger block number wins.
 *
 * A lane offers few of its scores to its list: once the four lanes' K/4-th best are
 * known, whatever is below the least of them cannot be among the row's K best.
 */
#ifndef SPS_KERNELS_CUDA_SM90_BEST_CUH
#define SPS_KERNELS_CUDA_SM90_BEST_CUH

#include "kernels/cuda/tile.cuh"

/* Descending; block -1 (with -inf): none. */
template <int K> struct best {
    float score[K];
    int block[K];
};

template <int K> SPS_DEVICE void best_clear(struct best<K> *b)
{
#pragma unroll
    for (int i = 0; i < K; i++)
        b->score[i] = -INFINITY, b->block[i] = -1;
}

/* Insert a block that is larger than all before; a score of NaN changes nothing. */
template <int K> SPS_DEVICE void best_insert(struct best<K> *b, float score, int block)
{
    bool here = score >= b->score[K - 1];

#pragma unroll
    for (int i = K - 1; i > 0; i--) {
        bool above = score >= b->score[i - 1];
        b->score[i] = above ? b->score[i - 1] : here ? score : b->score[i];
        b->block[i] = above ? b->block[i - 1] : here ? block : b->block[i];
        here = above;
    }
    b->score[0] = here ? score : b->score[0];
    b->block[0] = here ? block : b->block[0];
}

SPS_DEVICE float quad_min(float x)
{
    x = fminf(x, __shfl_xor_sync(~0u, x, 1));
    return fminf(x, __shfl_xor_sync(~0u, x, 2));
}

/* A score that K of the row's scores so far reach. */
template <int K> SPS_DEVICE float best_bound(const struct best<K> *b)
{
    return quad_min(b->score[K / 4 - 1]);
}

/* A score that K of the four lanes' N scores each reach: the least of the largest of K/4
 * groups a lane.  NaN: no score. */
template <int K, int N> SPS_DEVICE float first_bound(const float (&x)[N])
{
    float least = INFINITY;

#pragma unroll
    for (int from = 0; from < N; from += 4 * N / K) {
        float most = -INFINITY;
#pragma unroll
        for (int i = from; i < from + 4 * N / K; i++)
            most = fmaxf(most, x[i]);
        least = fminf(least, most);
    }
    return quad_min(least);
}

/* Put the better of two places first, without branches. */
template <int K> SPS_DEVICE void best_order(struct best<K> *b, int first, int second)
{
    float x = b->score[first], y = b->score[second];
    int i = b->block[first], j = b->block[second];
    bool swap = (y > x) | ((y == x) & (j > i));

    b->score[first] = swap ? y : x, b->score[second] = swap ? x : y;
    b->block[first] = swap ? j : i, b->block[second] = swap ? i : j;
}

/* b becomes the K best of b and of what the other lane gives, descending (Batcher's
 * bitonic merge). */
template <int K>
SPS_DEVICE void best_join(struct best<K> *b, const struct best<K> *give, int lane_bit)
{
    struct best<K> other;

#pragma unroll
    for (int i = 0; i < K; i++) {
        other.score[i] = __shfl_xor_sync(~0u, give->score[K - 1 - i], lane_bit);
        other.block[i] = __shfl_xor_sync(~0u, give->block[K - 1 - i], lane_bit);
    }
#pragma unroll
    for (int i = 0; i < K; i++) {
        float x = b->score[i], y = other.score[i];
        bool swap = (y > x) | ((y == x) & (other.block[i] > b->block[i]));
        b->score[i] = swap ? y : x;
        b->block[i] = swap ? other.block[i] : b->block[i];
    }
#pragma unroll
    for (int step = K / 2; step > 0; step /= 2)
#pragma unroll
        for (int i = 0; i < K; i++)
            if ((i & step) == 0)
                best_order(b, i, i + step);
}

/* Of a thread's two rows, the four lanes' lists as one: even lanes get the first row's,
 * odd ones the second's. */
template <int K>
SPS_DEVICE struct best<K> best_of_row(const struct best<K> *first,
                                      const struct best<K> *second) {
    bool odd = threadIdx.x & 1;
    struct best<K> own, give;

#pragma unroll
    for (int i = 0; i < K; i++) {
        own.score[i] = odd ? second->score[i] : first->score[i];
        own.block[i] = odd ? second->block[i] : first->block[i];
        give.score[i] = odd ? first->score[i] : second->score[i];
        give.block[i] = odd ? first->block[i] : second->block[i];
    }
    best_join(&own, &give, 1);
    best_join(&own, &own, 2);
    return own;
}

/* Ascending, -1 last (Batcher's bitonic sort). */
template <int K>
SPS_DEVICE void sort_blocks(int (&block)[K])
{
#pragma unroll
    for (int size = 2; size <= K; size *= 2)
#pragma unroll
        for (int step = size / 2; step > 0; step /= 2)
#pragma unroll
            for (int i = 0; i < K; i++) {
                int j = i | step;
                if (i & step)
                    continue;
                unsigned x = (unsigned)block[i], y = (unsigned)block[j];
                unsigned low = x < y ? x : y, high = x < y ? y : x;
                bool up = (i & size) == 0 || size == K;
                block[i] = (int)(up ? low : high);
                block[j] = (int)(up ? high : low);
            }
}

/* The first `count` <= K blocks of a row's list, ascending, to out[width] (NULL:
 * nowhere); lanes two apart have the same list and share the writing. */
template <int K>
SPS_DEVICE void best_write(struct best<K> *b, int count, int32_t *out, int64_t width)
{
    int lane = threadIdx.x >> 1 & 1;

#pragma unroll
    for (int i = 0; i < K; i++)
        b->block[i] = i < count ? b->block[i] : -1;
    sort_blocks(b->block);
    if (!out)
        return;
#pragma unroll
    for (int i = 0; i < K; i += 2)
        if (i + lane < width)
            out[i + lane] = lane ? b->block[i + 1] : b->block[i];
    for (int64_t i = K + lane; i < width; i += 2)
        out[i] = -1;
}

#endif
