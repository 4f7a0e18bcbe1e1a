/* recording.c - open a recording: find its layers, check shapes, types, metadata. */
#include "datasets/recording.h"
#include "datasets/safetensors_header.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA "sparsescope.recording/1"

enum { HEADS_MAX = 1024 };

/* A part's dimensions by letter, one for each: a letter means the same number wherever it
 * stands in one layer, * any number, 3 itself. */
static const struct {
    const char *name, *dims;
    bool needed, integer;
} parts[PART_COUNT] = {
    [PART_Q] = {"q", "thd", true, false},
    [PART_K] = {"k", "sgd", true, false},
    [PART_V] = {"v", "sge", true, false},
    [PART_GATE] = {"gate", "th3", false, false},
    [PART_INDEX] = {"index", "t**", false, true},
    [PART_W_K] = {"w_k", "g*d", false, false},
    [PART_W_V] = {"w_v", "g*e", false, false},
    [PART_PE_K] = {"pe_k", "g*d", false, false},
    [PART_DO] = {"do", "the", false, false},
    [PART_Q_IDX] = {"q_idx", "txi", false, false},
    [PART_K_IDX] = {"k_idx", "si", false, false},
    [PART_W_IDX] = {"w_idx", "tx", false, false},
};

enum { LETTERS = 128, NAME_MAX_SIZE = 64 };

static enum sps_status check_dims(const char *name, const char *dims,
                                  const struct safetensors_entry *e,
                                  int64_t known[LETTERS])
{
    int rank = (int)strlen(dims);

    if (e->rank != rank)
        return sps_fail(SPS_ECONFIG, "%s: rank %d, must be %d", name, e->rank, rank);
    for (int i = 0; i < rank; i++) {
        int64_t *want = &known[(int)dims[i]];
        if (e->dim[i] < 1)
            return sps_fail(SPS_ECONFIG, "%s: dimension %d is 0", name, i);
        if (dims[i] != '*' && *want == 0)
            *want = e->dim[i];
        if (dims[i] != '*' && e->dim[i] != *want)
            return sps_fail(SPS_ECONFIG, "%s: dimension %d is %lld, must be %lld", name,
                            i, (long long)e->dim[i], (long long)*want);
    }
    return SPS_OK;
}

static enum sps_status open_part(const struct sps_recording *rec,
                                 struct recording_layer *l, int part,
                                 int64_t known[LETTERS])
{
    char name[NAME_MAX_SIZE];

    snprintf(name, sizeof name, "layers.%lld.%s", (long long)l->number, parts[part].name);
    const struct safetensors_entry *e = sps_safetensors_entry(rec->file, name);
    if (!e && !parts[part].needed)
        return SPS_OK;
    SPS_TRY(sps_safetensors_get(rec->file, name, &l->part[part]));
    enum sps_dtype dtype = l->part[part].dtype;
    if (parts[part].integer ? dtype != SPS_I32 : dtype == SPS_I32 || dtype == SPS_U8)
        return sps_fail(SPS_ECONFIG, "%s: type %s, must be %s", name, e->type->name,
                        parts[part].integer ? "I32" : "F32, F16 or BF16");
    return check_dims(name, parts[part].dims, e, known);
}

/* w_k, w_v and pe_k must speak of the same number of tokens. */
static enum sps_status check_weights(const struct recording_layer *l)
{
    const struct sps_tensor *w_k = &l->part[PART_W_K], *w_v = &l->part[PART_W_V];
    const struct sps_tensor *pe_k = &l->part[PART_PE_K];
    int64_t n = (int64_t)l->number;

    if (!w_k->data != !w_v->data)
        return sps_fail(SPS_ECONFIG, "layers.%lld.w_k and .w_v must come together",
                        (long long)n);
    if (!w_k->data)
        return SPS_OK;
    int64_t tokens = w_k->dim[1] / l->dk;
    if (w_k->dim[1] != tokens * l->dk || w_v->dim[1] != tokens * l->dv)
        return sps_fail(SPS_ECONFIG,
                        "layers.%lld.w_k has %lld rows and .w_v %lld, must be "
                        "l x %lld and l x %lld",
                        (long long)n, (long long)w_k->dim[1], (long long)w_v->dim[1],
                        (long long)l->dk, (long long)l->dv);
    if (pe_k->data && pe_k->dim[1] != tokens)
        return sps_fail(SPS_ECONFIG, "layers.%lld.pe_k is for %lld tokens, w_k for %lld",
                        (long long)n, (long long)pe_k->dim[1], (long long)tokens);
    return SPS_OK;
}

/* An indexer is three tensors. */
static enum sps_status check_indexer(const struct recording_layer *l)
{
    const struct sps_tensor *part = l->part;

    if (!part[PART_Q_IDX].data != !part[PART_K_IDX].data ||
        !part[PART_Q_IDX].data != !part[PART_W_IDX].data)
        return sps_fail(SPS_ECONFIG,
                        "layers.%lld.q_idx, .k_idx and .w_idx must come together",
                        (long long)l->number);
    return SPS_OK;
}

static enum sps_status check_layer(const struct sps_recording *rec,
                                   const struct recording_layer *l)
{
    const struct sps_tensor *index = &l->part[PART_INDEX];
    long long n = (long long)l->number;

    if (l->t > l->s)
        return sps_fail(SPS_ECONFIG,
                        "layers.%lld: %lld queries for %lld keys, at most one "
                        "a key",
                        n, (long long)l->t, (long long)l->s);
    if (l->h > HEADS_MAX || l->h % l->g)
        return sps_fail(SPS_ECONFIG,
                        "layers.%lld: %lld query heads for %lld kv heads, must "
                        "be a multiple and at most %d",
                        n, (long long)l->h, (long long)l->g, HEADS_MAX);
    if (index->data && rec->index_block == 0)
        return sps_fail(SPS_ECONFIG,
                        "layers.%lld.index needs metadata block, its tokens a "
                        "unit",
                        n);
    if (index->data && index->dim[1] != 1 && index->dim[1] != l->g &&
        index->dim[1] != l->h)
        return sps_fail(SPS_ECONFIG,
                        "layers.%lld.index: %lld heads, must be 1, %lld or %lld", n,
                        (long long)index->dim[1], (long long)l->g, (long long)l->h);
    SPS_TRY(check_indexer(l));
    return check_weights(l);
}

static enum sps_status open_layer(const struct sps_recording *rec,
                                  struct recording_layer *l)
{
    int64_t known[LETTERS] = {['3'] = 3};

    for (int part = 0; part < PART_COUNT; part++)
        SPS_TRY(open_part(rec, l, part, known));
    l->t = known['t'], l->h = known['h'], l->dk = known['d'];
    l->s = known['s'], l->g = known['g'], l->dv = known['e'];
    return check_layer(rec, l);
}

/* The N of "layers.N.q", .k or .v, or -1. */
static int64_t layer_number(const char *name)
{
    int number = -1, used = 0;

    if (sscanf(name, "layers.%6d.%n", &number, &used) != 1 || used == 0 ||
        !isdigit((unsigned char)name[7]) || (name[7] == '0' && name[8] != '.') ||
        !name[used] || !strchr("qkv", name[used]) || name[used + 1])
        return -1;
    return number;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static enum sps_status find_layers(struct sps_recording *rec)
{
    int64_t tensors = sps_safetensors_count(rec->file), found = 0;

    rec->numbers = calloc((size_t)tensors + 1, sizeof *rec->numbers);
    if (!rec->numbers)
        return sps_fail(SPS_ENOMEM, "out of memory");
    for (int64_t i = 0; i < tensors; i++) {
        int64_t n = layer_number(sps_safetensors_name(rec->file, i));
        if (n >= 0)
            rec->numbers[found++] = n;
    }
    if (found == 0)
        return sps_fail(SPS_ECONFIG, "no tensor is named layers.N.q, .k or .v");
    qsort(rec->numbers, (size_t)found, sizeof *rec->numbers, ascending);
    for (int64_t i = 0; i < found; i++)
        if (i == 0 || rec->numbers[i] != rec->numbers[i - 1])
            rec->numbers[rec->count++] = rec->numbers[i];
    return SPS_OK;
}

static enum sps_status open_layers(struct sps_recording *rec)
{
    SPS_TRY(find_layers(rec));
    rec->layers = calloc((size_t)rec->count, sizeof *rec->layers);
    if (!rec->layers)
        return sps_fail(SPS_ENOMEM, "out of memory");
    for (int64_t i = 0; i < rec->count; i++) {
        rec->layers[i].number = rec->numbers[i];
        SPS_TRY(open_layer(rec, &rec->layers[i]));
    }
    return SPS_OK;
}

static enum sps_status read_meta(struct sps_recording *rec)
{
    char shown[SAFETENSORS_SHOWN];
    const char *schema = sps_safetensors_meta(rec->file, "schema");
    const char *scale = sps_safetensors_meta(rec->file, "scale");
    const char *block = sps_safetensors_meta(rec->file, "block");
    char *end;

    if (schema && strcmp(schema, SCHEMA) != 0)
        return sps_fail(SPS_ECONFIG, "metadata schema: %s is not known, must be %s",
                        sps_safetensors_show(schema, shown), SCHEMA);
    if (scale) {
        rec->scale = strtod(scale, &end);
        if (end == scale || *end || !isfinite(rec->scale) || rec->scale <= 0)
            return sps_fail(SPS_ECONFIG, "metadata scale: %s is no positive number",
                            sps_safetensors_show(scale, shown));
    }
    if (block && (sps_parse_size(block, &rec->index_block) != SPS_OK ||
                  rec->index_block < 1 || rec->index_block > INT32_MAX))
        return sps_fail(SPS_ECONFIG, "metadata block: %s is no count of tokens",
                        sps_safetensors_show(block, shown));
    return SPS_OK;
}

enum sps_status sps_recording_open(const char *path, struct sps_recording **out)
{
    struct sps_recording *rec = calloc(1, sizeof *rec);

    if (rec)
        rec->path = strdup(path), rec->sha256 = calloc(1, 65);
    if (!rec || !rec->path || !rec->sha256) {
        sps_recording_close(rec);
        return sps_fail(SPS_ENOMEM, "%s: out of memory", path);
    }
    enum sps_status status = sps_safetensors_open(path, &rec->file);
    if (status == SPS_OK) {
        status = read_meta(rec);
        if (status == SPS_OK)
            status = open_layers(rec);
        if (status != SPS_OK)
            sps_wrap(status, "%s", path);
    }
    if (status != SPS_OK) {
        sps_recording_close(rec);
        return status;
    }
    *out = rec;
    return SPS_OK;
}

void sps_recording_close(struct sps_recording *rec)
{
    if (!rec)
        return;
    sps_safetensors_close(rec->file);
    free(rec->layers);
    free(rec->numbers);
    free(rec->path);
    free(rec->sha256);
    free(rec);
}

const int64_t *sps_recording_layers(const struct sps_recording *rec, int64_t *count)
{
    *count = rec->count;
    return rec->numbers;
}

const struct recording_layer *sps_recording_layer(const struct sps_recording *rec,
                                                  int64_t number)
{
    const int64_t *found = bsearch(&number, rec->numbers, (size_t)rec->count,
                                   sizeof *rec->numbers, ascending);

    return found ? &rec->layers[found - rec->numbers] : NULL;
}

int64_t sps_recording_heads(const struct sps_recording *rec, int64_t layer)
{
    const struct recording_layer *l = sps_recording_layer(rec, layer);

    return l ? l->h : 0;
}

const char *sps_recording_meta(const struct sps_recording *rec, const char *key)
{
    return sps_safetensors_meta(rec->file, key);
}
