/* gather.cuh - attention over an index, block-outer: all rows that chose one block are
 * gathered into tiles against that block's K and V; each (row, slot) leaves a partial
 * output and lse, which merge.cu adds up.  For big blocks and few heads a list.
 */
#ifndef SPS_KERNELS_CUDA_GATHER_CUH
#define SPS_KERNELS_CUDA_GATHER_CUH

#include "kernels/cuda/dense.cuh"
#include "kernels/cuda/gather.h"

template <int DK, int DV, int MT, int NW, int BN> struct gather_shape {
    using D = dense_shape<DK, DV, MT, NW, BN, false>;
    static constexpr int bytes = D::bytes + D::rows * (int)sizeof(int32_t);
};

/* One gathered row: its packed row, head and where its partial goes; row -1: none. */
struct gathered {
    int64_t row, slot;
    int head;
    bool alone;
};

SPS_DEVICE struct gathered gathered_row(const struct attend_args *a, const int32_t *entry,
                                        int head, int r)
{
    int x = r & ((1 << a->lg) - 1), e = entry[r >> a->lg];
    struct gathered at = {-1, 0, head + x, false};

    if (e < 0 || x >= a->p)
        return at;
    at.alone = e & ALONE;
    e &= ~ALONE;
    at.row = a->at.begin + e / (int)a->width;
    at.slot = ((at.row - a->at.begin) * a->h + at.head) * a->width + e % (int)a->width;
    return at;
}

/* Keys of the block's sequence that the row sees. */
SPS_DEVICE int gathered_visible(const struct attend_args *a, const struct seq_view *seq,
                                const struct gathered *at)
{
    if (at->row < 0)
        return 0;
    return geometry_visible(&a->at, seq,
                            geometry_pos(&a->at, seq, (int)(at->row - seq->row)));
}

template <typename T, int DK, int DV, int MT, int NW, int BN>
__global__ void __launch_bounds__(NW * 32, DV <= 128 ? 2 : 1)
    gather_kernel(const __grid_constant__ struct attend_args a,
                  const struct gather_tile *__restrict__ tiles, const int32_t *total,
                  const int32_t *__restrict__ entries, float *partial,
                  struct partial_head *heads)
{
    using S = dense_shape<DK, DV, MT, NW, BN, false>;
    extern __shared__ __align__(1024) unsigned char shared[];
    int32_t *entry = (int32_t *)(shared + S::bytes);
    uint32_t sq = shared_address(shared), sk = sq + S::q_bytes, sv = sk + S::k_bytes;
    int warp = warp_index(), lane = threadIdx.x & 31;

    if (blockIdx.x >= *total)
        return;
    struct gather_tile tile = tiles[blockIdx.x];
    struct seq_view seq = a.at.seq[tile.seq];
    int head = tile.index_head * a.p, base = tile.unit * a.block;
    int end = base + tile.keys;
    int64_t kv = head / (a.h / a.g);
    const T *k = (const T *)a.k + (seq.key * a.g + kv) * a.dk;
    const T *v = (const T *)a.v + (seq.key * a.g + kv) * a.dv;
    float o[MT][DV / 8][4] = {}, m[2 * MT], l[2 * MT] = {};
    int visible[2 * MT], least = 1 << 30, most = 0;

    for (int i = threadIdx.x; i < S::rows; i += S::threads)
        entry[i] = i < tile.count ? entries[tile.first + i] : -1;
    __syncthreads();
#pragma unroll 4
    for (int i = threadIdx.x; i < S::rows * (DK / 8); i += S::threads) {
        int c = i % (DK / 8);
        struct gathered at = gathered_row(&a, entry, head, i / (DK / 8));
        bool valid = at.row >= 0 && c * 8 < a.dk;
        cp_async16(sq + tile_at<DK>(i / (DK / 8), c),
                   (const T *)a.q + (valid ? (at.row * a.h + at.head) * a.dk + c * 8 : 0),
                   valid);
    }
    for (int i = 0; i < 2 * MT; i++) {
        struct gathered at =
            gathered_row(&a, entry, head, warp * MT * 16 + lane / 4 + 8 * i);
        m[i] = -INFINITY;
        visible[i] = gathered_visible(&a, &seq, &at);
        least = at.row >= 0 && visible[i] < least ? visible[i] : least;
        most = visible[i] > most ? visible[i] : most;
    }
    least = __reduce_min_sync(~0u, least);
    most = __reduce_max_sync(~0u, most);
    load_keys<T, DK, BN, S::threads>(sk, k, a.g * a.dk, base, end, a.dk);
    cp_commit();
    for (; base < end; base += BN) {
        float s[MT][BN / 8][4] = {};

        cp_wait<0>();
        __syncthreads();
        load_keys<T, DV, BN, S::threads>(sv, v, a.g * a.dv, base, end, a.dv);
        cp_commit();
        bool reads = base < most;
        if (reads)
            mma_qk<T, DK, MT, BN>(s, sq, warp * MT * 16, sk);
        cp_wait<0>();
        __syncthreads();
        if (base + BN < end)
            load_keys<T, DK, BN, S::threads>(sk, k, a.g * a.dk, base + BN, end, a.dk);
        cp_commit();
        if (!reads)
            continue;
        if (base + BN > least || base + BN > end)
            for (int i = 0; i < 2 * MT; i++)
                mask_row<BN>(s, i, low_bits(visible[i] - base) & low_bits(end - base));
        softmax_tile<MT, BN, DV, false>(s, m, l, o, &a.c);
        mma_pv<T, DV, MT, BN>(o, s, sv);
    }
    cp_wait<0>();
    for (int i = 0; i < 2 * MT; i++) {
        float sum = quad_sum(l[i]), scale = sum > 0 ? 1 / sum : 0;
        struct gathered at =
            gathered_row(&a, entry, head, warp * MT * 16 + lane / 4 + 8 * i);
        if (at.row < 0)
            continue;
        int64_t place = at.row * a.h + at.head;
        float *to = at.alone ? a.o + place * a.dv : partial + at.slot * a.dv;
        for (int n = 0; n < DV / 8; n++) {
            int column = 8 * n + 2 * (lane & 3);
            const float *c = o[i >> 1][n] + 2 * (i & 1);
            if (column < a.dv)
                *(float2 *)(to + column) = make_float2(c[0] * scale, c[1] * scale);
        }
        struct partial_head whole = {sum > 0 ? m[i] + log2f(sum) : -INFINITY, 1};
        if ((lane & 3) == 0 && !at.alone)
            heads[at.slot] = whole;
        else if ((lane & 3) == 0 && a.lse)
            a.lse[place] = whole.lse * LN2;
    }
}

template <typename T, int DK, int DV, int MT, int NW, int BN>
static enum sps_status gather_launch(struct sps_device *dev, const struct attend_args *a,
                                     const struct gather_work *w)
{
    using S = gather_shape<DK, DV, MT, NW, BN>;
    auto kernel = gather_kernel<T, DK, DV, MT, NW, BN>;

    CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  S::bytes));
    kernel<<<(unsigned)w->most, S::D::threads, S::bytes, cuda_state_of(dev)->stream>>>(
        *a, w->tiles, w->total, w->entries, (float *)w->partial, w->heads);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}

template <int DK, int DV, int MT, int NW, int BN>
static enum sps_status gather_any(struct sps_device *dev, const struct attend_args *a,
                                  const struct gather_work *w)
{
    return a->dtype == SPS_BF16
               ? gather_launch<__nv_bfloat16, DK, DV, MT, NW, BN>(dev, a, w)
               : gather_launch<__half, DK, DV, MT, NW, BN>(dev, a, w);
}

#endif
