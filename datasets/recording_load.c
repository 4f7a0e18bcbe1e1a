/* recording_load.c - copy a slice of one recorded layer: heads, keys, rows. */
#include "base/sha256.h"
#include "datasets/recording.h"
#include "datasets/safetensors_header.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A slice with every default filled in. */
struct cut {
    const struct recording_layer *layer;
    int64_t keys;              /* the first so many */
    int64_t first, rows;       /* rows [first, first + rows) of the layer's t */
    int64_t h, g;              /* kept */
    int64_t q[1024], kv[1024]; /* the layer's numbers of kept heads */
};

static enum sps_status cut_rows(const struct sps_slice *slice, struct cut *cut)
{
    const struct recording_layer *l = cut->layer;
    int64_t start = l->s - l->t; /* position of row 0 */

    cut->keys = slice->length ? slice->length : l->s;
    if (cut->keys <= start || cut->keys > l->s)
        return sps_fail(SPS_ECONFIG,
                        "length %lld is not allowed: %lld..%lld, for there are "
                        "%lld keys and rows from position %lld on",
                        (long long)cut->keys, (long long)start + 1, (long long)l->s,
                        (long long)l->s, (long long)start);
    int64_t all = cut->keys - start;
    cut->rows = slice->queries ? slice->queries : all;
    if (cut->rows < 1 || cut->rows > all)
        return sps_fail(SPS_ECONFIG,
                        "queries %lld is not allowed: 1..%lld, for so many "
                        "rows lie below length %lld",
                        (long long)cut->rows, (long long)all, (long long)cut->keys);
    cut->first = all - cut->rows;
    return SPS_OK;
}

/* Kept kv heads, and that each of them keeps equally many query heads. */
static enum sps_status cut_groups(struct cut *cut)
{
    int64_t G = cut->layer->h / cut->layer->g, kept[1024] = {0};

    for (int64_t i = 0; i < cut->h; i++) {
        int64_t kv = cut->q[i] / G;
        if (cut->g == 0 || cut->kv[cut->g - 1] != kv)
            cut->kv[cut->g++] = kv;
        kept[cut->g - 1]++;
    }
    for (int64_t i = 1; i < cut->g; i++)
        if (kept[i] != kept[0])
            return sps_fail(SPS_ECONFIG,
                            "heads: kv head %lld would keep %lld query heads and "
                            "kv head %lld %lld, must be equally many",
                            (long long)cut->kv[0], (long long)kept[0],
                            (long long)cut->kv[i], (long long)kept[i]);
    return SPS_OK;
}

static enum sps_status cut_heads(const struct sps_slice *slice, struct cut *cut)
{
    int64_t h = cut->layer->h;

    cut->h = slice->heads ? slice->head_count : h;
    if (cut->h < 1 || cut->h > h)
        return sps_fail(SPS_ECONFIG, "heads: %lld of them, layer %lld has %lld",
                        (long long)cut->h, (long long)cut->layer->number, (long long)h);
    for (int64_t i = 0; i < cut->h; i++) {
        cut->q[i] = slice->heads ? slice->heads[i] : i;
        if (cut->q[i] < 0 || cut->q[i] >= h)
            return sps_fail(SPS_ECONFIG, "heads: %lld is not allowed: 0..%lld",
                            (long long)cut->q[i], (long long)h - 1);
        if (i > 0 && cut->q[i] <= cut->q[i - 1])
            return sps_fail(SPS_ECONFIG, "heads: %lld after %lld, must ascend",
                            (long long)cut->q[i], (long long)cut->q[i - 1]);
    }
    return cut_groups(cut);
}

/* Rows [first, first + rows) and heads[count] of from[., heads, width]. */
static enum sps_status gather(const struct sps_tensor *from, int64_t first, int64_t rows,
                              const int64_t *heads, int64_t count, struct sps_tensor *to)
{
    int64_t all = from->dim[1], width = from->dim[2];
    size_t bytes = (size_t)width * sps_dtype_size(from->dtype);

    if (!from->data)
        return SPS_OK;
    SPS_TRY(sps_tensor_new(from->dtype, rows, count, width, 1, to));
    char *out = to->data;
    for (int64_t r = first; r < first + rows; r++)
        for (int64_t i = 0; i < count; i++, out += bytes)
            memcpy(out, (const char *)from->data + (size_t)(r * all + heads[i]) * bytes,
                   bytes);
    return SPS_OK;
}

/* Heads of from[g, a, b], as one row of g heads. */
static enum sps_status gather_weights(const struct sps_tensor *from,
                                      const struct cut *cut, struct sps_tensor *to)
{
    int64_t a = from->dim[1], b = from->dim[2];

    if (!from->data)
        return SPS_OK;
    struct sps_tensor flat =
        sps_tensor_view(from->data, from->dtype, 1, from->dim[0], a * b, 1);
    SPS_TRY(gather(&flat, 0, 1, cut->kv, cut->g, to));
    *to = sps_tensor_view(to->data, to->dtype, cut->g, a, b, 1);
    return SPS_OK;
}

/* Rows [first, first + rows) of from, as rows of one head of `width`. */
static enum sps_status gather_rows(const struct sps_tensor *from, int64_t first,
                                   int64_t rows, int64_t width, struct sps_tensor *to)
{
    static const int64_t zero = 0;
    struct sps_tensor flat =
        sps_tensor_view(from->data, from->dtype, from->dim[0], 1, width, 1);

    return gather(&flat, first, rows, &zero, 1, to);
}

/* The indexer's heads belong to all query heads: every one stays. */
static enum sps_status gather_indexer(const struct cut *cut, struct sps_data *data)
{
    const struct sps_tensor *part = cut->layer->part;
    int64_t heads = part[PART_Q_IDX].dim[1], size = part[PART_Q_IDX].dim[2];
    struct sps_tensor *q = &data->q_idx;

    if (!part[PART_Q_IDX].data)
        return SPS_OK;
    SPS_TRY(gather_rows(&part[PART_Q_IDX], cut->first, cut->rows, heads * size, q));
    *q = sps_tensor_view(q->data, q->dtype, cut->rows, heads, size, 1);
    SPS_TRY(gather_rows(&part[PART_K_IDX], 0, cut->keys, size, &data->k_idx));
    return gather_rows(&part[PART_W_IDX], cut->first, cut->rows, heads, &data->w_idx);
}

/* Lists must ascend, name only blocks that their row sees, and end in -1. */
static enum sps_status check_index(const struct sps_data *data)
{
    const struct sps_tensor *index = &data->index;
    const int32_t *list = index->data;
    int64_t heads = index->dim[1], width = index->dim[2];

    for (int64_t i = 0; i < data->t * heads; i++, list += width) {
        int64_t last = (data->s - data->t + i / heads) / data->index_block, before = -1;
        bool ended = false;
        for (int64_t j = 0; j < width; j++) {
            bool fits =
                list[j] == -1 ? true : !ended && list[j] > before && list[j] <= last;
            if (!fits)
                return sps_fail(SPS_ECONFIG,
                                "index[%lld, %lld, %lld] is %d: a list holds ascending "
                                "blocks of 0..%lld, then -1",
                                (long long)(i / heads), (long long)(i % heads),
                                (long long)j, list[j], (long long)last);
            ended = list[j] == -1;
            before = list[j];
        }
    }
    return SPS_OK;
}

static enum sps_status gather_index(const struct sps_recording *rec,
                                    const struct cut *cut, struct sps_data *data)
{
    static const int64_t zero = 0;
    const struct recording_layer *l = cut->layer;
    const struct sps_tensor *index = &l->part[PART_INDEX];

    if (!index->data)
        return SPS_OK;
    data->index_block = rec->index_block;
    if (index->dim[1] == l->h)
        SPS_TRY(gather(index, cut->first, cut->rows, cut->q, cut->h, &data->index));
    else if (index->dim[1] == l->g)
        SPS_TRY(gather(index, cut->first, cut->rows, cut->kv, cut->g, &data->index));
    else
        SPS_TRY(gather(index, cut->first, cut->rows, &zero, 1, &data->index));
    return check_index(data);
}

static enum sps_status gather_all(const struct sps_recording *rec, const struct cut *cut,
                                  struct sps_data *data)
{
    const struct sps_tensor *part = cut->layer->part;

    SPS_TRY(gather(&part[PART_Q], cut->first, cut->rows, cut->q, cut->h, &data->q));
    SPS_TRY(gather(&part[PART_K], 0, cut->keys, cut->kv, cut->g, &data->k));
    SPS_TRY(gather(&part[PART_V], 0, cut->keys, cut->kv, cut->g, &data->v));
    SPS_TRY(gather(&part[PART_GATE], cut->first, cut->rows, cut->q, cut->h, &data->gate));
    SPS_TRY(gather(&part[PART_DO], cut->first, cut->rows, cut->q, cut->h, &data->d_o));
    SPS_TRY(gather_weights(&part[PART_W_K], cut, &data->w_k));
    SPS_TRY(gather_weights(&part[PART_W_V], cut, &data->w_v));
    SPS_TRY(gather_weights(&part[PART_PE_K], cut, &data->pe_k));
    SPS_TRY(gather_indexer(cut, data));
    return gather_index(rec, cut, data);
}

/* The digest of the file's digest and the slice, defaults filled in. */
static enum sps_status digest(const struct sps_recording *rec, const struct cut *cut,
                              char hex[65])
{
    struct sps_sha256 *sha;
    char text[160];
    size_t size;

    if (!*rec->sha256) {
        const void *bytes = sps_safetensors_bytes(rec->file, &size);
        SPS_TRY(sps_sha256_new(&sha));
        sps_sha256_add(sha, bytes, size);
        sps_sha256_hex(sha, rec->sha256);
    }
    SPS_TRY(sps_sha256_new(&sha));
    snprintf(text, sizeof text, "%s layer %lld length %lld queries %lld heads",
             rec->sha256, (long long)cut->layer->number, (long long)cut->keys,
             (long long)cut->rows);
    sps_sha256_add(sha, text, strlen(text));
    for (int64_t i = 0; i < cut->h; i++) {
        snprintf(text, sizeof text, " %lld", (long long)cut->q[i]);
        sps_sha256_add(sha, text, strlen(text));
    }
    sps_sha256_hex(sha, hex);
    return SPS_OK;
}

static enum sps_status fill(const struct sps_recording *rec, const struct cut *cut,
                            struct sps_data *data)
{
    const struct recording_layer *l = cut->layer;
    void *cu;

    data->h = cut->h, data->g = cut->g, data->n = 1;
    data->t = cut->rows, data->s = cut->keys;
    data->dk = l->dk, data->dv = l->dv;
    data->scale = rec->scale > 0 ? rec->scale : 1 / sqrt((double)l->dk);
    memcpy(data->heads, cut->q, (size_t)cut->h * sizeof *cut->q);
    SPS_TRY(sps_calloc(2 * sizeof *data->cu_q, &cu));
    data->cu_q = cu;
    SPS_TRY(sps_calloc(2 * sizeof *data->cu_k, &cu));
    data->cu_k = cu;
    data->cu_q[1] = data->t;
    data->cu_k[1] = data->s;
    SPS_TRY(gather_all(rec, cut, data));
    return digest(rec, cut, data->sha256);
}

enum sps_status sps_recording_load(const struct sps_recording *rec,
                                   const struct sps_slice *slice, struct sps_data *data)
{
    struct cut cut = {.layer = sps_recording_layer(rec, slice->layer)};
    struct sps_data made = {0};

    if (!cut.layer)
        return sps_fail(SPS_ECONFIG,
                        "%s: layer %lld: there is none, the first is %lld and "
                        "the last %lld",
                        rec->path, (long long)slice->layer, (long long)rec->numbers[0],
                        (long long)rec->numbers[rec->count - 1]);
    enum sps_status status = cut_rows(slice, &cut);
    if (status == SPS_OK)
        status = cut_heads(slice, &cut);
    if (status == SPS_OK)
        status = fill(rec, &cut, &made);
    if (status != SPS_OK) {
        sps_data_free(&made);
        return sps_wrap(status, "%s: layer %lld", rec->path, (long long)slice->layer);
    }
    *data = made;
    return SPS_OK;
}
