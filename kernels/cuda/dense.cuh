/* dense.cuh - attention over a band of keys, FlashAttention-2 style (Dao 2023): a warp
 * holds MT * 16 rows, K and V tiles of BN keys arrive by cp.async while the other one
 * is multiplied.  LOW: K comes as two terms (compressed keys, never rounded once).
 */
#ifndef SPS_KERNELS_CUDA_DENSE_CUH
#define SPS_KERNELS_CUDA_DENSE_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/geometry.cuh"
#include "kernels/cuda/terms.cuh"

template <int DK, int DV, int MT, int NW, int BN, bool LOW> struct dense_shape {
    static constexpr int rows = NW * MT * 16, threads = NW * 32;
    static constexpr int q_bytes = rows * DK * 2, k_bytes = BN * DK * 2,
                         v_bytes = BN * DV * 2;
    static constexpr int scales = q_bytes + k_bytes * (LOW ? 2 : 1) + v_bytes;
    static constexpr int bytes = scales + (LOW ? rows * 4 : 0);
};

/* Key tiles that the tile's rows may read: the sink's, then the window's (or all). */
struct key_span {
    int sink, from, count;
};

template <int BN>
SPS_DEVICE struct key_span key_span_of(const struct geometry *at,
                                       const struct row_tile *tile)
{
    int first = geometry_pos(at, &tile->seq, tile->token);
    int last = geometry_pos(at, &tile->seq, tile->token + tile->count - 1);
    int seen = geometry_visible(at, &tile->seq, last), end = (seen + BN - 1) / BN;
    struct key_span span = {0, 0, end};

    if (at->all)
        return span;
    int near = first - at->window + 1, sink = at->sink < seen ? at->sink : seen;
    span.sink = (sink + BN - 1) / BN;
    span.from = near > 0 ? near / BN : 0;
    if (span.from < span.sink)
        span.from = span.sink;
    if (end > last / BN + 1)
        end = last / BN + 1;
    if (at->window == 0 || end < span.from)
        end = span.from;
    span.count = span.sink + end - span.from;
    return span;
}

SPS_DEVICE int key_span_base(const struct key_span *span, int step, int bn)
{
    return (step < span->sink ? step : step - span->sink + span->from) * bn;
}

/* What the rows of a warp see at least and at most; rows of no token count as the last.
 */
struct warp_view {
    int least, most, first, last; /* keys seen; positions */
};

template <int MT>
SPS_DEVICE struct warp_view warp_view_of(const struct geometry *at,
                                         const struct row_tile *tile, int row, int lg)
{
    int low = row >> lg, high = (row + MT * 16 - 1) >> lg, end = tile->count - 1;
    struct warp_view view;

    view.first = geometry_pos(at, &tile->seq, tile->token + (low < end ? low : end));
    view.last = geometry_pos(at, &tile->seq, tile->token + (high < end ? high : end));
    view.least = geometry_visible(at, &tile->seq, view.first);
    view.most = geometry_visible(at, &tile->seq, view.last);
    return view;
}

/* How much of the BN keys from `base` a warp reads. */
enum reading { READ_NONE, READ_SOME, READ_ALL };

template <int BN>
SPS_DEVICE enum reading reading_of(const struct geometry *at,
                                   const struct warp_view *view, int base)
{
    if (base >= view->most)
        return READ_NONE;
    bool whole = base + BN <= view->least;
    if (at->all)
        return whole ? READ_ALL : READ_SOME;
    if (whole && base + BN - 1 <= view->first && base > view->last - at->window)
        return READ_ALL;
    bool near = base <= view->last && base + BN - 1 > view->first - at->window;
    return near || base < at->sink ? READ_SOME : READ_NONE;
}

/* Which keys from `base` each of a thread's rows sees through the band. */
template <int MT, int BN>
SPS_DEVICE void mask_band(const struct geometry *at, const struct row_tile *tile, int row,
                          int lg, int base, float (*s)[BN / 8][4])
{
#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        int token = (row + 8 * i) >> lg;
        token = token < tile->count ? token : tile->count - 1;
        int pos = geometry_pos(at, &tile->seq, tile->token + token);
        int seen = geometry_visible(at, &tile->seq, pos);
        mask_row<BN>(s, i, geometry_band(at, pos, seen, base));
    }
}

/* Divide by the row sums and write o (float32) times `unit`, and lse. */
template <int DV, int MT>
SPS_DEVICE void write_rows(const struct attend_args *a, const struct row_tile *tile,
                           int row, float (*o)[DV / 8][4], const float *m, const float *l,
                           float unit)
{
    int lane = threadIdx.x & 31;

#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        int r = row + 8 * i, token = r >> a->lg, x = r & ((1 << a->lg) - 1);
        float sum = quad_sum(l[i]), scale = sum > 0 ? unit / sum : 0;
        if (token >= tile->count || x >= a->p)
            continue;
        int64_t at = (tile->seq.row + tile->token + token) * a->h + tile->head + x;
#pragma unroll
        for (int n = 0; n < DV / 8; n++) {
            int column = 8 * n + 2 * (lane & 3);
            const float *x = o[i >> 1][n] + 2 * (i & 1);
            if (column < a->dv)
                *(float2 *)(a->o + at * a->dv + column) =
                    make_float2(x[0] * scale, x[1] * scale);
        }
        if (a->lse && (lane & 3) == 0)
            a->lse[at] = sum > 0 ? m[i] * LN2 + logf(sum) : -INFINITY;
    }
}

template <typename T, int DK, int DV, int MT, int NW, int BN, bool LOW>
__global__ void __launch_bounds__(NW * 32, DV <= 128 ? 2 : 1)
    dense_kernel(const __grid_constant__ struct attend_args a)
{
    using S = dense_shape<DK, DV, MT, NW, BN, LOW>;
    using C = typename either<LOW, __half, T>::type; /* what is multiplied */
    extern __shared__ __align__(1024) unsigned char shared[];
    uint32_t sq = shared_address(shared), sk = sq + S::q_bytes;
    uint32_t sv = sk + S::k_bytes * (LOW ? 2 : 1);
    int warp = warp_index(), lane = threadIdx.x & 31;
    struct row_tile tile = row_tile_of(&a.at, blockIdx.x, a.groups, a.section, a.p);
    struct key_span span = key_span_of<BN>(&a.at, &tile);
    struct warp_view view = warp_view_of<MT>(&a.at, &tile, warp * MT * 16, a.lg);
    int64_t kv = tile.head / (a.h / a.g), keys = tile.seq.keys;
    const C *k = (const C *)a.k + (tile.seq.key * a.g + kv) * a.dk;
    const C *k_low = LOW ? (const C *)a.k_low + (tile.seq.key * a.g + kv) * a.dk : k;
    const C *v = (const C *)a.v + (tile.seq.key * a.g + kv) * a.dv;
    float o[MT][DV / 8][4] = {}, m[2 * MT], l[2 * MT] = {}, c[2 * MT] = {a.c};

    for (int i = 0; i < 2 * MT; i++)
        m[i] = -INFINITY;
    load_queries<T, DK, S::rows, S::threads>(sq, (const T *)a.q, &tile, a.h, a.dk, a.lg,
                                             a.p);
    if (span.count > 0) {
        int base = key_span_base(&span, 0, BN);
        load_keys<C, DK, BN, S::threads>(sk, k, a.g * a.dk, base, keys, a.dk);
        if (LOW)
            load_keys<C, DK, BN, S::threads>(sk + S::k_bytes, k_low, a.g * a.dk, base,
                                             keys, a.dk);
    }
    cp_commit();
    if (LOW) {
        float *unscale = (float *)(shared + S::scales);
        cp_wait<0>();
        __syncthreads();
        scale_queries<is_bf16<T>::value, DK, S::rows, S::threads>(shared, unscale);
        __syncthreads();
        for (int i = 0; i < 2 * MT; i++)
            c[i] = logit_scale(a.c, term_unscale(*a.k_top) *
                                        unscale[warp * MT * 16 + lane / 4 + 8 * i]);
    }
    for (int step = 0; step < span.count; step++) {
        int base = key_span_base(&span, step, BN);
        float s[MT][BN / 8][4] = {};

        cp_wait<0>();
        __syncthreads();
        load_keys<C, DV, BN, S::threads>(sv, v, a.g * a.dv, base, keys, a.dv);
        cp_commit();
        enum reading reading = reading_of<BN>(&a.at, &view, base);
        if (reading != READ_NONE) {
            if (LOW)
                mma_qk_terms<C, DK, MT, BN, false>(s, sq, warp * MT * 16, sk,
                                                   sk + S::k_bytes);
            else
                mma_qk<C, DK, MT, BN>(s, sq, warp * MT * 16, sk);
        }
        cp_wait<0>();
        __syncthreads();
        if (step + 1 < span.count) {
            int next = key_span_base(&span, step + 1, BN);
            load_keys<C, DK, BN, S::threads>(sk, k, a.g * a.dk, next, keys, a.dk);
            if (LOW)
                load_keys<C, DK, BN, S::threads>(sk + S::k_bytes, k_low, a.g * a.dk, next,
                                                 keys, a.dk);
        }
        cp_commit();
        if (reading == READ_NONE)
            continue;
        if (reading == READ_SOME)
            mask_band<MT, BN>(&a.at, &tile, warp * MT * 16 + lane / 4, a.lg, base, s);
        softmax_tile<MT, BN, DV, LOW>(s, m, l, o, c);
        mma_pv<C, DV, MT, BN>(o, s, sv);
    }
    cp_wait<0>();
    write_rows<DV, MT>(&a, &tile, warp * MT * 16 + lane / 4, o, m, l,
                       LOW ? term_unscale(*a.v_top) : 1);
}

template <typename T, int DK, int DV, int MT, int NW, int BN, bool LOW>
static cudaError_t dense_launch(const struct attend_args *a, cudaStream_t stream)
{
    using S = dense_shape<DK, DV, MT, NW, BN, LOW>;
    auto kernel = dense_kernel<T, DK, DV, MT, NW, BN, LOW>;
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::bytes);

    if (error == cudaSuccess && a->at.tiles > 0) {
        kernel<<<(unsigned)(a->at.tiles * (int64_t)a->groups), S::threads, S::bytes,
                 stream>>>(*a);
        error = cudaGetLastError();
    }
    return error;
}

/* The launch for one head size: a.k_low chooses two terms. */
template <int DK, int DV, int MT, int NW, int BN>
static cudaError_t dense_any(const struct attend_args *a, cudaStream_t stream)
{
    if (a->dtype == SPS_BF16)
        return a->k_low
                   ? dense_launch<__nv_bfloat16, DK, DV, MT, NW, (DK > 128 ? 32 : BN),
                                  true>(a, stream)
                   : dense_launch<__nv_bfloat16, DK, DV, MT, NW, BN, false>(a, stream);
    return a->k_low ? dense_launch<__half, DK, DV, MT, NW, (DK > 128 ? 32 : BN), true>(
                          a, stream)
                    : dense_launch<__half, DK, DV, MT, NW, BN, false>(a, stream);
}

#endif
