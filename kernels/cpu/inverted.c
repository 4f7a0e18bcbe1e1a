/* inverted.c - attention over an index of blocks, block by block.
 *
 * Inside a tile of rows the lists are turned round: for each block, the lists that hold
 * it.  Their queries are gathered and multiplied with the block once, as MoBA does for
 * whole sequences (arXiv 2502.13189, algorithm 1) and FSA for NSA.  Which queries meet in
 * a product depends on what all of them chose; sps_product() keeps that out of their
 * bits.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vector.h"

enum { MOST_ITEMS = 8192, FEWEST_ITEMS = 2048, LISTS_PER_BLOCK = 8 };

struct job {
    const struct sps_shape *shape;
    const struct sps_qkv *in;
    const struct sps_index *index;
    const struct sps_band *band;
    int64_t size;    /* rows of a task */
    int64_t share;   /* items that share a list */
    int64_t longest; /* units of the longest list */
    int64_t blocks;
};

/* A thread's memory behind its tile. */
struct bench {
    float *q, *o;   /* [SPS_TILE_ITEMS, dk], [SPS_TILE_ITEMS, dv] of the gathered items */
    float *k, *v;   /* a piece of the block, packed */
    int64_t depth;  /* keys of the piece */
    int64_t *start; /* [blocks + 1] into lists */
    int32_t *lists; /* list x of the tile serves items x * share and on */
};

static int64_t tile_lists(const struct job *job)
{
    return job->size * (job->shape->h / job->shape->g) / job->share;
}

static size_t bench_bytes(const struct job *job)
{
    int64_t dk = job->shape->dk, dv = sps_round_up(job->shape->dv, SPS_PANEL);

    return (size_t)((SPS_TILE_ITEMS + SPS_TILE_KEYS) * (dk + dv)) * sizeof(float) +
           (size_t)(job->blocks + 1) * sizeof(int64_t) +
           (size_t)(tile_lists(job) * job->longest) * sizeof(int32_t);
}

static struct bench bench_place(const struct job *job, void *mem)
{
    int64_t dk = job->shape->dk, dv = sps_round_up(job->shape->dv, SPS_PANEL);
    struct bench bench = {.start = mem};

    bench.q = (float *)(bench.start + job->blocks + 1);
    bench.o = bench.q + SPS_TILE_ITEMS * dk;
    bench.k = bench.o + SPS_TILE_ITEMS * dv;
    bench.v = bench.k + SPS_TILE_KEYS * dk;
    bench.lists = (int32_t *)(bench.v + SPS_TILE_KEYS * dv);
    return bench;
}

/* List x of the tile, without the units past the tile's last visible key. */
static const int32_t *tile_list(const struct job *job, const struct sps_task *task,
                                int64_t x, int64_t *count)
{
    int64_t group = job->shape->h / job->shape->g, item = x * job->share;
    int64_t row = task->rows.begin + item / group;
    int64_t head = task->kv * group + item % group;
    int64_t visible = sps_shape_visible(job->shape, task->sequence, row);
    const int32_t *list = sps_index_list(
        job->index, row, sps_index_head(job->index, job->shape->h, head), count);

    while (*count > 0 && list[*count - 1] * job->index->block >= visible)
        --*count;
    return list;
}

/* Counting sort of (block, list) by block. */
static void invert(const struct job *job, const struct sps_task *task,
                   struct bench *bench)
{
    int64_t lists = (task->rows.end - task->rows.begin) *
                    (job->shape->h / job->shape->g) / job->share;
    int64_t count;

    memset(bench->start, 0, (size_t)(job->blocks + 1) * sizeof *bench->start);
    for (int64_t x = 0; x < lists; x++) {
        const int32_t *list = tile_list(job, task, x, &count);
        for (int64_t i = 0; i < count; i++)
            bench->start[list[i] + 1]++;
    }
    for (int64_t b = 0; b < job->blocks; b++)
        bench->start[b + 1] += bench->start[b];
    for (int64_t x = 0; x < lists; x++) {
        const int32_t *list = tile_list(job, task, x, &count);
        for (int64_t i = 0; i < count; i++)
            bench->lists[bench->start[list[i]]++] = (int32_t)x;
    }
    memmove(bench->start + 1, bench->start, (size_t)job->blocks * sizeof *bench->start);
    bench->start[0] = 0;
}

/* -inf for keys [from, from + n) that the row does not see or that the band reads. */
static void mask_row(const struct job *job, const struct sps_tile *tile, int64_t row,
                     int64_t from, int64_t n, float *logits)
{
    int64_t sequence = tile->task->sequence;
    int64_t visible = sps_shape_visible(job->shape, sequence, row) - from;
    int64_t pos = sps_shape_pos(job->shape, sequence, row);

    for (int64_t j = visible > 0 ? visible : 0; j < n; j++)
        logits[j] = -INFINITY;
    if (job->band->window > 0 || job->band->sink > 0)
        for (int64_t j = 0; j < n; j++)
            if (sps_band_has(job->band, pos, from + j))
                logits[j] = -INFINITY;
}

/* Keys from `from` on that list x of the tile sees. */
static int64_t list_sees(const struct job *job, const struct sps_task *task, int64_t x,
                         int64_t from)
{
    int64_t group = job->shape->h / job->shape->g;

    return sps_shape_visible(job->shape, task->sequence,
                             task->rows.begin + x * job->share / group) -
           from;
}

/* Softmax of the gathered items' logits, then their values into each item's o. */
static void scatter(const struct job *job, struct sps_tile *tile,
                    const struct bench *bench, const int32_t *lists, int64_t count,
                    int64_t from, int64_t n)
{
    int64_t share = job->share, dv = job->shape->dv, lanes = sps_round_up(dv, SPS_PANEL);
    int64_t stride = sps_round_up(n, SPS_PANEL);
    float by[SPS_TILE_ITEMS];

    for (int64_t i = 0; i < count * share; i++) {
        int64_t item = lists[i / share] * share + i % share;
        float *logits = tile->logits + i * stride;
        mask_row(job, tile, tile->task->rows.begin + item / tile->group, from, n, logits);
        by[i] = sps_tile_weigh(tile, item, logits, n);
    }
    sps_product(count * share, dv, n, 1, tile->logits, stride, bench->v, bench->depth,
                bench->o, lanes);
    for (int64_t i = 0; i < count * share; i++)
        sps_row_merge(tile->o + (lists[i / share] * share + i % share) * dv, dv, by[i],
                      bench->o + i * lanes);
}

/* Some lists against the first n keys of the piece. */
static void read_lists(const struct job *job, struct sps_tile *tile,
                       const struct bench *bench, const int32_t *lists, int64_t count,
                       int64_t from, int64_t n)
{
    int64_t dk = job->shape->dk, width = job->share * dk;

    for (int64_t i = 0; i < count; i++)
        memcpy(bench->q + i * width, tile->q + lists[i] * width,
               (size_t)width * sizeof(float));
    sps_product(count * job->share, n, dk, (float)job->shape->scale, bench->q, dk,
                bench->k, dk, tile->logits, sps_round_up(n, SPS_PANEL));
    scatter(job, tile, bench, lists, count, from, n);
}

/* Keys [from, from + n) of one block for the lists that hold it, which are in the order
 * of their rows: the first may see none of the keys, and those that go together see no
 * more than their last.  Whole panels keep the order of the sums, whoever goes along. */
static void read_piece(const struct job *job, struct sps_tile *tile, struct bench *bench,
                       const int32_t *lists, int64_t count, int64_t from, int64_t n)
{
    int64_t dk = job->shape->dk, dv = job->shape->dv;
    int64_t step = SPS_TILE_ITEMS / job->share, first = 0;

    while (first < count && list_sees(job, tile->task, lists[first], from) <= 0)
        first++;
    if (first == count)
        return;
    sps_pack_keys(&tile->k, from, n, dk, bench->k);
    sps_pack_values(&tile->v, from, n, dv, bench->v);
    bench->depth = n;
    for (int64_t x = first; x < count; x += step) {
        int64_t some = count - x < step ? count - x : step;
        int64_t seen = list_sees(job, tile->task, lists[x + some - 1], from);
        seen = sps_round_up(seen, SPS_PANEL);
        read_lists(job, tile, bench, lists + x, some, from, seen < n ? seen : n);
    }
}

static void read_blocks(const struct job *job, struct sps_tile *tile, struct bench *bench)
{
    int64_t block = job->index->block;
    int64_t keys = sps_shape_keys(job->shape, tile->task->sequence);

    invert(job, tile->task, bench);
    for (int64_t b = 0; b < job->blocks; b++) {
        int64_t count = bench->start[b + 1] - bench->start[b];
        int64_t end = (b + 1) * block < keys ? (b + 1) * block : keys;
        for (int64_t j = b * block; count > 0 && j < end; j += SPS_TILE_KEYS)
            read_piece(job, tile, bench, bench->lists + bench->start[b], count, j,
                       end - j < SPS_TILE_KEYS ? end - j : SPS_TILE_KEYS);
    }
}

/* The longest list; a tile then has so many rows that a block meets several lists. */
static void measure(struct job *job, struct sps_rows rows)
{
    const struct sps_index *index = job->index;
    int64_t group = job->shape->h / job->shape->g;

    job->share = job->shape->h / index->heads;
    if (job->share > group)
        job->share = group;
    job->blocks = sps_shape_blocks(job->shape, index->block);
    job->longest = index->width;
    for (int64_t i = rows.begin * index->heads;
         index->offset && i < rows.end * index->heads; i++)
        if (index->offset[i + 1] - index->offset[i] > job->longest)
            job->longest = index->offset[i + 1] - index->offset[i];
    job->size = LISTS_PER_BLOCK * job->blocks / (job->longest ? job->longest : 1);
    if (job->size > sps_task_rows(job->shape, MOST_ITEMS))
        job->size = sps_task_rows(job->shape, MOST_ITEMS);
    if (job->size < sps_task_rows(job->shape, FEWEST_ITEMS))
        job->size = sps_task_rows(job->shape, FEWEST_ITEMS);
}

enum sps_status sps_cpu_attend_inverted(struct sps_device *dev,
                                        const struct sps_shape *shape,
                                        const struct sps_qkv *in,
                                        const struct sps_index *index,
                                        const struct sps_band *band, struct sps_rows rows,
                                        float *o, float *lse)
{
    struct job job = {.shape = shape, .in = in, .index = index, .band = band};
    struct sps_scratch scratch;
    struct sps_task *tasks;
    int64_t count;

    dev->impl = "attend_inverted";
    measure(&job, rows);
    size_t tile_bytes = sps_tile_bytes(shape, job.size);
    SPS_TRY(sps_scratch_new(dev, tile_bytes + bench_bytes(&job), &scratch));
    enum sps_status status =
        sps_tasks_new(shape, rows, job.size, shape->g, &tasks, &count);
    if (status == SPS_OK) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(dev->threads)
        for (int64_t i = 0; i < count; i++) {
            struct sps_tile tile;
            sps_tile_begin(&tile, shape, in, &tasks[i], sps_scratch_mine(&scratch),
                           job.size);
            struct bench bench = bench_place(&job, tile.rest);
            read_blocks(&job, &tile, &bench);
            sps_tile_band(&tile, band);
            sps_tile_end(&tile, o, lse);
        }
        free(tasks);
    }
    sps_scratch_free(&scratch);
    return status;
}
