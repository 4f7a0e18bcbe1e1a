/* topk.cu - top-k of scores in memory: one warp a list. */
#include "kernels/check.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/topk.cuh"

enum { WARPS = 4 };

template <int HELD>
static __global__ void __launch_bounds__(WARPS * 32)
    topk(const __grid_constant__ struct topk_args a,
         const __grid_constant__ struct geometry at, int64_t lists)
{
    __shared__ struct few_keys few[WARPS];
    int64_t list = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / 32;

    if (list >= lists)
        return;
    int row = (int)(list / a.heads);
    struct seq_view seq = geometry_find(&at, row);
    int pos = geometry_pos(&at, &seq, (int)(at.begin + row - seq.row));
    struct list_view view = {at.begin * a.heads + list, list,
                             geometry_blocks(pos, a.block),
                             geometry_visible(&at, &seq, pos)};

    choose_list<HELD>(&a, &view, a.list + view.list * a.width, &few[threadIdx.x / 32]);
}

enum sps_status sps_cuda_faults(struct sps_device *dev)
{
    struct cuda_state *state = cuda_state_of(dev);
    int64_t heads = state->fault_heads;

    if (heads == 0)
        return SPS_OK;
    state->fault_heads = 0;
    CUDA_TRY(cudaMemcpyAsync(state->fault_host, state->fault, sizeof *state->fault,
                             cudaMemcpyDeviceToHost, state->stream));
    CUDA_TRY(cudaStreamSynchronize(state->stream));
    if (*state->fault_host < 0)
        return SPS_OK;
    SPS_TRY(sps_cuda_forget_faults(dev));
    return sps_fail_nan(*state->fault_host / heads, *state->fault_host % heads);
}

enum sps_status sps_cuda_forget_faults(struct sps_device *dev)
{
    struct cuda_state *state = cuda_state_of(dev);

    state->fault_heads = 0;
    CUDA_TRY(cudaMemsetAsync(state->fault, 0xff, sizeof *state->fault, state->stream));
    return SPS_OK;
}

enum sps_status sps_cuda_choose(struct sps_device *dev, const struct sps_index *index)
{
    struct cuda_state *state = cuda_state_of(dev);

    if (state->fault_heads != index->heads)
        SPS_TRY(sps_cuda_faults(dev));
    state->fault_heads = index->heads;
    return SPS_OK;
}

void sps_cuda_topk_fill(struct sps_device *dev, const struct sps_rule *rule,
                        const struct score_source *from, const struct sps_index *index,
                        struct topk_args *a)
{
    a->from = *from;
    a->list = index->list;
    a->heads = index->heads;
    a->width = index->width;
    a->block = (int32_t)(rule->block < 1 << 30 ? rule->block : 1 << 30);
    a->count = (int32_t)(rule->count < 1 << 30 ? rule->count : 1 << 30);
    a->init = (int32_t)(rule->init < 1 << 30 ? rule->init : 1 << 30);
    a->local = (int32_t)(rule->local < 1 << 30 ? rule->local : 1 << 30);
    a->fault = (unsigned long long *)cuda_state_of(dev)->fault;
}

enum sps_status sps_cuda_topk_run(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct score_source *from,
                                  const struct sps_compression *by,
                                  const struct sps_rule *rule, struct sps_rows rows,
                                  struct sps_index *index)
{
    struct cuda_state *state = cuda_state_of(dev);
    int64_t blocks = sps_shape_blocks(shape, rule->block);
    int64_t lists = (rows.end - rows.begin) * index->heads;
    struct topk_args a;
    struct geometry at;

    if (rows.begin >= rows.end)
        return SPS_OK;
    sps_cuda_topk_fill(dev, rule, from, index, &a);
    SPS_TRY(sps_cuda_geometry(dev, shape, by, NULL, rows, 1, 1, &at));
    unsigned grid = (unsigned)((lists + WARPS - 1) / WARPS);
    if (blocks <= 4 * 32)
        topk<4><<<grid, WARPS * 32, 0, state->stream>>>(a, at, lists);
    else if (blocks <= 16 * 32)
        topk<16><<<grid, WARPS * 32, 0, state->stream>>>(a, at, lists);
    else if (blocks <= 32 * 32)
        topk<32><<<grid, WARPS * 32, 0, state->stream>>>(a, at, lists);
    else if (blocks <= 96 * 32)
        topk<96><<<grid, WARPS * 32, 0, state->stream>>>(a, at, lists);
    else
        topk<0><<<grid, WARPS * 32, 0, state->stream>>>(a, at, lists);
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
    SPS_TRY(sps_cuda_choose(dev, index));
    return sps_cuda_topk_run(dev, shape, &from, NULL, rule, rows, index);
}
