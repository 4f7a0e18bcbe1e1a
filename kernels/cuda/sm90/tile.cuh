/* tile.cuh - rows of a CTA's tile on Hopper: where each stands, what it may read, and
 * which key tiles a warp can take whole or skip.  Tile row r is token r / p, head r % p.
 */
#ifndef SPS_KERNELS_CUDA_SM90_TILE_CUH
#define SPS_KERNELS_CUDA_SM90_TILE_CUH

#include "kernels/cuda/geometry.cuh"

/* A tile's row: where its output goes (-1: nowhere), its position, keys seen. */
struct row_place {
    int out, pos, seen;
};

/* Key tiles by their first key, for one warp: its warpgroup reads none outside [low,
 * high] but those below sink, the warp reads those inside [all_low, all_high] whole. */
struct tile_reads {
    int low, high, sink, all_low, all_high;
};

/* Row `row` of the tile, token by token, head by head. */
SPS_DEVICE struct row_place row_place_of(const struct geometry *at, int64_t h, int p,
                                         const struct row_tile *tile, int row)
{
    int token = row / p, end = tile->count - 1, known = token < end ? token : end;
    struct row_place place;

    place.pos = geometry_pos(at, &tile->seq, tile->token + known);
    place.seen = geometry_visible(at, &tile->seq, place.pos);
    place.out = -1;
    if (token <= end)
        place.out = (int)(tile->seq.row + tile->token + token) * (int)h + tile->head +
                    row - token * p;
    return place;
}

/* Of the warp whose first row is `row`. */
template <int BN>
SPS_DEVICE struct tile_reads tile_reads_of(const struct geometry *at, int64_t h, int p,
                                           const struct row_tile *tile, int row)
{
    struct row_place first = row_place_of(at, h, p, tile, row & ~63),
                     last = row_place_of(at, h, p, tile, row | 63),
                     own = row_place_of(at, h, p, tile, row),
                     own_last = row_place_of(at, h, p, tile, row | 15);
    struct tile_reads r = {0, last.seen - 1, 0, 0, own.seen - BN};

    if (!at->all) {
        r.low = first.pos - at->window + 2 - BN;
        r.high = last.pos < r.high ? last.pos : r.high;
        r.sink = at->sink < last.seen ? at->sink : last.seen;
        r.all_low = own_last.pos - at->window + 1;
        r.all_high = own.pos + 1 - BN < r.all_high ? own.pos + 1 - BN : r.all_high;
    }
    if (first.out < 0)
        r.high = r.sink = -1;
    return r;
}

SPS_DEVICE bool reads_some(const struct tile_reads *r, int base)
{
    return (base >= r->low && base <= r->high) || base < r->sink;
}

SPS_DEVICE bool reads_all(const struct tile_reads *r, int base)
{
    return base >= r->all_low && base <= r->all_high;
}

/* -inf in row i of a thread's scores where it does not read the key. */
template <int R>
SPS_DEVICE void mask_keys(const struct geometry *at, const struct row_place *row,
                          float (&s)[R], int i, int base)
{
    int from = base + 2 * (threadIdx.x & 3), high = row->seen - from, low = 0, sink = 0;

    if (!at->all) {
        sink = (at->sink < row->seen ? at->sink : row->seen) - from;
        low = row->pos - at->window + 1 - from;
        high = row->pos + 1 - from < high ? row->pos + 1 - from : high;
    }
    if (at->all)
        low = sink = -(1 << 30);
#pragma unroll
    for (int j = 0; j < R / 4; j++)
#pragma unroll
        for (int e = 0; e < 2; e++)
            if ((8 * j + e >= high || 8 * j + e < low) && 8 * j + e >= sink)
                s[4 * j + 2 * i + e] = -INFINITY;
}

/* Fill a warp's 16 places and its reads; `row`: its first. */
template <int BN>
SPS_DEVICE void place_warp(const struct geometry *at, int64_t h, int p,
                           const struct row_tile *tile, int row, struct row_place *places,
                           struct tile_reads *reads)
{
    int lane = threadIdx.x & 31;

    __syncwarp();
    if (lane < 16)
        places[lane] = row_place_of(at, h, p, tile, row + lane);
    if (lane == 16)
        *reads = tile_reads_of<BN>(at, h, p, tile, row);
    __syncwarp();
}

#endif
