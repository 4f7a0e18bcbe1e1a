/* score.cuh - q k^T alone, and what is made of it tile by tile: raw scores, row
 * log-sum-exps, probabilities summed over a group's heads, over blocks, or kept.
 *
 * LOW: keys come as two terms (block means and compressed keys, never rounded once).
 * Sums over heads run over a warp's rows by shuffles; groups of more than 32 heads go in
 * parts of 32, each adding to what the one before wrote.
 */
#ifndef SPS_KERNELS_CUDA_SCORE_CUH
#define SPS_KERNELS_CUDA_SCORE_CUH

#include "kernels/cuda/dense.cuh"

template <int DK, int MT, int NW, int BN, bool LOW> struct score_shape {
    static constexpr int rows = NW * MT * 16, threads = NW * 32;
    static constexpr int q_bytes = rows * DK * 2, k_bytes = BN * DK * 2;
    static constexpr int stage = k_bytes * (LOW ? 2 : 1), scales = q_bytes + 2 * stage;
    static constexpr int bytes = scales + (LOW ? rows * 4 : 0);
};

/* Which token and head a thread's row i is, and its place in the outputs. */
template <int MT> struct score_rows {
    int64_t at[2 * MT];   /* row of [t,h]; -1: none */
    int64_t out[2 * MT];  /* first element of its row of out */
    int visible[2 * MT];
};

template <int MT>
SPS_DEVICE struct score_rows<MT> score_rows_of(const struct score_args *a,
                                               const struct row_tile *tile, int first,
                                               int row, int group)
{
    struct score_rows<MT> rows;

#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        int r = row + 8 * i, token = r >> a->lg, x = first + (r & ((1 << a->lg) - 1));
        bool valid = token < tile->count && x < a->p && (r & ((1 << a->lg) - 1)) < 32;
        int64_t t = tile->seq.row + tile->token + token;
        int pos = valid ? geometry_pos(&a->at, &tile->seq, tile->token + token) : 0;
        rows.at[i] = valid ? t * a->h + tile->head + x : -1;
        rows.out[i] = ((t - a->at.begin) * a->groups + group) * a->width;
        rows.visible[i] = valid ? geometry_visible(&a->at, &tile->seq, pos) : 0;
    }
    return rows;
}

/* p 2^-26 = exp2(s c - lse), 0 where not visible; `lse` is 26 more than the row's.  What
 * is below 2^-100 becomes 0 by itself: exp2_fast flushes below 2^-126. */
enum { P_SHIFT = 26 };
#define P_SCALE 0x1p26f

template <int MT, int BN>
SPS_DEVICE void probabilities(float (*s)[BN / 8][4], const struct score_rows<MT> *rows,
                              const float *lse, const float *c, int base, int end, int least)
{
#pragma unroll
    for (int i = 0; i < 2 * MT; i++)
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float *x = &s[i >> 1][n][2 * (i & 1) + e];
                *x = exp2_fast(__fmaf_rn(*x, c[i], -lse[i]));
            }
    if (base + BN <= least && base + BN <= end)
        return;
#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        int limit = (rows->visible[i] < end ? rows->visible[i] : end) - base;
        limit -= 2 * (threadIdx.x & 3);
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (8 * n + e >= limit)
                    s[i >> 1][n][2 * (i & 1) + e] = 0;
    }
}

/* Write (or add to) one element. */
SPS_DEVICE void put(float *to, float x, bool add)
{
    *to = add ? *to + x : x;
}

/* One row of BN / 8 x 2 values a thread, summed over the heads among the warp's rows
 * (lg of the row bits) and written: after each halving a lane keeps half the columns. */
template <int BN>
SPS_DEVICE void write_group(float *v, int lg, float *out, bool valid, int columns, bool add)
{
    constexpr int n0 = BN / 4;
    int lane = threadIdx.x & 31, from = 0;

#pragma unroll
    for (int level = 0; level < 3; level++) {
        int half = n0 >> (level + 1), bit = 4 << level;
        bool upper = lane & bit;
        if (level >= lg)
            break;
#pragma unroll
        for (int i = 0; i < n0 / 2; i++)
            if (i < half) {
                float give = upper ? v[i] : v[i + half], keep = upper ? v[i + half] : v[i];
                v[i] = keep + __shfl_xor_sync(~0u, give, bit);
            }
        from += upper ? half : 0;
    }
    if (lg >= 3) {
#pragma unroll
        for (int i = 0; i < n0 / 8; i++) {
            int column = (from + i) / 2 * 8 + 2 * (lane & 3) + ((from + i) & 1);
            if (valid && column < columns)
                put(out + column, v[i] * P_SCALE, add);
        }
        return;
    }
    int count = n0 >> lg;
#pragma unroll
    for (int i = 0; i < n0; i++) {
        int column = (from + i) / 2 * 8 + 2 * (lane & 3) + ((from + i) & 1);
        if (i < count && valid && column < columns)
            put(out + column, v[i] * P_SCALE, add);
    }
}

/* Sum p over the group's heads and write [r,g,keys]. */
template <int MT, int BN>
SPS_DEVICE void write_groups(const struct score_args *a, const struct score_rows<MT> *rows,
                             float (*s)[BN / 8][4], int base, int end, bool add)
{
    int span = a->lg >= 5 ? 2 * MT : a->lg == 4 ? 2 : 1; /* thread rows of one token */

#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        float v[BN / 4];
        if (i % span)
            continue;
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float x = s[i >> 1][n][2 * (i & 1) + e];
                if (span >= 2)
                    x += s[i >> 1][n][2 + e];
                if (span >= 4)
                    x += s[MT - 1][n][e] + s[MT - 1][n][2 + e];
                v[2 * n + e] = x;
            }
        /* the first head's lane of a token knows whether the token is there */
        int64_t first = __shfl_sync(~0u, rows->at[i], (threadIdx.x & 31) & ~((4 << (a->lg < 3 ? a->lg : 3)) - 4) & ~3);
        write_group<BN>(v, a->lg, a->out + rows->out[i] + base, first >= 0, end - base, add);
    }
}

/* Sum sums[2 MT], one block's mass of each row, over the group's heads and write. */
template <int MT>
SPS_DEVICE void write_mass(const struct score_args *a, const struct score_rows<MT> *rows,
                           const float *sums, int unit, bool add)
{
    int span = a->lg >= 5 ? 2 * MT : a->lg == 4 ? 2 : 1, lane = threadIdx.x & 31;

#pragma unroll
    for (int i = 0; i < 2 * MT; i++) {
        if (i % span)
            continue;
        float x = sums[i];
        if (span >= 2)
            x += sums[i + 1];
        if (span >= 4)
            x += sums[2 * MT - 2] + sums[2 * MT - 1];
        x = quad_sum(x);
        for (int bit = 4, level = 0; level < 3 && level < a->lg; level++, bit *= 2)
            x += __shfl_xor_sync(~0u, x, bit);
        if (rows->at[i] >= 0 && (lane & ((4 << (a->lg < 3 ? a->lg : 3)) - 1)) == 0)
            put(a->out + rows->out[i] + unit, x * P_SCALE, add);
    }
}

/* Add a tile's probabilities to the running block sums; write every block that ends. */
template <int MT, int BN>
SPS_DEVICE void add_mass(const struct score_args *a, const struct score_rows<MT> *rows,
                         float (*s)[BN / 8][4], float *sums, int unit, int many, bool ends,
                         bool add)
{
    int shift = 2 * (threadIdx.x & 3);

    if (many == 1 || a->block % 8 == 0) {
#pragma unroll
        for (int n = 0; n < BN / 8; n++) {
#pragma unroll
            for (int i = 0; i < 2 * MT; i++)
                sums[i] += s[i >> 1][n][2 * (i & 1)] + s[i >> 1][n][2 * (i & 1) + 1];
            bool last = many == 1 ? ends && n == BN / 8 - 1
                                  : (n + 1) * 8 % a->block == 0 && (n + 1) * 8 / a->block <= many;
            if (last) {
                int which = unit + (many == 1 ? 0 : (n + 1) * 8 / a->block - 1);
                if (which < a->width)
                    write_mass<MT>(a, rows, sums, which, add);
                for (int i = 0; i < 2 * MT; i++)
                    sums[i] = 0;
            }
        }
        return;
    }
    for (int in = 0; in < many && unit + in < a->width; in++) {
        for (int i = 0; i < 2 * MT; i++)
            sums[i] = 0;
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int column = 8 * n + e + shift;
                bool here = column >= in * a->block && column < (in + 1) * a->block;
                for (int i = 0; i < 2 * MT; i++)
                    sums[i] += here ? s[i >> 1][n][2 * (i & 1) + e] : 0;
            }
        write_mass<MT>(a, rows, sums, unit + in, add);
    }
    for (int i = 0; i < 2 * MT; i++)
        sums[i] = 0;
}

/* Running maximum and sum of a row's exponentials in base 2. */
template <int MT, int BN>
SPS_DEVICE void add_lse(const struct score_rows<MT> *rows, float (*s)[BN / 8][4], float c,
                        int base, int end, float *m, float *l)
{
    float none[MT][1][4] = {};

    for (int i = 0; i < 2 * MT; i++)
        mask_row<BN>(s, i, low_bits((int64_t)rows->visible[i] - base) & low_bits(end - base));
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
        load_queries<T, DK, S::rows, S::threads>(sq, (const T *)a.q, &mine, a.h, a.dk, a.lg,
                                                 heads);
        for (int step = -1; step < steps; step++) {
            int next = step + 1;
            if (step >= 0) {
                cp_wait<0>();
                __syncthreads();
            }
            if (LOW && step == 0) {
                float *unscale = (float *)(shared + S::scales);
                scale_queries<is_bf16<T>::value, DK, S::rows, S::threads>(shared, unscale);
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
                    load_keys<C, DK, BN, S::threads>(to + S::k_bytes, low, a.g * a.dk, base,
                                                     end, a.dk);
            }
            cp_commit();
            if (step < 0)
                continue;
            int base = step / cuts * span + step % cuts * BN, end = step / cuts * span + span;
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
                a.out[rows.at[i]] = sum > 0 ? m[i] * 0.6931471805599453f + logf(sum)
                                            : -INFINITY;
        }
    }
}

template <typename T, int DK, int MT, int NW, int BN, bool LOW, enum score_kind KIND>
static cudaError_t score_launch(const struct score_args *a, cudaStream_t stream)
{
    using S = score_shape<DK, MT, NW, BN, LOW>;
    auto kernel = score_kernel<T, DK, MT, NW, BN, LOW, KIND>;
    cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::bytes);

    if (error == cudaSuccess && a->at.tiles > 0) {
        kernel<<<(unsigned)(a->at.tiles * (int64_t)a->groups), S::threads, S::bytes, stream>>>(
            *a);
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
