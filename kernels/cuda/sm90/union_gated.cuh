/* union_gated.cuh - NSA's gated sum (arXiv 2502.11089, eq. 5) behind a union: the tile's
 * rows go on to their latest keys, with the same Q, ring and registers.  What the union
 * gave waits in o itself, which the window's end, soon after, finds in L2.
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

SPS_DEVICE float gate_of(const struct union_gates *gates, int64_t place, int branch)
{
    return gates->gate && place >= 0 ? gates->gate[place * 3 + branch]
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

/* The union's share of o, to be read again soon. */
template <int R>
SPS_DEVICE void park_union(const struct attend_args *a, const struct union_gates *gates,
                           const struct union_rows *rows, const float (&o)[R],
                           const struct row_pair *sums)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int64_t place = rows->place[i];
        float scale = row_scale(sums, i, gate_of(gates, place, 1));
        float *to = a->o + place * a->dv + four_column();
#pragma unroll
        for (int j = 0; j < R / 4; j += 2) {
            float4 x = row_four(o, i, j);
            if (place >= 0 && 8 * j + four_column() < a->dv)
                *(float4 *)(to + 8 * j) =
                    make_float4(scale * x.x, scale * x.y, scale * x.z, scale * x.w);
        }
    }
}

/* x + gate y + scale o. */
SPS_DEVICE float4 gated_four(float4 x, float gate, float4 y, float scale, float4 o)
{
    return make_float4(x.x + gate * y.x + scale * o.x, x.y + gate * y.y + scale * o.y,
                       x.z + gate * y.z + scale * o.z, x.w + gate * y.w + scale * o.w);
}

/* Fours of each array that a thread asks for at a time. */
enum { FINISH_AHEAD = 4 };

/* o = first gate * first + what is parked there + the window's share. */
template <int R>
SPS_DEVICE void finish_gated(const struct attend_args *a, const struct union_gates *gates,
                             const struct union_rows *rows, const float (&o)[R],
                             const struct row_pair *sums)
{
    int column = four_column();

#pragma unroll
    for (int i = 0; i < 2; i++) {
        float scale = row_scale(sums, i, gate_of(gates, rows->place[i], 2));
        float gate = gate_of(gates, rows->place[i], 0);
        int64_t at = rows->place[i] * a->dv + column;
#pragma unroll
        for (int j = 0; j < R / 8; j += FINISH_AHEAD) {
            float4 x[FINISH_AHEAD] = {}, y[FINISH_AHEAD] = {};
#pragma unroll
            for (int u = 0; u < FINISH_AHEAD; u++)
                if (rows->place[i] >= 0 && 16 * (j + u) + column < a->dv) {
                    x[u] = *(const float4 *)(a->o + at + 16 * (j + u));
                    y[u] = __ldcs((const float4 *)(gates->first + at + 16 * (j + u)));
                }
#pragma unroll
            for (int u = 0; u < FINISH_AHEAD; u++) {
                float4 own = row_four(o, i, 2 * (j + u));
                if (rows->place[i] >= 0 && 16 * (j + u) + column < a->dv)
                    __stcs((float4 *)(a->o + at + 16 * (j + u)),
                           gated_four(x[u], gate, y[u], scale, own));
            }
        }
    }
}
#endif

#endif
