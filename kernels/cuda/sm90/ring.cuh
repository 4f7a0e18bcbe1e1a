/* ring.cuh - stages of shared memory that producers fill and consumers give back, a pair
 * of barriers each.
 */
#ifndef SPS_KERNELS_CUDA_SM90_RING_CUH
#define SPS_KERNELS_CUDA_SM90_RING_CUH

#include "kernels/cuda/sm90/barrier.cuh"

/* A ring of STAGES filled by TMA or by threads: barriers full[STAGES], empty[STAGES] at
 * `at`. */
template <int STAGES> struct ring {
    uint32_t at;
    int stage, phase;
};

template <int STAGES> SPS_DEVICE uint32_t ring_full(const struct ring<STAGES> *r)
{
    return r->at + 8 * r->stage;
}

template <int STAGES> SPS_DEVICE uint32_t ring_empty(const struct ring<STAGES> *r)
{
    return r->at + 8 * (STAGES + r->stage);
}

template <int STAGES> SPS_DEVICE void ring_next(struct ring<STAGES> *r)
{
    if (++r->stage == STAGES)
        r->stage = 0, r->phase ^= 1;
}

/* One thread: barriers of a ring whose stages `writers` arrivals (and TMA) fill and
 * `readers` arrivals give back. */
template <int STAGES> SPS_DEVICE void ring_init(uint32_t at, int readers, int writers = 1)
{
    for (int i = 0; i < STAGES; i++) {
        barrier_init(at + 8 * i, writers);
        barrier_init(at + 8 * (STAGES + i), readers);
    }
}

/* Producer: wait until the stage is free. */
template <int STAGES> SPS_DEVICE void ring_free(const struct ring<STAGES> *r)
{
    barrier_wait(ring_empty(r), r->phase ^ 1);
}

/* Producer: wait until the stage is free, then announce its bytes. */
template <int STAGES>
SPS_DEVICE void ring_begin(const struct ring<STAGES> *r, uint32_t bytes)
{
    ring_free(r);
    barrier_expect(ring_full(r), bytes);
}

/* Consumer: wait until the stage is filled. */
template <int STAGES> SPS_DEVICE void ring_wait(const struct ring<STAGES> *r)
{
    barrier_wait(ring_full(r), r->phase);
}

/* Consumer: a warp gives the stage back and goes on to the next. */
template <int STAGES> SPS_DEVICE void ring_release(struct ring<STAGES> *r)
{
    warp_arrive(ring_empty(r));
    ring_next(r);
}

#endif
