/* union_lists.cu - merge the lists of a tile's tokens: mark the units in a bitmap, rank
 * them by counting bits, then set every token's bit in the entry of that rank.  One CTA a
 * tile and index head; the result does not depend on the order of its threads.
 */
#include "kernels/cuda/sm90/union.h"

enum { LISTS_THREADS = 128 };

/* Units of 64 keys that one list element names, as far as its token sees them. */
struct unit_span {
    int token, from, end;
};

SPS_DEVICE struct unit_span unit_span_of(const struct attend_args *a,
                                         const struct row_tile *tile, int head, int i)
{
    struct unit_span span;

    span.token = i / (int)a->width;
    int slot = i - span.token * (int)a->width, token = tile->token + span.token;
    int64_t list = (tile->seq.row + token) * a->index_heads + head;
    int64_t key = (int64_t)a->list[list * a->width + slot] * a->block;
    int pos = geometry_pos(&a->at, &tile->seq, token);
    int64_t seen = geometry_visible(&a->at, &tile->seq, pos);
    int64_t end = key + a->block < seen ? key + a->block : seen;
    span.from = (int)(key / UNION_KEYS);
    span.end =
        key < 0 || key >= seen ? span.from : (int)((end + UNION_KEYS - 1) / UNION_KEYS);
    return span;
}

/* rank[i] = bits in words before i, by the first warp; returns all of them to its lanes.
 */
SPS_DEVICE int rank_words(const uint32_t *words, int32_t *rank, int count)
{
    int lane = threadIdx.x & 31, total = 0;

    for (int from = 0; from < count; from += 32) {
        int own = from + lane < count ? __popc(words[from + lane]) : 0, sum = own;
        for (int step = 1; step < 32; step *= 2) {
            int other = __shfl_up_sync(~0u, sum, step);
            sum += lane >= step ? other : 0;
        }
        if (from + lane < count)
            rank[from + lane] = total + sum - own;
        total += __shfl_sync(~0u, sum, 31);
    }
    return total;
}

static __global__ void __launch_bounds__(LISTS_THREADS)
    merge_lists(const __grid_constant__ struct attend_args a,
                const __grid_constant__ struct union_work w)
{
    extern __shared__ uint32_t words[];
    __shared__ int total;
    int number = w.first + blockIdx.x, tokens = UNION_ROWS / a.p;
    int64_t list = (int64_t)blockIdx.x * a.index_heads + blockIdx.y;
    struct union_entry *entries = w.entries + list * w.most;
    struct row_tile tile = geometry_tile(&a.at, number);
    int count = (tile.seq.keys + 32 * UNION_KEYS - 1) / (32 * UNION_KEYS);
    int elements = tile.count * (int)a.width;
    int32_t *rank = (int32_t *)words + count;
    for (int i = threadIdx.x; i < count; i += LISTS_THREADS)
        words[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < elements; i += LISTS_THREADS) {
        struct unit_span span = unit_span_of(&a, &tile, blockIdx.y, i);
        for (int unit = span.from; unit < span.end; unit++)
            atomicOr(words + unit / 32, 1u << unit % 32);
    }
    __syncthreads();
    if (threadIdx.x < 32) {
        int sum = rank_words(words, rank, count);
        if (threadIdx.x == 0)
            total = w.count[list] = sum;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < total * (int)sizeof *entries / 16; i += LISTS_THREADS)
        ((int4 *)entries)[i] = make_int4(0, 0, 0, 0);
    __syncthreads();
    for (int i = threadIdx.x; i < elements; i += LISTS_THREADS) {
        struct unit_span span = unit_span_of(&a, &tile, blockIdx.y, i);
        for (int unit = span.from; unit < span.end; unit++) {
            uint32_t below = words[unit / 32] & ((1u << unit % 32) - 1);
            struct union_entry *to = entries + rank[unit / 32] + __popc(below);
            to->unit = unit;
            atomicOr((unsigned long long *)to->chosen + span.token / tokens,
                     1ull << span.token % tokens);
        }
    }
}

cudaError_t sps_sm90_union_lists(const struct attend_args *a, const struct union_work *w,
                                 int64_t units, cudaStream_t stream)
{
    dim3 grid((unsigned)w->tiles, (unsigned)a->index_heads);

    merge_lists<<<grid, LISTS_THREADS, (size_t)((units + 31) / 32) * 8, stream>>>(*a, *w);
    return cudaGetLastError();
}
