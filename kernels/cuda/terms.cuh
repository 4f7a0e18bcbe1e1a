/* terms.cuh - float32 operands of tensor-core products as two fp16 terms.
 *
 * x = (high + low) / scale with scale a power of two that brings the largest |x| to about
 * 2^14: 22 digits, where two bf16 terms hold 16.  q in bf16 has 8 digits, so scaled by a
 * power of two per row it is an fp16 number, exactly, down to 2^-31 of the row's largest.
 */
#ifndef SPS_KERNELS_CUDA_TERMS_CUH
#define SPS_KERNELS_CUDA_TERMS_CUH

#include "kernels/cuda/tile.cuh"

/* 2^(14 - e) for the float bits of a largest |x| of 2^e. */
SPS_DEVICE float term_scale(uint32_t top)
{
    int e = (int)(top >> 23 & 255);

    e = e < 20 ? 20 : e > 254 ? 254 : e;
    return __uint_as_float((uint32_t)(268 - e) << 23);
}

/* The exact inverse of term_scale. */
SPS_DEVICE float term_unscale(uint32_t top)
{
    int e = (int)(top >> 23 & 255);

    e = e < 20 ? 20 : e > 254 ? 254 : e;
    return __uint_as_float((uint32_t)(e - 14) << 23);
}

/* c `unscale`, never 0: -inf of a key not seen must stay -inf. */
SPS_DEVICE float logit_scale(float c, float unscale)
{
    return fmaxf(c * unscale, 0x1p-126f);
}

SPS_DEVICE uint32_t pair_to_half(uint32_t two, float scale)
{
    return pack(__half(), __uint_as_float(two << 16) * scale,
                __uint_as_float(two & 0xffff0000u) * scale);
}

/* Rows of bf16 in a Q tile become fp16 in place, each by its own power of two, whose
 * inverse goes to unscale[ROWS]; rows of fp16 stay, with 1. */
template <bool BF16, int D, int ROWS, int THREADS>
SPS_DEVICE void scale_queries(unsigned char *tile, float *unscale)
{
    for (int r = threadIdx.x; r < ROWS; r += THREADS) {
        uint32_t top = 0;
        if (BF16) {
            for (int c = 0; c < D / 8; c++) {
                uint4 x = *(const uint4 *)(tile + tile_at<D>(r, c));
                for (uint32_t two : {x.x, x.y, x.z, x.w}) {
                    uint32_t a = two << 16 & 0x7fffffffu, b = two & 0x7fff0000u;
                    top = top > a ? top : a;
                    top = top > b ? top : b;
                }
            }
            float scale = term_scale(top);
            for (int c = 0; c < D / 8; c++) {
                uint4 *x = (uint4 *)(tile + tile_at<D>(r, c));
                *x = make_uint4(pair_to_half(x->x, scale), pair_to_half(x->y, scale),
                                pair_to_half(x->z, scale), pair_to_half(x->w, scale));
            }
            unscale[r] = term_unscale(top);
        } else {
            unscale[r] = 1;
        }
    }
}

#endif
