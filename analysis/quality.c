/* quality.c - walk the measured rows in tiles, and reduce them to one value a head.
 *
 * A tile is a few measured rows of one sequence; its true probabilities [r, s_n]
 * of one head at a time are all that is held, never [t, s].  Rows of a tile are
 * analysed in parallel and added up in row order: no figure depends on threads.
 */
#include "analysis/quality.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/quality_parts.h"

enum { TILE_ROWS = 16, TILE_PROBS = 1 << 22 };

struct work {
    const struct sps_quality_in *in;
    int64_t h, block;             /* query heads; tokens a unit */
    int64_t rows, keys, units;    /* of the largest tile */
    void *device;                 /* [rows, keys] probabilities */
    float *p;                     /* the same, on the host */
    double *mass;                 /* [rows, units] */
    double *shared;               /* [rows, units] summed over the heads of one list */
    struct sps_unit *best;        /* [rows, 2 units] */
    double (*value)[SPS_Q_COUNT]; /* [rows] of one tile and head */
    enum sps_status *status;      /* [rows] */
    struct sps_tally tally;
};

/* Measured rows first .. first + rows - 1, all of one sequence. */
struct tile {
    int64_t first, rows, sequence, keys;
};

static void work_end(struct work *w)
{
    if (w->device)
        w->in->dev->backend->free(w->in->dev, w->device);
    free(w->p), free(w->mass), free(w->shared), free(w->best), free(w->value);
    free(w->status);
    sps_tally_end(&w->tally);
}

static enum sps_status work_begin(const struct sps_quality_in *in, struct work *w)
{
    *w = (struct work){.in = in, .h = in->shape->h};
    w->block = in->rule.block > 0 ? in->rule.block : in->atlas_block;
    w->keys = sps_shape_blocks(in->shape, 1);
    w->units = sps_shape_blocks(in->shape, w->block);
    w->rows = w->keys * TILE_ROWS > TILE_PROBS ? TILE_PROBS / w->keys : TILE_ROWS;
    if (w->rows < 1)
        w->rows = 1;
    size_t r = (size_t)w->rows, p = r * (size_t)w->keys * sizeof(float);
    size_t mass = r * (size_t)w->units * sizeof(double);
    SPS_TRY(in->dev->backend->alloc(in->dev, p, &w->device));
    SPS_TRY(sps_calloc(p, (void **)&w->p));
    SPS_TRY(sps_calloc(mass, (void **)&w->mass));
    SPS_TRY(sps_calloc(mass, (void **)&w->shared));
    SPS_TRY(sps_calloc(2 * r * (size_t)w->units * sizeof *w->best, (void **)&w->best));
    SPS_TRY(sps_calloc(r * sizeof *w->value, (void **)&w->value));
    SPS_TRY(sps_calloc(r * sizeof *w->status, (void **)&w->status));
    return sps_tally_begin(in, &w->tally);
}

static int threads(const struct work *w)
{
    return w->in->dev->threads > 0 ? w->in->dev->threads : 1;
}

/* recall_set and its kin; the last head of a list measures for all that share it. */
static void set_recall(struct work *w, const struct sps_row *row, int64_t i,
                       double *value)
{
    double *shared = w->shared + i * w->units;
    int64_t first, end;

    sps_heads_sharing(w->in, row->head, &first, &end);
    for (int64_t u = 0; u < row->units; u++)
        shared[u] = row->mass[u] + (row->head > first ? shared[u] : 0);
    struct sps_set_recall own = sps_row_set(w->in, row, row->mass, row->best);
    value[SPS_Q_recall_set_head] = own.set;
    if (row->head + 1 < end)
        return;
    if (end - first > 1) {
        sps_row_sort(row->best, shared, row->units);
        own = sps_row_set(w->in, row, shared, row->best);
    }
    value[SPS_Q_recall_set] = own.set;
    value[SPS_Q_recall_set_free] = own.free;
    value[SPS_Q_recall_set_tie] = own.tie;
}

static enum sps_status measure_row(struct work *w, const struct tile *tile, int64_t head,
                                   int64_t i)
{
    const struct sps_quality_in *in = w->in;
    double *value = w->value[i];
    int64_t m = tile->first + i;
    struct sps_row row = {
        .row = in->rows[m],
        .at = in->at[m],
        .head = head,
        .visible = sps_shape_visible(in->shape, tile->sequence, in->rows[m]),
        .block = w->block,
        .p = w->p + i * tile->keys,
        .mass = w->mass + i * w->units,
        .best = w->best + i * 2 * w->units,
    };

    sps_values_clear(value);
    if (row.visible <= 0)
        return SPS_OK;
    row.units = (row.visible + row.block - 1) / row.block;
    SPS_TRY(sps_row_masses(&row));
    sps_row_sort(row.best, row.mass, row.units);
    sps_row_recall(in, &row, value);
    sps_row_atlas(&in->rule, &row, value);
    sps_row_needles(in, &row, value);
    if (in->index && in->rule.count > 0)
        set_recall(w, &row, i, value);
    return SPS_OK;
}

/* True probabilities of a tile's rows to the host, one call a run of rows. */
static enum sps_status fetch(struct work *w, const struct tile *tile, int64_t head)
{
    const struct sps_quality_in *in = w->in;
    const int64_t *rows = in->rows + tile->first;

    for (int64_t i = 0, end; i < tile->rows; i = end) {
        for (end = i + 1; end < tile->rows && rows[end] == rows[i] + end - i; end++)
            ;
        SPS_TRY(in->dev->kernels.probs(in->dev, in->shape, in->in, head,
                                       (struct sps_rows){rows[i], rows[i] + end - i},
                                       (float *)w->device + i * tile->keys));
    }
    return in->dev->backend->download(in->dev, w->p, w->device,
                                      (size_t)(tile->rows * tile->keys) * sizeof *w->p);
}

static enum sps_status measure_tile(struct work *w, const struct tile *tile)
{
    for (int64_t head = 0; head < w->h; head++) {
        SPS_TRY(fetch(w, tile, head));
#pragma omp parallel for schedule(dynamic) num_threads(threads(w))
        for (int64_t i = 0; i < tile->rows; i++)
            w->status[i] = measure_row(w, tile, head, i);
        for (int64_t i = 0; i < tile->rows; i++)
            if (w->status[i] != SPS_OK) /* again, to leave the message in this thread */
                return measure_row(w, tile, head, i);
        for (int64_t i = 0; i < tile->rows; i++)
            sps_tally_add(&w->tally, head, w->value[i]);
    }
    return SPS_OK;
}

static enum sps_status measure_rows(struct work *w)
{
    const struct sps_quality_in *in = w->in;
    struct tile tile;

    for (tile.first = 0; tile.first < in->count; tile.first += tile.rows) {
        tile.sequence = sps_shape_sequence(in->shape, in->rows[tile.first]);
        tile.keys = sps_shape_keys(in->shape, tile.sequence);
        for (tile.rows = 0; tile.rows < w->rows; tile.rows++) {
            int64_t i = tile.first + tile.rows;
            if (i == in->count || in->rows[i] >= in->shape->cu_q[tile.sequence + 1])
                break;
            int64_t visible = sps_shape_visible(in->shape, tile.sequence, in->rows[i]);
            w->tally.visible += visible > 0 ? (double)visible : 0;
        }
        SPS_TRY(measure_tile(w, &tile));
    }
    return SPS_OK;
}

/* What needs no probabilities, one head a thread: errors and overlaps. */
static enum sps_status measure_heads(struct work *w, struct sps_quality *out)
{
    const struct sps_quality_in *in = w->in;
    int64_t bad_head = w->h, bad_row = 0;

#pragma omp parallel for schedule(static) num_threads(threads(w))
    for (int64_t head = 0; head < w->h; head++) {
        sps_values_clear(out->head[head]);
        sps_head_overlap(in, head, out->head[head]);
        int64_t bad = in->o ? sps_head_errors(in, head, out->head[head],
                                              w->tally.error.x + head * in->count,
                                              &w->tally.error.n[head])
                            : -1;
#pragma omp critical
        if (bad >= 0 && head < bad_head)
            bad_head = head, bad_row = bad;
    }
    if (bad_head < w->h)
        return sps_fail(SPS_ENUMERIC, "output of row %lld, head %lld is not finite",
                        (long long)in->rows[bad_row], (long long)bad_head);
    return SPS_OK;
}

static enum sps_status check_needles(const struct sps_quality_in *in)
{
    const struct sps_shape *shape = in->shape;

    for (int64_t i = 0; i < in->needle_count; i++) {
        const struct sps_needle *x = &in->needles[i];
        if (x->row < 0 || x->row >= shape->t || x->head < 0 || x->head >= shape->h)
            return sps_fail(SPS_EINVAL,
                            "needle %lld: row %lld of %lld, head %lld of %lld",
                            (long long)i, (long long)x->row, (long long)shape->t,
                            (long long)x->head, (long long)shape->h);
        int64_t seen =
            sps_shape_visible(shape, sps_shape_sequence(shape, x->row), x->row);
        if (x->key < 0 || x->key >= seen)
            return sps_fail(SPS_EINVAL, "needle %lld: key %lld, row %lld sees %lld",
                            (long long)i, (long long)x->key, (long long)x->row,
                            (long long)seen);
    }
    return SPS_OK;
}

static enum sps_status check(const struct sps_quality_in *in)
{
    const struct sps_rule *rule = &in->rule;
    const struct sps_index *index = in->index;

    SPS_NEED(in->dev, probs);
    if (rule->block <= 0 && in->atlas_block <= 0)
        return sps_fail(SPS_EINVAL, "no unit: rule.block and atlas_block are both 0");
    if (index && (index->heads <= 0 || in->shape->h % index->heads != 0))
        return sps_fail(SPS_EINVAL, "%lld index heads do not divide %lld query heads",
                        (long long)index->heads, (long long)in->shape->h);
    if (index && rule->count > 0 && index->block != rule->block)
        return sps_fail(SPS_EINVAL, "index of block %lld, rule of block %lld",
                        (long long)index->block, (long long)rule->block);
    if (rule->count > 0 && rule->init + rule->local > rule->count)
        return sps_fail(SPS_EINVAL, "%lld forced units do not fit into count %lld",
                        (long long)(rule->init + rule->local), (long long)rule->count);
    return check_needles(in);
}

static enum sps_status measure(struct work *w, struct sps_quality *out)
{
    SPS_TRY(sps_calloc((size_t)w->h * sizeof *out->head, (void **)&out->head));
    out->heads = w->h;
    SPS_TRY(measure_heads(w, out));
    SPS_TRY(measure_rows(w));
    sps_tally_finish(&w->tally, out);
    return SPS_OK;
}

enum sps_status sps_quality_measure(const struct sps_quality_in *in,
                                    struct sps_quality *out)
{
    struct work work;
    struct sps_quality quality = {0};

    SPS_TRY(check(in));
    enum sps_status status = work_begin(in, &work);
    if (status == SPS_OK)
        status = measure(&work, &quality);
    work_end(&work);
    if (status == SPS_OK)
        *out = quality;
    else
        sps_quality_free(&quality);
    return status;
}

/* Append from[n] to to[*total]. */
static void append(const double *from, int64_t n, double *to, int64_t *total)
{
    for (int64_t i = 0; i < n; i++)
        to[(*total)++] = from[i];
}

enum sps_status sps_quality_merge(const struct sps_quality *parts, int64_t n,
                                  struct sps_quality *out)
{
    struct sps_quality sum = {0};
    int64_t heads = 0, recall = 0, error = 0;
    enum sps_status status;

    for (int64_t i = 0; i < n; i++) {
        heads += parts[i].heads;
        recall += parts[i].recall_n;
        error += parts[i].error_n;
    }
    status = sps_calloc((size_t)heads * sizeof *sum.head, (void **)&sum.head);
    if (status == SPS_OK)
        status = sps_calloc((size_t)recall * sizeof(double), (void **)&sum.recall);
    if (status == SPS_OK)
        status = sps_calloc((size_t)error * sizeof(double), (void **)&sum.error);
    sum.count = n ? parts[0].count : 0;
    if (status == SPS_OK)
        status =
            sps_calloc((size_t)(heads * sum.count) * sizeof *sum.row, (void **)&sum.row);
    if (status != SPS_OK) {
        sps_quality_free(&sum);
        return status;
    }
    for (int64_t i = 0; i < n; i++) {
        if (parts[i].heads) {
            memcpy(sum.head + sum.heads, parts[i].head,
                   (size_t)parts[i].heads * sizeof *sum.head);
            memcpy(sum.row + sum.heads * sum.count, parts[i].row,
                   (size_t)(parts[i].heads * sum.count) * sizeof *sum.row);
        }
        sum.heads += parts[i].heads;
        sum.pairs += parts[i].pairs;
        append(parts[i].recall, parts[i].recall_n, sum.recall, &sum.recall_n);
        append(parts[i].error, parts[i].error_n, sum.error, &sum.error_n);
    }
    sps_quality_reduce(&sum);
    *out = sum;
    return SPS_OK;
}

void sps_quality_free(struct sps_quality *quality)
{
    free(quality->head);
    free(quality->recall);
    free(quality->error);
    free(quality->row);
    *quality = (struct sps_quality){0};
}
