/* index_backward.c - gradients of attention over an index.
 *
 * Blocks: in a pair of tiles, the items that chose a block are gathered and multiplied
 * with it once.  Which items meet depends on what all of them chose; sps_product() keeps
 * that out of the bits of dq.  Short units (tokens): each row gathers its keys instead.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rounds.h"
#include "kernels/cpu/vector.h"

enum { SHORTEST_BLOCK = 16, ITEMS = 240 };

struct job {
    struct sps_backward common; /* first: a pointer to it points here */
    const struct sps_index *index;
    const struct sps_band *band;
    int64_t group;  /* G */
    int64_t share;  /* items that share a list */
    int64_t items;  /* gathered at once, a multiple of share */
    int32_t *count; /* [r, heads] units in each list */
};

/* A thread's memory. */
struct bench {
    float *q, *d_o, *dq; /* [items, dk], [items, dv], [items, dk] */
    float *x, *w;        /* [items, SPS_ROUND_KEYS]: logits or p, d_o.v or c ds */
    float *k, *v, *rows; /* keys, values, and keys as rows, packed or gathered */
    int32_t *cursor,
        *pick; /* [lists of a tile] place in each list; lists with the block */
};

static int64_t tile_lists(const struct job *job)
{
    return SPS_ROUND_ROWS * job->group / job->share;
}

/* Lay out the bench at mem (NULL: only count); returns its bytes. */
static size_t bench_place(const struct job *job, void *mem, struct bench *bench)
{
    int64_t dk = sps_round_up(job->common.shape->dk, SPS_PANEL);
    int64_t dv = sps_round_up(job->common.shape->dv, SPS_PANEL);
    int64_t items = sps_round_up(job->items, SPS_STRIP), keys = SPS_ROUND_KEYS;
    const struct {
        float **at;
        int64_t floats;
    } parts[] = {{&bench->q, items * dk},   {&bench->d_o, items * dv},
                 {&bench->dq, items * dk},  {&bench->x, items * keys},
                 {&bench->w, items * keys}, {&bench->k, keys * dk},
                 {&bench->v, keys * dv},    {&bench->rows, keys * dk}};
    int64_t used = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].at = mem ? (float *)mem + used : NULL;
        used += parts[i].floats;
    }
    bench->cursor = mem ? (int32_t *)mem + used : NULL;
    bench->pick = mem ? bench->cursor + tile_lists(job) : NULL;
    return (size_t)(used + 2 * tile_lists(job)) * sizeof(float);
}

/* Row and first head of list x of the tile. */
static int64_t list_row(const struct job *job, const struct sps_pair *pair, int64_t x)
{
    return pair->task.rows.begin + x * job->share / job->group;
}

static int64_t list_head(const struct job *job, const struct sps_pair *pair, int64_t x)
{
    return pair->task.kv * job->group + x * job->share % job->group;
}

static const int32_t *list_units(const struct job *job, int64_t row, int64_t head,
                                 int64_t *count)
{
    const struct sps_index *index = job->index;
    int64_t x = sps_index_head(index, job->common.shape->h, head);
    int64_t i = row * index->heads + x;

    *count = job->count[i - job->common.rows.begin * index->heads];
    return index->list + (index->offset ? index->offset[i] : i * index->width);
}

/* First place of the list whose unit is at least `unit`. */
static int64_t lower_bound(const int32_t *list, int64_t count, int64_t unit)
{
    int64_t low = 0;

    for (int64_t high = count; low < high;) {
        int64_t mid = (low + high) / 2;
        if (list[mid] < unit)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool in_band(const struct job *job, int64_t pos, int64_t j)
{
    return (job->band->window > 0 || job->band->sink > 0) &&
           sps_band_has(job->band, pos, j);
}

/* Logits and products of one item against keys [from, from + n) become p and c ds, 0 for
 * keys that its row does not see or that the band reads. */
static void slope_item(const struct job *job, const struct sps_pair *pair, int64_t row,
                       int64_t head, int64_t from, int64_t n, float *x, float *w)
{
    const struct sps_backward *b = &job->common;
    const struct sps_shape *s = b->shape;
    int64_t visible = sps_shape_visible(s, pair->task.sequence, row) - from;
    int64_t pos = sps_shape_pos(s, pair->task.sequence, row);

    for (int64_t j = visible > 0 ? visible : 0; j < n; j++)
        x[j] = -INFINITY;
    for (int64_t j = 0; j < n; j++)
        if (in_band(job, pos, from + j))
            x[j] = -INFINITY;
    sps_row_slope(x, w, n, b->out->lse[row * s->h + head],
                  b->delta[(row - b->rows.begin) * s->h + head], (float)s->scale);
}

/* Queries and d_o of `some` picked lists. */
static void gather_items(const struct job *job, const struct sps_pair *pair,
                         const struct bench *bench, const int32_t *pick, int64_t some)
{
    const struct sps_backward *b = &job->common;
    int64_t dk = b->shape->dk, dv = b->shape->dv, share = job->share;

    for (int64_t i = 0; i < some; i++) {
        int64_t at =
            list_row(job, pair, pick[i]) * b->shape->h + list_head(job, pair, pick[i]);
        memcpy(bench->q + i * share * dk, b->q + at * dk,
               (size_t)(share * dk) * sizeof(float));
        memcpy(bench->d_o + i * share * dv, b->out->d_o + at * dv,
               (size_t)(share * dv) * sizeof(float));
    }
}

/* How many of keys [from, from + n) the list sees; later lists see no fewer. */
static int64_t list_sees(const struct job *job, const struct sps_pair *pair, int64_t x,
                         int64_t from, int64_t n)
{
    int64_t seen = sps_shape_visible(job->common.shape, pair->task.sequence,
                                     list_row(job, pair, x)) -
                   from;

    return seen < 0 ? 0 : seen < n ? seen : n;
}

/* The picked lists' items against those of keys [from, from + packed), which are in the
 * bench, that the last list sees. */
static void meet_items(const struct job *job, const struct sps_pair *pair,
                       const struct bench *bench, const int32_t *pick, int64_t some,
                       int64_t from, int64_t packed)
{
    const struct sps_backward *b = &job->common;
    int64_t g = b->shape->g, dk = b->shape->dk, dv = b->shape->dv;
    int64_t n = list_sees(job, pair, pick[some - 1], from, packed);
    int64_t m = some * job->share, stride = sps_round_up(n, SPS_PANEL);
    int64_t lanes = sps_round_up(dk, SPS_PANEL);
    int64_t key = (b->cu[pair->task.sequence] + from) * g + pair->task.kv;

    if (n == 0)
        return;
    gather_items(job, pair, bench, pick, some);
    sps_product(m, n, dk, (float)b->shape->scale, bench->q, dk, bench->k, dk, bench->x,
                stride);
    sps_product(m, n, dv, 1, bench->d_o, dv, bench->v, dv, bench->w, stride);
    for (int64_t i = 0; i < m; i++)
        slope_item(job, pair, list_row(job, pair, pick[i / job->share]),
                   list_head(job, pair, pick[i / job->share]) + i % job->share, from, n,
                   bench->x + i * stride, bench->w + i * stride);
    sps_blas_add_outer(n, dv, m, bench->x, stride, bench->d_o, dv, b->to->dv + key * dv,
                       g * dv);
    sps_blas_add_outer(n, dk, m, bench->w, stride, bench->q, dk, b->to->dk + key * dk,
                       g * dk);
    sps_product(m, dk, n, 1, bench->w, stride, bench->rows, packed, bench->dq, lanes);
    for (int64_t i = 0; i < m; i++) {
        int64_t x = pick[i / job->share];
        int64_t at = list_row(job, pair, x) * b->shape->h + list_head(job, pair, x) +
                     i % job->share;
        sps_row_add(b->to->dq + at * dk, dk, 1, bench->dq + i * lanes);
    }
}

/* Keys [from, to) of one block for the picked lists. */
static void meet_block(const struct job *job, const struct sps_pair *pair,
                       const struct bench *bench, int64_t picked, int64_t from,
                       int64_t to)
{
    const struct sps_backward *b = &job->common;
    int64_t g = b->shape->g, dk = b->shape->dk, dv = b->shape->dv;
    int64_t key = (b->cu[pair->task.sequence] + from) * g + pair->task.kv;
    int64_t step = job->items / job->share;

    if (picked == 0)
        return;
    struct sps_column k = sps_column_plain(b->k + key * dk, g * dk),
                      v = sps_column_plain(b->v + key * dv, g * dv);
    sps_pack_keys(&k, 0, to - from, dk, bench->k);
    sps_pack_keys(&v, 0, to - from, dv, bench->v);
    sps_pack_values(&k, 0, to - from, dk, bench->rows);
    for (int64_t i = 0; i < picked; i += step)
        meet_items(job, pair, bench, bench->pick + i,
                   picked - i < step ? picked - i : step, from, to - from);
}

/* Lists whose cursor stands at the block; moves their cursors on. */
static int64_t pick_lists(const struct job *job, const struct sps_pair *pair,
                          const struct bench *bench, int64_t lists, int64_t block)
{
    int64_t picked = 0, count;

    for (int64_t x = 0; x < lists; x++) {
        const int32_t *list =
            list_units(job, list_row(job, pair, x), list_head(job, pair, x), &count);
        if (bench->cursor[x] < count && list[bench->cursor[x]] == block) {
            bench->cursor[x]++;
            bench->pick[picked++] = (int32_t)x;
        }
    }
    return picked;
}

static void meet_blocks(const struct sps_backward *common, const struct sps_pair *pair,
                        void *mem)
{
    const struct job *job = (const struct job *)common;
    int64_t lists =
        (pair->task.rows.end - pair->task.rows.begin) * job->group / job->share;
    int64_t block = job->index->block, count;
    struct bench bench;

    if (sps_shape_visible(common->shape, pair->task.sequence, pair->task.rows.end - 1) <=
        pair->begin)
        return;
    bench_place(job, mem, &bench);
    for (int64_t x = 0; x < lists; x++) {
        const int32_t *list =
            list_units(job, list_row(job, pair, x), list_head(job, pair, x), &count);
        bench.cursor[x] = (int32_t)lower_bound(list, count, pair->begin / block);
    }
    for (int64_t i = pair->begin / block; i * block < pair->end; i++) {
        int64_t from = i * block, to = from + block;
        meet_block(job, pair, &bench, pick_lists(job, pair, &bench, lists, i),
                   from > pair->begin ? from : pair->begin,
                   to < pair->end ? to : pair->end);
    }
}

/* Collect the keys of the pair that one list reads beside the band; their places. */
static int64_t gather_keys(const struct job *job, const struct sps_pair *pair,
                           int64_t row, int64_t head, const struct bench *bench,
                           int64_t place[SPS_ROUND_KEYS])
{
    const struct sps_backward *b = &job->common;
    int64_t g = b->shape->g, dk = b->shape->dk, dv = b->shape->dv, count, n = 0;
    int64_t first = b->cu[pair->task.sequence] * g + pair->task.kv;
    int64_t visible = sps_shape_visible(b->shape, pair->task.sequence, row);
    int64_t pos = sps_shape_pos(b->shape, pair->task.sequence, row);
    int64_t block = job->index->block, end = visible < pair->end ? visible : pair->end;
    const int32_t *list = list_units(job, row, head, &count);

    for (int64_t i = lower_bound(list, count, pair->begin / block);
         i < count && list[i] * block < end; i++)
        for (int64_t j = list[i] * block; j < (list[i] + 1) * block && j < end; j++) {
            if (j < pair->begin || in_band(job, pos, j))
                continue;
            memcpy(bench->k + n * dk, b->k + (first + j * g) * dk,
                   (size_t)dk * sizeof(float));
            memcpy(bench->v + n * dv, b->v + (first + j * g) * dv,
                   (size_t)dv * sizeof(float));
            place[n++] = first + j * g;
        }
    return n;
}

/* The items of one list against the keys it reads of the pair. */
static void meet_list(const struct job *job, const struct sps_pair *pair, int64_t row,
                      int64_t head, const struct bench *bench)
{
    const struct sps_backward *b = &job->common;
    int64_t dk = b->shape->dk, dv = b->shape->dv, at = row * b->shape->h + head;
    int64_t place[SPS_ROUND_KEYS], n = gather_keys(job, pair, row, head, bench, place);
    const float *q = b->q + at * dk, *d_o = b->out->d_o + at * dv;
    const float *delta = b->delta + at - b->rows.begin * b->shape->h;

    if (n == 0)
        return;
    sps_blas_dots(job->share, n, dk, (float)b->shape->scale, q, dk, bench->k, dk,
                  bench->x, n);
    sps_blas_dots(job->share, n, dv, 1, d_o, dv, bench->v, dv, bench->w, n);
    for (int64_t i = 0; i < job->share; i++)
        sps_row_slope(bench->x + i * n, bench->w + i * n, n, b->out->lse[at + i],
                      delta[i], (float)b->shape->scale);
    sps_blas_mix(job->share, dk, n, bench->w, n, bench->k, dk, 1, b->to->dq + at * dk,
                 dk);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < job->share; i++) {
            sps_row_add(b->to->dk + place[j] * dk, dk, bench->w[i * n + j], q + i * dk);
            sps_row_add(b->to->dv + place[j] * dv, dv, bench->x[i * n + j], d_o + i * dv);
        }
}

static void meet_tokens(const struct sps_backward *common, const struct sps_pair *pair,
                        void *mem)
{
    const struct job *job = (const struct job *)common;
    struct bench bench;

    bench_place(job, mem, &bench);
    for (int64_t row = pair->task.rows.begin; row < pair->task.rows.end; row++)
        for (int64_t i = 0; i < job->group; i += job->share)
            meet_list(job, pair, row, pair->task.kv * job->group + i, &bench);
}

static enum sps_status count_units(struct job *job, int threads)
{
    int64_t heads = job->index->heads, first = job->common.rows.begin;
    int64_t lists = (job->common.rows.end - first) * heads;
    void *mem;

    SPS_TRY(sps_calloc((size_t)lists * sizeof *job->count, &mem));
    job->count = mem;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < lists; i++) {
        int64_t count;
        sps_index_list(job->index, first + i / heads, i % heads, &count);
        job->count[i] = (int32_t)count;
    }
    return SPS_OK;
}

static enum sps_status run(struct sps_device *dev, struct job *job)
{
    const struct sps_shape *s = job->common.shape;
    bool blocks = job->index->block >= SHORTEST_BLOCK;
    struct bench bench;

    job->group = s->h / s->g;
    job->share = s->h / job->index->heads;
    if (job->share > job->group)
        job->share = job->group;
    job->items = job->share > ITEMS ? job->share : ITEMS / job->share * job->share;
    SPS_TRY(count_units(job, dev->threads));
    enum sps_status status =
        sps_rounds_run(dev, &job->common, bench_place(job, NULL, &bench),
                       blocks ? meet_blocks : meet_tokens);
    free(job->count);
    return status;
}

enum sps_status
sps_cpu_attend_backward(struct sps_device *dev, const struct sps_shape *shape,
                        const struct sps_qkv *in, const struct sps_index *index,
                        const struct sps_band *band, struct sps_rows rows,
                        const struct sps_output *out, const struct sps_gradients *to)
{
    struct job job = {.common = {.shape = shape,
                                 .q = in->q.data,
                                 .k = in->k.data,
                                 .v = in->v.data,
                                 .cu = shape->cu_k,
                                 .out = out,
                                 .to = to,
                                 .rows = rows,
                                 .tile = SPS_ROUND_KEYS},
                      .index = index,
                      .band = band};

    SPS_TRY(sps_check_causal(shape, "attend_backward"));
    if (!band->all)
        SPS_TRY(run(dev, &job));
    if (band->all || band->window > 0 || band->sink > 0)
        SPS_TRY(sps_cpu_dense_backward(dev, shape, in, band, rows, out, to));
    dev->impl = "attend_backward_tiles";
    return SPS_OK;
}
