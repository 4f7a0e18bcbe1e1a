/* gather.cuh - attention over an index, block-outer, for sm_90a.
 *
 * A CTA walks over tiles: 2 or 3 warpgroups of 64 gathered rows each against the keys of
 * one block, fed by one more (gather_feed.cuh).  Outputs leave as 16-bit partials
 * (gather.h), staged over the Q that nobody needs any more.
 */
#ifndef SPS_KERNELS_CUDA_SM90_GATHER_CUH
#define SPS_KERNELS_CUDA_SM90_GATHER_CUH

#include "kernels/cuda/sm90/gather_feed.cuh"
#include "kernels/cuda/sm90/softmax.cuh"

#ifdef SPS_SM90A
/* A warpgroup's rows against the keys of their block: o and rows, not yet normalised. */
template <typename T, typename L>
SPS_DEVICE void attend_block(const struct gather_buffer *from, uint32_t stages, float c,
                             struct ring<L::stages> *ring, struct row_pair *rows,
                             float (&o)[L::dv / 2])
{
    const struct gather_note *note = from->note;
    int lane = threadIdx.x & 31, row = warp_index() % 4 * 16 + lane / 4;
    int base = 0, keys = note->keys, limit[2] = {note->limit[row], note->limit[row + 8]};
    int least = __reduce_min_sync(~0u, limit[0] < limit[1] ? limit[0] : limit[1]);
    int most = __reduce_max_sync(~0u, note->limit[lane] > note->limit[lane + 32]
                                          ? note->limit[lane]
                                          : note->limit[lane + 32]);

#pragma unroll 1
    for (; base < most; base += L::bn) {
        float s[L::bn / 2], factor[2];
        uint32_t p[L::bn / 4];
        bool grow;
        ring_wait(ring);
        issue_qk<T, L::dk, 64, L::bn>(s, from->q, stages + ring->stage * L::keys);
        wgmma_wait<0>();
        hold(s);
        ring_release(ring);
        if (least < base + L::bn) {
            struct key_limits left = {{0, 0}, {limit[0] - base, limit[1] - base}};
            mask_limits<false>(s, &left);
            grow = softmax_rows<true>(s, rows, c, factor);
        } else {
            grow = softmax_rows<false>(s, rows, c, factor);
        }
        pack_tile<T>(p, s);
        if (grow)
            scale_rows(o, factor);
        ring_wait(ring);
        issue_pv<T, L::dv, L::bn>(o, p, stages + ring->stage * L::keys);
        wgmma_wait<0>();
        hold(o);
        ring_release(ring);
    }
    for (; base < keys; base += L::bn)
        for (int i = 0; i < 2; i++) {
            ring_wait(ring);
            ring_release(ring);
        }
}

/* Normalise a thread's two rows.  Rows of one block write o and lse at once; of others
 * write the head, and find the factor that brings the largest element to
 * [2^14, 2^15). */
template <int R>
SPS_DEVICE void finish_rows(const float (&o)[R], const struct row_pair *rows,
                            const struct attend_args *a, const struct gather_note *note,
                            struct partial_head *heads, float (&factor)[2])
{
    int lane = threadIdx.x & 31, row = warp_index() % 4 * 16 + lane / 4;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        float sum = quad_sum(rows->l[i]), inverse = sum > 0 ? 1 / sum : 0, top = 0;
        float lse = sum > 0 ? rows->m[i] + log2f(sum) : -INFINITY;
        int slot = note->slot[row + 8 * i];
#pragma unroll
        for (int j = 2 * i; j < R; j += 4)
            top = fmaxf(top, fmaxf(fabsf(o[j]), fabsf(o[j + 1])));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 2)) * inverse;
        int e = (int)(__float_as_uint(top) >> 23);
        e = e > 15 ? e : 15;
        factor[i] = inverse * __uint_as_float((uint32_t)(268 - e) << 23);
        if (slot >= 0 && (lane & 3) == 0) {
            struct partial_head head = {lse, __uint_as_float((uint32_t)(e - 14) << 23)};
            heads[slot] = head;
        }
        if (slot > -2)
            continue;
        int64_t to = a->at.begin * a->h - 2 - slot;
        write_row<false>(a, to, o, i, inverse);
        if (a->lse && (lane & 3) == 0)
            a->lse[to] = lse * LN2;
    }
}

/* A warp's 16 rows times factor[2], as fp16, through its own part of the Q buffer to
 * their places, 16 bytes a thread. */
template <int DV>
SPS_DEVICE void store_partials(const float (&o)[DV / 2], const float (&factor)[2],
                               uint32_t q, const struct gather_note *note, int dv,
                               __half *partial)
{
    constexpr int chunks = DV / 8, step = 32 / chunks;
    int lane = threadIdx.x & 31, first = warp_index() % 4 * 16, c = lane % chunks;

#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < chunks; j++) {
            int r = first + lane / 4 + 8 * i;
            uint32_t x = pack(__half(), o[4 * j + 2 * i] * factor[i],
                              o[4 * j + 2 * i + 1] * factor[i]);
            asm volatile(
                "st.shared.b32 [%0], %1;" ::"r"(q + slab_at<64>(r, j) + (lane & 3) * 4),
                "r"(x)
                : "memory");
        }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 16 / step; i++) {
        int r = first + i * step + lane / chunks, slot = note->slot[r];
        uint4 x;
        if (slot < 0 || c * 8 >= dv)
            continue;
        asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];"
                     : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                     : "r"(q + slab_at<64>(r, c))
                     : "memory");
        __stcs((uint4 *)(partial + (int64_t)slot * dv + c * 8), x);
    }
}

/* A consumer warpgroup. */
template <typename T, typename L>
SPS_DEVICE void attend_tiles(const struct attend_args *a, const struct gather_work *w,
                             int total, unsigned char *shared, int wg)
{
    uint32_t at = shared_address(shared);
    struct ring<L::stages> ring = {
        at + L::barriers, 0, 0
    };

    for (int t = blockIdx.x, turn = 0; t < total; t += gridDim.x, turn++) {
        struct gather_buffer from = gather_buffer_of<L>(shared, wg, turn);
        struct row_pair rows;
        float o[L::dv / 2], factor[2];
        start_rows(o, &rows);
        barrier_wait(from.full, turn / GATHER_BUFFERS % 2);
        attend_block<T, L>(&from, at + L::ring, a->c, &ring, &rows, o);
        finish_rows(o, &rows, a, from.note, w->heads, factor);
        named_sync(1 + wg, 128); /* all four warps have read Q */
        store_partials<L::dv>(o, factor, from.q, from.note, a->dv, (__half *)w->partial);
        barrier_arrive(from.empty);
    }
}

template <typename L> SPS_DEVICE void gather_init(unsigned char *shared)
{
    ring_init<L::stages>(shared_address(shared) + L::barriers, L::wgs * 4);
    for (int i = 0; i < L::buffers; i++) {
        struct gather_buffer b = gather_buffer_of<L>(shared, i % L::wgs, i / L::wgs);
        barrier_init(b.full, 32);
        barrier_init(b.empty, 128);
    }
    barrier_fence_init();
}
#endif

template <typename T, typename L>
static __global__ void __launch_bounds__(L::threads, 1)
    gather_wgmma(const __grid_constant__ CUtensorMap k,
                 const __grid_constant__ CUtensorMap v,
                 const __grid_constant__ struct attend_args a,
                 const __grid_constant__ struct gather_work w)
{
#ifdef SPS_SM90A
    extern __shared__ __align__(1024) unsigned char shared[];
    int wg = warpgroup_index(), warp = warp_index(), total = *w.total;

    if (threadIdx.x == 0)
        gather_init<L>(shared);
    __syncthreads();
    if (wg == 0) {
        registers_give<L::feed>();
        if (warp > 0 && warp <= L::wgs)
            feed_rows<T, L>(&a, &w, total, shared, warp - 1);
        else if (threadIdx.x == 0)
            feed_keys<L>(&k, &v, &a, &w, total, shared);
    } else {
        registers_take<L::attend>();
        attend_tiles<T, L>(&a, &w, total, shared, wg - 1);
    }
#endif
}

template <typename T, typename L>
static enum sps_status
gather_launch(struct sps_device *dev, const struct sps_shape *shape,
              const struct attend_args *a, const struct gather_work *w)
{
    const struct cuda_state *state = cuda_state_of(dev);
    CUtensorMap k, v;

    SPS_TRY(sps_sm90_map_rows(dev, &k, a->k, a->dtype, shape->s, a->g, a->dk, 1, L::bn));
    SPS_TRY(sps_sm90_map_rows(dev, &v, a->v, a->dtype, shape->s, a->g, a->dv, 1, L::bn));
    CUDA_TRY(sm90_launch(gather_wgmma<T, L>, state->prop.multiProcessorCount, L::threads,
                         L::bytes, state->stream, k, v, *a, *w));
    return SPS_OK;
}

/* Tiles of 128 keys, or of 64 where these waste less of a small block, or heads are so
 * wide that no more fit. */
template <typename T, int DK, int DV>
static enum sps_status gather_keys(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct attend_args *a,
                                   const struct gather_work *w)
{
    constexpr int most = DK > 128 ? 64 : 128;
    int last = (a->block - 1) % 128 + 1;

    return a->block < 256 && last <= 64
               ? gather_launch<T, gather_layout<DK, DV, 64>>(dev, shape, a, w)
               : gather_launch<T, gather_layout<DK, DV, most>>(dev, shape, a, w);
}

template <int DK, int DV>
static enum sps_status
gather_wgmma_any(struct sps_device *dev, const struct sps_shape *shape,
                 const struct attend_args *a, const struct gather_work *w)
{
    return a->dtype == SPS_BF16 ? gather_keys<__nv_bfloat16, DK, DV>(dev, shape, a, w)
                                : gather_keys<__half, DK, DV>(dev, shape, a, w);
}

#endif
