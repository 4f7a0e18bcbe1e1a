/* count.c - pairs and tiles that an index and band read, counted in integers. */
#include "analysis/quality.h"
#include "analysis/read.h"

#include <string.h>

enum {
    CHUNK_TILES = 4096, /* key tiles marked at a time, on the stack */
    PARALLEL_ROWS = 512 /* below this, waking threads costs more than counting */
};

void sps_count_pairs(const struct sps_shape *shape, const struct sps_index *index,
                     const struct sps_band *band, double *both, double *index_only)
{
    int64_t heads = index ? index->heads : 1, all = 0, listed = 0;

#pragma omp parallel for schedule(static) reduction(+ : all, listed) \
    if (shape->t >= PARALLEL_ROWS)
    for (int64_t row = 0; row < shape->t; row++)
        for (int64_t head = 0; head < heads; head++) {
            all += sps_read_count(sps_read_begin(shape, row, index, row, head, band));
            if (index)
                listed +=
                    sps_read_count(sps_read_begin(shape, row, index, row, head, NULL));
        }
    *both = (double)all * (double)(shape->h / heads);
    *index_only = (double)listed * (double)(shape->h / heads);
}

/* A run of rows of one sequence that a kernel works on together. */
struct row_tile {
    int64_t begin, end; /* packed rows */
    int64_t sequence;
};

/* edge[i] += 1 where touched key tiles begin, -= 1 past their end, for the tiles
 * [first, first + CHUNK_TILES) of `keys` keys each. */
static void mark(struct sps_read read, int64_t first, int64_t keys, int32_t *edge)
{
    for (struct sps_span span; sps_read_next(&read, &span);) {
        int64_t low = span.begin / keys - first, high = (span.end - 1) / keys - first;
        if (high < 0 || low >= CHUNK_TILES)
            continue;
        edge[low < 0 ? 0 : low]++;
        edge[high >= CHUNK_TILES ? CHUNK_TILES : high + 1]--;
    }
}

/* Visible keys below `end` of row `row`. */
static int64_t keys_below(const struct sps_shape *shape, int64_t sequence, int64_t row,
                          int64_t end)
{
    int64_t visible = sps_shape_visible(shape, sequence, row);

    return visible < end ? visible : end;
}

/* Causal pairs of the rows of `tile` with keys [begin, end). */
static int64_t pairs_inside(const struct sps_shape *shape, const struct row_tile *tile,
                            int64_t begin, int64_t end)
{
    int64_t pairs = 0;

    /* Positions ascend: what the first row sees, all rows see. */
    if (keys_below(shape, tile->sequence, tile->begin, end) == end)
        return (tile->end - tile->begin) * (end - begin);
    for (int64_t row = tile->begin; row < tile->end; row++)
        pairs += keys_below(shape, tile->sequence, row, end) -
                 keys_below(shape, tile->sequence, row, begin);
    return pairs;
}

static int64_t tile_pairs(const struct sps_shape *shape, const struct sps_index *index,
                          const struct sps_band *band, const struct row_tile *tile,
                          int64_t head, int64_t keys)
{
    int64_t pairs = 0;
    int64_t tiles = (sps_shape_keys(shape, tile->sequence) + keys - 1) / keys;
    int32_t edge[CHUNK_TILES + 1];

    for (int64_t first = 0; first < tiles; first += CHUNK_TILES) {
        memset(edge, 0, sizeof edge);
        for (int64_t row = tile->begin; row < tile->end; row++)
            mark(sps_read_begin(shape, row, index, row, head, band), first, keys, edge);
        int32_t depth = 0;
        for (int64_t i = 0; i < CHUNK_TILES && first + i < tiles; i++)
            if ((depth += edge[i]) > 0)
                pairs +=
                    pairs_inside(shape, tile, (first + i) * keys, (first + i + 1) * keys);
    }
    return pairs;
}

double sps_count_tile_pairs(const struct sps_shape *shape, const struct sps_index *index,
                            const struct sps_band *band, int64_t tile_rows,
                            int64_t tile_keys)
{
    int64_t heads = index ? index->heads : 1, pairs = 0;

    for (int64_t n = 0; n < shape->n; n++) {
        int64_t begin = shape->cu_q[n], end = shape->cu_q[n + 1];
#pragma omp parallel for schedule(dynamic) reduction(+ : pairs) \
    if (end - begin >= PARALLEL_ROWS)
        for (int64_t row = begin; row < end; row += tile_rows) {
            struct row_tile tile = {row, row + tile_rows < end ? row + tile_rows : end,
                                    n};
            for (int64_t head = 0; head < heads; head++)
                pairs += tile_pairs(shape, index, band, &tile, head, tile_keys);
        }
    }
    return (double)pairs * (double)(shape->h / heads);
}
