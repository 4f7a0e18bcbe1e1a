/* golden.c - read inputs, options and expected selections of a golden file. */
#include "sim/run/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sps_status sps_golden_floats(const struct sps_golden *golden, const char *name,
                                  struct sps_tensor *x)
{
    struct sps_tensor raw;

    SPS_TRY(sps_safetensors_get(golden->file, name, &raw));
    if (raw.dtype != SPS_F32 && raw.dtype != SPS_F16 && raw.dtype != SPS_BF16)
        return sps_fail(SPS_ECONFIG, "%s is not a float tensor", name);
    SPS_TRY(sps_tensor_new(SPS_F32, raw.dim[0], raw.dim[1], raw.dim[2], raw.dim[3], x));
    sps_to_f32(raw.data, raw.dtype, sps_tensor_count(&raw), x->data);
    return SPS_OK;
}

static enum sps_status optional(const struct sps_golden *golden, const char *name,
                                struct sps_tensor *x)
{
    return sps_safetensors_has(golden->file, name) ? sps_golden_floats(golden, name, x)
                                                   : SPS_OK;
}

/* One name for both sides: packed sequences have as many rows as keys. */
static enum sps_status read_offsets(struct sps_golden *golden)
{
    struct sps_data *data = &golden->data;
    struct sps_tensor cu = {0};
    void *mem;

    if (sps_safetensors_has(golden->file, "cu_seqlens"))
        SPS_TRY(sps_safetensors_get(golden->file, "cu_seqlens", &cu));
    data->n = cu.data ? cu.dim[0] - 1 : 1;
    SPS_TRY(sps_calloc((size_t)(data->n + 1) * sizeof(int64_t), &mem));
    data->cu_q = mem;
    SPS_TRY(sps_calloc((size_t)(data->n + 1) * sizeof(int64_t), &mem));
    data->cu_k = mem;
    data->cu_q[1] = data->t;
    data->cu_k[1] = data->s;
    for (int64_t i = 0; cu.data && i <= data->n; i++) {
        int32_t at;
        memcpy(&at, (const char *)cu.data + (size_t)i * sizeof at, sizeof at);
        data->cu_q[i] = data->cu_k[i] = at;
    }
    for (int64_t i = 0; i < data->n; i++)
        if (data->cu_q[i] > data->cu_q[i + 1])
            return sps_fail(SPS_ECONFIG, "cu_seqlens falls after entry %lld",
                            (long long)i);
    if (data->n < 1 || data->cu_q[0] || data->cu_q[data->n] != data->t ||
        data->cu_k[data->n] != data->s)
        return sps_fail(SPS_ECONFIG, "cu_seqlens does not end at %lld rows and %lld keys",
                        (long long)data->t, (long long)data->s);
    return SPS_OK;
}

static enum sps_status read_inputs(struct sps_golden *golden)
{
    struct sps_data *d = &golden->data;
    const char *scale = sps_safetensors_meta(golden->file, "scale");
    const char *causal = sps_safetensors_meta(golden->file, "causal");

    SPS_TRY(sps_golden_floats(golden, "q", &d->q));
    SPS_TRY(sps_golden_floats(golden, "k", &d->k));
    SPS_TRY(sps_golden_floats(golden, "v", &d->v));
    SPS_TRY(optional(golden, "gate", &d->gate));
    SPS_TRY(optional(golden, "w_k", &d->w_k));
    SPS_TRY(optional(golden, "w_v", &d->w_v));
    SPS_TRY(optional(golden, "pe_k", &d->pe_k));
    SPS_TRY(optional(golden, "do", &d->d_o));
    d->t = d->q.dim[0], d->h = d->q.dim[1], d->dk = d->q.dim[2];
    d->s = d->k.dim[0], d->g = d->k.dim[1], d->dv = d->v.dim[2];
    if (d->k.dim[2] != d->dk || d->v.dim[0] != d->s || d->v.dim[1] != d->g || d->g < 1 ||
        d->h % d->g || d->t > d->s)
        return sps_fail(SPS_ECONFIG, "q, k, v do not fit: [t,h,dk], [s,g,dk], [s,g,dv]");
    if (d->d_o.data &&
        (d->d_o.dim[0] != d->t || d->d_o.dim[1] != d->h || d->d_o.dim[2] != d->dv))
        return sps_fail(SPS_ECONFIG, "do does not fit q and v: [t,h,dv]");
    d->scale = scale ? strtod(scale, NULL) : 1 / sqrt((double)d->dk);
    golden->causal = !causal || strcmp(causal, "0") != 0;
    return read_offsets(golden);
}

/* `kind` full with a window is the method window. */
static enum sps_status find_method(struct sps_golden *golden)
{
    const char *kind = sps_safetensors_meta(golden->file, "kind");

    if (!kind)
        return sps_fail(SPS_ECONFIG, "no metadata key 'kind'");
    if (strcmp(kind, "full") == 0 && sps_safetensors_meta(golden->file, "window"))
        kind = "window";
    golden->method = sps_method_find(kind);
    if (!golden->method)
        return sps_fail(SPS_ENOTSUP, "kind %s: no such method", kind);
    return SPS_OK;
}

static enum sps_status read_options(struct sps_golden *golden)
{
    const struct sps_option *table = golden->method->options;

    SPS_TRY(sps_calloc(golden->method->options_size + 1, &golden->options));
    sps_options_default(table, golden->options);
    for (const struct sps_option *o = table; o && o->name; o++) {
        const char *text =
            o->golden ? sps_safetensors_meta(golden->file, o->golden) : NULL;
        if (text)
            SPS_TRY(sps_option_set(o, golden->options, text));
    }
    return SPS_OK;
}

static enum sps_status read_all(const char *path, struct sps_golden *golden)
{
    SPS_TRY(sps_safetensors_open(path, &golden->file));
    enum sps_status status = find_method(golden);
    if (status == SPS_OK)
        status = read_options(golden);
    if (status == SPS_OK)
        status = read_inputs(golden);
    return status == SPS_OK ? SPS_OK : sps_wrap(status, "%s", path);
}

enum sps_status sps_golden_open(const char *path, struct sps_golden *golden)
{
    *golden = (struct sps_golden){0};
    enum sps_status status = read_all(path, golden);
    if (status != SPS_OK)
        sps_golden_close(golden);
    return status;
}

void sps_golden_close(struct sps_golden *golden)
{
    sps_safetensors_close(golden->file);
    sps_data_free(&golden->data);
    free(golden->options);
    *golden = (struct sps_golden){0};
}

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* block_indices[t,g,n]: any order, -1 for none. */
static enum sps_status from_lists(const struct sps_tensor *x, struct sps_index *index)
{
    size_t lists = (size_t)(x->dim[0] * x->dim[1]), width = (size_t)x->dim[2];
    void *mem;

    SPS_TRY(sps_calloc(lists * width * sizeof(int32_t), &mem));
    memcpy(mem, x->data, lists * width * sizeof(int32_t));
    *index = (struct sps_index){
        .t = x->dim[0], .heads = x->dim[1], .width = x->dim[2], .list = mem};
    for (size_t i = 0; i < lists; i++) {
        int32_t *list = index->list + i * width, kept = 0;
        qsort(list, width, sizeof *list, ascending);
        for (size_t j = 0; j < width; j++)
            if (list[j] >= 0)
                list[kept++] = list[j];
        while (kept < (int32_t)width)
            list[kept++] = -1;
    }
    return SPS_OK;
}

/* selected_N[h, t_N, blocks], 0 or 1, of sequence N. */
static enum sps_status from_masks(const struct sps_golden *golden,
                                  struct sps_index *index)
{
    const struct sps_data *d = &golden->data;
    int64_t width = index->width;

    for (int64_t n = 0; n < d->n; n++) {
        char name[32];
        struct sps_tensor x;
        snprintf(name, sizeof name, "selected_%lld", (long long)n);
        SPS_TRY(sps_safetensors_get(golden->file, name, &x));
        if (x.dim[0] != d->h || x.dim[1] != d->cu_q[n + 1] - d->cu_q[n])
            return sps_fail(SPS_ECONFIG, "%s: not [%lld, %lld, blocks]", name,
                            (long long)d->h, (long long)(d->cu_q[n + 1] - d->cu_q[n]));
        for (int64_t h = 0; h < x.dim[0]; h++)
            for (int64_t r = 0; r < x.dim[1]; r++) {
                const uint8_t *mask =
                    (const uint8_t *)x.data + (h * x.dim[1] + r) * x.dim[2];
                int32_t *list = index->list + ((d->cu_q[n] + r) * d->h + h) * width;
                int64_t kept = 0;
                for (int64_t b = 0; b < x.dim[2]; b++)
                    if (mask[b] && kept < width)
                        list[kept++] = (int32_t)b;
            }
    }
    return SPS_OK;
}

enum sps_status sps_golden_index(const struct sps_golden *golden, struct sps_index *index)
{
    const struct sps_data *d = &golden->data;
    const char *topk = sps_safetensors_meta(golden->file, "topk");
    struct sps_tensor x;
    void *mem;

    *index = (struct sps_index){0};
    if (sps_safetensors_has(golden->file, "block_indices")) {
        SPS_TRY(sps_safetensors_get(golden->file, "block_indices", &x));
        return from_lists(&x, index);
    }
    if (!sps_safetensors_has(golden->file, "selected_0") || !topk)
        return SPS_OK;
    *index =
        (struct sps_index){.t = d->t, .heads = d->h, .width = strtol(topk, NULL, 10)};
    SPS_TRY(sps_calloc((size_t)(d->t * d->h * index->width) * sizeof(int32_t), &mem));
    memset(mem, 0xff, (size_t)(d->t * d->h * index->width) * sizeof(int32_t));
    index->list = mem;
    enum sps_status status = from_masks(golden, index);
    if (status != SPS_OK)
        free(mem);
    return status;
}
