/* gather.cuh - attention over an index, block-outer, for sm_90a.
 *
 * A CTA walks over tiles: 2 or 3 warpgroups of 64 gathered rows each against the keys of
 * one block.  One more warpgroup feeds them: one thread brings K and V by TMA through a
 * ring, and a warp for each of the others gathers Q by cp.async into one of two buffers,
 * with a note of where each row's output goes and how many keys it sees.  Outputs leave
 * as 16-bit partials (gather.h), staged over the Q that nobody needs any more.
 */
#ifndef SPS_KERNELS_CUDA_SM90_GATHER_CUH
#define SPS_KERNELS_CUDA_SM90_GATHER_CUH

#include "kernels/cuda/gather.h"
#include "kernels/cuda/sm90/hopper.cuh"
#include "kernels/cuda/sm90/softmax.cuh"
#include "kernels/cuda/sm90/tma.h"

/* Of each warpgroup's Q; of keys, at most. */
enum { GATHER_BUFFERS = 2, GATHER_STAGES = 8 };

/* What a warpgroup must know of its 64 rows. */
struct gather_note {
    int32_t slot[64];   /* of partial and head; -1: no row; -2 - place: ALONE */
    uint16_t limit[64]; /* keys of the block that the row sees */
    int32_t keys;       /* keys of the block */
    int32_t pad[3];
};

/* For heads of up to DK and DV, BN keys a step. */
template <int DK, int DV, int BN> struct gather_layout {
    static constexpr int dk = DK, dv = DV, bn = BN;
    static constexpr int wgs = gather90_rows(DV) / 64, threads = (wgs + 1) * 128;
    static constexpr bool wide = DK == 128 && BN == 128;        /* o, s and p take 160 */
    static constexpr int feed = wgs == 2 ? 40 : wide ? 32 : 56; /* registers */
    static constexpr int attend = wgs == 2 ? 232 : wide ? 160 : 152;
    static constexpr int buffers = GATHER_BUFFERS * wgs;
    static constexpr int q = 64 * DK * 2, keys = BN * DK * 2;             /* bytes */
    static constexpr int note = sizeof(struct gather_note), pair = 2 * 8; /* barriers */
    static constexpr int ring = buffers * q;
    static constexpr int fit =
        (SM90_SHARED - ring - buffers * (note + pair)) / (keys + pair);
    static constexpr int stages = fit < GATHER_STAGES ? fit : GATHER_STAGES;
    static constexpr int notes = ring + stages * keys, barriers = notes + buffers * note;
    static constexpr int bytes = barriers + (stages + buffers) * pair;
    static_assert(DV <= DK && stages > 2 && bytes <= SM90_SHARED, "fits");
};

#ifdef SPS_SM90A
/* Barriers and buffer of one warpgroup's rows: the full one, the empty one behind it. */
struct gather_buffer {
    uint32_t q, full, empty;
    struct gather_note *note;
};

template <typename L>
SPS_DEVICE struct gather_buffer gather_buffer_of(unsigned char *shared, int wg, int turn)
{
    int i = turn % GATHER_BUFFERS * L::wgs + wg;
    uint32_t at = shared_address(shared), full = at + L::barriers + 16 * L::stages;
    struct gather_buffer buffer = {at + i * L::q, full + 8 * i,
                                   full + 8 * (L::buffers + i),
                                   (struct gather_note *)(shared + L::notes) + i};

    return buffer;
}

/* One thread: D columns of the keys (or values) from `key` on into the next stage. */
template <typename L, int D>
SPS_DEVICE void feed_stage(const CUtensorMap *map, struct ring<L::stages> *ring,
                           uint32_t stages, int head, int key)
{
    ring_begin(ring, L::bn * D * 2);
    tma_load_slabs<D>(stages + ring->stage * L::keys, L::bn, map, ring_full(ring), head,
                      key, KEEP_LONG);
    ring_next(ring);
}

/* One thread: K and V of every tile of this CTA. */
template <typename L>
SPS_DEVICE void feed_keys(const CUtensorMap *k, const CUtensorMap *v,
                          const struct attend_args *a, const struct gather_work *w,
                          int total, unsigned char *shared)
{
    uint32_t at = shared_address(shared);
    struct ring<L::stages> ring = {
        at + L::barriers, 0, 0
    };

    for (int t = blockIdx.x; t < total; t += gridDim.x) {
        struct gather_tile tile = w->tiles[t];
        int head = tile.index_head * a->p / (int)(a->h / a->g);
        for (int i = 0; i < tile.keys; i += L::bn) {
            feed_stage<L, L::dk>(k, &ring, at + L::ring, head, tile.key + i);
            feed_stage<L, L::dv>(v, &ring, at + L::ring, head, tile.key + i);
        }
    }
}

enum { TILE_WORDS = sizeof(struct gather_tile) / 4 };

/* Tile t, a word a lane; zeros where there is none. */
SPS_DEVICE int hold_tile(const struct gather_work *w, int t, int total)
{
    int lane = threadIdx.x & 31;

    return lane < TILE_WORDS && t < total ? ((const int *)(w->tiles + t))[lane] : 0;
}

SPS_DEVICE struct gather_tile held_tile(int held)
{
    int word[TILE_WORDS];
    struct gather_tile tile;

#pragma unroll
    for (int i = 0; i < TILE_WORDS; i++)
        word[i] = __shfl_sync(~0u, held, i);
    memcpy(&tile, word, sizeof tile);
    return tile;
}

/* Entries of rows lane and lane + 32 of a warpgroup's 64, which begin at row `first` of
 * the tile. */
SPS_DEVICE void read_entries(const struct attend_args *a, const struct gather_work *w,
                             const struct gather_tile *tile, int first, int (&entry)[2])
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int at = (first + (int)(threadIdx.x & 31) + 32 * i) >> a->lg;
        entry[i] = at < tile->count ? w->entries[tile->first + at] : 0;
    }
}

/* Rows lane and lane + 32 of a warpgroup's 64: their notes; place[2] says where Q stands,
 * (row of the chunk) h + head, or -1. */
SPS_DEVICE void note_rows(const struct attend_args *a, const struct gather_tile *tile,
                          int first, const int (&entry)[2], struct gather_note *note,
                          int (&place)[2])
{
    struct seq_view seq = a->at.seq[tile->seq];
    int width = (int)a->width, lane = threadIdx.x & 31;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        int r = first + lane + 32 * i, at = r >> a->lg, x = r & ((1 << a->lg) - 1);
        bool valid = at < tile->count && x < a->p;
        int slot = entry[i] & ~ALONE, row = slot / width;
        int sees = geometry_visible(
            &a->at, &seq, geometry_pos(&a->at, &seq, row + (int)(a->at.begin - seq.row)));
        sees -= tile->unit * a->block;
        sees = sees < 0 ? 0 : sees < tile->keys ? sees : tile->keys;
        place[i] = valid ? row * (int)a->h + tile->index_head * a->p + x : -1;
        note->slot[lane + 32 * i] = !valid             ? -1
                                    : entry[i] & ALONE ? -2 - place[i]
                                                       : place[i] * width + slot % width;
        note->limit[lane + 32 * i] = (uint16_t)(valid ? sees : 0);
    }
    if (lane == 0)
        note->keys = tile->keys;
}

/* A warp: copy the 64 rows of Q at `place`, zeros where there is none. */
template <typename T, int D>
SPS_DEVICE void gather_queries(uint32_t to, const T *q, int dk, const int (&place)[2])
{
    constexpr int chunks = D % 256 == 0 ? 32 : D % 128 == 0 ? 16 : 8, step = 32 / chunks;
    int lane = threadIdx.x & 31;

#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll 4 /* more would spill */
        for (int i = 0; i < 32; i += step) {
            int r = i + lane / chunks, at = __shfl_sync(~0u, place[half], r);
#pragma unroll
            for (int c = lane % chunks; c < D / 8; c += chunks) {
                bool valid = at >= 0 && c * 8 < dk;
                cp_async16(to + slab_at<64>(32 * half + r, c),
                           q + (valid ? (int64_t)at * dk + c * 8 : 0), valid);
            }
        }
}

/* A warp: the rows of warpgroup `wg` of every tile of this CTA.  The next tile and its
 * entries are on their way while Q is. */
template <typename T, typename L>
SPS_DEVICE void feed_rows(const struct attend_args *a, const struct gather_work *w,
                          int total, unsigned char *shared, int wg)
{
    const T *q = (const T *)a->q + a->at.begin * a->h * a->dk;
    int t = blockIdx.x, entry[2];
    struct gather_tile tile = held_tile(hold_tile(w, t, total));

    read_entries(a, w, &tile, wg * 64, entry);
    for (int turn = 0; t < total; turn++) {
        struct gather_buffer to = gather_buffer_of<L>(shared, wg, turn);
        int place[2], next = hold_tile(w, t += gridDim.x, total);
        barrier_wait(to.empty, turn / GATHER_BUFFERS % 2 ^ 1);
        note_rows(a, &tile, wg * 64, entry, to.note, place);
        gather_queries<T, L::dk>(to.q, q, a->dk, place);
        cp_commit();
        tile = held_tile(next);
        read_entries(a, w, &tile, wg * 64, entry);
        cp_wait<0>();
        fence_async();
        barrier_arrive(to.full);
    }
}

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
