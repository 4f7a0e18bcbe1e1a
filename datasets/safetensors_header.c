/* safetensors_header.c - a header's JSON to checked tensor entries.
 *
 * The rules are those of the format's reference reader (safetensors/src/tensor.rs,
 * read_metadata and validate), and three of the written format that it leaves out:
 * { comes first, no key twice, no unknown key in an entry.  Ours alone: rank <= 8.
 */
#include "datasets/safetensors_header.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct safetensors_type types[] = {
    {"BOOL", 8, false, 0},        {"F4", 4, false, 0},
    {"F6_E2M3", 6, false, 0},     {"F6_E3M2", 6, false, 0},
    {"U8", 8, true, SPS_U8},      {"I8", 8, false, 0},
    {"F8_E5M2", 8, false, 0},     {"F8_E4M3", 8, false, 0},
    {"F8_E8M0", 8, false, 0},     {"F8_E4M3FNUZ", 8, false, 0},
    {"F8_E5M2FNUZ", 8, false, 0}, {"I16", 16, false, 0},
    {"U16", 16, false, 0},        {"F16", 16, true, SPS_F16},
    {"BF16", 16, true, SPS_BF16}, {"I32", 32, true, SPS_I32},
    {"U32", 32, false, 0},        {"F32", 32, true, SPS_F32},
    {"C64", 64, false, 0},        {"F64", 64, false, 0},
    {"I64", 64, false, 0},        {"U64", 64, false, 0},
};
enum { TYPES = sizeof types / sizeof *types };

const struct safetensors_type *sps_safetensors_type(const char *name)
{
    for (int i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const struct safetensors_type *sps_safetensors_type_of(enum sps_dtype dtype)
{
    int i = 0;

    while (!types[i].ours || types[i].dtype != dtype)
        i++;
    return &types[i];
}

const char *sps_safetensors_show(const char *text, char shown[SAFETENSORS_SHOWN])
{
    size_t n = 0;

    for (; text[n] && n < SAFETENSORS_SHOWN - 1; n++)
        shown[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    shown[n] = '\0';
    return shown;
}

#define REFUSE(name, ...) (sps_fail(SPS_ECONFIG, __VA_ARGS__), blame(name))

/* Put the tensor's name before the message. */
static enum sps_status blame(const char *name)
{
    char shown[SAFETENSORS_SHOWN];

    return sps_wrap(SPS_ECONFIG, "tensor %s", sps_safetensors_show(name, shown));
}

static char *keep(struct safetensors_header *h, const char *text)
{
    size_t size = strlen(text) + 1;
    char *kept = memcpy(h->arena + h->used, text, size);

    h->used += size;
    return kept;
}

static enum sps_status read_type(const json_t *value, struct safetensors_entry *e)
{
    char shown[SAFETENSORS_SHOWN];

    if (!json_is_string(value))
        return REFUSE(e->name, "dtype is missing or no string");
    e->type = sps_safetensors_type(json_string_value(value));
    if (!e->type)
        return REFUSE(e->name, "dtype %s is not one of the format's",
                      sps_safetensors_show(json_string_value(value), shown));
    return SPS_OK;
}

static enum sps_status read_shape(json_t *value, struct safetensors_entry *e)
{
    size_t i;
    json_t *dim;

    if (!json_is_array(value))
        return REFUSE(e->name, "shape is missing or no list");
    json_array_foreach(value, i, dim)
    {
        if (!json_is_integer(dim))
            return REFUSE(e->name, "shape[%zu] is no whole number", i);
        e->dim[i] = json_integer_value(dim);
    }
    e->rank = (int)i; /* the scan let no longer list through */
    return SPS_OK;
}

static enum sps_status read_offsets(const json_t *value, struct safetensors_entry *e)
{
    const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);

    if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return REFUSE(e->name, "data_offsets is missing or not [begin, end]");
    e->begin = json_integer_value(begin);
    e->end = json_integer_value(end);
    return SPS_OK;
}

/* Bytes that shape and type call for, without overflow. */
static enum sps_status check_size(const struct safetensors_entry *e)
{
    int64_t bits = e->type->bits;

    for (int i = 0; i < e->rank; i++)
        if (__builtin_mul_overflow(bits, e->dim[i], &bits))
            return REFUSE(e->name, "shape has more bits than 2^63");
    if (bits % 8)
        return REFUSE(e->name, "%lld bits are no whole number of bytes", (long long)bits);
    if (e->end < e->begin || e->end - e->begin != bits / 8)
        return REFUSE(e->name, "data_offsets [%lld, %lld] do not hold its %lld bytes",
                      (long long)e->begin, (long long)e->end, (long long)(bits / 8));
    return SPS_OK;
}

static enum sps_status read_entry(struct safetensors_header *h, const char *name,
                                  json_t *value)
{
    struct safetensors_entry *e = &h->entries[h->count++];

    e->name = keep(h, name);
    if (!json_is_object(value))
        return REFUSE(name, "its entry is no object");
    SPS_TRY(read_type(json_object_get(value, "dtype"), e));
    SPS_TRY(read_shape(json_object_get(value, "shape"), e));
    SPS_TRY(read_offsets(json_object_get(value, "data_offsets"), e));
    if (json_object_size(value) != 3)
        return REFUSE(name, "a key that is not dtype, shape or data_offsets");
    return check_size(e);
}

static enum sps_status read_meta(struct safetensors_header *h, json_t *meta)
{
    char shown[SAFETENSORS_SHOWN];
    const char *key;
    json_t *value;

    if (!json_is_object(meta))
        return sps_fail(SPS_ECONFIG, "__metadata__ is no object");
    h->meta = calloc(json_object_size(meta) + 1, sizeof *h->meta);
    if (!h->meta)
        return sps_fail(SPS_ENOMEM, "cannot allocate %zu metadata entries",
                        json_object_size(meta));
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value))
            return sps_fail(SPS_ECONFIG, "__metadata__ %s is no string",
                            sps_safetensors_show(key, shown));
        h->meta[h->meta_count].key = keep(h, key);
        h->meta[h->meta_count++].value = keep(h, json_string_value(value));
    }
    return SPS_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct safetensors_entry *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* In the order of their bytes the tensors must cover the buffer, no more, no less. */
static enum sps_status check_cover(struct safetensors_header *h, int64_t buffer)
{
    int64_t end = 0;

    qsort(h->entries, (size_t)h->count, sizeof *h->entries, by_offset);
    for (int64_t i = 0; i < h->count; i++) {
        const struct safetensors_entry *e = &h->entries[i];
        if (e->begin != end)
            return REFUSE(e->name, "starts at byte %lld, %s at %lld", (long long)e->begin,
                          e->begin < end ? "overlapping what ends" : "after a hole",
                          (long long)end);
        end = e->end;
    }
    if (end != buffer)
        return sps_fail(SPS_ECONFIG,
                        "tensors take %lld bytes, but %lld follow the header",
                        (long long)end, (long long)buffer);
    return SPS_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct safetensors_entry *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static enum sps_status read_root(struct safetensors_header *h, json_t *root)
{
    const char *name;
    json_t *value;
    size_t count = json_object_size(root) + 1;

    h->entries = calloc(count, sizeof *h->entries);
    h->by_name = calloc(count, sizeof *h->by_name);
    if (!h->entries || !h->by_name)
        return sps_fail(SPS_ENOMEM, "cannot allocate %zu tensor entries", count);
    json_object_foreach(root, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            SPS_TRY(read_meta(h, value));
        else
            SPS_TRY(read_entry(h, name, value));
    }
    return SPS_OK;
}

enum sps_status sps_safetensors_header_parse(const char *json, size_t size,
                                             int64_t buffer, struct safetensors_header *h)
{
    char shown[SAFETENSORS_SHOWN];
    json_error_t error;

    *h = (struct safetensors_header){0};
    SPS_TRY(sps_safetensors_scan(json, size));
    h->arena = malloc(size);
    if (!h->arena)
        return sps_fail(SPS_ENOMEM, "cannot allocate %zu bytes for names", size);
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return sps_fail(SPS_ECONFIG, "header byte %d: %s", error.position,
                        sps_safetensors_show(error.text, shown));
    enum sps_status status = read_root(h, root);
    json_decref(root);
    SPS_TRY(status);
    SPS_TRY(check_cover(h, buffer));
    for (int64_t i = 0; i < h->count; i++)
        h->by_name[i] = &h->entries[i];
    qsort(h->by_name, (size_t)h->count, sizeof *h->by_name, by_name);
    return SPS_OK;
}

void sps_safetensors_header_free(struct safetensors_header *h)
{
    free(h->entries);
    free(h->by_name);
    free(h->meta);
    free(h->arena);
    *h = (struct safetensors_header){0};
}
