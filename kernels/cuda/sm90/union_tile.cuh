/* union_tile.cuh - what the kernels over unions share: shared memory, a CTA's tile and
 * its rows, and a step over one unit of keys.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_TILE_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_TILE_CUH

#include "kernels/cuda/sm90/hopper.cuh"
#include "kernels/cuda/sm90/softmax.cuh"
#include "kernels/cuda/sm90/union.h"

enum { UNION_THREADS = 128 * (UNION_WGS + 1), UNION_READERS = 4 * UNION_WGS };
enum { ENTRY_WORDS = sizeof(struct union_entry) / 4, ENTRY_BATCH = 32 / ENTRY_WORDS };

/* Shared memory: Q, the ring of K and V, its entries, barriers. */
template <int D, int STAGES> struct union_shape {
    static constexpr int q_bytes = UNION_ROWS * D * 2, keys = UNION_WGS * q_bytes;
    static constexpr int k_bytes = UNION_KEYS * D * 2, stage = 2 * k_bytes;
    static constexpr int slots = keys + STAGES * stage;
    static constexpr int ring = slots + STAGES * (int)sizeof(struct union_entry);
    static constexpr int q_full = ring + 16 * STAGES, q_empty = q_full + 8;
    static constexpr int bytes = q_empty + 8;
    static_assert(bytes <= SM90_SHARED, "fits a CTA");
};

/* Tile i of the launch, and its union. */
struct union_tile {
    struct row_tile rows;
    const struct union_entry *entries;
    int count;
};

SPS_DEVICE struct union_tile union_tile_of(const struct attend_args *a,
                                           const struct union_work *w, int i)
{
    int group = i / w->tiles, own = i - group * w->tiles, number = w->first + own;
    struct union_tile tile;

    tile.rows = geometry_tile(&a->at, number);
    tile.rows.head = group * a->p;
    int64_t list =
        (int64_t)own * a->index_heads + tile.rows.head * a->index_heads / (int)a->h;
    tile.entries = w->entries + list * w->most;
    tile.count = w->count[list];
    return tile;
}

#ifdef SPS_SM90A

/* K and V of a unit into the ring's stage, which is free.  One thread. */
template <int D, int STAGES>
SPS_DEVICE void load_unit(const struct union_work *w, const struct row_tile *tile, int kv,
                          uint32_t shared, const struct ring<STAGES> *ring, int unit)
{
    using S = union_shape<D, STAGES>;
    uint32_t to = shared + S::keys + ring->stage * S::stage;
    int key = (int)tile->seq.key + UNION_KEYS * unit;

    barrier_expect(ring_full(ring), S::stage);
    tma_load_slabs<D>(to, UNION_KEYS, &w->k, ring_full(ring), kv, key, KEEP_LONG);
    tma_load_slabs<D>(to + S::k_bytes, UNION_KEYS, &w->v, ring_full(ring), kv, key,
                      KEEP_LONG);
}

/* A thread's row i of 2, lane/4 + 8 i of its warp: token of the warpgroup, position, and
 * its place in lse, -1 where there is no row. */
struct union_row {
    int token, pos;
    int64_t place;
};

SPS_DEVICE struct union_row union_row_of(const struct attend_args *a,
                                         const struct row_tile *tile, int wg, int i)
{
    int lane = threadIdx.x & 31, tokens = UNION_ROWS / a->p;
    int r = (int)(threadIdx.x / 32 % 4) * 16 + lane / 4 + 8 * i, own = r / a->p;
    int token = wg * tokens + own;
    bool valid = own < tokens && token < tile->count;
    struct union_row row;

    row.token = own;
    row.pos = geometry_pos(&a->at, &tile->seq, tile->token + (valid ? token : 0));
    row.place =
        valid ? (tile->seq.row + tile->token + token) * a->h + tile->head + r - own * a->p
              : -1;
    return row;
}

/* A thread's two rows over a union: token, keys seen, place. */
struct union_rows {
    int token[2], seen[2];
    int64_t place[2];
};

SPS_DEVICE struct union_rows union_rows_of(const struct attend_args *a,
                                           const struct row_tile *tile, int wg)
{
    struct union_rows rows;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        struct union_row row = union_row_of(a, tile, wg, i);
        rows.token[i] = row.token;
        rows.seen[i] = geometry_visible(&a->at, &tile->seq, row.pos);
        rows.place[i] = row.place;
    }
    return rows;
}

template <bool LOW> SPS_DEVICE bool reads_any(const struct key_limits *limit, int i)
{
    return limit->high[i] > 0 && (!LOW || limit->low[i] < UNION_KEYS);
}

template <bool LOW> SPS_DEVICE bool reads_whole(const struct key_limits *limit, int i)
{
    return limit->high[i] >= UNION_KEYS && (!LOW || limit->low[i] <= 0);
}

/* P of one unit: s becomes probabilities, o is rescaled where a row's maximum grew. */
template <typename T, bool LOW, int R, int RO>
SPS_DEVICE void union_softmax(float (&s)[R], uint32_t (&p)[R / 2], float (&o)[RO],
                              struct row_pair *sums, const struct key_limits *limit,
                              float c)
{
    float factor[2];
    bool grown;

    if (!__any_sync(~0u, reads_any<LOW>(limit, 0) || reads_any<LOW>(limit, 1))) {
#pragma unroll
        for (int j = 0; j < R / 2; j++)
            p[j] = 0;
        return;
    }
    if (__all_sync(~0u, reads_whole<LOW>(limit, 0) && reads_whole<LOW>(limit, 1))) {
        grown = softmax_rows<false>(s, sums, c, factor);
    } else {
        mask_limits<LOW>(s, limit);
        grown = softmax_rows<true>(s, sums, c, factor);
    }
    pack_tile<T>(p, s);
    if (grown)
        scale_rows(o, factor);
}

/* A warpgroup's rows, Q at `q`, meet the unit whose K and V stand at `keys`. */
template <typename T, int D, bool LOW>
SPS_DEVICE void union_step(float (&o)[D / 2], struct row_pair *sums, uint32_t q,
                           uint32_t keys, const struct key_limits *limit, float c)
{
    float s[UNION_KEYS / 2];
    uint32_t p[UNION_KEYS / 4];

    issue_qk<T, D, UNION_ROWS, UNION_KEYS>(s, q, keys);
    wgmma_wait<0>();
    hold(s);
    union_softmax<T, LOW>(s, p, o, sums, limit, c);
    issue_pv<T, D, UNION_KEYS>(o, p, keys + UNION_KEYS * D * 2);
    wgmma_wait<0>();
    hold(o);
}

/* What row i of o is multiplied by to weigh `weight`; 0 where it read nothing. */
SPS_DEVICE float row_scale(const struct row_pair *sums, int i, float weight)
{
    float sum = quad_sum(sums->l[i]);

    return sum > 0 ? weight / sum : 0;
}
#endif

#endif
