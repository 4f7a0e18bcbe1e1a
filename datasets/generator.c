/* generator.c - the registry of generators, their common options, and the call. */
#include "base/sha256.h"
#include "datasets/generate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One line here, one file generate_NAME.c. */
#define SPS_GENERATORS(X) X(diffuse) X(needle) X(topics)

#define ADDRESS(name) &sps_generator_##name,
const struct sps_generator *const sps_generators[] = {SPS_GENERATORS(ADDRESS) NULL};

const struct sps_generator *sps_generator_find(const char *name)
{
    for (int i = 0; sps_generators[i]; i++)
        if (strcmp(sps_generators[i]->name, name) == 0)
            return sps_generators[i];
    return NULL;
}

#define AT(member) offsetof(struct sps_synthetic, member)
const struct sps_option sps_synthetic_options[] = {
    {"length", SPS_OPT_SIZE, SPS_LIST_AXIS, AT(length), "8k", 1, 16777216, NULL, NULL,
     "keys of each sequence, tokens"},
    {"batch", SPS_OPT_INT, SPS_LIST_AXIS, AT(batch), "1", 1, 4096, NULL, NULL,
     "sequences, packed"},
    {"min_length", SPS_OPT_SIZE, SPS_LIST_AXIS, AT(min_length), "0", 0, 16777216, NULL,
     NULL, "lengths of a batch are drawn from here to length, 0 is all alike"},
    {"q_heads", SPS_OPT_INT, SPS_LIST_AXIS, AT(q_heads), "16", 1, GENERATE_HEADS_MAX,
     NULL, NULL, "query heads, a multiple of kv_heads"},
    {"kv_heads", SPS_OPT_INT, SPS_LIST_AXIS, AT(kv_heads), "1", 1, GENERATE_HEADS_MAX,
     NULL, NULL, "key and value heads"},
    {"head_dim", SPS_OPT_INT, SPS_LIST_AXIS, AT(head_dim), "128", 1, GENERATE_DIM_MAX,
     NULL, NULL, "numbers of a query or key"},
    {"value_dim", SPS_OPT_INT, SPS_LIST_AXIS, AT(value_dim), "0", 0, GENERATE_DIM_MAX,
     NULL, NULL, "numbers of a value, 0 is head_dim"},
    {"queries", SPS_OPT_SIZE, SPS_LIST_AXIS, AT(queries), "0", 0, 16777216, NULL, NULL,
     "the last so many rows of each sequence, 0 is all"},
    {0}};

static int64_t shortest(const struct sps_synthetic *spec)
{
    return spec->min_length ? spec->min_length : spec->length;
}

static enum sps_status check(const struct sps_synthetic *spec)
{
    for (const struct sps_option *o = sps_synthetic_options; o->name; o++) {
        char text[32];
        struct sps_synthetic ignored;
        sps_option_format(o, spec, text, sizeof text);
        SPS_TRY(sps_option_set(o, &ignored, text));
    }
    if (spec->q_heads % spec->kv_heads)
        return sps_fail(SPS_ECONFIG,
                        "q_heads: %lld is not allowed: a multiple of kv_heads "
                        "%lld",
                        (long long)spec->q_heads, (long long)spec->kv_heads);
    if (spec->min_length > spec->length)
        return sps_fail(SPS_ECONFIG,
                        "min_length: %lld is not allowed: at most length %lld",
                        (long long)spec->min_length, (long long)spec->length);
    if (spec->queries > shortest(spec))
        return sps_fail(SPS_ECONFIG, "queries: %lld is not allowed: at most %s %lld",
                        (long long)spec->queries,
                        spec->min_length ? "min_length" : "length",
                        (long long)shortest(spec));
    return SPS_OK;
}

/* Uniform, but the first sequence is the longest, whatever the batch. */
static int64_t sequence_length(const struct sps_synthetic *spec, int64_t sequence)
{
    int64_t least = shortest(spec);
    float u[4];

    if (sequence == 0 || least == spec->length)
        return spec->length;
    sps_draw_uniform(spec->seed, DRAW_LENGTH, sequence, 0, 0, u);
    return least + (int64_t)(u[0] * (double)(spec->length - least));
}

static enum sps_status shape(const struct sps_synthetic *spec, struct sps_data *data)
{
    int64_t n = spec->batch;
    size_t bytes = (size_t)(n + 1) * sizeof(int64_t);
    void *cu;

    data->h = spec->q_heads, data->g = spec->kv_heads, data->n = n;
    data->dk = spec->head_dim;
    data->dv = spec->value_dim ? spec->value_dim : spec->head_dim;
    data->scale = 1 / sqrt((double)data->dk);
    for (int64_t i = 0; i < data->h; i++)
        data->heads[i] = i;
    SPS_TRY(sps_calloc(bytes, &cu));
    data->cu_q = cu;
    SPS_TRY(sps_calloc(bytes, &cu));
    data->cu_k = cu;
    for (int64_t i = 0; i < n; i++) {
        int64_t keys = sequence_length(spec, i);
        data->cu_k[i + 1] = data->cu_k[i] + keys;
        data->cu_q[i + 1] = data->cu_q[i] + (spec->queries ? spec->queries : keys);
    }
    data->t = data->cu_q[n], data->s = data->cu_k[n];
    return SPS_OK;
}

enum sps_status sps_synthetic_shape(const struct sps_synthetic *spec,
                                    struct sps_data *data)
{
    *data = (struct sps_data){0};
    enum sps_status status = check(spec);
    if (status == SPS_OK)
        status = shape(spec, data);
    if (status != SPS_OK)
        sps_data_free(data);
    return status;
}

static enum sps_status allocate(struct sps_data *data)
{
    SPS_TRY(sps_tensor_new(SPS_F32, data->t, data->h, data->dk, 1, &data->q));
    SPS_TRY(sps_tensor_new(SPS_F32, data->s, data->g, data->dk, 1, &data->k));
    return sps_tensor_new(SPS_F32, data->s, data->g, data->dv, 1, &data->v);
}

/* "name=value" of every option; reals by all their digits. */
static void digest_options(struct sps_sha256 *sha, const struct sps_option *table,
                           const void *values)
{
    for (const struct sps_option *o = table; o && o->name; o++) {
        char text[SPS_TEXT_MAX];
        if (o->kind == SPS_OPT_REAL)
            snprintf(text, sizeof text, "%.17g",
                     *(const double *)(const void *)((const char *)values + o->offset));
        else
            sps_option_format(o, values, text, sizeof text);
        sps_sha256_add(sha, o->name, strlen(o->name));
        sps_sha256_add(sha, "=", 1);
        sps_sha256_add(sha, text, strlen(text) + 1);
    }
}

static enum sps_status digest(const struct sps_generator *generator,
                              const struct sps_synthetic *spec, const void *options,
                              char hex[65])
{
    struct sps_sha256 *sha;
    char text[96];

    SPS_TRY(sps_sha256_new(&sha));
    snprintf(text, sizeof text, "sparsescope.generator/1 %s seed=%llu", generator->name,
             (unsigned long long)spec->seed);
    sps_sha256_add(sha, text, strlen(text) + 1);
    digest_options(sha, sps_synthetic_options, spec);
    digest_options(sha, generator->options, options);
    sps_sha256_hex(sha, hex);
    return SPS_OK;
}

enum sps_status sps_generate(const struct sps_generator *generator,
                             const struct sps_synthetic *spec, const void *options,
                             struct sps_data *data)
{
    struct sps_data made;

    enum sps_status status = sps_synthetic_shape(spec, &made);
    if (status == SPS_OK)
        status = allocate(&made);
    if (status == SPS_OK)
        status = generator->fill(spec, options, &made);
    if (status == SPS_OK)
        status = digest(generator, spec, options, made.sha256);
    if (status != SPS_OK) {
        sps_data_free(&made);
        return sps_wrap(status, "%s", generator->name);
    }
    *data = made;
    return SPS_OK;
}
