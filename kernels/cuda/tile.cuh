/* tile.cuh - building blocks of the portable tensor-core kernels (sm_80 and newer):
 * cp.async, ldmatrix, mma.sync, swizzled tiles in shared memory, online softmax.
 *
 * Fragments are those of mma.m16n8k16: with lane = threadIdx % 32, an accumulator c[4]
 * holds row lane/4 (c[0], c[1]) and row lane/4 + 8 (c[2], c[3]), columns
 * 2 (lane % 4) + {0, 1} (PTX ISA, "Matrix Fragments for mma.m16n8k16").
 *
 * A tile in shared memory is rows of D elements in chunks of 16 bytes; chunk c of row r
 * stands at c ^ (r & 7), so that ldmatrix meets no bank twice.
 */
#ifndef SPS_KERNELS_CUDA_TILE_CUH
#define SPS_KERNELS_CUDA_TILE_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#define SPS_DEVICE static __device__ __forceinline__

static constexpr float LN2 = 0.6931471805599453f;

template <bool FIRST, typename A, typename B> struct either {
    typedef A type;
};
template <typename A, typename B> struct either<false, A, B> {
    typedef B type;
};

template <typename T> struct is_bf16 {
    static constexpr bool value = false;
};
template <> struct is_bf16<__nv_bfloat16> {
    static constexpr bool value = true;
};

/* Copy 16 bytes to shared memory, or zeros when `valid` is false. */
SPS_DEVICE void cp_async16(uint32_t to, const void *from, bool valid)
{
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                 "r"(bytes));
}

SPS_DEVICE void cp_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N> SPS_DEVICE void cp_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

SPS_DEVICE void ldmatrix4(uint32_t r[4], uint32_t at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

SPS_DEVICE void ldmatrix4_t(uint32_t r[4], uint32_t at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* c += a b; the first argument only names the input type. */
SPS_DEVICE void mma(__nv_bfloat16, float c[4], const uint32_t a[4], uint32_t b0,
                    uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
        "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

SPS_DEVICE void mma(__half, float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
        "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Two floats to one register of 16-bit elements, `low` first in memory. */
SPS_DEVICE uint32_t pack(__nv_bfloat16, float low, float high)
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

SPS_DEVICE uint32_t pack(__half, float low, float high)
{
    uint32_t r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

/* The warp's number, in a form that the compiler knows to be the same in all its lanes.
 */
SPS_DEVICE int warp_index(void)
{
    return __shfl_sync(~0u, (int)threadIdx.x / 32, 0);
}

SPS_DEVICE float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

SPS_DEVICE uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* Byte offset of chunk c of row r in a tile of D 16-bit elements a row. */
template <int D> SPS_DEVICE uint32_t tile_at(int r, int c)
{
    return (uint32_t)(r * (D * 2) + ((c ^ (r & 7)) << 4));
}

/* The first n of 64 bits. */
SPS_DEVICE uint64_t low_bits(int64_t n)
{
    return n <= 0 ? 0 : n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/* s[MT][BN/8] += Q K^T of one warp: MT * 16 rows of the Q tile from `row`, BN keys. */
template <typename T, int D, int MT, int BN>
SPS_DEVICE void mma_qk(float (*s)[BN / 8][4], uint32_t q, int row, uint32_t k)
{
    int lane = threadIdx.x & 31;
    int qr = row + (lane & 15), qc = lane >> 4;
    int kr = (lane & 7) + ((lane >> 4) << 3), kc = (lane >> 3) & 1;

#pragma unroll
    for (int kk = 0; kk < D / 16; kk++) {
        uint32_t a[MT][4];
#pragma unroll
        for (int mt = 0; mt < MT; mt++)
            ldmatrix4(a[mt], q + tile_at<D>(qr + mt * 16, kk * 2 + qc));
#pragma unroll
        for (int n = 0; n < BN / 16; n++) {
            uint32_t b[4];
            ldmatrix4(b, k + tile_at<D>(kr + n * 16, kk * 2 + kc));
#pragma unroll
            for (int mt = 0; mt < MT; mt++) {
                mma(T(), s[mt][2 * n], a[mt], b[0], b[1]);
                mma(T(), s[mt][2 * n + 1], a[mt], b[2], b[3]);
            }
        }
    }
}

/* As mma_qk for keys in two terms, k and low.  Tensor cores truncate what they add to;
 * APART: each 16 columns are added up by rounding adds instead, from s = 0. */
template <typename T, int D, int MT, int BN, bool APART>
SPS_DEVICE void mma_qk_terms(float (*s)[BN / 8][4], uint32_t q, int row, uint32_t k,
                             uint32_t low)
{
    int lane = threadIdx.x & 31;
    int qr = row + (lane & 15), qc = lane >> 4;
    int kr = (lane & 7) + ((lane >> 4) << 3), kc = (lane >> 3) & 1;

#pragma unroll
    for (int kk = 0; kk < D / 16; kk++) {
        uint32_t a[MT][4];
#pragma unroll
        for (int mt = 0; mt < MT; mt++)
            ldmatrix4(a[mt], q + tile_at<D>(qr + mt * 16, kk * 2 + qc));
#pragma unroll
        for (int n = 0; n < BN / 16; n++) {
            float part[MT][2][4] = {};
#pragma unroll
            for (int term = 0; term < 2; term++) {
                uint32_t b[4];
                ldmatrix4(b, (term ? k : low) + tile_at<D>(kr + n * 16, kk * 2 + kc));
#pragma unroll
                for (int mt = 0; mt < MT; mt++) {
                    mma(T(), APART ? part[mt][0] : s[mt][2 * n], a[mt], b[0], b[1]);
                    mma(T(), APART ? part[mt][1] : s[mt][2 * n + 1], a[mt], b[2], b[3]);
                }
            }
#pragma unroll
            for (int i = 0; APART && i < MT * 8; i++)
                s[i / 8][2 * n + i / 4 % 2][i % 4] += part[i / 8][i / 4 % 2][i % 4];
        }
    }
}

/* As mma_qk for 16 rows whose Q fragments stand in registers. */
template <typename T, int D, int BN>
SPS_DEVICE void mma_qk_held(float (*s)[4], const uint32_t (*a)[4], uint32_t k)
{
    int lane = threadIdx.x & 31;
    int kr = (lane & 7) + ((lane >> 4) << 3), kc = (lane >> 3) & 1;

#pragma unroll
    for (int kk = 0; kk < D / 16; kk++)
#pragma unroll
        for (int n = 0; n < BN / 16; n++) {
            uint32_t b[4];
            ldmatrix4(b, k + tile_at<D>(kr + n * 16, kk * 2 + kc));
            mma(T(), s[2 * n], a[kk], b[0], b[1]);
            mma(T(), s[2 * n + 1], a[kk], b[2], b[3]);
        }
}

/* o[MT][D/8] += P V: P are the accumulators s, rounded here; V is a tile [BN][D]. */
template <typename T, int D, int MT, int BN>
SPS_DEVICE void mma_pv(float (*o)[D / 8][4], const float (*s)[BN / 8][4], uint32_t v)
{
    int lane = threadIdx.x & 31;
    int vr = lane & 15, vc = lane >> 4;

#pragma unroll
    for (int kk = 0; kk < BN / 16; kk++) {
        uint32_t a[MT][4];
#pragma unroll
        for (int mt = 0; mt < MT; mt++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float *c = s[mt][2 * kk + (i >> 1)] + 2 * (i & 1);
                a[mt][i] = pack(T(), c[0], c[1]);
            }
#pragma unroll
        for (int n = 0; n < D / 16; n++) {
            uint32_t b[4];
            ldmatrix4_t(b, v + tile_at<D>(vr + kk * 16, n * 2 + vc));
#pragma unroll
            for (int mt = 0; mt < MT; mt++) {
                mma(T(), o[mt][2 * n], a[mt], b[0], b[1]);
                mma(T(), o[mt][2 * n + 1], a[mt], b[2], b[3]);
            }
        }
    }
}

/* -inf in row i of a thread where its bit is clear: bit j is column j of the tile. */
template <int BN> SPS_DEVICE void mask_row(float (*s)[BN / 8][4], int i, uint64_t allow)
{
    uint64_t bits = allow >> 2 * (threadIdx.x & 3);

#pragma unroll
    for (int n = 0; n < BN / 8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++)
            if (!(bits >> (8 * n + e) & 1))
                s[i >> 1][n][2 * (i & 1) + e] = -INFINITY;
}

/* Online softmax in base 2 (Milakov and Gimelshein 2018): scores s become exp2(s c - m)
 * for the running maximum m of round(s c); l and o are rescaled.  Rows that have seen
 * nothing keep m = -inf, l = 0.  l is this thread's share: quad_sum it last.  scale: c,
 * or EACH row's own.  m - m is 0, so a thousand tiles that leave m alone leave l alone
 * too. */
template <int MT, int BN, int DV, bool EACH>
SPS_DEVICE void softmax_tile(float (*s)[BN / 8][4], float *m, float *l,
                             float (*o)[DV / 8][4], const float *scale)
{
#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        int mt = i >> 1, e = 2 * (i & 1);
        float top = s[mt][0][e];
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
            top = fmaxf(top, fmaxf(s[mt][n][e], s[mt][n][e + 1]));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
        float c = scale[EACH ? i : 0];
        top = fmaxf(top * c, m[i]);
        float base = top == -INFINITY ? 0.f : top, factor = exp2_fast(m[i] - base),
              sum = 0;
        m[i] = top;
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                float p = exp2_fast(__fmaf_rn(s[mt][n][e + j], c, -base));
                s[mt][n][e + j] = p;
                sum += p;
            }
        l[i] = __fmaf_rn(l[i], factor, sum);
#pragma unroll
        for (int n = 0; n < DV / 8; n++)
            o[mt][n][e] *= factor, o[mt][n][e + 1] *= factor;
    }
}

SPS_DEVICE float quad_sum(float x)
{
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

#endif
