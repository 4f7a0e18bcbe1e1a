/* dense.cuh - attention over a band of keys on Hopper: one thread loads Q, K and V tiles
 * by TMA, NWG warpgroups of 64 rows multiply by wgmma, in the manner of FlashAttention-3
 * (Shah et al. 2024, arXiv 2407.08608) but without its overlap inside a warpgroup: three
 * warpgroups hide each other's softmax.  CTAs stay and draw tiles, longest first.
 */
#ifndef SPS_KERNELS_CUDA_SM90_DENSE_CUH
#define SPS_KERNELS_CUDA_SM90_DENSE_CUH

#include "kernels/cuda/dense.cuh"
#include "kernels/cuda/sm90/dense.h"
#include "kernels/cuda/sm90/hopper.cuh"
#include "kernels/cuda/sm90/softmax.cuh"
#include "kernels/cuda/sm90/tile.cuh"

template <int DK, int DV, int NWG, int BN> struct dense90_shape {
    static constexpr int rows = NWG * 64, threads = NWG * 128 + 128;
    static constexpr int q_bytes = rows * DK * 2, k_bytes = BN * DK * 2,
                         v_bytes = BN * DV * 2, kv_bytes = 2 * (k_bytes + v_bytes);
    static constexpr int queries = 2 * q_bytes + kv_bytes + 256 <= SM90_SHARED ? 2 : 1;
    static constexpr int k = queries * q_bytes, v = k + 2 * k_bytes,
                         barriers = v + 2 * v_bytes;
    static constexpr int row_places = barriers + 256;
    static constexpr int tile_reads = row_places + rows * (int)sizeof(struct row_place);
    static constexpr int bytes = tile_reads + NWG * 4 * (int)sizeof(struct tile_reads);
};

/* Barriers and tile numbers behind the tiles. */
enum { K_RING = 32, V_RING = 64, NUMBERS = 96 };

template <typename S> struct dense90_rings {
    struct ring<S::queries> q;
    struct ring<2> k, v; /* loads of V come a key tile behind those of K */
    uint32_t number;     /* of the tile in each stage of q; -1: no more */
};

template <typename S>
SPS_DEVICE struct dense90_rings<S> dense90_rings_at(uint32_t shared) {
    uint32_t at = shared + S::barriers;
    struct dense90_rings<S> r = {
        {at, 0, 0}, {at + K_RING, 0, 0}, {at + V_RING, 0, 0}, at + NUMBERS
    };

    return r;
}

#ifdef SPS_SM90A
/* One thread: draw tiles and load what they read. */
template <typename S, int DK, int DV, int BN>
SPS_DEVICE void dense90_load(const struct attend_args *a, const struct dense90_maps *maps,
                             uint32_t shared, struct dense90_rings<S> r)
{
    int total = a->at.tiles * a->groups, number = blockIdx.x;
    int q_bytes = a->p * a->at.tokens * DK * 2;

    for (; number < total; number = draw_tile(&maps->counter)) {
        struct row_tile tile = row_tile_of(&a->at, number, a->groups, a->section, a->p);
        struct key_span span = key_span_of<BN>(&a->at, &tile);
        int kv = tile.head / (int)(a->h / a->g), key = (int)tile.seq.key;

        ring_free(&r.q);
        store_shared(r.number + 4 * r.q.stage, number);
        barrier_expect(ring_full(&r.q), q_bytes);
        tma_load_slabs<DK>(shared + r.q.stage * S::q_bytes, S::rows, &maps->q,
                           ring_full(&r.q), tile.head, (int)(tile.seq.row + tile.token),
                           KEEP_NOT);
        ring_next(&r.q);
        for (int i = 0; i <= span.count; i++) { /* K0 K1 V0 K2 V1 .. */
            if (i < span.count) {
                int base = key_span_base(&span, span.count - 1 - i, BN);
                ring_begin(&r.k, S::k_bytes);
                tma_load_slabs<DK>(shared + S::k + r.k.stage * S::k_bytes, BN, &maps->k,
                                   ring_full(&r.k), kv, key + base, KEEP_LONG);
                ring_next(&r.k);
            }
            if (i > 0) {
                int base = key_span_base(&span, span.count - i, BN);
                ring_begin(&r.v, S::v_bytes);
                tma_load_slabs<DV>(shared + S::v + r.v.stage * S::v_bytes, BN, &maps->v,
                                   ring_full(&r.v), kv, key + base, KEEP_LONG);
                ring_next(&r.v);
            }
        }
    }
    ring_free(&r.q);
    store_shared(r.number + 4 * r.q.stage, -1);
    barrier_arrive(ring_full(&r.q));
}

/* Consumers read K and V in step: one ring's state serves both. */
template <typename S> struct dense90_reader {
    struct ring<S::queries> q;
    struct ring<2> kv; /* K's, see v_ring_of() */
};

SPS_DEVICE struct ring<2> v_ring_of(const struct ring<2> *k) {
    return {k->at + V_RING - K_RING, k->stage, k->phase};
}

/* 64 rows against one key tile; `row`: this thread's first. */
template <typename T, typename S, int DK, int DV, int BN>
SPS_DEVICE void dense90_step(const struct attend_args *a, uint32_t shared, uint32_t q,
                             const struct row_place *row, bool whole, int base,
                             const struct ring<2> *kv, struct row_pair *pair,
                             float (&o)[DV / 2])
{
    struct ring<2> v = v_ring_of(kv);
    float s[BN / 2], factor[2];
    uint32_t p[BN / 4];

    ring_wait(kv);
    issue_qk<T, DK, S::rows, BN>(s, q, shared + S::k + kv->stage * S::k_bytes);
    wgmma_wait<0>();
    hold(s);
    warp_arrive(ring_empty(kv));
    if (!whole) {
        mask_keys(&a->at, row, s, 0, base);
        mask_keys(&a->at, row + 8, s, 1, base);
    }
    bool grew = softmax_rows<true>(s, pair, a->c, factor);
    pack_tile<T>(p, s);
    if (grew)
        scale_rows(o, factor);
    ring_wait(&v);
    issue_pv<T, DV, BN>(o, p, shared + S::v + kv->stage * S::v_bytes);
    wgmma_wait<0>();
    hold(o);
    warp_arrive(ring_empty(&v));
}

/* No row of the warpgroup reads the key tile. */
SPS_DEVICE void dense90_skip(const struct ring<2> *kv)
{
    struct ring<2> v = v_ring_of(kv);

    ring_wait(kv);
    warp_arrive(ring_empty(kv));
    ring_wait(&v);
    warp_arrive(ring_empty(&v));
}

/* A warpgroup's rows of one tile against the key tiles of the CTA's span. */
template <typename T, typename S, int DK, int DV, int BN>
SPS_DEVICE void dense90_tile(const struct attend_args *a, unsigned char *memory,
                             const struct row_tile *tile, int wg,
                             struct dense90_reader<S> *r)
{
    uint32_t shared = shared_address(memory);
    uint32_t q = warp_uniform(shared + r->q.stage * S::q_bytes + wg * 64 * 128);
    int lane = threadIdx.x & 31, warp = wg * 4 + ((threadIdx.x >> 5) & 3);
    struct row_place *places = (struct row_place *)(memory + S::row_places) + warp * 16;
    struct tile_reads *reads = (struct tile_reads *)(memory + S::tile_reads) + warp;
    struct key_span span = key_span_of<BN>(&a->at, tile);
    struct row_pair pair;
    float o[DV / 2];

    place_warp<BN>(&a->at, a->h, a->p, tile, warp * 16, places, reads);
    start_rows(o, &pair);
#pragma unroll 1
    for (int step = span.count - 1; step >= 0; step--) {
        int base = key_span_base(&span, step, BN);
        if (__any_sync(~0u, reads_some(reads, base)))
            dense90_step<T, S, DK, DV, BN>(a, shared, q, places + lane / 4,
                                           reads_all(reads, base), base, &r->kv, &pair,
                                           o);
        else
            dense90_skip(&r->kv);
        ring_next(&r->kv);
    }
    warp_arrive(ring_empty(&r->q));
    ring_next(&r->q);
#pragma unroll
    for (int i = 0; i < 2; i++)
        finish_row<false>(a, places[lane / 4 + 8 * i].out, o, &pair, i);
}
#endif

template <typename T, int DK, int DV, int NWG, int BN>
__global__ void __launch_bounds__(NWG * 128 + 128, 1)
    dense90_kernel(const __grid_constant__ struct attend_args a,
                   const __grid_constant__ struct dense90_maps maps)
{
#ifdef SPS_SM90A
    using S = dense90_shape<DK, DV, NWG, BN>;
    extern __shared__ __align__(1024) unsigned char memory[];
    uint32_t shared = shared_address(memory);
    struct dense90_rings<S> r = dense90_rings_at<S>(shared);
    int wg = warpgroup_index();

    if (threadIdx.x == 0) {
        ring_init<S::queries>(r.q.at, NWG * 4);
        ring_init<2>(r.k.at, NWG * 4);
        ring_init<2>(r.v.at, NWG * 4);
        barrier_fence_init();
    }
    __syncthreads();
    if (wg == 0) {
        registers_give<NWG == 2 ? 40 : 32>();
        if (threadIdx.x == 0)
            dense90_load<S, DK, DV, BN>(&a, &maps, shared, r);
    } else {
        registers_take<NWG == 2 ? 232 : 160>();
        struct dense90_reader<S> reader = {
            r.q, r.k
        };
        for (;;) {
            ring_wait(&reader.q);
            int number = load_shared(r.number + 4 * reader.q.stage);
            if (number < 0)
                break;
            struct row_tile tile = row_tile_of(&a.at, number, a.groups, a.section, a.p);
            dense90_tile<T, S, DK, DV, BN>(&a, memory, &tile, wg - 1, &reader);
        }
    }
#endif
}

template <typename T, int DK, int DV, int NWG, int BN>
static cudaError_t dense90_launch(const struct attend_args *a,
                                  const struct dense90_maps *maps, int grid,
                                  cudaStream_t stream)
{
    using S = dense90_shape<DK, DV, NWG, BN>;

    static_assert(S::bytes <= SM90_SHARED, "tiles fit into shared memory");
    return sm90_launch(dense90_kernel<T, DK, DV, NWG, BN>, grid, S::threads, S::bytes,
                       stream, *a, *maps);
}

template <int DK, int DV, int ROWS, int BN>
static cudaError_t dense90_any(const struct attend_args *a,
                               const struct dense90_maps *maps, int grid,
                               cudaStream_t stream)
{
    return a->dtype == SPS_BF16
               ? dense90_launch<__nv_bfloat16, DK, DV, ROWS / 64, BN>(a, maps, grid,
                                                                      stream)
               : dense90_launch<__half, DK, DV, ROWS / 64, BN>(a, maps, grid, stream);
}

#endif
