/* union_tile.cuh - what the kernels over unions share: shared memory, a CTA's tile and
 * its rows.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_TILE_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_TILE_CUH

#include "kernels/cuda/sm90/hopper.cuh"
#include "kernels/cuda/sm90/softmax.cuh"
#include "kernels/cuda/sm90/union.h"

enum { UNION_CONSUMERS = 128 * UNION_WGS, UNION_THREADS = UNION_CONSUMERS + 128 };
enum { WG_WARPS = 4 };
enum { ENTRY_WORDS = sizeof(struct union_entry) / 4, ENTRY_BATCH = 32 / ENTRY_WORDS };
/* Values are held for a unit that comes this many later at most, so that their ring needs
 * more stages than that. */
enum { UNION_NEAR = 2 };
/* Tiles that have tickets at a time, and tickets of a warpgroup: the units of a ring of
 * keys, and of each such tile its number and two ends. */
enum { UNION_TILES = 2, UNION_TICKETS = 16 };

/* Shared memory: Q, the rings of K and V, tickets, barriers. */
template <int D, int KEYS, int VALUES> struct union_shape {
    static constexpr int d = D, key_stages = KEYS, value_stages = VALUES;
    static constexpr int q_bytes = UNION_ROWS * D * 2, stage = UNION_KEYS * D * 2;
    static constexpr int keys = UNION_WGS * q_bytes, values = keys + KEYS * stage;
    static constexpr int tickets = values + VALUES * stage;
    static constexpr int key_ring = tickets + UNION_WGS * UNION_TICKETS * 16;
    static constexpr int value_ring = key_ring + 16 * KEYS;
    static constexpr int tile_ring = value_ring + 16 * VALUES;
    static constexpr int posted = tile_ring + 16 * UNION_TILES;
    static constexpr int q_full = posted + UNION_WGS * UNION_TICKETS * 8;
    static constexpr int bytes = q_full + 8 * UNION_WGS;
    static_assert(bytes <= SM90_SHARED, "fits a CTA");
    static_assert(UNION_NEAR < VALUES, "held values come free");
    static_assert(KEYS + 3 * UNION_TILES <= UNION_TICKETS, "no ticket is lost");
};

/* Tile i of the launch, the latest rows of a key head first, and its union. */
struct union_tile {
    struct row_tile rows;
    const struct union_entry *entries;
    int count;
};

SPS_DEVICE struct union_tile union_tile_of(const struct attend_args *a,
                                           const struct union_work *w, int i)
{
    int group = i / w->tiles, own = w->tiles - 1 - (i - group * w->tiles);
    struct union_tile tile;

    tile.rows = geometry_tile(&a->at, w->first + own);
    tile.rows.head = group * a->p;
    int64_t list =
        (int64_t)own * a->index_heads + tile.rows.head * a->index_heads / (int)a->h;
    tile.entries = w->entries + list * w->most;
    tile.count = w->count[list];
    return tile;
}

#ifdef SPS_SM90A

/* All barriers of a CTA.  One thread. */
template <class S> SPS_DEVICE void init_barriers(uint32_t shared)
{
    enum { READERS = UNION_WGS * WG_WARPS };

    for (int i = 0; i < UNION_WGS; i++)
        barrier_init(shared + S::q_full + 8 * i, 1);
    for (int i = 0; i < UNION_WGS * UNION_TICKETS; i++)
        barrier_init(shared + S::posted + 8 * i, 1);
    ring_init<S::key_stages>(shared + S::key_ring, READERS);
    ring_init<S::value_stages>(shared + S::value_ring, READERS);
    ring_init<UNION_TILES>(shared + S::tile_ring, READERS);
    barrier_fence_init();
}

/* A thread's row i of 2, lane/4 + 8 i of its warp: token of the warpgroup, position, and
 * its place in lse, -1 where there is no row. */
struct union_row {
    int token, pos, place;
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
    row.place = valid ? ((int)tile->seq.row + tile->token + token) * (int)a->h +
                            tile->head + r - own * a->p
                      : -1;
    return row;
}

/* A thread's two rows over a union: token, keys seen, place. */
struct union_rows {
    int token[2], seen[2], place[2];
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
#endif

#endif
