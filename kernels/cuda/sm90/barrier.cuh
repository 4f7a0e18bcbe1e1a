/* barrier.cuh - mbarrier, 8 bytes of shared memory (PTX ISA 8.0, "Asynchronous Barrier");
 * addresses are 32-bit shared addresses.
 */
#ifndef SPS_KERNELS_CUDA_SM90_BARRIER_CUH
#define SPS_KERNELS_CUDA_SM90_BARRIER_CUH

#include "kernels/cuda/tile.cuh"

/* One thread, once; then barrier_fence_init() there and __syncthreads().  `count`
 * arrivals end a phase. */
SPS_DEVICE void barrier_init(uint32_t barrier, uint32_t count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count)
                 : "memory");
}

SPS_DEVICE void barrier_fence_init(void)
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/* One arrival that announces `bytes` to come by TMA. */
SPS_DEVICE void barrier_expect(uint32_t barrier, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
                 "r"(bytes)
                 : "memory");
}

SPS_DEVICE void barrier_arrive(uint32_t barrier, uint32_t count = 1)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(count)
                 : "memory");
}

/* Wait for the end of the phase of this parity, asleep for a while at a time: polls would
 * take issue slots from other warps.  A fresh barrier lets parity 1 pass, so that a
 * producer's first wait uses 1. */
SPS_DEVICE void barrier_wait(uint32_t barrier, uint32_t parity)
{
    const uint32_t most = 10000000; /* nanoseconds a time */
    uint32_t done;

    do
        asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], "
                     "%2, %3; selp.u32 %0,1,0,p;}"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity), "r"(most)
                     : "memory");
    while (!done);
}

/* The same by polls, for waits so short that waking up counts. */
SPS_DEVICE void barrier_poll(uint32_t barrier, uint32_t parity)
{
    uint32_t done;

    do
        asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], "
                     "%2; selp.u32 %0,1,0,p;}"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    while (!done);
}

/* One arrival a warp, after all its lanes: its lane 0's. */
SPS_DEVICE void warp_arrive(uint32_t barrier)
{
    __syncwarp();
    if ((threadIdx.x & 31) == 0)
        barrier_arrive(barrier);
}

#endif
