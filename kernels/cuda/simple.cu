/* simple.cu - attention and scores in float32 arithmetic, one warp a row and head: for
 * float32 inputs and for head sizes that the tensor-core kernels do not take.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/simple.cuh"

enum { LANES = 32, WARPS = 4, MOST_DV = 32 }; /* dv up to MOST_DV * LANES */

/* A warp's running softmax of one row; o[i] is column i * 32 + lane. */
template <int COLUMNS> struct row_state {
    float m, l, o[COLUMNS];
};

SPS_DEVICE float dot_row(const struct attend_args *a, int64_t q, int64_t k)
{
    float sum = 0;

    for (int d = 0; d < a->dk; d++)
        sum = __fmaf_rn(load_any(a->q, a->dtype, q + d),
                        load_any(a->k, a->kv_dtype, k + d), sum);
    return sum;
}

/* True when the bounded or packed list [begin, end) holds `unit`. */
SPS_DEVICE bool list_has(const struct attend_args *a, int64_t begin, int64_t end,
                         int unit)
{
    for (int64_t e = begin; e < end; e++)
        if (a->list[e] == unit)
            return true;
    return false;
}

/* Add keys [from, to) of the sequence; a key whose unit is in [begin, end) is left out.
 */
template <int COLUMNS>
SPS_DEVICE void add_keys(const struct attend_args *a, const struct seq_view *seq,
                         int64_t q, int64_t kv, int from, int to, int64_t begin,
                         int64_t end, struct row_state<COLUMNS> *state)
{
    int lane = threadIdx.x & 31;

    for (int base = from; base < to; base += LANES) {
        int key = base + lane;
        bool reads = key < to && !list_has(a, begin, end, key / a->block);
        int64_t at = (seq->key + key) * a->g + kv;
        float s = reads ? dot_row(a, q, at * a->dk) : -INFINITY, top = s;
        for (int bit = 16; bit > 0; bit /= 2)
            top = fmaxf(top, __shfl_xor_sync(~0u, top, bit));
        if (top == -INFINITY)
            continue;
        top = fmaxf(top, state->m);
        float factor = exp2f((state->m - top) * a->c), p = exp2f((s - top) * a->c),
              sum = p;
        for (int bit = 16; bit > 0; bit /= 2)
            sum += __shfl_xor_sync(~0u, sum, bit);
        state->m = top;
        state->l = state->l * factor + sum;
        for (int i = 0; i < COLUMNS; i++)
            state->o[i] *= factor;
        for (int j = 0; j < LANES; j++) {
            float weight = __shfl_sync(~0u, p, j);
            if (weight == 0)
                continue;
            int64_t v = ((seq->key + base + j) * a->g + kv) * a->dv;
            for (int i = 0; i < COLUMNS; i++)
                if (i * LANES + lane < a->dv)
                    state->o[i] +=
                        weight * load_any(a->v, a->kv_dtype, v + i * LANES + lane);
        }
    }
}

template <int COLUMNS>
static __global__ void simple_attend(const __grid_constant__ struct attend_args a,
                                     int64_t pairs)
{
    int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / LANES;

    if (i >= pairs)
        return;
    int row = (int)(i / a.h), head = (int)(i % a.h), lane = threadIdx.x & 31;
    struct seq_view seq = geometry_find(&a.at, row);
    int64_t t = a.at.begin + row, q = (t * a.h + head) * a.dk, kv = head / (a.h / a.g);
    int pos = geometry_pos(&a.at, &seq, (int)(t - seq.row));
    int seen = geometry_visible(&a.at, &seq, pos);
    struct row_state<COLUMNS> state = {
        - INFINITY, 0,
        {
        }
    };
    int64_t list = t * a.index_heads + (int64_t)head * a.index_heads / a.h, begin = 0,
            end = 0;

    if (a.list) {
        begin = a.offset ? a.offset[list] : list * a.width;
        end = a.offset ? a.offset[list + 1] : begin + a.width;
        for (int64_t e = begin; e < end && a.list[e] >= 0; e++) {
            int64_t from = (int64_t)a.list[e] * a.block, to = from + a.block;
            add_keys<COLUMNS>(&a, &seq, q, kv, (int)(from < seen ? from : seen),
                              (int)(to < seen ? to : seen), 0, 0, &state);
        }
    }
    int sink = a.at.sink < seen ? a.at.sink : seen, near = pos - a.at.window + 1;
    near = near > sink ? near : sink;
    if (a.at.all)
        add_keys<COLUMNS>(&a, &seq, q, kv, 0, seen, begin, end, &state);
    else {
        add_keys<COLUMNS>(&a, &seq, q, kv, 0, sink, begin, end, &state);
        add_keys<COLUMNS>(&a, &seq, q, kv, near, pos + 1 < seen ? pos + 1 : seen, begin,
                          end, &state);
    }
    float scale = state.l > 0 ? 1 / state.l : 0;
    for (int c = 0; c < COLUMNS; c++)
        if (c * LANES + lane < a.dv)
            a.o[(t * a.h + head) * a.dv + c * LANES + lane] = state.o[c] * scale;
    if (a.lse && lane == 0)
        a.lse[t * a.h + head] =
            state.l > 0 ? state.m * a.c * LN2 + logf(state.l) : -INFINITY;
}

cudaError_t sps_cuda_simple_attend(const struct attend_args *args, int64_t rows,
                                   cudaStream_t stream)
{
    struct attend_args a = *args;
    int64_t pairs = rows * a.h;
    unsigned grid = (unsigned)((pairs + WARPS - 1) / WARPS);

    if (a.block == 0)
        a.block = 1;
    if (a.dv <= 4 * LANES)
        simple_attend<4><<<grid, WARPS * LANES, 0, stream>>>(a, pairs);
    else if (a.dv <= 16 * LANES)
        simple_attend<16><<<grid, WARPS * LANES, 0, stream>>>(a, pairs);
    else if (a.dv <= MOST_DV * LANES)
        simple_attend<MOST_DV><<<grid, WARPS * LANES, 0, stream>>>(a, pairs);
    else
        return cudaErrorInvalidValue;
    return cudaGetLastError();
}

SPS_DEVICE float score_at(const struct score_args *a, int64_t t, int head, int64_t key)
{
    int64_t q = (t * a->h + head) * a->dk,
            k = (key * a->g + head / (a->h / a->g)) * a->dk;
    float sum = 0;

    for (int d = 0; d < a->dk; d++)
        sum = __fmaf_rn(load_any(a->q, a->dtype, q + d),
                        load_any(a->k, a->k_dtype, k + d), sum);
    return sum;
}

/* Probability of a key, summed over the group's heads. */
SPS_DEVICE float mass_at(const struct score_args *a, int64_t t, int head, int64_t key)
{
    float sum = 0;

    for (int x = 0; x < a->p; x++) {
        float arg = __fmaf_rn(score_at(a, t, head + x, key), a->c,
                              -a->lse[t * a->h + head + x] * 1.4426950408889634f);
        sum += arg >= -100 ? exp2f(arg) : 0;
    }
    return sum;
}

SPS_DEVICE void row_sum(const struct score_args *a, int64_t t, int head, int64_t first,
                        int seen)
{
    float m = -INFINITY, l = 0;

    for (int base = 0; base < seen; base += LANES) {
        int key = base + (threadIdx.x & 31);
        float s = key < seen ? score_at(a, t, head, first + key) : -INFINITY, top = s;
        for (int bit = 16; bit > 0; bit /= 2)
            top = fmaxf(top, __shfl_xor_sync(~0u, top, bit));
        top = fmaxf(top, m);
        l = l * exp2f((m - top) * a->c) + exp2f((s - top) * a->c);
        m = top;
    }
    for (int bit = 16; bit > 0; bit /= 2)
        l += __shfl_xor_sync(~0u, l, bit);
    if ((threadIdx.x & 31) == 0)
        a->out[t * a->h + head] = l > 0 ? m * a->c * LN2 + logf(l) : -INFINITY;
}

/* A warp a (row, group); lanes take keys, or blocks. */
static __global__ void simple_score(const __grid_constant__ struct score_args a,
                                    int64_t pairs)
{
    int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / LANES;

    if (i >= pairs)
        return;
    int row = (int)(i / a.groups), group = (int)(i % a.groups), lane = threadIdx.x & 31;
    struct seq_view seq = geometry_find(&a.at, row);
    int64_t t = a.at.begin + row;
    int head = a.kind == SCORE_PROBS ? a.head : group * a.p;
    int seen =
        geometry_visible(&a.at, &seq, geometry_pos(&a.at, &seq, (int)(t - seq.row)));
    float *out = a.out + i * a.width;

    if (a.kind == SCORE_LSE) {
        row_sum(&a, t, head, seq.key, seen);
        return;
    }
    int unit = a.kind == SCORE_MASS ? a.block : 1;
    for (int from = lane * unit; from < seen; from += LANES * unit) {
        float sum = 0;
        for (int key = from; key < seen && key < from + unit; key++)
            sum += a.kind == SCORE_RAW ? score_at(&a, t, head, seq.key + key)
                                       : mass_at(&a, t, head, seq.key + key);
        out[from / unit] = sum;
    }
}

cudaError_t sps_cuda_simple_score(const struct score_args *a, int64_t rows,
                                  cudaStream_t stream)
{
    int64_t pairs = rows * a->groups;

    simple_score<<<(unsigned)((pairs + WARPS - 1) / WARPS), WARPS * LANES, 0, stream>>>(
        *a, pairs);
    return cudaGetLastError();
}
