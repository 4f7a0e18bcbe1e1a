/* compressed_aside.cuh - lists made while the next tile of rows runs: a warp of the
 * loading warpgroup for each consumers' warpgroup reads what that has set aside, adds it
 * up over the heads of a token and chooses (compressed.cuh).  Tokens of 16 rows or more,
 * and 32 registers: what is under way stands in shared memory.
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_ASIDE_CUH
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_ASIDE_CUH

#include "kernels/cuda/sm90/compressed_choose.cuh"

/* Tiles by which sums are brought to L2 before they are read; 16 rows over a tile, and a
 * tile's rows, in groups of four. */
enum {
    TILES_AHEAD = 4,
    PART_FOURS = sizeof(struct block_sums) / sizeof(float4),
    TILE_FOURS = TILE_WARPS * PART_FOURS
};

/* What a choosing warp has in shared memory: its lanes' shares of 16 rows of sums, which
 * only the lane itself writes and reads, and the best of a list. */
struct __align__(16) chooser
{
    float4 sums[4][32];
    struct few_keys few;
};

#ifdef SPS_SM90A
/* A token's sums over its tiles, last first, for they are in L2: 16 of its rows at a time
 * are copied to a warp's shared memory.  A lane has four columns of every fourth row. */
struct sums_reader {
    const float4 *at;       /* the lane's, of the rows that are next */
    uint32_t place, weight; /* in shared memory: the lane's columns; its row's weight */
    int tile, part;         /* where `at` is: tile of keys; the token's row */
};

/* Of the token whose rows begin with warp `warp`; visible 0: no token, nothing is read.
 */
SPS_DEVICE struct sums_reader reader_of(const struct block_sums *sums, int warp,
                                        int visible, const float *weights,
                                        const struct chooser *own)
{
    int lane = threadIdx.x & 31, last = (visible + TILE_BLOCKS - 1) / TILE_BLOCKS - 1;
    struct sums_reader r = {(const float4 *)sums[last * TILE_WARPS + warp].x[0] + lane,
                            shared_address(own->sums[0] + lane),
                            shared_address(weights + 16 * warp + lane / 8), last, 0};

    return r;
}

/* Start to copy two of the lane's four rows, i and i + 1, if there is a tile left. */
SPS_DEVICE void copy_pair(const struct sums_reader *r, int i)
{
    if (r->tile >= 0) {
        cp_async16(r->place + i * 512, r->at + 32 * i, true);
        cp_async16(r->place + i * 512 + 512, r->at + 32 * i + 32, true);
    }
    cp_commit();
}

SPS_DEVICE void copy_first(const struct sums_reader *r)
{
    copy_pair(r, 0);
    copy_pair(r, 2);
}

/* Go on to the next 16 of p rows; ONE: p is 16. */
template <bool ONE> SPS_DEVICE void next_rows(struct sums_reader *r, int p)
{
    bool last = ONE || r->part + 16 >= p;

    r->at += last ? -TILE_FOURS - PART_FOURS / 16 * r->part : PART_FOURS;
    r->tile -= last;
    r->part = last ? 0 : r->part + 16;
}

/* Add 16 rows, which are on their way, to y, and start to copy the next. */
template <bool ONE>
SPS_DEVICE void add_part(struct sums_reader *r, int p, const float (&w)[4], float4 *y)
{
    struct sums_reader now = *r;

    next_rows<ONE>(r, p);
#pragma unroll
    for (int pair = 0; pair < 4; pair += 2) {
        float4 x[2];
        cp_wait<1>();
#pragma unroll
        for (int i = 0; i < 2; i++)
            x[i] = load_shared4(now.place + 512 * (pair + i));
        copy_pair(r, pair);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int row = 4 * (pair + i);
            if (now.tile >= TILES_AHEAD)
                prefetch_line(now.at + 8 * row - TILES_AHEAD * TILE_FOURS);
            if (ONE || now.part + row + (int)(threadIdx.x & 31) / 8 < p) {
                float by =
                    ONE ? w[pair + i] : load_shared1(now.weight + 4 * (now.part + row));
                y->x = __fmaf_rn(x[i].x, by, y->x);
                y->y = __fmaf_rn(x[i].y, by, y->y);
                y->z = __fmaf_rn(x[i].z, by, y->z);
                y->w = __fmaf_rn(x[i].w, by, y->w);
            }
        }
    }
    __syncwarp();                /* no lane's copy still reads them */
    if ((threadIdx.x & 16) == 0) /* a lane a row: 8 fours on, less the lane */
        discard_line(now.at + 7 * (threadIdx.x & 15));
}

/* Keys (topk.cuh) of a token's blocks from the sums of its p rows, the first 16 of which
 * are under way.  Scores are not negative, so that their bits are in order.  Returns the
 * largest that the lane wrote. */
template <bool ONE>
SPS_DEVICE uint32_t merge_keys(struct sums_reader *r, int p, int visible, uint32_t *keys)
{
    int block = r->tile * TILE_BLOCKS + own_block();
    uint32_t most = 0;
    float w[4];

#pragma unroll
    for (int i = 0; i < 4; i++)
        w[i] = ONE ? load_shared1(r->weight + 16 * i) : 0;
    keys += block;
    asm volatile("" : "+l"(r->at), "+l"(keys), "+r"(r->place)); /* made once */
#pragma unroll 1
    for (; block >= 0; block -= TILE_BLOCKS, keys -= TILE_BLOCKS) {
        float4 y = make_float4(0, 0, 0, 0);
        do
            add_part<ONE>(r, p, w, &y);
        while (!ONE && r->part > 0);
        uint32_t key = __float_as_uint(block_score(add_rows(y))) | 1u << 31;
        key = block < visible ? key : 0;
        *keys = key;
        most = most > key ? most : key;
    }
    __syncwarp();
    return most;
}

/* The lists of the tokens of warpgroup `wg`'s rows, 16 or more each, straight from their
 * sums. */
SPS_DEVICE void choose_tokens(const struct compressed90_args *a,
                              const struct row_tile *tile, int wg,
                              const struct block_sums *sums, const float *weights,
                              struct chooser *own)
{
    int p = a->attend.p, warps = 1 << (a->attend.lg - 4), warp = 4 * wg;
    struct warp_tokens tokens = tokens_of(a, tile, 64 * wg, 64);
    struct list_view view = {list_of(a, tile, &tokens), 0, 0, 0};
    int visible = __shfl_sync(~0u, tokens.blocks, 0);
    struct sums_reader reader = reader_of(sums, warp, visible, weights, own);

    copy_first(&reader);
#pragma unroll 1
    for (int i = 0; i < tokens.count; i++, view.list += a->choose.heads, warp += warps) {
        uint32_t *keys = (uint32_t *)(rows_of(a) + warp * a->columns), most;
        view.visible = visible;
        if (p == 16)
            most = merge_keys<true>(&reader, p, visible, keys);
        else
            most = merge_keys<false>(&reader, p, visible, keys);
        visible = __shfl_sync(~0u, tokens.blocks, i + 1);
        reader = reader_of(sums, warp + warps, visible, weights, own);
        copy_first(&reader);
        check_keys(&a->choose, &view, most);
        force_keys(&a->choose, &view, keys);
        choose_keys(&a->choose, &view, keys, most, &own->few,
                    a->choose.list + view.list * a->choose.width);
    }
}
#endif

#endif
