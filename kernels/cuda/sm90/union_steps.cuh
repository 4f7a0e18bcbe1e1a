/* union_steps.cuh - a warpgroup's way through the units of its tickets.  The scores of a
 * unit are made while the product of the one before, whose values are held, still runs.
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_STEPS_CUH
#define SPS_KERNELS_CUDA_SM90_UNION_STEPS_CUH

#include "kernels/cuda/sm90/union_tickets.cuh"

#ifdef SPS_SM90A

template <bool LOW> SPS_DEVICE bool reads_any(const struct key_limits *limit, int i)
{
    return limit->high[i] > 0 && (!LOW || limit->low[i] < UNION_KEYS);
}

template <bool LOW> SPS_DEVICE bool reads_whole(const struct key_limits *limit, int i)
{
    return limit->high[i] >= UNION_KEYS && (!LOW || limit->low[i] <= 0);
}

/* What a unit's scores left to do: rescale o where a row's maximum grew, and P. */
struct unit_scores {
    float factor[2];
    bool read, grown;
};

/* s of one unit becomes probabilities; `read`: some row of the warp reads it. */
template <bool LOW, int R>
SPS_DEVICE struct unit_scores union_softmax(float (&s)[R], struct row_pair *sums,
                                            const struct key_limits *limit, float c)
{
    struct unit_scores u = {{1, 1}, false, false};

    if (!__any_sync(~0u, reads_any<LOW>(limit, 0) || reads_any<LOW>(limit, 1)))
        return u;
    u.read = true;
    if (__all_sync(~0u, reads_whole<LOW>(limit, 0) && reads_whole<LOW>(limit, 1))) {
        u.grown = softmax_rows<false>(s, sums, c, u.factor);
    } else {
        mask_limits<LOW>(s, limit);
        u.grown = softmax_rows<true>(s, sums, c, u.factor);
    }
    return u;
}

/* P of the unit, and o ready for its product. */
template <typename T, int R, int RO>
SPS_DEVICE void union_pack(const struct unit_scores *u, const float (&s)[R],
                           uint32_t (&p)[R / 2], float (&o)[RO])
{
    if (u->read) {
        pack_tile<T>(p, s);
        if (u->grown)
            scale_rows(o, u->factor);
    } else {
#pragma unroll
        for (int j = 0; j < R / 2; j++)
            p[j] = 0;
    }
}

/* Where a warpgroup finds things: Q of its rows, its tickets. */
struct union_reader {
    uint32_t shared, q;
    int wg;
    struct ring<UNION_TICKETS> queue;
};

template <class S> SPS_DEVICE struct ticket take(struct union_reader *r)
{
    return take_ticket<S>(r->shared, r->wg, &r->queue);
}

template <typename T, class S>
SPS_DEVICE void issue_scores(const struct union_reader *r, const struct ticket *t,
                             float (&s)[UNION_KEYS / 2])
{
    issue_qk<T, S::d, UNION_ROWS, UNION_KEYS>(
        s, r->q, r->shared + S::keys + (t->keys & SLOT_STAGE) * S::stage);
}

template <typename T, class S>
SPS_DEVICE void issue_product(const struct union_reader *r, const struct ticket *t,
                              uint32_t (&p)[UNION_KEYS / 4], float (&o)[S::d / 2])
{
    issue_pv<T, S::d, UNION_KEYS>(
        o, p, r->shared + S::values + (t->values & SLOT_STAGE) * S::stage);
}

/* All units up to the last ticket; limits(ticket): keys of it that a thread's rows read.
 */
template <typename T, class S, bool LOW, class F>
SPS_DEVICE void read_units(struct union_reader *r, float (&o)[S::d / 2],
                           struct row_pair *sums, float c, const F &limits)
{
    float s[UNION_KEYS / 2];
    uint32_t p[UNION_KEYS / 4];
    struct ticket own = take<S>(r);

#pragma unroll 1
    while (!own.last) {
        struct key_limits limit = limits(&own);
        slot_wait(r->shared + S::key_ring, own.keys);
        issue_scores<T, S>(r, &own, s);
        wgmma_wait<0>();
        hold(s);
        slot_release<S::key_stages>(r->shared + S::key_ring, own.keys);
        struct unit_scores u = union_softmax<LOW>(s, sums, &limit, c);
        union_pack<T>(&u, s, p, o);
#pragma unroll 1
        while (own.near) {
            struct ticket next = take<S>(r);
            limit = limits(&next);
            slot_wait(r->shared + S::key_ring, next.keys);
            issue_scores<T, S>(r, &next, s);
            slot_wait(r->shared + S::value_ring, own.values);
            issue_product<T, S>(r, &own, p, o);
            wgmma_wait<1>();
            hold(s);
            slot_release<S::key_stages>(r->shared + S::key_ring, next.keys);
            u = union_softmax<LOW>(s, sums, &limit, c);
            wgmma_wait<0>();
            hold(o);
            hold(p);
            slot_release<S::value_stages>(r->shared + S::value_ring, own.values);
            union_pack<T>(&u, s, p, o);
            own = next;
        }
        slot_wait(r->shared + S::value_ring, own.values);
        issue_product<T, S>(r, &own, p, o);
        wgmma_wait<0>();
        hold(o);
        slot_release<S::value_stages>(r->shared + S::value_ring, own.values);
        own = take<S>(r);
    }
}
#endif

#endif
