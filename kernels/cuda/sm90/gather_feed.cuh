/* gather_feed.cuh - what block-outer attention (gather.cuh) reads, and the warpgroup that
 * brings it: one thread K and V by TMA through a ring, and a warp for each of the other
 * warpgroups its Q by cp.async into one of two buffers, with a note of where each row's
 * output goes and how many keys it sees.
 */
#ifndef SPS_KERNELS_CUDA_SM90_GATHER_FEED_CUH
#define SPS_KERNELS_CUDA_SM90_GATHER_FEED_CUH

#include <string.h>

#include "kernels/cuda/gather.h"
#include "kernels/cuda/sm90/hopper.cuh"
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
#endif

#endif
