/* topk.cu - choice of blocks: one warp a list, keys in registers, the k-th largest found
 * bit by bit; equals go to the more recent block.
 */
#include "kernels/check.h"
#include "kernels/cuda/cuda.h"

struct topk_args {
    struct score_source from;
    struct geometry at;
    int32_t *list;
    int64_t heads, width, lists;
    int32_t block, count, init, local;
    unsigned long long *fault; /* least list with a NaN */
};

/* Order of floats as order of integers; 0 is kept for "no block", ~0 for forced. */
SPS_DEVICE uint32_t order_of(float x)
{
    uint32_t bits = __float_as_uint(x + 0.0f);

    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct list_view {
    int64_t list;      /* within the range */
    int visible, seen; /* blocks; compressed keys */
};

SPS_DEVICE uint32_t key_of(const struct topk_args *a, const struct list_view *view, int b)
{
    if (b >= view->visible)
        return 0;
    float x = score_of(&a->from, view->list, b, view->seen);
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

enum { FEW = 64, WARPS = 4 };

/* Keys that reach a bound which at least `keep` reach, in order, if they are FEW: the
 * keep-th largest of the lanes' maxima is such a bound.  Returns how many; 0: too many.
 */
template <int HELD>
SPS_DEVICE int gather_few(const uint32_t *key, int rounds, int keep, uint32_t *few,
                          int32_t *block)
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
            few[at] = key[i];
            block[at] = i * 32 + (threadIdx.x & 31);
        }
        written += __popc(taken);
    }
    __syncwarp();
    return written;
}

/* A list of at most HELD * 32 blocks; returns how many were written. */
template <int HELD>
SPS_DEVICE int choose_held(const struct topk_args *a, const struct list_view *view,
                           int keep, int32_t *out)
{
    __shared__ uint32_t few[WARPS][FEW];
    __shared__ int32_t block[WARPS][FEW];
    int lane = threadIdx.x & 31, warp = threadIdx.x / 32,
        rounds = (view->visible + 31) / 32;
    uint32_t key[HELD];

#pragma unroll
    for (int i = 0; i < HELD; i++)
        key[i] = i < rounds ? key_of(a, view, i * 32 + lane) : 0;
    int count = gather_few<HELD>(key, rounds, keep, few[warp], block[warp]);
    if (count > 0) {
        uint32_t two[2] = {lane < count ? few[warp][lane] : 0,
                           lane + 32 < count ? few[warp][lane + 32] : 0};
        struct cut cut = cut_of<2>(two, keep, find_least<2>(two, keep));
        write_kept(&cut, two[0], block[warp][lane], out);
        write_kept(&cut, two[1], block[warp][lane + 32], out);
        return cut.written;
    }
    struct cut cut = cut_of<HELD>(key, keep, find_least<HELD>(key, keep));
#pragma unroll
    for (int i = 0; i < HELD; i++)
        if (i < rounds)
            write_kept(&cut, key[i], i * 32 + lane, out);
    return cut.written;
}

/* A list of any length: scores are read again for every bit. */
SPS_DEVICE int choose_any(const struct topk_args *a, const struct list_view *view,
                          int keep, int32_t *out)
{
    int lane = threadIdx.x & 31, rounds = (view->visible + 31) / 32, more = 0, equal = 0;
    uint32_t least = 0;

    for (int bit = 31; bit >= 0; bit--) {
        uint32_t wish = least | 1u << bit;
        int found = 0;
        for (int i = 0; i < rounds; i++)
            found += key_of(a, view, i * 32 + lane) >= wish;
        if (__reduce_add_sync(~0u, found) >= keep)
            least = wish;
    }
    for (int i = 0; i < rounds; i++) {
        uint32_t key = key_of(a, view, i * 32 + lane);
        more += key > least;
        equal += key == least && key > 0;
    }
    more = __reduce_add_sync(~0u, more);
    equal = __reduce_add_sync(~0u, equal);
    struct cut cut = {least, equal - (keep - more), 0, 0};
    for (int i = 0; i < rounds; i++)
        write_kept(&cut, key_of(a, view, i * 32 + lane), i * 32 + lane, out);
    return cut.written;
}

/* HELD keys a lane in registers; 0: any number. */
template <int HELD>
static __global__ void __launch_bounds__(WARPS * 32)
    topk(const __grid_constant__ topk_args a)
{
    int64_t list = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / 32;

    if (list >= a.lists)
        return;
    int row = (int)(list / a.heads), written;
    struct seq_view seq = geometry_find(&a.at, row);
    int pos = geometry_pos(&a.at, &seq, (int)(a.at.begin + row - seq.row));
    struct list_view view = {list, pos / a.block + 1, geometry_visible(&a.at, &seq, pos)};
    int keep = view.visible < a.count ? view.visible : a.count;
    int32_t *out = a.list + ((a.at.begin + row) * a.heads + list % a.heads) * a.width;

    if constexpr (HELD > 0)
        written = choose_held<HELD>(&a, &view, keep, out);
    else
        written = choose_any(&a, &view, keep, out);
    for (int i = written + (threadIdx.x & 31); i < a.width; i += 32)
        out[i] = -1;
}

enum sps_status sps_cuda_topk_begin(struct sps_device *dev)
{
    struct cuda_state *state = cuda_state_of(dev);

    CUDA_TRY(cudaMemsetAsync(state->fault, 0xff, sizeof *state->fault, state->stream));
    return SPS_OK;
}

enum sps_status sps_cuda_topk_check(struct sps_device *dev, const struct sps_index *index)
{
    struct cuda_state *state = cuda_state_of(dev);

    CUDA_TRY(cudaMemcpyAsync(state->fault_host, state->fault, sizeof *state->fault,
                             cudaMemcpyDeviceToHost, state->stream));
    CUDA_TRY(cudaStreamSynchronize(state->stream));
    if (*state->fault_host < 0)
        return SPS_OK;
    return sps_fail_nan(*state->fault_host / index->heads,
                        *state->fault_host % index->heads);
}

enum sps_status sps_cuda_topk_run(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct score_source *from,
                                  const struct sps_compression *by,
                                  const struct sps_rule *rule, struct sps_rows rows,
                                  struct sps_index *index)
{
    struct cuda_state *state = cuda_state_of(dev);
    int64_t blocks = sps_shape_blocks(shape, rule->block);
    struct topk_args a = {};

    if (rows.begin >= rows.end)
        return SPS_OK;
    a.from = *from;
    a.list = index->list;
    a.heads = index->heads;
    a.width = index->width;
    a.lists = (rows.end - rows.begin) * index->heads;
    a.block = (int32_t)(rule->block < 1 << 30 ? rule->block : 1 << 30);
    a.count = (int32_t)(rule->count < 1 << 30 ? rule->count : 1 << 30);
    a.init = (int32_t)(rule->init < 1 << 30 ? rule->init : 1 << 30);
    a.local = (int32_t)(rule->local < 1 << 30 ? rule->local : 1 << 30);
    a.fault = (unsigned long long *)state->fault;
    SPS_TRY(sps_cuda_geometry(dev, shape, by, NULL, rows, 1, 1, &a.at));
    unsigned grid = (unsigned)((a.lists + WARPS - 1) / WARPS);
    if (blocks <= 4 * 32)
        topk<4><<<grid, WARPS * 32, 0, state->stream>>>(a);
    else if (blocks <= 16 * 32)
        topk<16><<<grid, WARPS * 32, 0, state->stream>>>(a);
    else if (blocks <= 32 * 32)
        topk<32><<<grid, WARPS * 32, 0, state->stream>>>(a);
    else if (blocks <= 96 * 32)
        topk<96><<<grid, WARPS * 32, 0, state->stream>>>(a);
    else
        topk<0><<<grid, WARPS * 32, 0, state->stream>>>(a);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}

enum sps_status sps_cuda_topk(struct sps_device *dev, const struct sps_shape *shape,
                              const float *scores, const struct sps_rule *rule,
                              struct sps_rows rows, struct sps_index *index)
{
    struct score_source from = {scores, sps_shape_blocks(shape, rule->block), 0, 0};

    dev->impl = "topk_warp";
    SPS_TRY(sps_check_causal(shape, "topk"));
    SPS_TRY(sps_check_rule(rule, index));
    SPS_TRY(sps_cuda_topk_begin(dev));
    SPS_TRY(sps_cuda_topk_run(dev, shape, &from, NULL, rule, rows, index));
    SPS_TRY(sps_cuda_topk_check(dev, index));
    return SPS_OK;
}
