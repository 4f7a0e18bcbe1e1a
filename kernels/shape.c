/* shape.c - visibility, compression geometry and index access: the arithmetic
 * that every backend shares. */
#include "kernels/backend.h"

/* The last of n runs that begins, at cu[i], at x or before. */
static int64_t find_run(const int64_t *cu, int64_t n, int64_t x)
{
    int64_t low = 0, high = n - 1;

    while (low < high) {
        int64_t mid = (low + high + 1) / 2;
        if (cu[mid] <= x)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

int64_t sps_shape_sequence(const struct sps_shape *shape, int64_t row)
{
    return find_run(shape->cu_q, shape->n, row);
}

int64_t sps_shape_keys(const struct sps_shape *shape, int64_t sequence)
{
    return shape->cu_k[sequence + 1] - shape->cu_k[sequence];
}

int64_t sps_shape_pos(const struct sps_shape *shape, int64_t sequence, int64_t row)
{
    if (shape->pos)
        return shape->pos[row];
    return sps_shape_keys(shape, sequence) - (shape->cu_q[sequence + 1] - row);
}

int64_t sps_shape_visible(const struct sps_shape *shape, int64_t sequence, int64_t row)
{
    int64_t keys = sps_shape_keys(shape, sequence);
    int64_t visible = shape->causal ? sps_shape_pos(shape, sequence, row) + 1 : keys;

    return visible < 0 ? 0 : visible > keys ? keys : visible;
}

/* Positions may be negative: such rows see nothing. */
static int64_t tile_of(const struct sps_shape *shape, int64_t tile, int64_t sequence,
                       int64_t row)
{
    int64_t pos = sps_shape_pos(shape, sequence, row);

    return pos < 0 ? -((tile - 1 - pos) / tile) : pos / tile;
}

struct sps_rows sps_shape_tile(const struct sps_shape *shape, int64_t tile, int64_t row)
{
    int64_t sequence = sps_shape_sequence(shape, row),
            own = tile_of(shape, tile, sequence, row);
    struct sps_rows rows = {row, row + 1};

    while (rows.begin > shape->cu_q[sequence] &&
           tile_of(shape, tile, sequence, rows.begin - 1) == own)
        rows.begin--;
    while (rows.end < shape->cu_q[sequence + 1] &&
           tile_of(shape, tile, sequence, rows.end) == own)
        rows.end++;
    return rows;
}

int64_t sps_shape_blocks(const struct sps_shape *shape, int64_t block)
{
    int64_t longest = 0;

    for (int64_t i = 0; i < shape->n; i++)
        if (sps_shape_keys(shape, i) > longest)
            longest = sps_shape_keys(shape, i);
    return (longest + block - 1) / block;
}

double sps_shape_pairs(const struct sps_shape *shape)
{
    double pairs = 0;

    for (int64_t i = 0; i < shape->n; i++)
        for (int64_t r = shape->cu_q[i]; r < shape->cu_q[i + 1]; r++)
            pairs += (double)sps_shape_visible(shape, i, r);
    return pairs;
}

int64_t sps_compressed_count(int64_t s_n, int64_t l, int64_t u)
{
    return s_n < l ? 0 : (s_n - l) / u + 1;
}

int64_t sps_compressed_offsets(const struct sps_shape *shape, int64_t l, int64_t u,
                               int64_t *cu)
{
    cu[0] = 0;
    for (int64_t i = 0; i < shape->n; i++)
        cu[i + 1] = cu[i] + sps_compressed_count(sps_shape_keys(shape, i), l, u);
    return cu[shape->n];
}

int64_t sps_compressed_visible(int64_t pos, int64_t l, int64_t u)
{
    return sps_compressed_count(pos + 1, l, u);
}

static const int64_t *made_offsets(const struct sps_compression *by)
{
    return by->make ? by->make : by->cu;
}

int64_t sps_made_count(const struct sps_compression *by, int64_t n)
{
    return made_offsets(by)[n];
}

struct sps_made sps_made_at(const struct sps_compression *by, int64_t n, int64_t x)
{
    const int64_t *make = made_offsets(by);
    int64_t i = find_run(make, n, x);
    int64_t m = x - make[i] + (by->first ? by->first[i] : 0);

    return (struct sps_made){i, m * by->u, by->cu[i] + m};
}

const int32_t *sps_index_list(const struct sps_index *index, int64_t row, int64_t head,
                              int64_t *count)
{
    int64_t i = row * index->heads + head;

    if (index->offset) {
        *count = index->offset[i + 1] - index->offset[i];
        return index->list + index->offset[i];
    }
    const int32_t *list = index->list + i * index->width;
    int64_t n = 0;
    while (n < index->width && list[n] >= 0)
        n++;
    *count = n;
    return list;
}
