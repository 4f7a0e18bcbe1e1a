/* hopper.cuh - building blocks of the sm_90a kernels: tiles, warpgroups, wgmma (PTX ISA
 * 8.0, "wgmma"); barriers stand in barrier.cuh and ring.cuh, copies in tma.cuh.
 *
 * A tile of ROWS x D 16-bit elements lies in shared memory as D/64 slabs of [ROWS][64]; a
 * row is 128 bytes and its chunk c of 16 bytes stands at c ^ (row & 7), the layout that
 * TMA writes with 128-byte swizzle and wgmma reads.  A slab starts on 1024 bytes.
 * Addresses are 32-bit shared addresses.
 *
 * Kernels that use this file have their bodies between #ifdef SPS_SM90A and #endif, so
 * that the other targets of the same source stay empty.
 */
#ifndef SPS_KERNELS_CUDA_SM90_HOPPER_CUH
#define SPS_KERNELS_CUDA_SM90_HOPPER_CUH

#include "kernels/cuda/sm90/ring.cuh"
#include "kernels/cuda/sm90/tma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define SPS_SM90A 1
#endif

/* What a CTA may have of shared memory. */
enum { SM90_SHARED = 232448 };

/* Byte of chunk c of row r in a tile of ROWS rows. */
template <int ROWS> SPS_DEVICE int slab_at(int r, int c)
{
    return (c >> 3) * (ROWS * 128) + r * 128 + (((c & 7) ^ (r & 7)) << 4);
}

/* Launch with dynamic shared memory; a grid of 0: nothing. */
template <typename... P>
static cudaError_t sm90_launch(void (*kernel)(P...), int grid, int threads, int bytes,
                               cudaStream_t stream, const P &...arguments)
{
    cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);

    if (error == cudaSuccess && grid > 0) {
        kernel<<<(unsigned)grid, (unsigned)threads, (size_t)bytes, stream>>>(
            arguments...);
        error = cudaGetLastError();
    }
    return error;
}

/* ---- words of shared memory ---- */

SPS_DEVICE void store_shared(uint32_t at, int x)
{
    asm volatile("st.shared.s32 [%0], %1;" ::"r"(at), "r"(x) : "memory");
}

SPS_DEVICE float load_shared1(uint32_t at)
{
    float x;

    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(at) : "memory");
    return x;
}

SPS_DEVICE float4 load_shared4(uint32_t at)
{
    float4 x;

    asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
                 : "r"(at)
                 : "memory");
    return x;
}

/* ---- tiles ---- */

/* The next tile of a launch whose CTAs begin with the first ones, one each. */
SPS_DEVICE int draw_tile(const struct tile_counter *counter)
{
    return (int)(gridDim.x + (atomicAdd(counter->at, 1) - counter->base));
}

/* ---- warpgroups ---- */

/* x, the same in all lanes, in a form that the compiler knows to be so: matrix
 * descriptors made of it live in uniform registers (else every wgmma waits for moves into
 * them). */
SPS_DEVICE int warp_uniform(int x)
{
    return __shfl_sync(~0u, x, 0);
}

/* What stands at `at`, read for the warp by the lane that arrives for it. */
SPS_DEVICE int load_shared(uint32_t at)
{
    int x = 0;

    if ((threadIdx.x & 31) == 0)
        asm volatile("ld.shared.s32 %0, [%1];" : "=r"(x) : "r"(at) : "memory");
    return warp_uniform(x);
}

/* The 16 bytes at `at`, likewise. */
SPS_DEVICE void load_shared_words(uint32_t at, uint32_t (&x)[4])
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        x[i] = 0;
    if ((threadIdx.x & 31) == 0)
        asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                     : "r"(at)
                     : "memory");
#pragma unroll
    for (int i = 0; i < 4; i++)
        x[i] = (uint32_t)warp_uniform((int)x[i]);
}

/* This thread's warpgroup. */
SPS_DEVICE int warpgroup_index(void)
{
    return warp_uniform((int)threadIdx.x >> 7);
}

/* All 4 warps; R a multiple of 8 in 24..240; the sum over warpgroups at most 512. */
template <int R> SPS_DEVICE void registers_give(void)
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(R));
}

template <int R> SPS_DEVICE void registers_take(void)
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(R));
}

/* Named barrier 1..15 of `threads` threads. */
SPS_DEVICE void named_sync(int id, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* ---- wgmma ---- */

/* K-major operand (Q, K of Q K^T) at a slab's address: 16 of k further is +2, 64 of k
 * further the next slab. */
SPS_DEVICE uint64_t matrix_k(uint32_t at)
{
    return ((at & 0x3FFFF) >> 4) | (1ull << 16) | (64ull << 32) | (1ull << 62);
}

/* MN-major operand (V of P V): k runs over rows; 16 of k further is +128.  `slab`: bytes
 * to the next 64 of n. */
SPS_DEVICE uint64_t matrix_mn(uint32_t at, uint32_t slab)
{
    return ((at & 0x3FFFF) >> 4) | ((uint64_t)(slab >> 4) << 16) | (64ull << 32) |
           (1ull << 62);
}

/* Before a batch of wgmma whose registers ordinary code has touched. */
SPS_DEVICE void wgmma_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

SPS_DEVICE void wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* At most N committed batches still run; follow with hold() on what is finished. */
template <int N> SPS_DEVICE void wgmma_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/* Pins registers here: the compiler moves no use of them across. */
template <int R> SPS_DEVICE void hold(float (&d)[R])
{
#pragma unroll
    for (int i = 0; i < R; i++)
        asm volatile("" : "+f"(d[i])::"memory");
}

template <int R> SPS_DEVICE void hold(uint32_t (&d)[R])
{
#pragma unroll
    for (int i = 0; i < R; i++)
        asm volatile("" : "+r"(d[i])::"memory");
}

/* d[N/2] (+)= A(64 x 16) B(16 x N) of a warpgroup, float32 sums; keep 0 overwrites d.  T:
 * the input type.  Warp w holds rows 16 w .. 16 w + 15: d[4 j],
 * d[4 j + 1] row lane/4, columns 8 j + 2 (lane % 4) + {0, 1}; d[4 j + 2], d[4 j + 3] row
 * lane/4 + 8.  both(..): A and B K-major in shared memory; held(..): A in registers,
 * four 16-bit pairs out of such an accumulator, B MN-major. */
#define SPS_R8(i)                                                                        \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]),          \
        "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define SPS_R32(i)  SPS_R8(i), SPS_R8(i + 8), SPS_R8(i + 16), SPS_R8(i + 24)
#define SPS_R64(i)  SPS_R32(i), SPS_R32(i + 32)
#define SPS_R128(i) SPS_R64(i), SPS_R64(i + 64)
#define SPS_L8(a)                                                                        \
    "%" #a "0,%" #a "1,%" #a "2,%" #a "3,%" #a "4,%" #a "5,%" #a "6,%" #a "7"
#define SPS_L10(a) SPS_L8(a) ",%" #a "8,%" #a "9"
#define SPS_L30    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9," SPS_L10(1) "," SPS_L10(2)
#define SPS_L32    SPS_L30 ",%30,%31"
#define SPS_L60    SPS_L30 "," SPS_L10(3) "," SPS_L10(4) "," SPS_L10(5)
#define SPS_L64    SPS_L60 ",%60,%61,%62,%63"
#define SPS_L90    SPS_L60 "," SPS_L10(6) "," SPS_L10(7) "," SPS_L10(8)
#define SPS_L120   SPS_L90 "," SPS_L10(9) "," SPS_L10(10) "," SPS_L10(11)
#define SPS_L128   SPS_L120 "," SPS_L8(12)

template <typename T, int N> struct wgmma;

#define SPS_WGMMA(T, TYPE, N, R, A0, A1, A2, A3, A4, A5)                                 \
    template <> struct wgmma<T, N> {                                                     \
        static __device__ __forceinline__ void both(float (&d)[N / 2], uint64_t a,       \
                                                    uint64_t b, int keep)                \
        {                                                                                \
            asm volatile("{.reg .pred p; setp.ne.b32 p, %" #A2                           \
                         ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE     \
                         "." TYPE " {" SPS_L##R "}, %" #A0 ", %" #A1 ", p, 1, 1, 0, 0;}" \
                         : SPS_R##R(0)                                                   \
                         : "l"(a), "l"(b), "r"(keep));                                   \
        }                                                                                \
        static __device__ __forceinline__ void                                           \
        held(float (&d)[N / 2], const uint32_t *a, uint64_t b, int keep)                 \
        {                                                                                \
            asm volatile("{.reg .pred p; setp.ne.b32 p, %" #A5                           \
                         ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE     \
                         "." TYPE " {" SPS_L##R "}, {%" #A0 ",%" #A1 ",%" #A2 ",%" #A3   \
                                                "}, %" #A4 ", p, 1, 1, 1;}"              \
                         : SPS_R##R(0)                                                   \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),           \
                           "r"(keep));                                                   \
        }                                                                                \
    };
#ifdef SPS_SM90A
SPS_WGMMA(__nv_bfloat16, "bf16", 64, 32, 32, 33, 34, 35, 36, 37)
SPS_WGMMA(__nv_bfloat16, "bf16", 128, 64, 64, 65, 66, 67, 68, 69)
SPS_WGMMA(__nv_bfloat16, "bf16", 256, 128, 128, 129, 130, 131, 132, 133)
SPS_WGMMA(__half, "f16", 64, 32, 32, 33, 34, 35, 36, 37)
SPS_WGMMA(__half, "f16", 128, 64, 64, 65, 66, 67, 68, 69)
SPS_WGMMA(__half, "f16", 256, 128, 128, 129, 130, 131, 132, 133)

/* s = Q K^T: a warpgroup's 64 rows of a Q tile of QROWS rows at `q` (of its first row),
 * BN keys at `k`; issued and committed, not waited for. */
template <typename T, int D, int QROWS, int BN>
SPS_DEVICE void issue_qk(float (&s)[BN / 2], uint32_t q, uint32_t k)
{
    uint64_t a = matrix_k(q), b = matrix_k(k);

    hold(s);
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < D / 16; i++)
        wgmma<T, BN>::both(s, a + (i & 3) * 2 + (i >> 2) * (QROWS * 8),
                           b + (i & 3) * 2 + (i >> 2) * (BN * 8), i > 0);
    wgmma_commit();
}

/* o += P V: p from pack_tile, V tile [BN][DV] at `v`; issued, not waited for. */
template <typename T, int DV, int BN>
SPS_DEVICE void issue_pv(float (&o)[DV / 2], uint32_t (&p)[BN / 4], uint32_t v)
{
    uint64_t b = matrix_mn(v, BN * 128);

    hold(o);
    hold(p);
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < BN / 16; i++)
        wgmma<T, DV>::held(o, p + 4 * i, b + i * 128, 1);
    wgmma_commit();
}
#endif

#endif
