/* union_feed.cuh - the producer warp of the kernels over unions: units of keys into two
 * rings, K and V, and a ticket for every warpgroup that reads them.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_FEED_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_FEED_CUH

#include "kernels/cuda/sm90/union_tickets.cuh"

#ifdef SPS_SM90A

/* The warp's state; lanes below UNION_WGS serve a warpgroup each. */
template <class S> struct union_feeder {
    uint32_t shared;
    int kv, key; /* of the tile: key head, first key of its sequence */
    struct ring<S::key_stages> keys;
    struct ring<S::value_stages> values;
    struct ring<UNION_TICKETS> queue;
};

/* What a unit is to lane's warpgroup; chosen 0: nothing. */
struct unit_use {
    uint64_t chosen;
    bool near;
};

/* Tile [64][D] of a map into the ring's stage, which is free.  One thread. */
template <class S, int STAGES>
SPS_DEVICE void load_tile(const struct union_feeder<S> *f,
                          const struct ring<STAGES> *ring, int first,
                          const CUtensorMap *map, int unit)
{
    barrier_expect(ring_full(ring), S::stage);
    tma_load_slabs<S::d>(f->shared + first + ring->stage * S::stage, UNION_KEYS, map,
                         ring_full(ring), f->kv, f->key + UNION_KEYS * unit, KEEP_LONG);
}

/* K, tickets, V; what a warpgroup does not read is given back for its warps.  Somebody
 * must read it.  A ticket comes after the values whose stage its own will take: a
 * warpgroup that did not read those would take their phase for its own. */
template <class S>
SPS_DEVICE void feed_unit(const struct union_work *w, struct union_feeder<S> *f, int unit,
                          struct unit_use use)
{
    int lane = threadIdx.x & 31;
    bool skips = lane < UNION_WGS && !use.chosen;

    barrier_poll(ring_empty(&f->keys), f->keys.phase ^ 1);
    __syncwarp(); /* or the phase might be over before a slow lane looks */
    if (lane == 0)
        load_tile(f, &f->keys, S::keys, &w->k, unit);
    barrier_poll(ring_full(&f->values), f->values.phase ^ 1);
    if (lane < UNION_WGS && use.chosen)
        post_ticket<S>(f->shared, lane, &f->queue, use.chosen,
                       slot_of(&f->keys) + (slot_of(&f->values) << SLOT_BITS) +
                           (use.near ? TICKET_NEAR : 0) + unit * TICKET_UNIT);
    if (skips)
        barrier_arrive(ring_empty(&f->keys), WG_WARPS);
    __syncwarp();
    barrier_poll(ring_empty(&f->values), f->values.phase ^ 1);
    __syncwarp();
    if (lane == 0)
        load_tile(f, &f->values, S::values, &w->v, unit);
    if (skips)
        barrier_arrive(ring_empty(&f->values), WG_WARPS);
    __syncwarp();
    ring_next(&f->keys);
    ring_next(&f->values);
}

/* Tickets of tile `number` follow, -1: none. */
template <class S> SPS_DEVICE void feed_tile(struct union_feeder<S> *f, int number)
{
    int lane = threadIdx.x & 31;

    if (lane < UNION_WGS)
        post_tile<S>(f->shared, lane, &f->queue, number);
    __syncwarp();
}

/* A row of tickets ends. */
template <class S> SPS_DEVICE void feed_end(struct union_feeder<S> *f)
{
    int lane = threadIdx.x & 31;

    if (lane < UNION_WGS)
        post_ticket<S>(f->shared, lane, &f->queue, 0, TICKET_LAST);
    __syncwarp();
}

/* Units [from, end). */
struct unit_range {
    int from, end;
};

/* Those of `units` that somebody reads; lane's warpgroup reads `own`. */
template <class S>
SPS_DEVICE void feed_range(const struct union_work *w, struct unit_range units,
                           struct unit_range own, struct union_feeder<S> *f)
{
    for (int unit = units.from; unit < units.end; unit++) {
        bool reads = (threadIdx.x & 31) < UNION_WGS && unit >= own.from && unit < own.end;
        if (__any_sync(~0u, reads))
            feed_unit(w, f, unit, {reads, unit + 1 < own.end});
    }
    feed_end(f);
}

/* ---- the union ---- */

/* This lane's word of the next ENTRY_BATCH entries from j on. */
SPS_DEVICE uint32_t read_entries(const struct union_tile *tile, int j)
{
    int lane = threadIdx.x & 31, word = j * ENTRY_WORDS + lane;

    return lane < ENTRY_BATCH * ENTRY_WORDS && word < tile->count * ENTRY_WORDS
               ? ((const uint32_t *)tile->entries)[word]
               : 0;
}

/* Entry `part` of the batch of which lanes hold words; bit i of some: word i of it and of
 * the batch behind it is not 0. */
SPS_DEVICE struct unit_use use_of(uint32_t held, uint64_t some, int part)
{
    static_assert(ENTRY_WORDS == 8 && UNION_NEAR <= 4, "entries are bytes of `some`");
    int pair = 2 * ((threadIdx.x & 31) % UNION_WGS), word = part * ENTRY_WORDS + pair;
    uint32_t low = __shfl_sync(~0u, held, word), high = __shfl_sync(~0u, held, word + 1);
    uint32_t behind = (uint32_t)(some >> (part + 1) * ENTRY_WORDS);
    uint32_t pairs = (0x03030303u >> 8 * (4 - UNION_NEAR)) << pair;

    return {(uint64_t)high << 32 | low, (behind & pairs) != 0};
}

template <class S>
SPS_DEVICE void feed_union(const struct union_work *w, const struct union_tile *tile,
                           struct union_feeder<S> *f)
{
    uint32_t held = 0, next = read_entries(tile, 0),
             after = read_entries(tile, ENTRY_BATCH);
    uint64_t some = 0;

    for (int j = 0; j < tile->count; j++) {
        int part = j % ENTRY_BATCH;
        if (part == 0) {
            held = next;
            next = after;
            after = read_entries(tile, j + 2 * ENTRY_BATCH);
            some = (uint64_t)__ballot_sync(~0u, next != 0) << 32 |
                   __ballot_sync(~0u, held != 0);
        }
        int unit = (int)__shfl_sync(~0u, held, part * ENTRY_WORDS + 2 * UNION_WGS);
        feed_unit(w, f, unit, use_of(held, some, part));
    }
    feed_end(f);
}
#endif

#endif
