/* terms.cuh - queries for products with keys in two fp16 terms (kernels/cuda/terms.cuh),
 * in the layout that wgmma reads.
 */
#ifndef SPS_KERNELS_CUDA_SM90_TERMS_CUH
#define SPS_KERNELS_CUDA_SM90_TERMS_CUH

#include "kernels/cuda/sm90/hopper.cuh"
#include "kernels/cuda/terms.cuh"

#ifdef SPS_SM90A
/* A warpgroup's 64 queries, from row 64 wg of a tile of ROWS, become fp16 in place, each
 * row by its own power of two, whose inverse goes to unscale[row] (NULL: not wanted): two
 * threads a row. */
template <typename T, int D, int ROWS>
SPS_DEVICE void scale_query_rows(unsigned char *tile, int wg, float *unscale)
{
    int r = wg * 64 + (threadIdx.x >> 1 & 63), half = threadIdx.x & 1;
    uint32_t top = 0;

    if (is_bf16<T>::value) {
#pragma unroll
        for (int i = 0; i < D / 16; i++) {
            int c = 2 * i + half;
            uint4 x = *(uint4 *)(tile + slab_at<ROWS>(r, c));
            for (uint32_t two : {x.x, x.y, x.z, x.w}) {
                uint32_t a = two << 16 & 0x7fffffffu, b = two & 0x7fff0000u;
                top = top > a ? top : a;
                top = top > b ? top : b;
            }
        }
        uint32_t other = __shfl_xor_sync(~0u, top, 1);
        top = top > other ? top : other;
        float scale = term_scale(top);
#pragma unroll
        for (int i = 0; i < D / 16; i++) {
            int c = 2 * i + half;
            uint4 *x = (uint4 *)(tile + slab_at<ROWS>(r, c));
            *x = make_uint4(pair_to_half(x->x, scale), pair_to_half(x->y, scale),
                            pair_to_half(x->z, scale), pair_to_half(x->w, scale));
        }
    }
    if (unscale && half == 0)
        unscale[r] = is_bf16<T>::value ? term_unscale(top) : 1;
    fence_async();
    named_sync(1 + wg, 128);
}
#endif

#endif
