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
    int64_t list;     /* within the range */
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

/* EACH keys a lane in registers; 0: any number, read again in every pass. */
template <int EACH> __global__ void __launch_bounds__(128) topk(const struct topk_args a)
{
    constexpr int held = EACH ? EACH : 1;
    int lane = threadIdx.x & 31;
    int64_t list = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / 32;

    if (list >= a.lists)
        return;
    int row = (int)(list / a.heads);
    struct seq_view seq = geometry_find(&a.at, row);
    int pos = geometry_pos(&a.at, &seq, (int)(a.at.begin + row - seq.row));
    struct list_view view = {list, pos / a.block + 1, geometry_visible(&a.at, &seq, pos)};
    int rounds = (view.visible + 31) / 32;
    int keep = view.visible < a.count ? view.visible : a.count;
    uint32_t key[held], least = 0;

    if (EACH)
#pragma unroll
        for (int i = 0; i < held; i++)
            key[i] = i < rounds ? key_of(&a, &view, i * 32 + lane) : 0;
    for (int bit = 31; bit >= 0; bit--) {
        uint32_t wish = least | 1u << bit;
        int found = 0;
        if (EACH) {
#pragma unroll
            for (int i = 0; i < held; i++)
                if (i < rounds)
                    found += key[i] >= wish;
        } else {
            for (int i = 0; i < rounds; i++)
                found += key_of(&a, &view, i * 32 + lane) >= wish;
        }
        if (__reduce_add_sync(~0u, found) >= keep)
            least = wish;
    }
    int more = 0, equal = 0;
#pragma unroll
    for (int i = 0; i < (EACH ? held : rounds); i++) {
        uint32_t k = EACH ? key[EACH ? i : 0] : key_of(&a, &view, i * 32 + lane);
        more += k > least;
        equal += k == least && k > 0;
    }
    more = __reduce_add_sync(~0u, more);
    equal = __reduce_add_sync(~0u, equal);
    int skip = equal - (keep - more), written = 0, ties = 0;
    int32_t *out = a.list + ((a.at.begin + row) * a.heads + list % a.heads) * a.width;
#pragma unroll
    for (int i = 0; i < (EACH ? held : rounds); i++) {
        uint32_t k = EACH ? key[EACH ? i : 0] : key_of(&a, &view, i * 32 + lane);
        uint32_t before = (1u << lane) - 1;
        uint32_t same = __ballot_sync(~0u, k == least && k > 0);
        bool take = k > least || (k == least && k > 0 && ties + __popc(same & before) >= skip);
        uint32_t taken = __ballot_sync(~0u, take);
        if (take)
            out[written + __popc(taken & before)] = i * 32 + lane;
        ties += __popc(same);
        written += __popc(taken);
    }
    for (int i = written + lane; i < a.width; i += 32)
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
    return sps_fail_nan(*state->fault_host / index->heads, *state->fault_host % index->heads);
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
    unsigned grid = (unsigned)((a.lists + 3) / 4);
    if (blocks <= 4 * 32)
        topk<4><<<grid, 128, 0, state->stream>>>(a);
    else if (blocks <= 16 * 32)
        topk<16><<<grid, 128, 0, state->stream>>>(a);
    else if (blocks <= 32 * 32)
        topk<32><<<grid, 128, 0, state->stream>>>(a);
    else if (blocks <= 96 * 32)
        topk<96><<<grid, 128, 0, state->stream>>>(a);
    else
        topk<0><<<grid, 128, 0, state->stream>>>(a);
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
