/* block_sums.h - what NSA's compressed branch on Hopper sets aside of a tile of keys
 * (compressed_blocks.cuh).
 */
#ifndef SPS_KERNELS_CUDA_SM90_BLOCK_SUMS_H
#define SPS_KERNELS_CUDA_SM90_BLOCK_SUMS_H

/* Rows of queries a CTA holds, 16 a warp; keys a tile, four a block. */
enum {
    COMPRESSED90_ROWS = 192,
    COMPRESSED90_KEYS = 128,
    TILE_WARPS = COMPRESSED90_ROWS / 16,
    TILE_BLOCKS = COMPRESSED90_KEYS / 4
};

/* A warp's rows against one tile of keys: p, undivided, summed over blocks; that of the
 * tile's block 8 q + 4 h + b stands at x[row][16 h + 4 q + b] (q, b < 4; h < 2). */
struct block_sums {
    float x[16][TILE_BLOCKS];
};

#endif
