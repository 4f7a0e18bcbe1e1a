/* score.cuh - q k^T alone, and what is made of it tile by tile: raw scores, row
 * log-sum-exps, probabilities summed over a group's heads, over blocks, or kept.
 *
 * LOW: keys come as two terms (block means and compressed keys, never rounded once).
 * Sums over heads run over a warp's rows by shuffles; groups of more than 32 heads go in
 * parts of 32, each adding to what the one before wrote.
 */
#ifndef SPS_KERNELS_CUDA_SCORE_CUH
#define SPS_KERNELS_CUDA_SCORE_CUH

#include "kernels/cuda/score_tile.cuh"

template <int DK, int MT, int NW, int BN, bool LOW> struct score_shape {
    static constexpr int rows = NW * MT * 16, threads = NW * 32;
    static constexpr int q_bytes = rows * DK * 2, k_bytes = BN * DK * 2;
    static constexpr int stage = k_bytes * (LOW ? 2 : 1), scales = q_bytes + 2 * stage;
    static constexpr int bytes = scales + (LOW ? rows * 4 : 0);
};

/* Running maximum and sum of a row's exponentials in base 2. */
template <int MT, int BN>
SPS_DEVICE void add_lse(const struct score_rows<MT> *rows, float (*s)[BN / 8][4], float c,
                        int base, int end, float *m, float *l)
{
    float none[MT][1][4] = {};

    for (int i = 0; i < 2 * MT; i++)
        mask_row<BN>(s, i,
                     low_bits((int64_t)rows->visible[i] - base) & low_bits(end - base));
    softmax_tile<MT, BN, 8, false>(s, m, l, none, &c);
}

/* Write each visible element of a tile, times its row's unit (NULL: that of p). */
template <int MT, int BN>
SPS_DEVICE void write_all(const struct score_args *a, const struct score_rows<MT> *rows,
                          float (*s)[BN / 8][4], const float *unit, int base, int end)
{
#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        int limit = rows->visible[i] < end ? rows->visible[i] : end;
        float by = unit ? unit[i] : P_SCALE;
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int key = base + 8 * n + 2 * (threadIdx.x & 3) + e;
                if (key < limit)
                    a->out[rows->out[i] + key] = s[i >> 1][n][2 * (i & 1) + e] * by;
            }
    }
}

template <typename T, int DK, int MT, int NW, int BN, bool LOW, enum score_kind KIND>
__global__ void __launch_bounds__(NW * 32, 2)
    score_kernel(const __grid_constant__ struct score_args a)
{
    using S = score_shape<DK, MT, NW, BN, LOW>;
    using C = typename either<LOW, __half, T>::type;
    extern __shared__ __align__(1024) unsigned char shared[];
    uint32_t sq = shared_address(shared), sk = sq + S::q_bytes;
    int warp = warp_index(), lane = threadIdx.x & 31, row = warp * MT * 16 + lane / 4;
    struct row_tile tile = row_tile_of(&a.at, blockIdx.x, a.groups, a.section, a.p);
    int group = tile.head / a.p, last = tile.token + tile.count - 1;
    if (KIND == SCORE_PROBS)
        tile.head = a.head;
    int64_t kv = tile.head / (a.h / a.g);
    const C *k = (const C *)a.k + (tile.seq.key * a.g + kv) * a.dk;
    const C *low = LOW ? (const C *)a.k_low + (tile.seq.key * a.g + kv) * a.dk : k;
    int seen = geometry_visible(&a.at, &tile.seq, geometry_pos(&a.at, &tile.seq, last));
    int unit = KIND == SCORE_MASS ? a.block : BN, many = unit < BN ? BN / unit : 1;
    int cuts = (unit + BN - 1) / BN, span = unit * many;
    int steps = (seen + span - 1) / span * cuts;

    for (int part = 0; part < a.parts; part++) {
        struct row_tile mine = tile;
        mine.head += part * 32;
        int heads = a.p - part * 32 < 32 ? a.p - part * 32 : 32;
        struct score_rows<MT> rows = score_rows_of<MT>(&a, &tile, part * 32, row, group);
        float lse[2 * MT], m[2 * MT], l[2 * MT] = {}, sums[2 * MT] = {}, c[2 * MT];

        int least = rows.visible[0];
        for (int i = 0; i < 2 * MT; i++) {
            least = rows.at[i] >= 0 && rows.visible[i] < least ? rows.visible[i] : least;
            m[i] = -INFINITY;
            c[i] = a.c;
            lse[i] = INFINITY;
            if (KIND >= SCORE_GROUP && rows.at[i] >= 0)
                lse[i] = __fmaf_rn(a.lse[rows.at[i]], 1.4426950408889634f, P_SHIFT);
        }
        least = __reduce_min_sync(~0u, least);
        load_queries<T, DK, S::rows, S::threads>(sq, (const T *)a.q, &mine, a.h, a.dk,
                                                 a.lg, heads);
        for (int step = -1; step < steps; step++) {
            int next = step + 1;
            if (step >= 0) {
                cp_wait<0>();
                __syncthreads();
            }
            if (LOW && step == 0) {
                float *unscale = (float *)(shared + S::scales);
                scale_queries<is_bf16<T>::value, DK, S::rows, S::threads>(shared,
                                                                          unscale);
                __syncthreads();
                for (int i = 0; i < 2 * MT; i++)
                    c[i] = (KIND == SCORE_RAW ? 1 : a.c) * term_unscale(*a.k_top) *
                           unscale[row + 8 * i];
            }
            if (next < steps) {
                int base = next / cuts * span + next % cuts * BN;
                int end = next / cuts * span + span;
                end = end < tile.seq.keys ? end : tile.seq.keys;
                uint32_t to = sk + (next & 1) * S::stage;
                load_keys<C, DK, BN, S::threads>(to, k, a.g * a.dk, base, end, a.dk);
                if (LOW)
                    load_keys<C, DK, BN, S::threads>(to + S::k_bytes, low, a.g * a.dk,
                                                     base, end, a.dk);
            }
            cp_commit();
            if (step < 0)
                continue;
            int base = step / cuts * span + step % cuts * BN,
                end = step / cuts * span + span;
            uint32_t at = sk + (step & 1) * S::stage;
            float s[MT][BN / 8][4] = {};
            end = end < tile.seq.keys ? end : tile.seq.keys;
            if (LOW)
                mma_qk_terms<C, DK, MT, BN, KIND == SCORE_RAW>(s, sq, warp * MT * 16, at,
                                                               at + S::k_bytes);
            else
                mma_qk<C, DK, MT, BN>(s, sq, warp * MT * 16, at);
            if (KIND >= SCORE_GROUP)
                probabilities<MT, BN>(s, &rows, lse, c, base, end, least);
            if (KIND == SCORE_RAW || KIND == SCORE_PROBS)
                write_all<MT, BN>(&a, &rows, s, KIND == SCORE_RAW ? c : NULL, base, end);
            if (KIND == SCORE_LSE)
                add_lse<MT, BN>(&rows, s, a.c, base, end, m, l);
            if (KIND == SCORE_GROUP)
                write_groups<MT, BN>(&a, &rows, s, base, end, part > 0);
            if (KIND == SCORE_MASS)
                add_mass<MT, BN>(&a, &rows, s, sums, step / cuts * many, many,
                                 step % cuts == cuts - 1, part > 0);
        }
        cp_wait<0>();
        __syncthreads();
        for (int i = 0; KIND == SCORE_LSE && i < 2 * MT; i++) {
            float sum = quad_sum(l[i]);
            if (rows.at[i] >= 0 && (lane & 3) == 0)
                a.out[rows.at[i]] = sum > 0 ? m[i] * LN2 + logf(sum) : -INFINITY;
        }
    }
}

template <typename T, int DK, int MT, int NW, int BN, bool LOW, enum score_kind KIND>
static cudaError_t score_launch(const struct score_args *a, cudaStream_t stream)
{
    using S = score_shape<DK, MT, NW, BN, LOW>;
    auto kernel = score_kernel<T, DK, MT, NW, BN, LOW, KIND>;
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::bytes);

    if (error == cudaSuccess && a->at.tiles > 0) {
        kernel<<<(unsigned)(a->at.tiles * (int64_t)a->groups), S::threads, S::bytes,
                 stream>>>(*a);
        error = cudaGetLastError();
    }
    return error;
}

template <typename T, int DK, int MT, int NW, int BN>
static cudaError_t score_kinds(const struct score_args *a, cudaStream_t stream)
{
    constexpr int bl = DK > 128 ? 32 : BN;

    switch (a->kind) {
    case SCORE_RAW:
        return score_launch<T, DK, MT, NW, 32, true, SCORE_RAW>(a, stream);
    case SCORE_LSE:
        return score_launch<T, DK, MT, NW, BN, false, SCORE_LSE>(a, stream);
    case SCORE_GROUP:
        return score_launch<T, DK, MT, NW, bl, true, SCORE_GROUP>(a, stream);
    case SCORE_MASS:
        return score_launch<T, DK, MT, NW, BN, false, SCORE_MASS>(a, stream);
    default:
        return score_launch<T, DK, MT, NW, BN, false, SCORE_PROBS>(a, stream);
    }
}

template <int DK, int MT, int NW, int BN>
static cudaError_t score_any(const struct score_args *a, cudaStream_t stream)
{
    return a->dtype == SPS_BF16 ? score_kinds<__nv_bfloat16, DK, MT, NW, BN>(a, stream)
                                : score_kinds<__half, DK, MT, NW, BN>(a, stream);
}

#endif
