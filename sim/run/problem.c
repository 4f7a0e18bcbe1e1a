/* problem.c - cut heads and rows out of a data set, round, upload. */
#include "sim/run/problem.h"

#include <stdlib.h>
#include <string.h>

/* Rows [row, row + 1) and heads [head, head + heads) of x[rows, all, d]. */
struct cut {
    const struct sps_tensor *x;
    int64_t head, heads;
    const int64_t *rows; /* -1: zeros; NULL: 0, 1, 2, ... */
    int64_t count;
};

static int64_t row_size(const struct cut *cut)
{
    return cut->heads * cut->x->dim[2];
}

static void copy_rows(const struct cut *cut, enum sps_dtype dtype, enum sps_dtype device,
                      float *wide, char *out)
{
    const struct sps_tensor *x = cut->x;
    size_t from = sps_dtype_size(x->dtype), to = sps_dtype_size(device);
    int64_t size = row_size(cut), stride = x->dim[1] * x->dim[2];

    for (int64_t r = 0; r < cut->count; r++) {
        int64_t row = cut->rows ? cut->rows[r] : r;
        if (row < 0) {
            memset(out, 0, (size_t)size * to);
            out += (size_t)size * to;
            continue;
        }
        const char *source =
            (const char *)x->data + (size_t)(row * stride + cut->head * x->dim[2]) * from;
        sps_to_f32(source, x->dtype, size, wide);
        sps_round_f32(wide, size, dtype);
        sps_from_f32(wide, size, device, out);
        out += (size_t)size * to;
    }
}

/* Round to dtype, hold as `device`, upload as [count, heads, d]. */
static enum sps_status upload(struct sps_input *input, const struct cut *cut,
                              enum sps_dtype dtype, enum sps_dtype device,
                              struct sps_tensor *out)
{
    struct sps_device *dev = input->dev;
    size_t bytes = (size_t)(cut->count * row_size(cut)) * sps_dtype_size(device);
    void *wide = NULL, *host = NULL, *mem = NULL;
    enum sps_status status = sps_calloc((size_t)row_size(cut) * sizeof(float), &wide);

    if (status == SPS_OK)
        status = sps_calloc(bytes, &host);
    if (status == SPS_OK)
        copy_rows(cut, dtype, device, wide, host);
    if (status == SPS_OK)
        status = dev->backend->alloc(dev, bytes, &mem);
    if (status == SPS_OK) {
        *out = sps_tensor_view(mem, device, cut->count, cut->heads, cut->x->dim[2], 1);
        input->bytes += bytes;
        status = dev->backend->upload(dev, mem, host, bytes);
    }
    free(wide);
    free(host);
    return status;
}

static enum sps_status copy_offsets(const int64_t *from, int64_t n, int64_t **to)
{
    void *mem;

    SPS_TRY(sps_calloc((size_t)n * sizeof **to, &mem));
    if (from)
        memcpy(mem, from, (size_t)n * sizeof **to);
    *to = mem;
    return SPS_OK;
}

/* Sequence offsets and positions of the taken rows. */
static enum sps_status place_rows(const struct sps_data *data,
                                  const struct sps_take *take, struct sps_input *input)
{
    struct sps_shape whole = {.n = data->n, .cu_q = data->cu_q, .cu_k = data->cu_k};

    SPS_TRY(copy_offsets(data->cu_k, data->n + 1, &input->cu_k));
    SPS_TRY(copy_offsets(take->rows ? NULL : data->cu_q, data->n + 1, &input->cu_q));
    if (!take->rows)
        return SPS_OK;
    SPS_TRY(copy_offsets(NULL, take->count, &input->pos));
    for (int64_t i = 0; i < take->count; i++) {
        int64_t sequence = sps_shape_sequence(&whole, take->rows[i]);
        input->pos[i] = sps_shape_pos(&whole, sequence, take->rows[i]);
        input->cu_q[sequence + 1]++;
    }
    for (int64_t i = 0; i < data->n; i++)
        input->cu_q[i + 1] += input->cu_q[i];
    return SPS_OK;
}

static int64_t taken_rows(const struct sps_data *data, const struct sps_take *take)
{
    return take->rows ? take->count : data->t;
}

/* The recorded index of the taken heads and rows, on the host. */
static enum sps_status take_index(const struct sps_data *data,
                                  const struct sps_take *take, struct sps_input *input)
{
    const struct sps_tensor *x = &data->index;
    int64_t heads = x->dim[1], per = heads > data->g ? data->h / data->g : 1;
    bool common = heads == 1;
    int64_t first = common ? 0 : take->kv_head * per,
            kept = common ? 1 : take->kv_heads * per;
    int64_t count = taken_rows(data, take), width = x->dim[2];
    void *mem;

    if (!x->data)
        return SPS_OK;
    SPS_TRY(sps_calloc((size_t)(count * kept * width) * sizeof(int32_t), &mem));
    input->given = mem;
    for (int64_t r = 0; r < count; r++) {
        int64_t row = take->rows ? take->rows[r] : r;
        memcpy(input->given + r * kept * width,
               (const int32_t *)x->data + (row * heads + first) * width,
               (size_t)(kept * width) * sizeof(int32_t));
    }
    input->problem.extra.given = (struct sps_index){.t = count,
                                                    .heads = kept,
                                                    .block = data->index_block,
                                                    .width = width,
                                                    .list = mem};
    return SPS_OK;
}

/* Keys' side: heads [head, head + heads) of every key, in pages where they lie so. */
static struct cut cut_keys(const struct sps_tensor *x, int64_t head, int64_t heads,
                           const struct sps_input *input)
{
    const struct sps_paging *paging = &input->paging;

    return (struct cut){x, head, heads, paging->row,
                        paging->row ? paging->slots : x->dim[0]};
}

/* Rows of the queries' side, keys whole; every index head. */
static enum sps_status take_indexer(const struct sps_data *data,
                                    const struct sps_take *take, enum sps_dtype dtype,
                                    enum sps_dtype device, struct sps_input *input)
{
    struct sps_extras *extra = &input->problem.extra;
    int64_t rows = taken_rows(data, take), heads = data->q_idx.dim[1];
    const struct cut q = {&data->q_idx, 0, heads, take->rows, rows};
    const struct cut k = cut_keys(&data->k_idx, 0, 1, input);
    const struct cut w = {&data->w_idx, 0, 1, take->rows, rows};

    if (!data->q_idx.data)
        return SPS_OK;
    SPS_TRY(upload(input, &q, dtype, device, &extra->q_idx));
    SPS_TRY(upload(input, &k, dtype, device, &extra->k_idx));
    return upload(input, &w, SPS_F32, SPS_F32, &extra->w_idx);
}

/* The gradient of the output is float32 on the device, rounded to dtype. */
static enum sps_status take_gradient(const struct sps_data *data,
                                     const struct sps_take *take, enum sps_dtype dtype,
                                     struct sps_input *input)
{
    int64_t G = data->h / data->g;

    if (!take->backward)
        return SPS_OK;
    input->problem.backward = true;
    return upload(input,
                  &(struct cut){&data->d_o, take->kv_head * G, take->kv_heads * G,
                                take->rows, taken_rows(data, take)},
                  dtype, SPS_F32, &input->problem.extra.d_o);
}

/* Gates and compression weights are float32 on the device, whatever dtype is. */
static enum sps_status take_extras(const struct sps_data *data,
                                   const struct sps_take *take, enum sps_dtype dtype,
                                   struct sps_input *input)
{
    struct sps_extras *extra = &input->problem.extra;
    int64_t G = data->h / data->g;

    if (data->gate.data)
        SPS_TRY(upload(input,
                       &(struct cut){&data->gate, take->kv_head * G, take->kv_heads * G,
                                     take->rows, taken_rows(data, take)},
                       SPS_F32, SPS_F32, &extra->gate));
    const struct {
        const struct sps_tensor *from;
        struct sps_tensor *to;
    } weights[] = {{&data->w_k, &extra->w_k},
                   {&data->w_v, &extra->w_v},
                   {&data->pe_k, &extra->pe_k}};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        const struct sps_tensor *w = weights[i].from;
        if (!w->data)
            continue;
        struct sps_tensor heads = *w;
        heads.data = (char *)w->data + (size_t)(take->kv_head * w->dim[1] * w->dim[2]) *
                                           sps_dtype_size(w->dtype);
        SPS_TRY(upload(input, &(struct cut){&heads, 0, w->dim[1], NULL, take->kv_heads},
                       dtype, SPS_F32, weights[i].to));
    }
    return take_index(data, take, input);
}

static enum sps_status take_keys(const struct sps_data *data, const struct sps_take *take,
                                 enum sps_dtype dtype, enum sps_dtype device,
                                 struct sps_input *input)
{
    struct sps_qkv *in = &input->problem.in;
    const struct cut k = cut_keys(&data->k, take->kv_head, take->kv_heads, input);
    const struct cut v = cut_keys(&data->v, take->kv_head, take->kv_heads, input);

    if (take->keys) {
        input->borrowed = true;
        in->k = take->keys->problem.in.k;
        in->v = take->keys->problem.in.v;
        return SPS_OK;
    }
    SPS_TRY(upload(input, &k, dtype, device, &in->k));
    return upload(input, &v, dtype, device, &in->v);
}

enum sps_status sps_input_make(const struct sps_data *data, const struct sps_take *take,
                               enum sps_dtype dtype, uint64_t seed,
                               struct sps_device *dev, struct sps_input *input)
{
    int64_t G = data->h / data->g, t = taken_rows(data, take);
    enum sps_dtype device = dev->backend->accepts(dtype);
    struct sps_qkv *in = &input->problem.in;

    *input = (struct sps_input){.dev = dev};
    SPS_TRY(place_rows(data, take, input));
    if (take->paged)
        SPS_TRY(
            sps_paging_make(data->cu_k, data->n, SPS_PAGE_TOKENS, seed, &input->paging));
    SPS_TRY(upload(
        input,
        &(struct cut){&data->q, take->kv_head * G, take->kv_heads * G, take->rows, t},
        dtype, device, &in->q));
    SPS_TRY(take_keys(data, take, dtype, device, input));
    SPS_TRY(take_extras(data, take, dtype, input));
    SPS_TRY(take_indexer(data, take, dtype, device, input));
    SPS_TRY(take_gradient(data, take, dtype, input));
    input->problem.shape =
        (struct sps_shape){.h = take->kv_heads * G,
                           .g = take->kv_heads,
                           .t = t,
                           .s = data->s,
                           .dk = data->dk,
                           .dv = data->dv,
                           .n = data->n,
                           .cu_q = input->cu_q,
                           .cu_k = input->cu_k,
                           .pos = input->pos,
                           .causal = true,
                           .scale = data->scale,
                           .pages = take->paged ? &input->paging.pages : NULL};
    input->problem.decode = take->decode;
    input->problem.dtype = dtype;
    input->problem.seed = seed;
    return SPS_OK;
}

enum { HELD = 11, HELD_KEYS = 2 };

/* The tensors of a problem on the device, k and v last. */
static void list_held(struct sps_problem *p, struct sps_tensor *held[HELD])
{
    struct sps_tensor *const all[HELD] = {
        &p->in.q,       &p->extra.gate,  &p->extra.w_k,   &p->extra.w_v,
        &p->extra.pe_k, &p->extra.q_idx, &p->extra.k_idx, &p->extra.w_idx,
        &p->extra.d_o,  &p->in.k,        &p->in.v};

    memcpy(held, all, sizeof all);
}

enum sps_status sps_input_copy(const struct sps_input *from, struct sps_input *to)
{
    const struct sps_backend *backend = from->dev->backend;
    struct sps_problem source = from->problem;
    struct sps_tensor *of[HELD], *held[HELD];

    *to = (struct sps_input){.problem = from->problem, .dev = from->dev};
    list_held(&source, of);
    list_held(&to->problem, held);
    for (int i = 0; i < HELD; i++)
        held[i]->data = NULL;
    for (int i = 0; i < HELD; i++) {
        size_t bytes = sps_tensor_bytes(of[i]);
        void *mem;
        if (!of[i]->data)
            continue;
        SPS_TRY(backend->alloc(to->dev, bytes, &mem));
        held[i]->data = mem;
        to->bytes += bytes;
        SPS_TRY(backend->upload(to->dev, mem, of[i]->data, bytes));
    }
    return SPS_OK;
}

void sps_input_free(struct sps_input *input)
{
    struct sps_tensor *held[HELD];
    int count = HELD - (input->borrowed ? HELD_KEYS : 0);

    list_held(&input->problem, held);
    for (int i = 0; i < count; i++)
        if (held[i]->data)
            input->dev->backend->free(input->dev, held[i]->data);
    free(input->cu_q);
    free(input->cu_k);
    free(input->pos);
    free(input->given);
    sps_paging_free(&input->paging);
    *input = (struct sps_input){0};
}

size_t sps_input_bytes(const struct sps_data *data, const struct sps_take *take,
                       enum sps_dtype dtype, const struct sps_device *dev)
{
    size_t size = sps_dtype_size(dev->backend->accepts(dtype));
    int64_t q = taken_rows(data, take) * take->kv_heads * (data->h / data->g) * data->dk;
    int64_t keys =
        take->paged ? sps_paging_slots(data->cu_k, data->n, SPS_PAGE_TOKENS) : data->s;
    int64_t kv = keys * take->kv_heads * (data->dk + data->dv);
    int64_t x = data->q_idx.data ? data->q_idx.dim[1] : 0;
    int64_t rows = taken_rows(data, take);
    int64_t indexer = x ? (rows * x + keys) * data->q_idx.dim[2] : 0;
    int64_t d_o = rows * take->kv_heads * (data->h / data->g) * data->dv;
    int64_t floats = rows * x + (take->backward ? d_o : 0);

    return (size_t)(q + kv + indexer) * size + (size_t)floats * sizeof(float);
}
