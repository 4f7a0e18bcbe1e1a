/* union_gated.cuh - NSA's gated sum (arXiv 2502.11089, eq. 5) behind a union: the tile's
 * rows go on to their latest keys, with the same Q, ring and registers.  What the union
 * gave waits in scratch of the CTA, as registers hold it, which the window's end, soon
 * after, finds in L2.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_GATED_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_GATED_CUH

#include "kernels/cuda/sm90/union_feed.cuh"
#include "kernels/cuda/sm90/union_steps.cuh"

#ifdef SPS_SM90A

/* Units that `count` tokens from `token` on read through the window of a->at. */
SPS_DEVICE struct unit_range
window_units(const struct geometry *at, const struct seq_view *seq, int token, int count)
{
    struct unit_range range = {0, 0};

    if (count <= 0 || at->window == 0)
        return range;
    int low = geometry_pos(at, seq, token) - at->window + 1;
    int high = min(geometry_pos(at, seq, token + count - 1) + 1, seq->keys);
    range.from = max(low, 0) / UNION_KEYS;
    range.end = max((high + UNION_KEYS - 1) / UNION_KEYS, range.from);
    return range;
}

/* ---- producer ---- */

/* The tile's rows of the first branch into L2: its rows of a token are one run. */
SPS_DEVICE void prefetch_first(const struct attend_args *a, const struct union_work *w,
                               const struct row_tile *tile)
{
    for (int i = threadIdx.x & 31; i < tile->count; i += 32)
        prefetch_bulk(w->gates.first +
                          ((tile->seq.row + tile->token + i) * a->h + tile->head) * a->dv,
                      (uint32_t)(a->p * a->dv) * 4);
}

/* Those that warpgroup wg's tokens read. */
SPS_DEVICE struct unit_range own_units(const struct attend_args *a,
                                       const struct row_tile *tile, int wg)
{
    int tokens = UNION_ROWS / a->p, first = wg * tokens;

    return window_units(&a->at, &tile->seq, tile->token + first,
                        min(tile->count - first, tokens));
}

template <class S>
SPS_DEVICE void feed_window(const struct attend_args *a, const struct union_work *w,
                            const struct row_tile *tile, struct union_feeder<S> *f)
{
    struct unit_range units = window_units(&a->at, &tile->seq, tile->token, tile->count),
                      own = own_units(a, tile, threadIdx.x & 31);

    prefetch_first(a, w, tile);
    feed_range(w, units, own, f);
}

/* ---- consumers ---- */

/* Keys [low, high) of the sequence that a thread's rows read; none without a row. */
SPS_DEVICE struct key_limits window_limits(const struct attend_args *a,
                                           const struct row_tile *tile, int wg)
{
    struct key_limits limit;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        struct union_row row = union_row_of(a, tile, wg, i);
        int seen = geometry_visible(&a->at, &tile->seq, row.pos);
        limit.low[i] = row.pos - a->at.window + 1;
        limit.high[i] = row.place < 0 ? 0 : min(seen, row.pos + 1);
    }
    return limit;
}

SPS_DEVICE float gate_of(const struct union_gates *gates, int place, int branch)
{
    return gates->gate && place >= 0 ? gates->gate[(int64_t)place * 3 + branch]
                                     : gates->constant[branch];
}

/* What row i of o is multiplied by to weigh `weight`; 0 where it read nothing. */
SPS_DEVICE float row_scale(const struct row_pair *sums, int i, float weight)
{
    float sum = quad_sum(sums->l[i]);

    return sum > 0 ? weight / sum : 0;
}

/* Four columns side by side of row i: of each of the column groups j and j + 1 of 8 a
 * thread has two, and trades two for its neighbour's.  All lanes. */
template <int R> SPS_DEVICE float4 row_four(const float (&o)[R], int i, int j)
{
    bool odd = threadIdx.x & 1;
    const float *a = o + 4 * j + 2 * i, *b = a + 4;
    float2 keep = odd ? make_float2(b[0], b[1]) : make_float2(a[0], a[1]),
           give = odd ? make_float2(a[0], a[1]) : make_float2(b[0], b[1]);
    float2 got =
        make_float2(__shfl_xor_sync(~0u, give.x, 1), __shfl_xor_sync(~0u, give.y, 1));

    return odd ? make_float4(got.x, got.y, keep.x, keep.y)
               : make_float4(keep.x, keep.y, got.x, got.y);
}

/* The first of these in groups 0 and 1; 8 j further in groups j and j + 1. */
SPS_DEVICE int four_column(void)
{
    return 8 * (threadIdx.x & 1) + 2 * (threadIdx.x & 2);
}

/* A consumer's own place for what is parked: R/4 fours, UNION_CONSUMERS apart. */
template <int R> SPS_DEVICE float4 *parked_at(const struct union_work *w)
{
    return w->parked + (int)blockIdx.x * (R / 4 * UNION_CONSUMERS) + threadIdx.x - 128;
}

/* The union's share of o, to be read again soon. */
template <int R>
SPS_DEVICE void park_union(const struct union_work *w, const struct union_rows *rows,
                           const float (&o)[R], const struct row_pair *sums)
{
    float scale[2];
    float4 *to = parked_at<R>(w);

#pragma unroll
    for (int i = 0; i < 2; i++)
        scale[i] = row_scale(sums, i, gate_of(&w->gates, rows->place[i], 1));
#pragma unroll
    for (int j = 0; j < R / 4; j++)
        __stcg(to + j * UNION_CONSUMERS,
               make_float4(scale[0] * o[4 * j], scale[0] * o[4 * j + 1],
                           scale[1] * o[4 * j + 2], scale[1] * o[4 * j + 3]));
}

/* o, the window's, becomes its share and the union's. */
template <int R>
SPS_DEVICE void add_parked(const struct union_work *w, const struct union_rows *rows,
                           float (&o)[R], const struct row_pair *sums)
{
    constexpr int ahead = R / 8; /* fours that it asks for at a time */
    const float4 *from = parked_at<R>(w);
    float scale[2];

#pragma unroll
    for (int i = 0; i < 2; i++)
        scale[i] = row_scale(sums, i, gate_of(&w->gates, rows->place[i], 2));
#pragma unroll
    for (int j = 0; j < R / 4; j += ahead) {
        float4 x[ahead];
#pragma unroll
        for (int u = 0; u < ahead; u++)
            x[u] = __ldcg(from + (j + u) * UNION_CONSUMERS);
#pragma unroll
        for (int u = 0; u < ahead; u++) {
            float *y = o + 4 * (j + u);
            y[0] = x[u].x + scale[0] * y[0];
            y[1] = x[u].y + scale[0] * y[1];
            y[2] = x[u].z + scale[1] * y[2];
            y[3] = x[u].w + scale[1] * y[3];
        }
    }
}

/* gate x + y. */
SPS_DEVICE float4 gated_four(float gate, float4 x, float4 y)
{
    return make_float4(gate * x.x + y.x, gate * x.y + y.y, gate * x.z + y.z,
                       gate * x.w + y.w);
}

/* Write o and the first branch's share. */
template <int R>
SPS_DEVICE void finish_gated(const struct attend_args *a, const struct union_gates *gates,
                             const struct union_rows *rows, const float (&o)[R])
{
    int column = four_column();

#pragma unroll
    for (int i = 0; i < 2; i++) {
        float gate = gate_of(gates, rows->place[i], 0);
        int64_t at = (int64_t)rows->place[i] * a->dv + column;
        int left = rows->place[i] < 0 ? 0 : (int)a->dv - column;
        float4 x[R / 8] = {};
#pragma unroll
        for (int j = 0; j < R / 8; j++)
            if (16 * j < left)
                x[j] = __ldcs((const float4 *)(gates->first + at + 16 * j));
#pragma unroll
        for (int j = 0; j < R / 8; j++) {
            float4 own = row_four(o, i, 2 * j);
            if (16 * j < left)
                __stcs((float4 *)(a->o + at + 16 * j), gated_four(gate, x[j], own));
        }
    }
}
#endif

#endif
