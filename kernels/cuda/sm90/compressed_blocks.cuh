/* compressed_blocks.cuh - scores of blocks out of a tile of p, where a block is four
 * strides and a compressed key covers two (the paper's 32, 16, 64).  Block J gets
 * p[4 J - 1] + 2 (p[4 J] + p[4 J + 1] + p[4 J + 2]) + p[4 J + 3] (NSA, arXiv 2502.11089,
 * eq. 9).
 *
 * Four lanes share 8 keys of a row, two blocks.  Lanes 0 and 2 of them hold the first two
 * keys of a block, lanes 1 and 3 the last two, of which the very last counts for the next
 * block too: it is passed on, from run to run and, in `carry`, from tile to tile.
 */
#ifndef SPS_KERNELS_CUDA_SM90_COMPRESSED_BLOCKS_CUH
#define SPS_KERNELS_CUDA_SM90_COMPRESSED_BLOCKS_CUH

#include "kernels/cuda/score_tile.cuh"
#include "kernels/cuda/sm90/hopper.cuh"

#ifdef SPS_SM90A
enum { STRIDES_A_BLOCK = 4 };

/* Who holds the 8 keys before a lane's first ones, after sum_group(): a lane of this warp
 * from this tile, or, for the first lanes, the last ones from the tile before. */
struct lane_order {
    int before;
    bool first;
};

SPS_DEVICE struct lane_order lane_order_of(int lg)
{
    int lane = threadIdx.x & 31, bits = lane_row_bits(lg), count = 1 << bits;
    int own = 0, before = 0;

    for (int i = 0; i < bits; i++) /* level 0 is the highest bit */
        own = own << 1 | (lane >> (2 + i) & 1);
    int last = (own - 1) & (count - 1);
    for (int i = 0; i < bits; i++)
        before |= (last >> (bits - 1 - i) & 1) << (2 + i);
    struct lane_order order = {(lane & ~((count - 1) << 2)) | before, own == 0};

    return order;
}

/* v: one row's p / P_SCALE of BN keys; scores of the BN / 4 blocks that start in them go
 * to out.  carry: p of the key before, which becomes that of the last key. */
template <int BN>
SPS_DEVICE void write_blocks(float *v, int lg, struct lane_order order, float *carry,
                             float *out)
{
    int lane = threadIdx.x & 31, quad = lane & ~3, q = lane & 3, odd = lane & 1;
    int run = sum_group<BN>(v, lg) / 2, runs = BN / 8 >> lane_row_bits(lg);
    float last = lane_row_bits(lg) == 0   ? v[BN / 4 - 1]
                 : lane_row_bits(lg) == 1 ? v[BN / 8 - 1]
                 : lane_row_bits(lg) == 2 ? v[BN / 16 - 1]
                                          : v[BN / 32 - 1];
    float given = __shfl_sync(~0u, last, order.before);
    float past = order.first ? *carry : given;

    *carry = given;
    out += 2 * (run + odd) + (q >> 1);
#pragma unroll
    for (int n = 0; n < BN / 8; n += 2) {
        if (n >= runs)
            break;
        const float *x = v + 2 * n;
        float own = 2 * x[0] + (odd ? x[1] : 2 * x[1]),
              next = 2 * x[2] + (odd ? x[3] : 2 * x[3]);
        float sum = (odd ? next : own) + __shfl_xor_sync(~0u, odd ? own : next, 1);
        float inner = __shfl_sync(~0u, x[1], quad | (q == 1 ? 3 : 1));
        float outer = __shfl_sync(~0u, q == 3 ? past : x[3], quad | (q == 3 ? 1 : 3));
        past = x[3];
        out[2 * n] = (sum + (q == 1 || q == 2 ? inner : outer)) * P_SCALE;
    }
}
#endif

#endif
