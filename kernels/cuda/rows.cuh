/* rows.cuh - attention over an index, row-outer: every warp reads the blocks of its own
 * 16 rows (tokens times the heads that share a list), 16 keys a step, through its own
 * ring in shared memory.  Warps never wait for each other, so uneven lists cost nothing.
 *
 * The lists of a warp's tokens are merged as they are read: each token has a few lanes
 * that hold its next entries; the least unit not yet done is next.  Keys of the band join
 * in.
 */
#ifndef SPS_KERNELS_CUDA_ROWS_CUH
#define SPS_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/dense.cuh"

enum { ROWS_WARPS = 4, ROWS_KEYS = 16, ROWS_TILE = ROWS_WARPS * 16 };
enum { NO_UNIT = 0x7fffffff };

/* The keys of one stage: -1 where there is none, and whose lists hold them. */
struct stage_keys {
    int32_t key[ROWS_KEYS];
    uint32_t chosen[ROWS_KEYS]; /* lanes whose entry it is */
    int32_t whole;              /* every row reads every key */
    int32_t pad[31];
};

template <int DK, int DV, int ST> struct rows_shape {
    static constexpr int k_bytes = ROWS_KEYS * DK * 2, v_bytes = ROWS_KEYS * DV * 2;
    static constexpr int stage = k_bytes + v_bytes, ring = ST * stage;
    static constexpr int keys = ROWS_WARPS * ring;
    static constexpr int bytes = keys + ROWS_WARPS * ST * (int)sizeof(struct stage_keys);
};

/* A warp's way through its lists. */
struct feeder {
    int64_t from, end;    /* of this lane's token: entries in hand, end of the list */
    int value;            /* this lane's entry, or NO_UNIT */
    int lanes;            /* lanes a token */
    int done;             /* the unit in hand; those below are done */
    uint32_t mask;        /* lanes whose entry it is */
    int key, stop;        /* what is left of it */
    int sink, near, last; /* units of the band: below sink, near..last */
    int least, most;      /* keys that all, that some rows see */
    bool band;
};

SPS_DEVICE int feeder_load(const struct attend_args *a, const struct feeder *f)
{
    int64_t at = f->from + (threadIdx.x & 31) % f->lanes;
    int unit = at < f->end ? a->list[at] : -1;

    return unit < 0 ? NO_UNIT : unit;
}

SPS_DEVICE uint32_t feeder_bits(const struct feeder *f, uint32_t lanes, int token)
{
    return lanes >> (token * f->lanes) & (uint32_t)low_bits(f->lanes);
}

/* Lists and band of `count` tokens from `token` of the tile. */
SPS_DEVICE struct feeder feeder_of(const struct attend_args *a,
                                   const struct row_tile *tile, int token, int count)
{
    struct feeder f;
    int lane = threadIdx.x & 31, first, last;

    f.lanes = a->lg >= 4 ? 32 : 2 << a->lg;
    f.from = f.end = 0;
    if (lane / f.lanes < count) {
        int64_t i =
            (tile->seq.row + tile->token + token + lane / f.lanes) * a->index_heads +
            (int64_t)tile->head * a->index_heads / a->h;
        f.from = a->offset ? a->offset[i] : i * a->width;
        f.end = a->offset ? a->offset[i + 1] : f.from + a->width;
    }
    f.value = feeder_load(a, &f);
    f.done = -1;
    f.key = f.stop = 0;
    first = geometry_pos(&a->at, &tile->seq, tile->token + token);
    last = geometry_pos(&a->at, &tile->seq, tile->token + token + count - 1);
    f.least = geometry_visible(&a->at, &tile->seq, first);
    f.most = geometry_visible(&a->at, &tile->seq, last);
    f.sink = (a->at.sink + a->block - 1) / a->block;
    f.near = first - a->at.window + 1 > 0 ? (first - a->at.window + 1) / a->block : 0;
    f.last = a->at.window > 0 ? last / a->block : -1;
    f.band = a->at.window > 0 || a->at.sink > 0;
    return f;
}

/* Step to the next unit; false at the end. */
SPS_DEVICE bool feeder_next(const struct attend_args *a, struct feeder *f)
{
    uint32_t live = __ballot_sync(~0u, f->value > f->done);

    if (feeder_bits(f, live, (threadIdx.x & 31) / f->lanes) == 0) {
        f->from += f->lanes;
        f->value = feeder_load(a, f);
    }
    int unit = __reduce_min_sync(~0u, f->value > f->done ? f->value : NO_UNIT);
    if (f->band) {
        int next = f->done + 1;
        if (next >= f->sink)
            next = next > f->near ? next : f->near;
        if ((next < f->sink || next <= f->last) && next < unit)
            unit = next;
    }
    if (unit == NO_UNIT || (int64_t)unit * a->block >= f->most)
        return false;
    f->mask = __ballot_sync(~0u, f->value == unit);
    f->done = unit;
    f->key = unit * a->block;
    f->stop = f->most - f->key < a->block ? f->most : f->key + a->block;
    return true;
}

/* Name the next keys of a stage; false when none is left. */
SPS_DEVICE bool feeder_fill(const struct attend_args *a, struct feeder *f, int tokens,
                            struct stage_keys *to)
{
    int lane = threadIdx.x & 31, key = -1, filled = 0;
    uint32_t chosen = 0;

    do {
        if (f->key >= f->stop && !feeder_next(a, f))
            break;
        int count =
            f->stop - f->key < ROWS_KEYS - filled ? f->stop - f->key : ROWS_KEYS - filled;
        if (lane >= filled && lane < filled + count) {
            key = f->key + lane - filled;
            chosen = f->mask;
        }
        f->key += count;
        filled += count;
    } while (filled < ROWS_KEYS);
    if (filled == 0)
        return false;
    bool whole = lane >= ROWS_KEYS || (key >= 0 && key < f->least);
    for (int i = 0; i < tokens; i++)
        whole &= lane >= ROWS_KEYS || feeder_bits(f, chosen, i) != 0;
    whole = __all_sync(~0u, whole);
    if (lane < ROWS_KEYS) {
        to->key[lane] = key;
        to->chosen[lane] = chosen;
    }
    to->whole = whole;
    __syncwarp();
    return true;
}

/* Fill a warp's tile [ROWS_KEYS][D] with the stage's keys. */
template <typename T, int D>
SPS_DEVICE void load_stage(const struct stage_keys *keys, uint32_t to, const T *from,
                           int64_t stride, int d)
{
    constexpr int chunks = D / 8;

#pragma unroll 8
    for (int k = 0; k < ROWS_KEYS * chunks / 32; k++) {
        int i = (threadIdx.x & 31) + 32 * k, r = i / chunks, c = i % chunks,
            key = keys->key[r];
        bool valid = key >= 0 && c * 8 < d;
        cp_async16(to + tile_at<D>(r, c), valid ? from + key * stride + c * 8 : from,
                   valid);
    }
}

/* -inf where a row does not read a key. */
SPS_DEVICE void mask_stage(const struct attend_args *a, const struct row_tile *tile,
                           const struct feeder *f, const struct stage_keys *keys,
                           int token, float (*s)[4])
{
    int lane = threadIdx.x & 31;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        int mine = a->lg >= 4 ? 0 : (lane / 4 + 8 * i) >> a->lg, t = token + mine;
        t = t < tile->count ? t : tile->count - 1;
        int pos = geometry_pos(&a->at, &tile->seq, tile->token + t);
        int seen = geometry_visible(&a->at, &tile->seq, pos);
#pragma unroll
        for (int n = 0; n < ROWS_KEYS / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int j = 8 * n + 2 * (lane & 3) + e, key = keys->key[j];
                bool reads = feeder_bits(f, keys->chosen[j], mine) != 0 ||
                             key < a->at.sink || (key <= pos && key > pos - a->at.window);
                if (key < 0 || key >= seen || !reads)
                    s[n][2 * i + e] = -INFINITY;
            }
    }
}

/* As softmax_tile, but o is only touched when some row's maximum grew. */
template <int DV>
SPS_DEVICE void softmax_stage(float (*s)[4], float *m, float *l, float (*o)[4], float c)
{
    float factor[2];

#pragma unroll
    for (int i = 0; i < 2; i++) {
        int e = 2 * i;
        float top = fmaxf(fmaxf(s[0][e], s[0][e + 1]), fmaxf(s[1][e], s[1][e + 1]));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
        top = fmaxf(top * c, m[i]);
        float base = top == -INFINITY ? 0.f : top, sum = 0;
        factor[i] = exp2_fast(m[i] - base);
        m[i] = top;
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                s[n][e + j] = exp2_fast(__fmaf_rn(s[n][e + j], c, -base));
                sum += s[n][e + j];
            }
        l[i] = __fmaf_rn(l[i], factor[i], sum);
    }
    if (__any_sync(~0u, factor[0] != 1 || factor[1] != 1))
#pragma unroll
        for (int n = 0; n < DV / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                o[n][e] *= factor[e / 2];
}

/* Read this warp's 16 query rows straight into fragments; absent ones are zeros. */
template <typename T, int DK>
SPS_DEVICE void hold_queries(const struct attend_args *a, const struct row_tile *tile,
                             int row, uint32_t (*held)[4])
{
    int lane = threadIdx.x & 31;

#pragma unroll
    for (int i = 0; i < 2; i++) {
        int r = row + lane / 4 + 8 * i, token = r >> a->lg, x = r & ((1 << a->lg) - 1);
        bool valid = token < tile->count && x < a->p;
        const T *from =
            (const T *)a->q +
            ((tile->seq.row + tile->token + token) * a->h + tile->head + x) * a->dk;
#pragma unroll
        for (int kk = 0; kk < DK / 16; kk++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int d = kk * 16 + 8 * j + 2 * (lane & 3);
                held[kk][i + 2 * j] =
                    valid && d < a->dk ? *(const uint32_t *)(from + d) : 0;
            }
    }
}

template <typename T, int DK, int DV, int ST>
__global__ void __launch_bounds__(ROWS_WARPS * 32, DV <= 128 ? 3 : 2)
    rows_kernel(const __grid_constant__ struct attend_args a)
{
    using S = rows_shape<DK, DV, ST>;
    extern __shared__ __align__(1024) unsigned char shared[];
    int warp = threadIdx.x / 32, row = warp * 16, lane = threadIdx.x & 31;
    struct stage_keys *keys = (struct stage_keys *)(shared + S::keys) + warp * ST;
    uint32_t ring = shared_address(shared) + warp * S::ring, held[DK / 16][4];
    struct row_tile tile = row_tile_of(&a.at, blockIdx.x, a.groups, a.section, a.p);
    int64_t kv = tile.head / (a.h / a.g);
    const T *k = (const T *)a.k + (tile.seq.key * a.g + kv) * a.dk;
    const T *v = (const T *)a.v + (tile.seq.key * a.g + kv) * a.dv;
    float o[1][DV / 8][4] = {}, m[2] = {-INFINITY, -INFINITY}, l[2] = {};
    int token = row >> a.lg, tokens = a.lg >= 4 ? 1 : 16 >> a.lg, filled = 0;

    if (token >= tile.count || (row & ((1 << a.lg) - 1)) >= a.p)
        return;
    tokens = tokens < tile.count - token ? tokens : tile.count - token;
    hold_queries<T, DK>(&a, &tile, row, held);
    struct feeder f = feeder_of(&a, &tile, token, tokens);
    for (int step = 1 - ST; step < filled; step++) {
        int next = step + ST - 1;
        if (next == filled && feeder_fill(&a, &f, tokens, keys + next % ST)) {
            uint32_t to = ring + next % ST * S::stage;
            load_stage<T, DK>(keys + next % ST, to, k, a.g * a.dk, a.dk);
            load_stage<T, DV>(keys + next % ST, to + S::k_bytes, v, a.g * a.dv, a.dv);
            filled++;
        }
        cp_commit();
        if (step < 0)
            continue;
        cp_wait<ST - 1>();
        __syncwarp();
        uint32_t at = ring + step % ST * S::stage;
        float s[1][ROWS_KEYS / 8][4] = {};
        mma_qk_held<T, DK, ROWS_KEYS>(s[0], held, at);
        if (!keys[step % ST].whole)
            mask_stage(&a, &tile, &f, keys + step % ST, token, s[0]);
        softmax_stage<DV>(s[0], m, l, o[0], a.c);
        mma_pv<T, DV, 1, ROWS_KEYS>(o, s, at + S::k_bytes);
        __syncwarp();
    }
    cp_wait<0>();
    write_rows<DV, 1>(&a, &tile, row + lane / 4, o, m, l, 1);
}

template <typename T, int DK, int DV, int ST>
static cudaError_t rows_launch(const struct attend_args *a, cudaStream_t stream)
{
    using S = rows_shape<DK, DV, ST>;
    auto kernel = rows_kernel<T, DK, DV, ST>;
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::bytes);

    if (error == cudaSuccess && a->at.tiles > 0) {
        kernel<<<(unsigned)(a->at.tiles * (int64_t)a->groups), ROWS_WARPS * 32, S::bytes,
                 stream>>>(*a);
        error = cudaGetLastError();
    }
    return error;
}

template <int DK, int DV, int ST>
static cudaError_t rows_any(const struct attend_args *a, cudaStream_t stream)
{
    return a->dtype == SPS_BF16 ? rows_launch<__nv_bfloat16, DK, DV, ST>(a, stream)
                                : rows_launch<__half, DK, DV, ST>(a, stream);
}

#endif
