/* union_gated.cuh - NSA's gated sum (arXiv 2502.11089, eq. 5) behind a union: the tile's
 * rows go on to their latest keys, with the same Q, ring and registers.  What the union
 * gave waits in o itself, which the window's end, soon after, finds in L2.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_GATED_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_GATED_CUH

#include "kernels/cuda/sm90/union_tile.cuh"

#ifdef SPS_SM90A

/* Units [from, end). */
struct unit_range {
    int from, end;
};

/* Those that `count` tokens from `token` on read through the window of a->at. */
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

template <int D, int STAGES>
SPS_DEVICE void load_window(const struct attend_args *a, const struct union_work *w,
                            const struct row_tile *tile, uint32_t shared,
                            struct ring<STAGES> *ring)
{
    struct unit_range units = window_units(&a->at, &tile->seq, tile->token, tile->count);
    int kv = tile->head / ((int)a->h / (int)a->g);

    prefetch_first(a, w, tile);
    for (int unit = units.from; unit < units.end; unit++, ring_next(ring)) {
        barrier_wait(ring_empty(ring), ring->phase ^ 1);
        if ((threadIdx.x & 31) == 0)
            load_unit<D, STAGES>(w, tile, kv, shared, ring, unit);
        __syncwarp();
    }
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

template <typename T, int D, int STAGES>
SPS_DEVICE void read_window(const struct attend_args *a, const struct row_tile *tile,
                            uint32_t shared, int wg, struct ring<STAGES> *ring,
                            float (&o)[D / 2], struct row_pair *sums)
{
    using S = union_shape<D, STAGES>;
    int tokens = UNION_ROWS / a->p, first = wg * tokens;
    struct unit_range units = window_units(&a->at, &tile->seq, tile->token, tile->count),
                      own = window_units(&a->at, &tile->seq, tile->token + first,
                                         min(tile->count - first, tokens));
    struct key_limits row = window_limits(a, tile, wg);

#pragma unroll 1
    for (int unit = units.from; unit < units.end; unit++) {
        ring_wait(ring);
        if (unit >= own.from && unit < own.end) {
            int base = unit * UNION_KEYS;
            struct key_limits limit = {{row.low[0] - base, row.low[1] - base},
                                       {row.high[0] - base, row.high[1] - base}};
            union_step<T, D, true>(o, sums, shared + wg * S::q_bytes,
                                   shared + S::keys + ring->stage * S::stage, &limit,
                                   a->c);
        }
        ring_release(ring);
    }
}

SPS_DEVICE float gate_of(const struct union_gates *gates, int64_t place, int branch)
{
    return gates->gate && place >= 0 ? gates->gate[place * 3 + branch]
                                     : gates->constant[branch];
}

/* The union's share of o, to be read again soon. */
template <int R>
SPS_DEVICE void park_union(const struct attend_args *a, const struct union_gates *gates,
                           const struct union_rows *rows, const float (&o)[R],
                           const struct row_pair *sums)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float scale = row_scale(sums, i, gate_of(gates, rows->place[i], 1));
        if (rows->place[i] >= 0)
            write_row<false>(a, rows->place[i], o, i, scale);
    }
}

enum { FINISH_AHEAD = 8 };

/* o = first gate * first + what is parked there + the window's share. */
template <int R>
SPS_DEVICE void finish_gated(const struct attend_args *a, const struct union_gates *gates,
                             const struct union_rows *rows, const float (&o)[R],
                             const struct row_pair *sums)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float scale = row_scale(sums, i, gate_of(gates, rows->place[i], 2));
        float gate = gate_of(gates, rows->place[i], 0);
        if (rows->place[i] < 0)
            continue;
        int64_t at = rows->place[i] * a->dv + 2 * (threadIdx.x & 3);
        float *to = a->o + at;
        const float *first = gates->first + at;
#pragma unroll
        for (int j = 0; j < R / 4; j += FINISH_AHEAD) {
            float2 x[FINISH_AHEAD] = {}, y[FINISH_AHEAD] = {};
#pragma unroll
            for (int u = 0; u < FINISH_AHEAD; u++)
                if (8 * (j + u) < a->dv) {
                    x[u] = *(const float2 *)(to + 8 * (j + u));
                    y[u] = __ldcs((const float2 *)(first + 8 * (j + u)));
                }
#pragma unroll
            for (int u = 0; u < FINISH_AHEAD; u++) {
                const float *own = o + 4 * (j + u) + 2 * i;
                if (8 * (j + u) < a->dv)
                    __stcs((float2 *)(to + 8 * (j + u)),
                           make_float2(x[u].x + gate * y[u].x + scale * own[0],
                                       x[u].y + gate * y[u].y + scale * own[1]));
            }
        }
    }
}
#endif

#endif
