/* launch.cu - what every launch needs: small uploads, scratch, and geometry. */
#include "kernels/cuda/cuda.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows of queries that a section holds at least for each multiprocessor, 8 tiles or so:
 * the last section's longest tiles must not be all that is left to do. */
enum { SECTION_ROWS = 1024 };

static enum sps_status grow_ring(struct cuda_state *state, size_t bytes)
{
    CUDA_TRY(cudaStreamSynchronize(state->stream));
    cudaFreeHost(state->ring_host);
    cudaFree(state->ring);
    state->ring_host = state->ring = NULL;
    state->ring_bytes = state->ring_used = 0;
    memset(state->recent, 0, sizeof state->recent);
    CUDA_TRY(cudaMallocHost((void **)&state->ring_host, bytes));
    CUDA_TRY(cudaMalloc((void **)&state->ring, bytes));
    state->ring_bytes = bytes;
    return SPS_OK;
}

/* Where the same bytes stand in the ring already; NULL: nowhere. */
static const void *find_recent(const struct cuda_state *state, const void *from,
                               size_t bytes)
{
    for (int i = 0; i < SPS_CUDA_RECENT; i++) {
        const struct cuda_upload *u = &state->recent[i];
        if (u->bytes == bytes && memcmp(state->ring_host + u->at, from, bytes) == 0)
            return state->ring + u->at;
    }
    return NULL;
}

enum sps_status sps_cuda_put(struct sps_device *dev, const void *from, size_t bytes,
                             const void **to)
{
    struct cuda_state *state = cuda_state_of(dev);
    size_t size = sps_cuda_round(bytes);

    *to = bytes > 0 ? find_recent(state, from, bytes) : NULL;
    if (*to)
        return SPS_OK;
    if (4 * size > state->ring_bytes)
        SPS_TRY(grow_ring(state, 8 * size > (1 << 20) ? 8 * size : 1 << 20));
    if (state->ring_used + size > state->ring_bytes) {
        CUDA_TRY(cudaStreamSynchronize(state->stream));
        state->ring_used = 0;
        memset(state->recent, 0, sizeof state->recent);
    }
    memcpy(state->ring_host + state->ring_used, from, bytes);
    CUDA_TRY(cudaMemcpyAsync(state->ring + state->ring_used,
                             state->ring_host + state->ring_used, bytes,
                             cudaMemcpyHostToDevice, state->stream));
    *to = state->ring + state->ring_used;
    state->latest = (state->latest + 1) % SPS_CUDA_RECENT;
    state->recent[state->latest].at = state->ring_used;
    state->recent[state->latest].bytes = bytes;
    state->ring_used += size;
    return SPS_OK;
}

enum sps_status sps_cuda_reserve(struct sps_device *dev, size_t bytes)
{
    struct cuda_state *state = cuda_state_of(dev);

    state->work_used = 0;
    if (bytes <= state->work_bytes)
        return SPS_OK;
    CUDA_TRY(cudaStreamSynchronize(state->stream));
    cudaFree(state->work);
    state->work = NULL;
    state->work_bytes = 0;
    if (cudaMalloc((void **)&state->work, bytes) != cudaSuccess) {
        cudaGetLastError();
        return sps_fail(SPS_ENOMEM, "cannot allocate %zu bytes of scratch on %s", bytes,
                        dev->name);
    }
    state->work_bytes = bytes;
    return SPS_OK;
}

void *sps_cuda_take(struct sps_device *dev, size_t bytes)
{
    struct cuda_state *state = cuda_state_of(dev);
    char *at = state->work + state->work_used;

    state->work_used += sps_cuda_round(bytes);
    return at;
}

size_t sps_cuda_work_limit(struct sps_device *dev)
{
    size_t most = cuda_state_of(dev)->prop.totalGlobalMem / 16, limit = (size_t)5 << 29;

    return most < limit ? most : limit;
}

int64_t sps_cuda_chunk(struct sps_rows rows, size_t row_bytes, size_t bytes)
{
    int64_t fit = row_bytes ? (int64_t)(bytes / row_bytes) / 128 * 128 : 128;

    fit = fit < 128 ? 128 : fit;
    return fit < rows.end - rows.begin ? fit : rows.end - rows.begin;
}

int sps_cuda_heads_a_tile(const struct sps_shape *shape, struct sps_rows rows, int tile)
{
    int64_t group = shape->h / shape->g, each = (rows.end - rows.begin) / shape->n;

    return each * 2 <= tile && group <= tile ? (int)group : 1;
}

int sps_cuda_log(int64_t p)
{
    int lg = 0;

    while ((int64_t)1 << lg < p)
        lg++;
    return lg;
}

bool sps_cuda_fits(enum sps_dtype dtype, int64_t dk, int64_t dv)
{
    return (dtype == SPS_BF16 || dtype == SPS_F16) && dk % 8 == 0 && dv % 8 == 0 &&
           dk <= 256 && dv <= 256;
}

int sps_cuda_size(int64_t dk, int64_t dv)
{
    return dk <= 64 && dv <= 64     ? 0
           : dk <= 128 && dv <= 128 ? 1
           : dk <= 192 && dv <= 128 ? 2
                                    : 3;
}

int sps_cuda_section(struct sps_device *dev, const struct sps_shape *shape,
                     int64_t groups)
{
    const struct cudaDeviceProp *prop = &cuda_state_of(dev)->prop;
    double head =
        2.0 * (double)sps_shape_blocks(shape, 1) * (double)(shape->dk + shape->dv);
    double kv = 0.6 * (double)prop->l2CacheSize / head;
    double rows = (double)(shape->t * shape->h) / (double)groups;
    double full = (double)SECTION_ROWS * prop->multiProcessorCount / rows;
    double section =
        (kv < 1 ? 1 : floor(kv)) * (double)(groups > shape->g ? groups / shape->g : 1);

    section = section < full ? ceil(full) : section;
    section = section < 1 ? 1 : section;
    return (int)(section < (double)groups ? section : (double)groups);
}

static int32_t clip(int64_t x)
{
    return (int32_t)(x < 1 << 30 ? x : 1 << 30);
}

static struct seq_view view_of(const struct sps_shape *shape,
                               const struct sps_compression *by, struct sps_rows rows,
                               int64_t sequence)
{
    int64_t from = shape->cu_q[sequence], to = shape->cu_q[sequence + 1];
    struct seq_view view;

    memset(&view, 0, sizeof view);
    from = from > rows.begin ? from : rows.begin;
    to = to < rows.end ? to : rows.end;
    view.row = from;
    view.rows = (int32_t)(to > from ? to - from : 0);
    view.key = by ? by->cu[sequence] : shape->cu_k[sequence];
    view.keys =
        (int32_t)((by ? by->cu[sequence + 1] : shape->cu_k[sequence + 1]) - view.key);
    if (view.rows > 0)
        view.pos = (int32_t)sps_shape_pos(shape, sequence, from);
    return view;
}

/* The sequences that have rows in the range; tiles and units counted on. */
static int32_t fill_views(const struct sps_shape *shape, const struct sps_compression *by,
                          struct sps_rows rows, int64_t tokens, int64_t block,
                          struct seq_view *views, int32_t *tiles)
{
    int32_t n = 0, unit = 0;

    *tiles = 0;
    for (int64_t i = sps_shape_sequence(shape, rows.begin); i < shape->n; i++) {
        struct seq_view view = view_of(shape, by, rows, i);
        if (shape->cu_q[i] >= rows.end)
            break;
        if (view.rows == 0)
            continue;
        view.tile = *tiles;
        view.unit = unit;
        *tiles += (int32_t)((view.rows + tokens - 1) / tokens);
        unit += (int32_t)((view.keys + block - 1) / block);
        views[n++] = view;
    }
    return n;
}

/* Views, and positions behind them, by one upload: a second one might move the first. */
static enum sps_status put_views(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_compression *by, struct sps_rows rows,
                                 int64_t block, struct geometry *at)
{
    int64_t count = shape->pos ? rows.end - rows.begin : 0;
    const void *to = NULL;
    void *mem;

    SPS_TRY(sps_calloc((size_t)shape->n * sizeof(struct seq_view) +
                           (size_t)count * sizeof(int32_t),
                       &mem));
    struct seq_view *views = (struct seq_view *)mem;
    at->n = fill_views(shape, by, rows, at->tokens, block, views, &at->tiles);
    int32_t *pos = (int32_t *)(views + at->n);
    for (int64_t i = 0; i < count; i++)
        pos[i] = (int32_t)shape->pos[rows.begin + i];
    size_t bytes = (size_t)((char *)(pos + count) - (char *)mem);
    enum sps_status status = sps_cuda_put(dev, mem, bytes, &to);
    free(mem);
    SPS_TRY(status);
    at->seq = (const struct seq_view *)to;
    if (shape->pos)
        at->pos = (const int32_t *)(at->seq + at->n);
    return SPS_OK;
}

enum sps_status sps_cuda_geometry(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_compression *by,
                                  const struct sps_band *band, struct sps_rows rows,
                                  int64_t tokens, int64_t block, struct geometry *at)
{
    memset(at, 0, sizeof *at);
    at->begin = rows.begin;
    at->tokens = (int32_t)tokens;
    at->l = by ? clip(by->l) : 1;
    at->u = by ? clip(by->u) : 1;
    at->all = !band || band->all;
    at->window = band ? clip(band->window) : 0;
    at->sink = band ? clip(band->sink) : 0;
    at->causal = shape->causal;
    if (rows.begin >= rows.end)
        return SPS_OK;
    return put_views(dev, shape, by, rows, block, at);
}
