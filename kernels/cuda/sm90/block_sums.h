/* block_sums.h - what NSA's compressed branch on Hopper sets aside of a tile of keys
 * (compressed_blocks.cuh).
 */
#ifndef SPS_KERNELS_CUDA_SM90_BLOCK_SUMS_H
#define SPS_KERNELS_CUDA_SM90_BLOCK_SUMS_H

/* Rows of queries a CTA holds; keys a tile. */
enum { COMPRESSED90_ROWS = 192, COMPRESSED90_KEYS = 128 };

/* A warp's 16 rows against one tile of keys: p, undivided, summed over blocks. */
struct block_sums {
    float x[16][COMPRESSED90_KEYS / 4];
};

#endif
