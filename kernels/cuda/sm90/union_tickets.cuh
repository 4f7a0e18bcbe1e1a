/* union_tickets.cuh - how a tile's producer tells each warpgroup which units of the rings
 * it reads: a queue of tickets a warpgroup.  A unit that a warpgroup does not read is
 * given back for it by the producer, so that it never waits for that unit.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_TICKETS_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_TICKETS_CUH

#include "kernels/cuda/sm90/union_tile.cuh"

#ifdef SPS_SM90A

/* Where K and V of a unit stand, a slot of each ring, and who of the warpgroup reads it:
 * bit j of chosen is its token j.  near: its next unit comes while this one's values may
 * still be held.  last: there is no unit, the row of tickets ends. */
struct ticket {
    uint64_t chosen;
    int unit, keys, values;
    bool near, last;
};

/* A slot is a stage of a ring and its phase; the third word of a ticket has two of them.
 * The first two words are `chosen`. */
enum { SLOT_STAGE = 15, SLOT_PHASE = 16, SLOT_BITS = 5 };
enum { TICKET_NEAR = 1 << 2 * SLOT_BITS, TICKET_UNIT = 2 * TICKET_NEAR };
enum { TICKET_LAST = -1 };

template <int STAGES> SPS_DEVICE int slot_of(const struct ring<STAGES> *r)
{
    static_assert(STAGES <= SLOT_STAGE + 1, "a stage fits a slot");
    return r->stage + r->phase * SLOT_PHASE;
}

/* Wait until the ring at `at` has filled the slot. */
SPS_DEVICE void slot_wait(uint32_t at, int slot)
{
    barrier_poll(at + 8 * (slot & SLOT_STAGE), slot / SLOT_PHASE & 1);
}

/* The warp gives the slot of a ring of STAGES back. */
template <int STAGES> SPS_DEVICE void slot_release(uint32_t at, int slot)
{
    warp_arrive(at + 8 * (STAGES + (slot & SLOT_STAGE)));
}

/* Warpgroup wg's queue in its first state; nobody gives its stages back: there are enough
 * of them (union_tile.cuh). */
template <class S> SPS_DEVICE ring<UNION_TICKETS> tickets_of(uint32_t shared, int wg)
{
    return {shared + S::posted + 8 * UNION_TICKETS * wg, 0, 0};
}

template <class S>
SPS_DEVICE uint32_t ticket_at(uint32_t shared, int wg,
                              const struct ring<UNION_TICKETS> *queue)
{
    return shared + S::tickets + 16 * (UNION_TICKETS * wg + queue->stage);
}

/* By the lane of the producer that serves warpgroup wg. */
template <class S>
SPS_DEVICE void post_ticket(uint32_t shared, int wg, struct ring<UNION_TICKETS> *queue,
                            uint64_t chosen, int place)
{
    uint32_t to = ticket_at<S>(shared, wg, queue);

    store_shared(to, (int)chosen);
    store_shared(to + 4, (int)(chosen >> 32));
    store_shared(to + 8, place);
    barrier_arrive(ring_full(queue));
    ring_next(queue);
}

/* By a warp of warpgroup wg. */
template <class S>
SPS_DEVICE struct ticket take_ticket(uint32_t shared, int wg,
                                     struct ring<UNION_TICKETS> *queue)
{
    uint32_t x[4];

    barrier_poll(ring_full(queue), queue->phase);
    load_shared_words(ticket_at<S>(shared, wg, queue), x);
    ring_next(queue);
    int place = (int)x[2];
    return {(uint64_t)x[1] << 32 | x[0],  place / TICKET_UNIT,
            place & (2 * SLOT_PHASE - 1), place >> SLOT_BITS & (2 * SLOT_PHASE - 1),
            (place & TICKET_NEAR) != 0,   place == TICKET_LAST};
}

/* The ticket before a tile's: its number, -1: there are no more tiles. */
template <class S>
SPS_DEVICE void post_tile(uint32_t shared, int wg, struct ring<UNION_TICKETS> *queue,
                          int number)
{
    post_ticket<S>(shared, wg, queue, (uint32_t)number, TICKET_LAST);
}

template <class S>
SPS_DEVICE int take_tile(uint32_t shared, int wg, struct ring<UNION_TICKETS> *queue)
{
    return (int)take_ticket<S>(shared, wg, queue).chosen;
}
#endif

#endif
