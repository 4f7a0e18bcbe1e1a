/* geometry.cuh - which rows a tile holds, where they stand and what they may see. */
#ifndef SPS_KERNELS_CUDA_GEOMETRY_CUH
#define SPS_KERNELS_CUDA_GEOMETRY_CUH

#include "kernels/cuda/tile.cuh"

/* One packed sequence, its rows clipped to the range of the call. */
struct seq_view {
    int64_t row;  /* first packed row in the range */
    int64_t key;  /* first packed key (or compressed key, or block mean) */
    int32_t rows; /* rows in the range */
    int32_t keys; /* keys of the sequence */
    int32_t pos;  /* position of the first row, unless geometry.pos */
    int32_t tile; /* row tiles of the sequences before */
    int32_t unit; /* index blocks of the sequences before */
};

/* Rows and visibility of one launch, by value; the arrays are on the device. */
struct geometry {
    const struct seq_view *seq;
    const int32_t *pos;       /* of the rows from `begin` on, or NULL */
    int64_t begin;            /* first row of the range */
    int32_t n, tiles, tokens; /* sequences, row tiles, rows a tile */
    int32_t l, u;             /* key m is visible when m u + l <= pos + 1 */
    int32_t window, sink;
    bool causal, all;
};

SPS_DEVICE struct seq_view geometry_find(const struct geometry *at, int tile)
{
    int low = 0, high = at->n - 1;

    while (low < high) {
        int mid = (low + high + 1) / 2;
        if (at->seq[mid].tile <= tile)
            low = mid;
        else
            high = mid - 1;
    }
    return at->seq[low];
}

/* Position of row `token` of the clipped sequence. */
SPS_DEVICE int geometry_pos(const struct geometry *at, const struct seq_view *seq,
                            int token)
{
    return at->pos ? at->pos[seq->row - at->begin + token] : seq->pos + token;
}

/* Keys that a row at `pos` sees: [0, this). */
SPS_DEVICE int geometry_visible(const struct geometry *at, const struct seq_view *seq,
                                int pos)
{
    if (!at->causal)
        return seq->keys;
    int seen = pos + 1 < at->l ? 0
               : at->u == 1    ? pos + 2 - at->l
                               : (pos + 1 - at->l) / at->u + 1;
    return seen < seq->keys ? seen : seq->keys;
}

/* Blocks that hold what a row at `pos` sees; none where it stands before all keys. */
SPS_DEVICE int geometry_blocks(int pos, int block)
{
    return pos < 0 ? 0 : pos / block + 1;
}

/* Bit j: a row reads key base + j through the band. */
SPS_DEVICE uint64_t geometry_band(const struct geometry *at, int pos, int visible,
                                  int base)
{
    uint64_t seen = low_bits((int64_t)visible - base);

    if (at->all)
        return seen;
    uint64_t near = low_bits((int64_t)pos + 1 - base) &
                    ~low_bits((int64_t)pos - at->window + 1 - base);
    return seen & (near | low_bits((int64_t)at->sink - base));
}

/* A block's score as it is kept. */
SPS_DEVICE float block_score(float x)
{
    return x < SPS_SCORE_LEAST ? 0 : x;
}

/* Where top-k reads a block's score: x[list * columns + block], 0 from `seen` on, or,
 * when window is set, the sum over compressed keys m < seen of x times the strides that m
 * and the block share (NSA eq. 9, arXiv 2502.11089). */
struct score_source {
    const float *x;
    int64_t columns, window, block; /* window and block in strides */
};

SPS_DEVICE float score_of(const struct score_source *from, int64_t list, int b, int seen)
{
    const float *x = from->x + list * from->columns;

    if (from->window == 0)
        return b < seen ? x[b] : 0;
    int window = (int)from->window, block = (int)from->block, first = b * block;
    if (window == 2 && block == 4) { /* the paper's 32, 16, 64 */
        float y[5];
#pragma unroll
        for (int i = 0; i < 5; i++) {
            int m = first - 1 + i;
            y[i] = m >= 0 && m < seen ? x[m] : 0;
        }
        return block_score(2 * (y[1] + y[2] + y[3]) + (y[0] + y[4]));
    }
    int m = first - window + 1 > 0 ? first - window + 1 : 0;
    int end = first + block < seen ? first + block : seen;
    float sum = 0;
    for (; m < end; m++) {
        int low = m > first ? m : first, high = m + window;
        high = high < first + block ? high : first + block;
        sum += (float)(high - low) * x[m];
    }
    return block_score(sum);
}

/* The rows of this CTA's tile: `count` tokens from `token` of `seq`, p heads from
 * `head` each; tile row r is token r >> lg, head r & ((1 << lg) - 1). */
struct row_tile {
    struct seq_view seq;
    int token, count, head;
};

/* Tile `number`, of head 0. */
SPS_DEVICE struct row_tile geometry_tile(const struct geometry *at, int number)
{
    struct row_tile tile;

    tile.seq = geometry_find(at, number);
    tile.token = (number - tile.seq.tile) * at->tokens;
    tile.count = tile.seq.rows - tile.token;
    if (tile.count > at->tokens)
        tile.count = at->tokens;
    tile.head = 0;
    return tile;
}

/* Tiles go longest first, `section` head groups at a time (their K and V stay in L2);
 * what is left over goes first, so that a full section is the last to fill the device. */
SPS_DEVICE struct row_tile row_tile_of(const struct geometry *at, int number, int groups,
                                       int section, int p)
{
    int wide = groups % section, base = 0, odd = at->tiles * wide;

    if (number >= odd) {
        int part = (number - odd) / (at->tiles * section);
        number -= odd + part * (at->tiles * section);
        base = wide + part * section;
        wide = section;
    }
    struct row_tile tile = geometry_tile(at, at->tiles - 1 - number / wide);

    tile.head = (base + number % wide) * p;
    return tile;
}

/* Fill a tile of ROWS rows of D elements from rows `first` + r of a matrix with
 * `stride` elements a row; zeros from row `rows` and column `d` on. */
template <typename T, int D, int ROWS, int THREADS>
SPS_DEVICE void load_keys(uint32_t to, const T *from, int64_t stride, int first, int rows,
                          int d)
{
    constexpr int chunks = D / 8, step = THREADS / chunks;

    static_assert(ROWS * chunks % THREADS == 0, "every thread copies as many chunks");
    if constexpr (THREADS % chunks == 0) {
        int r = threadIdx.x / chunks, c = threadIdx.x % chunks;
        int left = c * 8 < d ? rows - first - r : 0;
        const T *next = from + (int64_t)(first + r) * stride + c * 8;
#pragma unroll
        for (int i = 0; i < ROWS / step; i++, next += step * stride) {
            bool valid = i * step < left;
            cp_async16(to + tile_at<D>(r + i * step, c), valid ? next : from, valid);
        }
    } else {
#pragma unroll 4
        for (int k = 0; k < ROWS * chunks / THREADS; k++) {
            int i = threadIdx.x + k * THREADS, r = i / chunks, c = i % chunks;
            bool valid = first + r < rows && c * 8 < d;
            cp_async16(to + tile_at<D>(r, c),
                       valid ? from + (first + r) * stride + c * 8 : from, valid);
        }
    }
}

/* Fill the Q tile of a row tile. */
template <typename T, int D, int ROWS, int THREADS>
SPS_DEVICE void load_queries(uint32_t to, const T *q, const struct row_tile *tile,
                             int64_t h, int d, int lg, int p)
{
    constexpr int chunks = D / 8;
    const T *from = q + ((tile->seq.row + tile->token) * h + tile->head) * d;

#pragma unroll 4
    for (int k = 0; k < ROWS * chunks / THREADS; k++) {
        int i = threadIdx.x + k * THREADS, r = i / chunks, c = i % chunks,
            token = r >> lg, x = r & ((1 << lg) - 1);
        bool valid = token < tile->count && x < p && c * 8 < d;
        cp_async16(to + tile_at<D>(r, c), valid ? from + (token * h + x) * d + c * 8 : q,
                   valid);
    }
}

#endif
