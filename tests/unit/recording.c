/* recording.c - tests of slices of recorded layers, and of recordings refused.
 * Over 400 lines because every refusal stands with its message. */
#include "datasets/dataset.h"
#include "datasets/safetensors.h"
#include "tests/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A layer of 6 queries for 10 keys, 4 heads on 2; every number tells its place. */
enum { T = 6, S = 10, H = 4, G = 2, DK = 3, DV = 2, L = 2, W = 3, BLOCK = 4 };
enum { X = 3, DI = 2, PARTS = 12 }; /* heads and size of an indexer */

struct layer {
    float q[T][H][DK], k[S][G][DK], v[S][G][DV], gate[T][H][3], d_o[T][H][DV];
    float w_k[G][L * DK][DK], w_v[G][L * DV][DV], pe_k[G][L][DK];
    float q_idx[T][X][DI], k_idx[S][DI], w_idx[T][X];
    int32_t index[T][G][W];
    struct sps_named_tensor part[PARTS];
    char name[PARTS][32];
};

static void number(float *x, int64_t rows, int64_t heads, int64_t width, float add)
{
    for (int64_t i = 0; i < rows * heads * width; i++)
        x[i] =
            add + (float)(i / width / heads * 100 + i / width % heads * 10 + i % width);
}

static void name_part(struct layer *l, int i, int64_t layer, const char *suffix,
                      void *data, enum sps_dtype dtype, int64_t a, int64_t b, int64_t c)
{
    sprintf(l->name[i], "layers.%d.%s", (int)layer, suffix);
    l->part[i] = (struct sps_named_tensor){
        .name = l->name[i],
        .tensor = sps_tensor_view(data, dtype, a, b, c ? c : 1, 1),
        .rank = c ? 3 : 2};
}

static void make(struct layer *l, int64_t n)
{
    memset(l, 0, sizeof *l);
    number(&l->q[0][0][0], T, H, DK, 0);
    number(&l->k[0][0][0], S, G, DK, 2000);
    number(&l->v[0][0][0], S, G, DV, 4000);
    number(&l->gate[0][0][0], T, H, 3, 6000);
    number(&l->d_o[0][0][0], T, H, DV, 8000);
    number(&l->w_k[0][0][0], G, L * DK, DK, 0);
    number(&l->w_v[0][0][0], G, L * DV, DV, 0);
    number(&l->pe_k[0][0][0], G, L, DK, 0);
    number(&l->q_idx[0][0][0], T, X, DI, 0);
    number(&l->k_idx[0][0], S, 1, DI, 0);
    number(&l->w_idx[0][0], T, 1, X, 0);
    for (int i = 0; i < T * G; i++)
        for (int j = 0; j < W; j++) /* every block that the row sees, then -1 */
            l->index[i / G][i % G][j] = j <= (S - T + i / G) / BLOCK ? j : -1;
    name_part(l, 0, n, "q", l->q, SPS_F32, T, H, DK);
    name_part(l, 1, n, "k", l->k, SPS_F32, S, G, DK);
    name_part(l, 2, n, "v", l->v, SPS_F32, S, G, DV);
    name_part(l, 3, n, "gate", l->gate, SPS_F32, T, H, 3);
    name_part(l, 4, n, "index", l->index, SPS_I32, T, G, W);
    name_part(l, 5, n, "do", l->d_o, SPS_F32, T, H, DV);
    name_part(l, 6, n, "w_k", l->w_k, SPS_F32, G, L * DK, DK);
    name_part(l, 7, n, "w_v", l->w_v, SPS_F32, G, L * DV, DV);
    name_part(l, 8, n, "pe_k", l->pe_k, SPS_F32, G, L, DK);
    name_part(l, 9, n, "q_idx", l->q_idx, SPS_F32, T, X, DI);
    name_part(l, 10, n, "k_idx", l->k_idx, SPS_F32, S, DI, 0);
    name_part(l, 11, n, "w_idx", l->w_idx, SPS_F32, T, X, 0);
}

static const struct sps_meta meta[] = {
    {"schema", "sparsescope.recording/1"}, {"scale", "0.25"}, {"block", "4"}};

/* Write `count` tensors and open them as a recording; the file is gone again. */
static enum sps_status reopen(const struct sps_named_tensor *x, int64_t count,
                              const struct sps_meta *m, int64_t metas,
                              struct sps_recording **rec)
{
    char path[] = "sps-recording-XXXXXX";
    int fd = mkstemp(path);

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    close(fd);
    CU_ASSERT_EQUAL_FATAL(sps_safetensors_write(path, x, count, m, metas), SPS_OK);
    enum sps_status status = sps_recording_open(path, rec);
    unlink(path);
    return status;
}

static void open_layer(struct layer *l, struct sps_recording **rec)
{
    make(l, 7);
    CU_ASSERT_EQUAL_FATAL(reopen(l->part, PARTS, meta, 3, rec), SPS_OK);
}

static float at(const struct sps_tensor *x, int64_t i, int64_t j, int64_t k)
{
    return ((float *)x->data)[(i * x->dim[1] + j) * x->dim[2] + k];
}

static void test_whole(void)
{
    struct layer l;
    struct sps_recording *rec;
    struct sps_data data;
    struct sps_slice slice = {.layer = 7};
    int64_t count;

    open_layer(&l, &rec);
    CU_ASSERT_EQUAL(sps_recording_layers(rec, &count)[0], 7);
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_EQUAL(sps_recording_heads(rec, 7), H);
    CU_ASSERT_EQUAL(sps_recording_heads(rec, 6), 0);
    CU_ASSERT_STRING_EQUAL(sps_recording_meta(rec, "scale"), "0.25");
    CU_ASSERT_EQUAL_FATAL(sps_recording_load(rec, &slice, &data), SPS_OK);
    CU_ASSERT_TRUE(data.h == H && data.g == G && data.t == T && data.s == S &&
                   data.n == 1);
    CU_ASSERT_TRUE(data.dk == DK && data.dv == DV && data.scale == 0.25);
    CU_ASSERT_TRUE(data.cu_q[1] == T && data.cu_k[1] == S);
    CU_ASSERT_EQUAL(memcmp(data.q.data, l.q, sizeof l.q), 0);
    CU_ASSERT_EQUAL(memcmp(data.k.data, l.k, sizeof l.k), 0);
    CU_ASSERT_EQUAL(memcmp(data.v.data, l.v, sizeof l.v), 0);
    CU_ASSERT_EQUAL(memcmp(data.gate.data, l.gate, sizeof l.gate), 0);
    CU_ASSERT_EQUAL(memcmp(data.index.data, l.index, sizeof l.index), 0);
    CU_ASSERT_EQUAL(memcmp(data.d_o.data, l.d_o, sizeof l.d_o), 0);
    CU_ASSERT_EQUAL(memcmp(data.w_k.data, l.w_k, sizeof l.w_k), 0);
    CU_ASSERT_EQUAL(memcmp(data.w_v.data, l.w_v, sizeof l.w_v), 0);
    CU_ASSERT_EQUAL(memcmp(data.pe_k.data, l.pe_k, sizeof l.pe_k), 0);
    CU_ASSERT_TRUE(data.q_idx.dim[1] == X && data.k_idx.dim[1] == 1);
    CU_ASSERT_TRUE(data.w_idx.dim[1] == 1 && data.w_idx.dim[2] == X);
    CU_ASSERT_EQUAL(memcmp(data.q_idx.data, l.q_idx, sizeof l.q_idx), 0);
    CU_ASSERT_EQUAL(memcmp(data.k_idx.data, l.k_idx, sizeof l.k_idx), 0);
    CU_ASSERT_EQUAL(memcmp(data.w_idx.data, l.w_idx, sizeof l.w_idx), 0);
    CU_ASSERT_EQUAL(data.index_block, BLOCK);
    CU_ASSERT_EQUAL(data.heads[3], 3);
    CU_ASSERT_EQUAL(strlen(data.sha256), 64);
    sps_data_free(&data);
    CU_ASSERT_PTR_NULL(data.q.data);
    sps_data_free(&data);
    sps_recording_close(rec);
}

/* Heads 2 and 3 are those of kv head 1; rows 1 and 2 stand at positions 5 and 6. */
static void test_slice(void)
{
    static const int64_t heads[] = {2, 3};
    struct layer l;
    struct sps_recording *rec;
    struct sps_data data;
    struct sps_slice slice = {7, heads, 2, 7, 2};

    open_layer(&l, &rec);
    CU_ASSERT_EQUAL_FATAL(sps_recording_load(rec, &slice, &data), SPS_OK);
    CU_ASSERT_TRUE(data.h == 2 && data.g == 1 && data.t == 2 && data.s == 7);
    CU_ASSERT_TRUE(data.cu_q[1] == 2 && data.cu_k[1] == 7);
    CU_ASSERT_EQUAL(at(&data.q, 0, 0, 0), l.q[1][2][0]);
    CU_ASSERT_EQUAL(at(&data.q, 1, 1, 2), l.q[2][3][2]);
    CU_ASSERT_EQUAL(at(&data.k, 6, 0, 1), l.k[6][1][1]);
    CU_ASSERT_EQUAL(at(&data.v, 0, 0, 1), l.v[0][1][1]);
    CU_ASSERT_EQUAL(at(&data.gate, 1, 0, 2), l.gate[2][2][2]);
    CU_ASSERT_EQUAL(at(&data.d_o, 1, 1, 1), l.d_o[2][3][1]);
    CU_ASSERT_EQUAL(((int32_t *)data.index.data)[1], l.index[1][1][1]);
    CU_ASSERT_EQUAL(data.index.dim[1], 1);
    CU_ASSERT_EQUAL(data.w_k.dim[0], 1);
    CU_ASSERT_EQUAL(memcmp(data.w_k.data, l.w_k[1], sizeof l.w_k[1]), 0);
    CU_ASSERT_EQUAL(memcmp(data.w_v.data, l.w_v[1], sizeof l.w_v[1]), 0);
    CU_ASSERT_EQUAL(memcmp(data.pe_k.data, l.pe_k[1], sizeof l.pe_k[1]), 0);
    CU_ASSERT_TRUE(data.q_idx.dim[1] == X && data.k_idx.dim[0] == 7);
    CU_ASSERT_EQUAL(at(&data.q_idx, 1, 2, 1), l.q_idx[2][2][1]);
    CU_ASSERT_EQUAL(at(&data.k_idx, 6, 0, 1), l.k_idx[6][1]);
    CU_ASSERT_EQUAL(at(&data.w_idx, 0, 0, 2), l.w_idx[1][2]);
    CU_ASSERT_TRUE(data.heads[0] == 2 && data.heads[1] == 3);
    sps_data_free(&data);
    sps_recording_close(rec);
}

/* What a slice is, not how it was asked for, makes the digest. */
static void test_digest(void)
{
    static const int64_t all[] = {0, 1, 2, 3}, some[] = {0, 2}, other[] = {1, 3};
    struct sps_slice slices[] = {{.layer = 7},       {7, all, 4, S, T},
                                 {7, some, 2, 0, 0}, {7, NULL, 0, 9, 0},
                                 {7, NULL, 0, 0, 5}, {7, other, 2, 0, 0}};
    char hex[6][65];
    struct layer l;
    struct sps_recording *rec;
    struct sps_data data;

    open_layer(&l, &rec);
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL_FATAL(sps_recording_load(rec, &slices[i], &data), SPS_OK);
        strcpy(hex[i], data.sha256);
        sps_data_free(&data);
    }
    sps_recording_close(rec);
    CU_ASSERT_STRING_EQUAL(hex[0], hex[1]);
    for (int i = 1; i < 6; i++)
        for (int j = i + 1; j < 6; j++)
            CU_ASSERT_STRING_NOT_EQUAL(hex[i], hex[j]);
    make(&l, 7);
    l.q[5][3][2] += 1;
    CU_ASSERT_EQUAL_FATAL(reopen(l.part, PARTS, meta, 3, &rec), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_recording_load(rec, &slices[0], &data), SPS_OK);
    CU_ASSERT_STRING_NOT_EQUAL(hex[0], data.sha256);
    sps_data_free(&data);
    sps_recording_close(rec);
}

static void test_slice_refused(void)
{
    static const int64_t uneven[] = {0, 2, 3}, down[] = {1, 0}, high[] = {4},
                         low[] = {-1};
    static const struct {
        struct sps_slice slice;
        const char *message;
    } cases[] = {
        {{.layer = 8}, "layer 8: there is none, the first is 7 and the last 7"},
        {{.layer = 7, .length = 4}, "length 4 is not allowed: 5..10"},
        {{.layer = 7, .length = 11}, "length 11 is not allowed: 5..10"},
        {{.layer = 7, .length = -1}, "length -1 is not allowed"},
        {{.layer = 7, .queries = 7}, "queries 7 is not allowed: 1..6"},
        {{.layer = 7, .length = 6, .queries = 3}, "queries 3 is not allowed: 1..2"},
        {{.layer = 7, .queries = -1}, "queries -1 is not allowed"},
        {{.layer = 7, .heads = uneven, .head_count = 3},
         "kv head 0 would keep 1 query heads and kv head 1 2"},
        {{.layer = 7, .heads = down, .head_count = 2}, "heads: 0 after 1, must ascend"},
        {{.layer = 7, .heads = high, .head_count = 1}, "heads: 4 is not allowed: 0..3"},
        {{.layer = 7, .heads = low, .head_count = 1}, "heads: -1 is not allowed: 0..3"},
        {{.layer = 7, .heads = low, .head_count = 0}, "heads: 0 of them, layer 7 has 4"},
        {{.layer = 7, .heads = low, .head_count = 5}, "heads: 5 of them, layer 7 has 4"},
    };
    struct layer l;
    struct sps_recording *rec;
    struct sps_data data;

    open_layer(&l, &rec);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CU_ASSERT_EQUAL(sps_recording_load(rec, &cases[i].slice, &data), SPS_ECONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), cases[i].message));
    }
    sps_recording_close(rec);
}

/* One thing wrong at a time. */
static const struct {
    const char *message, *name; /* of the part to change; NULL: see `change` */
    int part, dim;
    int64_t value;
} broken[] = {
    {"layers.7.k: there is none", "layers.6.x", 1, -1, 0},
    {"layers.7.q: rank 2, must be 3", NULL, 0, 3, 2},
    {"layers.7.k: dimension 2 is 2, must be 3", NULL, 1, 2, 2},
    {"layers.7.v: dimension 0 is 9, must be 10", NULL, 2, 0, 9},
    {"layers.7.v: dimension 1 is 1, must be 2", NULL, 2, 1, 1},
    {"layers.7.v: dimension 2 is 0", NULL, 2, 2, 0},
    {"layers.7.gate: dimension 2 is 2, must be 3", NULL, 3, 2, 2},
    {"layers.7.gate: dimension 1 is 3, must be 4", NULL, 3, 1, 3},
    {"layers.7.index: 3 heads, must be 1, 2 or 4", NULL, 4, 1, 3},
    {"layers.7.do: dimension 2 is 1, must be 2", NULL, 5, 2, 1},
    {"layers.7.w_k has 5 rows and .w_v 4", NULL, 6, 1, 5},
    {"layers.7.w_k has 6 rows and .w_v 2", NULL, 7, 1, 2},
    {"layers.7.w_k and .w_v must come together", "layers.7.other", 7, -1, 0},
    {"layers.7.pe_k is for 1 tokens, w_k for 2", NULL, 8, 1, 1},
    {"layers.7.q_idx: dimension 0 is 5, must be 6", NULL, 9, 0, 5},
    {"layers.7.k_idx: rank 3, must be 2", NULL, 10, 3, 3},
    {"layers.7.w_idx: dimension 1 is 2, must be 3", NULL, 11, 1, 2},
    {"layers.7.q_idx, .k_idx and .w_idx must come together", "layers.7.z", 9, -1, 0},
    {"layers.7.q_idx, .k_idx and .w_idx must come together", "layers.7.z", 11, -1, 0},
    {"layers.7.q: type I32, must be F32, F16 or BF16", NULL, 0, 4, SPS_I32},
    {"layers.7.v: type U8, must be F32, F16 or BF16", NULL, 2, 4, SPS_U8},
    {"layers.7.index: type F32, must be I32", NULL, 4, 4, SPS_F32},
};

static void test_recording_refused(void)
{
    struct layer l;
    struct sps_recording *rec;

    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        make(&l, 7);
        struct sps_named_tensor *x = &l.part[broken[i].part];
        if (broken[i].name)
            x->name = broken[i].name;
        else if (broken[i].dim == 3)
            x->rank = (int)broken[i].value, x->tensor.dim[2] = 1;
        else if (broken[i].dim == 4)
            x->tensor.dtype = (enum sps_dtype)broken[i].value;
        else
            x->tensor.dim[broken[i].dim] = broken[i].value;
        CU_ASSERT_EQUAL(reopen(l.part, PARTS, meta, 3, &rec), SPS_ECONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), broken[i].message));
        CU_ASSERT_EQUAL(strncmp(sps_error(), "sps-recording-", 14), 0);
    }
}

/* Shapes that agree with each other, but not with attention. */
static void test_shapes_refused(void)
{
    struct layer l;
    struct sps_recording *rec;

    make(&l, 7);
    l.part[1].tensor.dim[0] = l.part[2].tensor.dim[0] = 5;
    CU_ASSERT_EQUAL(reopen(l.part, 3, meta, 3, &rec), SPS_ECONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "layers.7: 6 queries for 5 keys"));
    make(&l, 7);
    l.part[0].tensor.dim[1] = 3;
    CU_ASSERT_EQUAL(reopen(l.part, 3, meta, 3, &rec), SPS_ECONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "3 query heads for 2 kv heads"));
    make(&l, 7);
    CU_ASSERT_EQUAL(reopen(l.part, 5, meta, 2, &rec), SPS_ECONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "layers.7.index needs metadata block"));
}

static void test_meta(void)
{
    static const struct {
        struct sps_meta meta;
        const char *message;
    } cases[] = {
        {{"schema", "sparsescope.recording/2"},
         "metadata schema: sparsescope.recording/2"},
        {{"scale", "0"}, "metadata scale: 0 is no positive number"},
        {{"scale", "nan"}, "metadata scale: nan is no positive number"},
        {{"scale", "1x"}, "metadata scale: 1x is no positive number"},
        {{"scale", ""}, "metadata scale:  is no positive number"},
        {{"block", "0"}, "metadata block: 0 is no count"},
        {{"block", "many"}, "metadata block: many is no count"},
    };
    struct layer l;
    struct sps_recording *rec;
    struct sps_data data;
    struct sps_slice slice = {.layer = 7};

    make(&l, 7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CU_ASSERT_EQUAL(reopen(l.part, 3, &cases[i].meta, 1, &rec), SPS_ECONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), cases[i].message));
    }
    CU_ASSERT_EQUAL_FATAL(reopen(l.part, 3, NULL, 0, &rec), SPS_OK); /* none at all */
    CU_ASSERT_EQUAL_FATAL(sps_recording_load(rec, &slice, &data), SPS_OK);
    CU_ASSERT_TRUE(fabs(data.scale - 1 / sqrt(DK)) <= 1e-15);
    CU_ASSERT_PTR_NULL(data.gate.data);
    CU_ASSERT_PTR_NULL(data.index.data);
    sps_data_free(&data);
    sps_recording_close(rec);
}

/* Layers come in the order of their numbers; other names are left alone. */
static void test_layers(void)
{
    static const char *const names[] = {
        "layers.10.q", "layers.10.k", "layers.10.v", "layers.9.q",   "layers.9.k",
        "layers.9.v",  "layers.07.q", "layers.+8.k", "layers. 8.v",  "layers.8.qk",
        "layers.8.",   "layers.8",    "layer.8.q",   "layers.8.x.q", "layers.88888888.q"};
    enum { NAMES = sizeof names / sizeof *names };
    struct sps_named_tensor x[NAMES];
    struct sps_recording *rec;
    struct layer l;
    int64_t count;

    make(&l, 7);
    for (int i = 0; i < NAMES; i++)
        x[i] = l.part[i % 3], x[i].name = names[i];
    CU_ASSERT_EQUAL_FATAL(reopen(x, NAMES, NULL, 0, &rec), SPS_OK);
    const int64_t *layers = sps_recording_layers(rec, &count);
    CU_ASSERT_TRUE(count == 2 && layers[0] == 9 && layers[1] == 10);
    sps_recording_close(rec);
    CU_ASSERT_EQUAL(reopen(x + 6, NAMES - 6, NULL, 0, &rec), SPS_ECONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "no tensor is named layers.N.q"));
    CU_ASSERT_EQUAL(sps_recording_open("no/such", &rec), SPS_EIO);
    sps_recording_close(NULL);
}

/* An index may name only blocks that its row sees, in order. */
static void test_index(void)
{
    static const struct {
        int32_t list[W];
        bool good;
    } cases[] = {/* of row 3, position 7: blocks 0 and 1 */
                 {{0, 1, -1}, true},          {{1, -1, -1}, true},
                 {{-1, -1, -1}, true},        {{0, 1, 2}, false},
                 {{1, 0, -1}, false},         {{0, 0, -1}, false},
                 {{-1, 0, -1}, false},        {{-2, -1, -1}, false},
                 {{0, INT32_MAX, -1}, false}, {{INT32_MIN, 0, -1}, false}};
    struct layer l;
    struct sps_recording *rec;
    struct sps_data data;
    struct sps_slice slice = {.layer = 7};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make(&l, 7);
        memcpy(l.index[3][1], cases[i].list, sizeof cases[i].list);
        CU_ASSERT_EQUAL_FATAL(reopen(l.part, PARTS, meta, 3, &rec), SPS_OK);
        enum sps_status status = sps_recording_load(rec, &slice, &data);
        CU_ASSERT_EQUAL(status, cases[i].good ? SPS_OK : SPS_ECONFIG);
        if (status == SPS_OK)
            sps_data_free(&data);
        else
            CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "layer 7: index[3, 1, "));
        sps_recording_close(rec);
    }
}

/* ---- finite ---- */

static void test_finite(void)
{
    static const struct {
        enum sps_dtype dtype;
        uint32_t bits;
        const char *word; /* NULL: finite */
    } cases[] = {
        {SPS_F32, 0x7fc00000, "nan"}, {SPS_F32, 0xff800001, "nan"},
        {SPS_F32, 0x7f800000, "inf"}, {SPS_F32, 0xff800000, "-inf"},
        {SPS_F32, 0x7f7fffff, NULL},  {SPS_F16, 0x7e00, "nan"},
        {SPS_F16, 0xfc00, "-inf"},    {SPS_F16, 0x7bff, NULL},
        {SPS_F16, 0x3f80, NULL},      {SPS_BF16, 0x7fc0, "nan"},
        {SPS_BF16, 0x7f80, "inf"},    {SPS_BF16, 0x7f7f, NULL},
        {SPS_BF16, 0x7c00, NULL},     {SPS_BF16, 0xff80, "-inf"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int which = 0; which < 3; which++) {
            struct sps_data data = {0};
            struct sps_tensor *x[] = {&data.q, &data.k, &data.v};
            char want[64];
            for (int j = 0; j < 3; j++)
                CU_ASSERT_EQUAL_FATAL(sps_tensor_new(cases[i].dtype, 130, 2, 9, 1, x[j]),
                                      SPS_OK);
            size_t size = sps_dtype_size(cases[i].dtype);
            memcpy((char *)x[which]->data + ((123 * 2 + 1) * 9 + 7) * size,
                   &cases[i].bits, size);
            enum sps_status status = sps_data_check_finite(&data);
            CU_ASSERT_EQUAL(status, cases[i].word ? SPS_ENUMERIC : SPS_OK);
            sprintf(want, "%c[123, 1, 7] is %s", "qkv"[which],
                    cases[i].word ? cases[i].word : "");
            if (status != SPS_OK)
                CU_ASSERT_STRING_EQUAL(sps_error(), want);
            sps_data_free(&data);
        }
}

/* The recording that comes with the program. */
static void test_sample(void)
{
    static const int64_t heads[] = {0, 3};
    const char *top = getenv("srcdir");
    struct sps_slice slice = {11, heads, 2, 8000, 100};
    struct sps_recording *rec;
    struct sps_data data;
    char path[1024];

    snprintf(path, sizeof path, "%s/datasets/samples/gemma3-270m/kjv-l11.safetensors",
             top ? top : ".");
    if (access(path, R_OK) != 0) {
        tap_skip("the sample recording is not here");
        return;
    }
    CU_ASSERT_EQUAL_FATAL(sps_recording_open(path, &rec), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_recording_load(rec, &slice, &data), SPS_OK);
    CU_ASSERT_TRUE(data.h == 2 && data.g == 1 && data.t == 100 && data.s == 8000);
    CU_ASSERT_TRUE(data.dk == 256 && data.dv == 256 && data.scale == 0.0625);
    CU_ASSERT_EQUAL(data.q.dtype, SPS_BF16);
    CU_ASSERT_EQUAL(sps_data_check_finite(&data), SPS_OK);
    sps_data_free(&data);
    sps_recording_close(rec);
}

static const struct tap_test tests[] = {{"a whole layer", test_whole},
                                        {"heads, length, queries", test_slice},
                                        {"digest of what was cut", test_digest},
                                        {"slices refused", test_slice_refused},
                                        {"parts refused", test_recording_refused},
                                        {"shapes refused", test_shapes_refused},
                                        {"metadata", test_meta},
                                        {"layers by name", test_layers},
                                        {"index lists", test_index},
                                        {"not a number is found", test_finite},
                                        {"the sample", test_sample},
                                        {0}};

int main(void)
{
    return tap_run("recording", tests);
}
