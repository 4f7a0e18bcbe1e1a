/* union.cuh - attention over an index, query-outer: the rows of a tile share the loads of
 * every block that any of them reads; a warp computes only what its own tokens chose.
 *
 * A tile is 128 rows: tokens times the heads that share an index list.  The union is
 * built here, in ranges of units, as one bit per token and unit; K and V of the next
 * stages arrive while one is multiplied.  The band's keys join the same softmax.
 */
#ifndef SPS_KERNELS_CUDA_UNION_CUH
#define SPS_KERNELS_CUDA_UNION_CUH

#include "kernels/cuda/dense.cuh"

enum { UNION_WARPS = 8, UNION_ROWS = 128, UNION_THREADS = 256, UNION_WORDS = 1024 };

/* The union of one range of units, in shared memory. */
struct unit_list {
    uint32_t mask[UNION_WORDS];  /* [units of the range][words]: which tokens chose it */
    uint16_t unit[UNION_WORDS];  /* those that somebody reads, ascending */
    int count[UNION_WARPS];
};

template <int DK, int DV, int BN, int ST> struct union_shape {
    static constexpr int k_bytes = BN * DK * 2, v_bytes = BN * DV * 2;
    static constexpr int stage = k_bytes + v_bytes, list = ST * stage;
    static constexpr int bytes = list + (int)sizeof(struct unit_list);
    static_assert(list >= UNION_ROWS * DK * 2, "Q passes through the stages");
};

/* Set the bits of the tile's lists that lie in units [from, from + range). */
SPS_DEVICE void mark_chosen(const struct attend_args *a, const struct row_tile *tile,
                            uint32_t *mask, int words, int from, int range)
{
    int64_t row = tile->seq.row + tile->token;
    int64_t head = (int64_t)tile->head * a->index_heads / a->h;

    for (int token = threadIdx.x / 32; token < tile->count; token += UNION_WARPS) {
        int64_t i = (row + token) * a->index_heads + head;
        int64_t begin = a->offset ? a->offset[i] : i * a->width;
        int64_t end = a->offset ? a->offset[i + 1] : begin + a->width;
        for (int64_t e = begin + (threadIdx.x & 31); e < end; e += 32) {
            int unit = a->list[e] - from;
            if (unit >= 0 && unit < range)
                atomicOr(mask + unit * words + token / 32, 1u << (token & 31));
        }
    }
}

/* List the units of the range that are chosen or touch the band; returns how many. */
SPS_DEVICE int list_units(const struct attend_args *a, const struct row_tile *tile,
                          struct unit_list *list, int words, int from, int range)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x & 31, each = range / UNION_THREADS;
    int near = geometry_pos(&a->at, &tile->seq, tile->token) - a->at.window + 1;
    int last = geometry_pos(&a->at, &tile->seq, tile->token + tile->count - 1);
    int found = 0;
    uint32_t has = 0;

    for (int i = 0; i < each; i++) {
        int unit = threadIdx.x * each + i, base = (from + unit) * a->block;
        bool read = base < a->at.sink || (a->at.window > 0 && base <= last &&
                                          base + a->block > near);
        for (int w = 0; w < words; w++)
            read |= list->mask[unit * words + w] != 0;
        read &= base < tile->seq.keys;
        has |= (uint32_t)read << i;
        found += read;
    }
    int before = found;
    for (int step = 1; step < 32; step *= 2) {
        int other = __shfl_up_sync(~0u, before, step);
        before += lane >= step ? other : 0;
    }
    if (lane == 31)
        list->count[warp] = before;
    __syncthreads();
    int total = 0;
    before -= found;
    for (int w = 0; w < UNION_WARPS; w++) {
        before += w < warp ? list->count[w] : 0;
        total += list->count[w];
    }
    for (int i = 0; i < each; i++)
        if (has >> i & 1)
            list->unit[before++] = (uint16_t)(threadIdx.x * each + i);
    __syncthreads();
    return total;
}

/* How key tiles are cut from units: `parts` tiles a unit, or `many` units a tile. */
struct unit_cut {
    int parts, many, from, count;
};

/* Fill a tile [BN][D] with the keys of step `step`. */
template <typename T, int D, int BN>
SPS_DEVICE void load_units(const struct unit_list *list, const struct unit_cut *cut, int step,
                           int block, uint32_t to, const T *from, int64_t stride, int keys,
                           int d)
{
    if (cut->many == 1) {
        int unit = cut->from + list->unit[step / cut->parts], part = step % cut->parts;
        int end = (unit + 1) * block;
        load_keys<T, D, BN, UNION_THREADS>(to, from, stride, unit * block + part * BN,
                                           end < keys ? end : keys, d);
        return;
    }
    constexpr int chunks = D / 8;
    for (int i = threadIdx.x; i < BN * chunks; i += UNION_THREADS) {
        int r = i / chunks, c = i % chunks, in = r / block, e = step * cut->many + in;
        bool valid = in < cut->many && e < cut->count && c * 8 < d;
        int key = valid ? (cut->from + list->unit[e]) * block + r - in * block : 0;
        valid &= key < keys;
        cp_async16(to + tile_at<D>(r, c), valid ? from + key * stride + c * 8 : from, valid);
    }
}

/* The tokens of a warp's rows: bits [shift, shift + count) of word `word`. */
struct warp_tokens {
    int word, shift, first;
    uint32_t all;
};

SPS_DEVICE struct warp_tokens warp_tokens_of(int warp, int lg, int count)
{
    struct warp_tokens t;
    int first = (warp * 16) >> lg, tokens = lg >= 4 ? 1 : 16 >> lg;

    tokens = first + tokens > count ? count - first : tokens;
    t.first = first;
    t.word = first / 32;
    t.shift = first & 31;
    t.all = tokens <= 0 ? 0 : (1u << tokens) - 1;
    return t;
}

/* Keys of step `step` that a row at `pos` reads, by its token's bit in `chosen`. */
SPS_DEVICE uint64_t unit_bits(const struct attend_args *a, const struct row_tile *tile,
                              int pos, int base, int size, bool chosen)
{
    int seen = geometry_visible(&a->at, &tile->seq, pos);
    uint64_t bits = chosen ? low_bits((int64_t)seen - base)
                           : geometry_band(&a->at, pos, seen, base);

    return bits & low_bits(size);
}

/* Mask one step's scores; false when the whole warp reads nothing (s is not touched and
 * need not be computed), *whole when it reads everything. */
template <int BN>
SPS_DEVICE bool step_bits(const struct attend_args *a, const struct row_tile *tile,
                          const struct unit_list *list, const struct unit_cut *cut, int step,
                          int words, const struct warp_tokens *mine, uint64_t allow[2])
{
    int row = (threadIdx.x / 32) * 16 + (threadIdx.x & 31) / 4, pos[2], bit[2];

    for (int i = 0; i < 2; i++) {
        int token = (row + 8 * i) >> a->lg;
        token = token < tile->count ? token : tile->count - 1;
        bit[i] = token > mine->first ? token - mine->first : 0;
        pos[i] = geometry_pos(&a->at, &tile->seq, tile->token + token);
        allow[i] = 0;
    }
    for (int in = 0; in < cut->many; in++) {
        int e = cut->many == 1 ? step / cut->parts : step * cut->many + in;
        if (e >= cut->count)
            break;
        int unit = list->unit[e], base = (cut->from + unit) * a->block, size = a->block;
        uint32_t chosen = list->mask[unit * words + mine->word] >> mine->shift & mine->all;
        if (cut->many == 1) {
            base += step % cut->parts * BN;
            size -= step % cut->parts * BN;
        }
        for (int i = 0; i < 2; i++)
            allow[i] |= unit_bits(a, tile, pos[i], base, size, chosen >> bit[i] & 1)
                        << (in * a->block);
    }
    allow[0] &= low_bits(BN), allow[1] &= low_bits(BN);
    return __any_sync(~0u, (allow[0] | allow[1]) != 0);
}

template <typename T, int DK, int DV, int BN, int ST>
__global__ void __launch_bounds__(UNION_THREADS, 1)
    union_kernel(const __grid_constant__ struct attend_args a)
{
    using S = union_shape<DK, DV, BN, ST>;
    extern __shared__ __align__(1024) unsigned char shared[];
    struct unit_list *list = (struct unit_list *)(shared + S::list);
    uint32_t stages = shared_address(shared), held[DK / 16][4];
    int warp = threadIdx.x / 32, lane = threadIdx.x & 31;
    struct row_tile tile = row_tile_of(&a.at, blockIdx.x, a.groups, a.section, a.p);
    struct warp_tokens mine = warp_tokens_of(warp, a.lg, tile.count);
    int64_t kv = tile.head / (a.h / a.g);
    const T *k = (const T *)a.k + (tile.seq.key * a.g + kv) * a.dk;
    const T *v = (const T *)a.v + (tile.seq.key * a.g + kv) * a.dv;
    float o[1][DV / 8][4] = {}, m[2] = {-INFINITY, -INFINITY}, l[2] = {};
    int words = (a.at.tokens + 31) / 32, range = UNION_WORDS / words;
    int last = geometry_pos(&a.at, &tile.seq, tile.token + tile.count - 1);
    int units = (geometry_visible(&a.at, &tile.seq, last) + a.block - 1) / a.block;
    struct unit_cut cut;

    cut.many = a.block < BN ? BN / a.block : 1;
    cut.parts = a.block < BN ? 1 : (a.block + BN - 1) / BN;
    load_queries<T, DK, UNION_ROWS, UNION_THREADS>(stages, (const T *)a.q, &tile, a.h, a.dk,
                                                   a.lg, a.p);
    cp_commit();
    cp_wait<0>();
    __syncthreads();
#pragma unroll
    for (int kk = 0; kk < DK / 16; kk++)
        ldmatrix4(held[kk], stages + tile_at<DK>(warp * 16 + (lane & 15), kk * 2 + lane / 16));
    for (cut.from = 0; cut.from < units; cut.from += range) {
        __syncthreads();
        for (int i = threadIdx.x; i < UNION_WORDS; i += UNION_THREADS)
            list->mask[i] = 0;
        __syncthreads();
        mark_chosen(&a, &tile, list->mask, words, cut.from, range);
        __syncthreads();
        cut.count = list_units(&a, &tile, list, words, cut.from, range);
        int steps = (cut.count + cut.many - 1) / cut.many * cut.parts;
        for (int step = 1 - ST; step < steps; step++) {
            int next = step + ST - 1;
            if (step >= 0) {
                cp_wait<ST - 2>();
                __syncthreads();
            }
            if (next < steps) {
                uint32_t to = stages + next % ST * S::stage;
                load_units<T, DK, BN>(list, &cut, next, a.block, to, k, a.g * a.dk,
                                      tile.seq.keys, a.dk);
                load_units<T, DV, BN>(list, &cut, next, a.block, to + S::k_bytes, v,
                                      a.g * a.dv, tile.seq.keys, a.dv);
            }
            cp_commit();
            if (step < 0)
                continue;
            uint64_t allow[2];
            if (!step_bits<BN>(&a, &tile, list, &cut, step, words, &mine, allow))
                continue;
            uint32_t at = stages + step % ST * S::stage;
            float s[1][BN / 8][4] = {};
            mma_qk_held<T, DK, BN>(s[0], held, at);
            if (__any_sync(~0u, (allow[0] & allow[1]) != low_bits(BN)))
                mask_tile<1, BN>(s, allow);
            softmax_tile<1, BN, DV>(s, m, l, o, a.c);
            mma_pv<T, DV, 1, BN>(o, s, at + S::k_bytes);
        }
        cp_wait<0>();
    }
    write_rows<DV, 1>(&a, &tile, warp * 16 + lane / 4, o, m, l);
}

template <typename T, int DK, int DV, int BN, int ST>
static cudaError_t union_launch(const struct attend_args *a, cudaStream_t stream)
{
    using S = union_shape<DK, DV, BN, ST>;
    auto kernel = union_kernel<T, DK, DV, BN, ST>;
    cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::bytes);

    if (error == cudaSuccess && a->at.tiles > 0) {
        kernel<<<(unsigned)(a->at.tiles * (int64_t)a->groups), UNION_THREADS, S::bytes,
                 stream>>>(*a);
        error = cudaGetLastError();
    }
    return error;
}

/* ST stages where shared memory allows it, else 2. */
template <int DK, int DV, int BN, int ST>
static cudaError_t union_any(const struct attend_args *a, cudaStream_t stream)
{
    bool wide = a->shared_bytes >= (size_t)union_shape<DK, DV, BN, ST>::bytes;

    if (a->dtype == SPS_BF16)
        return wide ? union_launch<__nv_bfloat16, DK, DV, BN, ST>(a, stream)
                    : union_launch<__nv_bfloat16, DK, DV, BN, 2>(a, stream);
    return wide ? union_launch<__half, DK, DV, BN, ST>(a, stream)
                : union_launch<__half, DK, DV, BN, 2>(a, stream);
}

#endif
