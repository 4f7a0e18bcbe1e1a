/* base.c - tests of number formats, options, nearest names and the rng. */
#include "base/option.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "base/tensor.h"
#include "tests/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- number formats ---- */

/* A 16-bit float by its definition: sign, exponent bits, fraction bits. */
static double half_value(uint32_t x, int exponent_bits, int fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1,
        exponent = x >> fraction_bits & ((1 << exponent_bits) - 1);
    double fraction = x & ((1u << fraction_bits) - 1), sign = x >> 15 ? -1 : 1;

    if (exponent == (1 << exponent_bits) - 1)
        return fraction != 0 ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(1 + ldexp(fraction, -fraction_bits), exponent - bias);
}

static const struct {
    enum sps_dtype dtype;
    int exponent_bits, fraction_bits;
} halves[] = {{SPS_F16, 5, 10}, {SPS_BF16, 8, 7}};

/* Every pattern has its value, and comes back from it unchanged. */
static void test_half_patterns(void)
{
    for (int f = 0; f < 2; f++) {
        int64_t wrong = 0;
        for (uint32_t x = 0; x < 65536; x++) {
            uint16_t in = (uint16_t)x, out;
            float value;
            double want = half_value(x, halves[f].exponent_bits, halves[f].fraction_bits);
            sps_to_f32(&in, halves[f].dtype, 1, &value);
            sps_from_f32(&value, 1, halves[f].dtype, &out);
            if (isnan(want))
                wrong += !isnan(value) ||
                         !isnan(half_value(out, halves[f].exponent_bits,
                                           halves[f].fraction_bits)) ||
                         (out ^ in) >> 15;
            else
                wrong += value != want || !signbit(value) != !signbit(want) || out != in;
        }
        CU_ASSERT_EQUAL(wrong, 0);
    }
}

/* Between two neighbours: the nearer one, and at the middle the even one. */
static void test_half_ties(void)
{
    for (int f = 0; f < 2; f++) {
        int64_t wrong = 0;
        uint32_t end = ((1u << halves[f].exponent_bits) - 1) << halves[f].fraction_bits;
        for (uint32_t x = 0; x + 1 < end; x++) {
            uint16_t pair[2] = {(uint16_t)x, (uint16_t)(x + 1)}, out[3];
            float near[2], in[3];
            sps_to_f32(pair, halves[f].dtype, 2, near);
            in[1] = near[0] + (near[1] - near[0]) / 2; /* exact: one more bit */
            in[0] = nextafterf(in[1], 0), in[2] = nextafterf(in[1], INFINITY);
            sps_from_f32(in, 3, halves[f].dtype, out);
            wrong += out[0] != pair[0] || out[1] != pair[x & 1] || out[2] != pair[1];
        }
        CU_ASSERT_EQUAL(wrong, 0);
    }
}

static void test_half_edges(void)
{
    static const struct {
        float in;
        uint16_t f16, bf16;
    } edges[] = {
        {65504, 0x7bff, 0x4780},
        {65519.996f, 0x7bff, 0x4780},
        {65520, 0x7c00, 0x4780},
        {-INFINITY, 0xfc00, 0xff80},
        {3.4028235e38f, 0x7c00, 0x7f80},
        {0x1p-25f, 0, 0x3300},
        {0x1.000002p-25f, 1, 0x3300},
        {-0.f, 0x8000, 0x8000},
        {0x1p-149f, 0, 0},
        {-0x1p-133f, 0x8000, 0x8001},
    };

    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        uint16_t out;
        sps_from_f32(&edges[i].in, 1, SPS_F16, &out);
        CU_ASSERT_EQUAL(out, edges[i].f16);
        sps_from_f32(&edges[i].in, 1, SPS_BF16, &out);
        CU_ASSERT_EQUAL(out, edges[i].bf16);
    }
}

static void test_tensor(void)
{
    struct sps_tensor x, absent = {0};
    enum sps_dtype dtype;

    CU_ASSERT_EQUAL_FATAL(sps_tensor_new(SPS_BF16, 3, 5, 7, 1, &x), SPS_OK);
    CU_ASSERT_EQUAL(sps_tensor_count(&x), 105);
    CU_ASSERT_EQUAL(sps_tensor_bytes(&x), 210);
    CU_ASSERT_EQUAL((uintptr_t)x.data % 64, 0);
    for (int i = 0; i < 105; i++)
        CU_ASSERT_EQUAL(((uint16_t *)x.data)[i], 0);
    sps_tensor_free(&x);
    CU_ASSERT_PTR_NULL(x.data);
    CU_ASSERT_EQUAL(sps_tensor_count(&absent), 0);
    for (int i = 0; i < SPS_DTYPE_COUNT; i++) {
        CU_ASSERT_TRUE(sps_dtype_find(sps_dtype_name((enum sps_dtype)i), &dtype));
        CU_ASSERT_EQUAL((int)dtype, i);
    }
    CU_ASSERT_FALSE(sps_dtype_find("fp64", &dtype));
}

/* ---- options ---- */

struct values {
    int64_t count, size, mode, on;
    double rate;
    char path[SPS_TEXT_MAX];
};

#define AT(member) offsetof(struct values, member)
static const struct sps_option table[] = {
    {"count", SPS_OPT_INT, SPS_LIST_AXIS, AT(count), "16", 4, 1024, NULL, NULL, "things"},
    {"size", SPS_OPT_SIZE, SPS_LIST_AXIS, AT(size), "8k", 1, 1048576, NULL, NULL,
     "tokens"},
    {"mode", SPS_OPT_CHOICE, SPS_LIST_AXIS, AT(mode), "union", 0, 0, "gate|union", NULL,
     ""},
    {"on", SPS_OPT_BOOL, SPS_LIST_AXIS, AT(on), "true", 0, 0, NULL, NULL, ""},
    {"rate", SPS_OPT_REAL, SPS_LIST_AXIS, AT(rate), "0.25", 0, 1, NULL, NULL, ""},
    {"path", SPS_OPT_TEXT, SPS_LIST_NONE, AT(path), NULL, 0, 0, NULL, NULL, ""},
    {0}};

static void test_options_default(void)
{
    struct values v = {.path = "kept"};

    sps_options_default(table, &v);
    CU_ASSERT_EQUAL(v.count, 16);
    CU_ASSERT_EQUAL(v.size, 8192);
    CU_ASSERT_EQUAL(v.mode, 1);
    CU_ASSERT_EQUAL(v.on, 1);
    CU_ASSERT_EQUAL(v.rate, 0.25);
    CU_ASSERT_STRING_EQUAL(v.path, "kept");
    CU_ASSERT_PTR_EQUAL(sps_option_find(table, "mode"), &table[2]);
    CU_ASSERT_PTR_NULL(sps_option_find(table, "mod"));
}

/* What a value becomes when written again; NULL: refused, and the old value stays. */
static void test_options_set(void)
{
    static const struct {
        const char *name, *text, *again;
    } cases[] = {
        {"count", "4", "4"},
        {"count", "1024", "1024"},
        {"count", "3", NULL},
        {"count", "1025", NULL},
        {"count", "1k", NULL},
        {"count", "", NULL},
        {"count", " 8", NULL},
        {"count", "8.0", NULL},
        {"count", "+8", NULL},
        {"count", "8x", NULL},
        {"count", "99999999999999999999", NULL},
        {"size", "1M", "1048576"},
        {"size", "2k", "2048"},
        {"size", "2M", NULL},
        {"size", "1kk", NULL},
        {"size", "k", NULL},
        {"size", "1K", NULL},
        {"size", "9223372036854775807k", NULL},
        {"mode", "gate", "gate"},
        {"mode", "gat", NULL},
        {"mode", "gate|union", NULL},
        {"mode", "", NULL},
        {"on", "yes", "true"},
        {"on", "no", "false"},
        {"on", "1", NULL},
        {"rate", "1", "1"},
        {"rate", "0.1", "0.1"},
        {"rate", "1.1", NULL},
        {"rate", "nan", NULL},
        {"rate", "inf", NULL},
        {"rate", "-0.1", NULL},
        {"rate", "0.1x", NULL},
        {"path", "a b", "a b"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct values v = {0}, before;
        char text[SPS_TEXT_MAX];
        const struct sps_option *o = sps_option_find(table, cases[i].name);
        sps_options_default(table, &v);
        before = v;
        enum sps_status status = sps_option_set(o, &v, cases[i].text);
        CU_ASSERT_EQUAL(status, cases[i].again ? SPS_OK : SPS_ECONFIG);
        sps_option_format(o, &v, text, sizeof text);
        if (cases[i].again)
            CU_ASSERT_STRING_EQUAL(text, cases[i].again);
        if (!cases[i].again) {
            CU_ASSERT_EQUAL(memcmp(&v, &before, sizeof v), 0);
            CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), cases[i].name));
        }
    }
}

static void test_options_text(void)
{
    struct values v;
    char text[256], longest[SPS_TEXT_MAX + 1];

    sps_option_range(&table[0], text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "4..1024, default 16");
    sps_option_range(&table[2], text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "gate|union, default union");
    sps_option_range(&table[5], text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "text, must be given");
    memset(longest, 'x', sizeof longest);
    longest[SPS_TEXT_MAX] = '\0';
    CU_ASSERT_EQUAL(sps_option_set(&table[5], &v, longest), SPS_ECONFIG);
    CU_ASSERT_EQUAL(sps_option_set(&table[5], &v, longest + 1), SPS_OK);
    CU_ASSERT_EQUAL(strlen(v.path), SPS_TEXT_MAX - 1);
}

static void test_nearest(void)
{
    static const char *const names[] = {"length", "queries", "q_heads", "kv_heads", NULL};

    CU_ASSERT_STRING_EQUAL(sps_nearest("lenght", names), "length");
    CU_ASSERT_STRING_EQUAL(sps_nearest("queris", names), "queries");
    CU_ASSERT_STRING_EQUAL(sps_nearest("k_heads", names),
                           "q_heads"); /* first of equals */
    CU_ASSERT_PTR_NULL(sps_nearest("temperature", names));
    CU_ASSERT_PTR_NULL(sps_nearest("x", names));
}

static void test_status(void)
{
    CU_ASSERT_EQUAL(sps_fail(SPS_EIO, "no %s", "disk"), SPS_EIO);
    CU_ASSERT_EQUAL(sps_wrap(SPS_EIO, "file %d", 3), SPS_EIO);
    CU_ASSERT_STRING_EQUAL(sps_error(), "file 3: no disk");
    CU_ASSERT_STRING_EQUAL(sps_status_name(SPS_ECONFIG), "config");
    CU_ASSERT_STRING_EQUAL(sps_status_name((enum sps_status)99), "unknown");
}

/* ---- random numbers ---- */

/* Known answers of the authors' Random123 distribution (kat_vectors, philox4x32 10). */
static void test_philox(void)
{
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t out[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX,
         UINT64_MAX,
         UINT64_MAX,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        sps_philox(known[i].seed, known[i].stream, known[i].counter, out);
        for (int j = 0; j < 4; j++)
            CU_ASSERT_EQUAL(out[j], known[i].out[j]);
    }
    CU_ASSERT_TRUE(sps_uniform(0) > 0);
    CU_ASSERT_TRUE(sps_uniform(UINT32_MAX) < 1);
}

/* Moments of normals, and that pieces are parts of the whole. */
static void test_normals(void)
{
    enum { N = 1 << 18 };
    float *x = malloc(N * sizeof *x), piece[9];
    double moment[5] = {0};

    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    sps_normals(7, 3, 0, N, x);
    for (int i = 0; i < N; i++)
        for (int p = 1; p <= 4; p++)
            moment[p] += pow(x[i], p) / N;
    CU_ASSERT_TRUE(fabs(moment[1]) <= 0.01); /* 5 deviations of each */
    CU_ASSERT_TRUE(fabs(moment[2] - 1) <= 0.014);
    CU_ASSERT_TRUE(fabs(moment[3]) <= 0.04);
    CU_ASSERT_TRUE(fabs(moment[4] - 3) <= 0.1);
    for (int first = 0; first < 64; first += 4) {
        sps_normals(7, 3, (uint64_t)first, 9, piece);
        CU_ASSERT_EQUAL(memcmp(piece, x + first, sizeof piece), 0);
    }
    free(x);
}

/* ---- digests ---- */

static void test_sha256(void)
{
    struct sps_sha256 *sha;
    char hex[65], again[65], path[] = "sps-base-XXXXXX";

    CU_ASSERT_EQUAL_FATAL(sps_sha256_new(&sha), SPS_OK);
    sps_sha256_add(sha, "a", 1);
    sps_sha256_add(sha, "bc", 2);
    sps_sha256_hex(sha, hex);
    CU_ASSERT_STRING_EQUAL(
        hex, /* FIPS 180-4's example */
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    int fd = mkstemp(path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, "abc", 3), 3);
    close(fd);
    CU_ASSERT_EQUAL(sps_sha256_file(path, again), SPS_OK);
    CU_ASSERT_STRING_EQUAL(again, hex);
    unlink(path);
    CU_ASSERT_EQUAL(sps_sha256_file(path, again), SPS_EIO);
    CU_ASSERT_EQUAL(strncmp(sps_error(), path, strlen(path)), 0);
    CU_ASSERT_EQUAL(sps_sha256_file(".", again), SPS_EIO);
}

static const struct tap_test tests[] = {
    {"every 16-bit pattern has its value and returns", test_half_patterns},
    {"rounding: nearest, ties to even", test_half_ties},
    {"rounding: overflow, denormals, signs", test_half_edges},
    {"tensors: sizes, alignment, names", test_tensor},
    {"options: defaults", test_options_default},
    {"options: values taken and refused", test_options_set},
    {"options: ranges and texts", test_options_text},
    {"nearest name", test_nearest},
    {"status messages", test_status},
    {"philox: known answers", test_philox},
    {"normals: moments, pieces", test_normals},
    {"sha256: known answer, files", test_sha256},
    {0}};

int main(void)
{
    return tap_run("base", tests);
}
