/* compressed.h - attention over compressed keys with the choice of blocks in one launch.
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_H
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_H

#include "kernels/cuda/sm90/block_sums.h"
#include "kernels/cuda/sm90/tma.h"
#include "kernels/cuda/topk.cuh"

static_assert((int)COMPRESSED90_KEYS == (int)SPREAD_ROWS, "a tile of keys is a box");

/* Where a launch reads: boxes of queries (`box` tokens each), of keys and of values
 * (spread, tma.h); the tile counter. */
struct compressed90_maps {
    CUtensorMap q, high, low, v;
    struct tile_counter counter;
    int box;
};

/* One launch: `attend` as for compressed keys in terms, `choose` with the window and
 * block of its score source.  A slot is a token's row, or one warp's share of it:
 * `columns` words, of which those from `scores` on are scores of blocks; those before, if
 * any, sums of p. */
struct compressed90_args {
    struct attend_args attend;
    struct topk_args choose;
    int slots, scores;
    int sets;                /* of sums: 2, if warps of their own choose from them */
    int64_t columns, tiles;  /* tiles of keys, and one for the block after the last */
    float *rows;             /* [CTAs, slots, columns] */
    struct block_sums *sums; /* [CTAs, sets, tiles, TILE_WARPS]; tiles 0: none */
};

/* Scratch of args.sums and args.rows, for sequences of at most `keys` compressed keys; 0:
 * the shape does not suit, take the portable kernels. */
size_t sps_sm90_compressed_bytes(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_compression *by, enum sps_dtype dtype,
                                 int64_t block, int64_t keys);

/* o, lse and lists of rows.  a->attend: pointers, sizes, scale; k, k_low and v go on for
 * SPREAD_ROWS rows, v's of zeros; k_low NULL: the low terms are 0; a->choose: rule,
 * index, and window and block of its source; scratch: sps_sm90_compressed_bytes(). */
enum sps_status sps_sm90_compressed(struct sps_device *dev, const struct sps_shape *shape,
                                    const struct sps_compression *by,
                                    struct sps_rows rows, int64_t keys, void *scratch,
                                    struct compressed90_args *a);

typedef cudaError_t compressed90_run(const struct compressed90_args *a,
                                     const struct compressed90_maps *maps, int grid,
                                     cudaStream_t stream);
compressed90_run sps_sm90_compressed_d64, sps_sm90_compressed_d128,
    sps_sm90_compressed_once_d64, sps_sm90_compressed_once_d128;

#endif
