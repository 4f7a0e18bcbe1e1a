/* tma.cuh - bulk tensor copies (PTX ISA 8.0, "Tensor copy") by the maps of tma.h. */
#ifndef SPS_KERNELS_CUDA_SM90_TMA_CUH
#define SPS_KERNELS_CUDA_SM90_TMA_CUH

#include "kernels/cuda/sm90/tma.h"
#include "kernels/cuda/tile.cuh"

enum copy_policy : uint64_t {
    KEEP_NOT = 0x12F0000000000000ull, /* evict first */
    KEEP_LONG = 0x14F0000000000000ull /* evict last */
};

/* Box of `map` (a const __grid_constant__ parameter) at (c0, c1, c2), innermost first.
 * All its bytes arrive at `barrier`, zeros where it overhangs the tensor.  One thread. */
SPS_DEVICE void tma_load(uint32_t to, const CUtensorMap *map, uint32_t barrier, int c0,
                         int c1, int c2, uint64_t policy)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::"
        "complete_tx::bytes.L2::cache_hint [%0], [%1, {%3,%4,%5}], [%2], %6;" ::"r"(to),
        "l"(map), "r"(barrier), "r"(c0), "r"(c1), "r"(c2), "l"(policy)
        : "memory");
}

/* All D/64 slabs of `rows` rows: D columns at (outer c1, c2), a box a slab. */
template <int D>
SPS_DEVICE void tma_load_slabs(uint32_t to, int rows, const CUtensorMap *map,
                               uint32_t barrier, int c1, int c2, uint64_t policy)
{
#pragma unroll
    for (int i = 0; i < D / 64; i++)
        tma_load(to + (uint32_t)(i * rows * 128), map, barrier, i * 64, c1, c2, policy);
}

/* The D/64 slabs of a head's rows from `row` on, by a map of sps_sm90_map_spread(). */
template <int D>
SPS_DEVICE void tma_load_spread(uint32_t to, const CUtensorMap *map, uint32_t barrier,
                                int head, int row, uint64_t policy)
{
#pragma unroll
    for (int i = 0; i < D / 64; i++)
        asm volatile(
            "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::"
            "complete_tx::bytes.L2::cache_hint [%0], [%1, {%3,%4,%5,%6,%7}], [%2], "
            "%8;" ::"r"(to + (uint32_t)(i * SPREAD_ROWS * 128)),
            "l"(map), "r"(barrier), "r"(i * 64), "r"(head), "r"(row & 1), "r"(0),
            "r"(row >> 1), "l"(policy)
            : "memory");
}

/* `bytes` from `from` on into L2; both multiples of 16. */
SPS_DEVICE void prefetch_bulk(const void *from, uint32_t bytes)
{
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes)
                 : "memory");
}

/* The 128 bytes around `at` into L2. */
SPS_DEVICE void prefetch_line(const void *at)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
}

/* The 128 bytes at `at`, a multiple of that, mean nothing from now on, so that L2 need
 * not write them back: as a store of anything would, it comes after all that reads them.
 */
SPS_DEVICE void discard_line(const void *at)
{
    asm volatile("discard.global.L2 [%0], 128;" ::"l"(at) : "memory");
}

/* This thread's ordinary (and cp.async) writes to shared memory become visible to TMA and
 * wgmma; before the barrier that hands the data over. */
SPS_DEVICE void fence_async(void)
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

#endif
