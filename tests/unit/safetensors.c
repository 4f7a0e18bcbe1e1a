/* safetensors.c - tests of the reader against hostile files, and of the writer.
 * Over 400 lines because the attacks are a table. */
#include "datasets/safetensors.h"
#include "tests/tap.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file's bytes: prefix, JSON, and `buffer` bytes 0, 1, 2, ...; free() ends it. */
static char *make(uint64_t length, const char *json, size_t json_size, size_t buffer,
                  size_t *size)
{
    char *bytes = malloc(8 + json_size + buffer);

    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, json, json_size);
    for (size_t i = 0; i < buffer; i++)
        bytes[8 + json_size + i] = (char)i;
    *size = 8 + json_size + buffer;
    return bytes;
}

/* Parse; the message, or "" for a file that was taken. */
static const char *verdict(const char *bytes, size_t size)
{
    struct sps_safetensors *file;
    enum sps_status status = sps_safetensors_parse(bytes, size, "name", &file);

    if (status != SPS_OK) {
        CU_ASSERT_EQUAL(status, SPS_ECONFIG);
        CU_ASSERT_EQUAL(strncmp(sps_error(), "name: ", 6), 0);
        return sps_error();
    }
    sps_safetensors_close(file);
    return "";
}

#define T(dtype, shape, offsets)                                                         \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{\"x\":" T(dtype, shape, offsets) "}"

struct header_case {
    const char *what, *json;
    size_t buffer;
    const char *message; /* NULL: a valid file */
};

static const struct header_case headers[] = {
    {"no tensor", "{}", 0, NULL},
    {"rank 0", ONE("F32", "[]", "[0,4]"), 4, NULL},
    {"a dimension of 0", ONE("F32", "[3,0]", "[0,0]"), 0, NULL},
    {"rank 8", ONE("U8", "[1,1,1,1,1,1,1,2]", "[0,2]"), 2, NULL},
    {"spaces inside and behind", "{ \"x\" :\t" T("U8", "[ 2 ]", "[0,\n2]") " }   ", 2,
     NULL},
    {"a type below one byte", ONE("F4", "[2,3]", "[0,3]"), 3, NULL},
    {"a type of 6 bits", ONE("F6_E2M3", "[4]", "[0,3]"), 3, NULL},
    {"metadata", "{\"__metadata__\":{\"a\":\"\",\"b\":\"{[\\\"\"}}", 0, NULL},
    {"keys in another order",
     "{\"x\":{\"data_offsets\":[0,2],\"dtype\":\"BF16\",\"shape\":[1]}}", 2, NULL},
    {"tensors in another order on disk",
     "{\"x\":" T("U8", "[2]", "[1,3]") ",\"y\":" T("U8", "[1]", "[0,1]") "}", 3, NULL},
    {"two empty tensors at one place",
     "{\"x\":" T("U8", "[0]", "[1,1]") ",\"y\":" T("U8", "[1]", "[0,1]") ",\"z\":" T(
         "U8", "[0]", "[1,1]") "}",
     1, NULL},

    {"an empty tensor where another starts",
     "{\"y\":" T("U8", "[1]", "[0,1]") ",\"x\":" T("U8", "[0]", "[0,0]") "}", 1, NULL},
    {"empty header", "", 0, "does not start with {"},
    {"leading space", " {}", 0, "does not start with {"},
    {"a byte order mark", "\xef\xbb\xbf{}", 0, "does not start with {"},
    {"a list", "[]", 0, "does not start with {"},
    {"behind the last }", "{}\n", 0, "header byte 2: 0x0a after the last }"},
    {"two objects", "{}{}", 0, "header byte 2: 0x7b after the last }"},
    {"open object", "{\"x\":{", 0, "ends before its last }"},
    {"open string", "{\"x", 0, "ends inside a string"},
    {"open string with a backslash", "{\"x\\", 0, "ends inside a string"},
    {"wrong bracket", "{\"x\":[1}}", 0, "header byte"},
    {"deep nesting", "{\"x\":[[[[[[[[[[[[[[", 0, "header byte 7: nested deeper than 3"},
    {"bad UTF-8", "{\"x\xff\":1}", 0, "unable to decode byte 0xff"},
    {"bad UTF-8: overlong", "{\"\xc0\x80\":1}", 0, "unable to decode byte 0xc0"},
    {"bad UTF-8: half a pair", "{\"\\ud800\":1}", 0, "invalid Unicode"},
    {"NUL in a name", "{\"a\\u0000b\":1}", 0, "NUL byte in object key"},
    {"control character in a name", "{\"a\nb\":1}", 0, "unexpected newline"},
    {"repeated tensor",
     "{\"x\":" T("U8", "[1]", "[0,1]") ",\"x\":" T("U8", "[1]", "[0,1]") "}", 1,
     "duplicate object key"},
    {"repeated tensor, once escaped",
     "{\"x\":" T("U8", "[1]", "[0,1]") ",\"\\u0078\":" T("U8", "[1]", "[0,1]") "}", 1,
     "duplicate object key"},
    {"repeated key", "{\"x\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[]}}", 1,
     "duplicate object key"},
    {"comma at the end", "{\"x\":" T("U8", "[1,]", "[0,1]") "}", 1, "header byte"},
    {"leading zero", ONE("U8", "[1]", "[0,01]"), 1, "header byte"},
    {"number beyond 2^63", ONE("U8", "[9223372036854775808]", "[0,1]"), 1,
     "too big integer"},
    {"negative offset", ONE("U8", "[1]", "[-1,0]"), 1, "a minus sign"},
    {"minus zero", ONE("U8", "[1]", "[-0,1]"), 1, "a minus sign"},
    {"offset as a fraction", ONE("U8", "[1]", "[0,1.0]"), 1,
     "0x2e where only whole numbers"},
    {"offset with an exponent", ONE("U8", "[10]", "[0,1e1]"), 10, "0x65 where only"},
    {"negative shape", ONE("U8", "[-1]", "[0,1]"), 1, "a minus sign"},
    {"null", "{\"x\":null}", 0, "0x6e where only"},
    {"rank 9", ONE("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1,
     "a list of more than 8 numbers"},
    {"tensor that is no object", "{\"x\":1}", 0, "tensor x: its entry is no object"},
    {"no dtype", "{\"x\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4,
     "tensor x: dtype is missing or no string"},
    {"dtype as a number", "{\"x\":{\"dtype\":1,\"shape\":[],\"data_offsets\":[0,4]}}", 4,
     "tensor x: dtype is missing or no string"},
    {"dtype in lower case", ONE("f32", "[1]", "[0,4]"), 4,
     "tensor x: dtype f32 is not one of the format's"},
    {"no shape", "{\"x\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4,
     "tensor x: shape is missing or no list"},
    {"shape of strings", ONE("U8", "[\"1\"]", "[0,1]"), 1,
     "tensor x: shape[0] is no whole number"},
    {"no offsets", "{\"x\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1,
     "tensor x: data_offsets is missing or not [begin, end]"},
    {"one offset", ONE("U8", "[1]", "[1]"), 1,
     "tensor x: data_offsets is missing or not"},
    {"three offsets", ONE("U8", "[1]", "[0,1,1]"), 1, "data_offsets is missing or not"},
    {"offsets as strings", ONE("U8", "[1]", "[\"0\",1]"), 1,
     "data_offsets is missing or not"},
    {"unknown key",
     "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":1}}", 1,
     "tensor x: a key that is not dtype, shape or data_offsets"},
    {"size beyond 2^63", ONE("U8", "[4294967296,4294967296]", "[0,1]"), 1,
     "tensor x: shape has more bits than 2^63"},
    {"size that wraps to that of the file",
     ONE("U8", "[4294967296,4294967296,0]", "[0,0]"), 0,
     "tensor x: shape has more bits than 2^63"},
    {"half a byte", ONE("F4", "[3]", "[0,1]"), 1, "12 bits are no whole number of bytes"},
    {"end before begin", ONE("U8", "[1]", "[1,0]"), 1,
     "tensor x: data_offsets [1, 0] do not hold its 1 bytes"},
    {"fewer bytes than the shape", ONE("F32", "[2]", "[0,4]"), 4,
     "data_offsets [0, 4] do not hold its 8 bytes"},
    {"more bytes than the shape", ONE("F32", "[1]", "[0,8]"), 8,
     "data_offsets [0, 8] do not hold its 4 bytes"},
    {"hole at the start", ONE("U8", "[1]", "[1,2]"), 2,
     "tensor x: starts at byte 1, after a hole at 0"},
    {"hole between",
     "{\"x\":" T("U8", "[1]", "[0,1]") ",\"y\":" T("U8", "[1]", "[2,3]") "}", 3,
     "tensor y: starts at byte 2, after a hole at 1"},
    {"overlap", "{\"x\":" T("U8", "[2]", "[0,2]") ",\"y\":" T("U8", "[2]", "[1,3]") "}",
     3, "tensor y: starts at byte 1, overlapping what ends at 2"},
    {"shared bytes",
     "{\"x\":" T("U8", "[2]", "[0,2]") ",\"y\":" T("U8", "[2]", "[0,2]") "}", 2,
     "overlapping what ends at 2"},
    {"file cut short", ONE("U8", "[4]", "[0,4]"), 3, "take 4 bytes, but 3 follow"},
    {"bytes behind", ONE("U8", "[4]", "[0,4]"), 5, "take 4 bytes, but 5 follow"},
    {"bytes and no tensor", "{}", 1, "take 0 bytes, but 1 follow"},
    {"metadata that is a list", "{\"__metadata__\":[]}", 0, "__metadata__ is no object"},
    {"metadata that is a number", "{\"__metadata__\":{\"a\":1}}", 0,
     "__metadata__ a is no string"},
    {"metadata that is deep", "{\"__metadata__\":{\"a\":[\"b\"]}}", 0,
     "__metadata__ a is no string"},
    {"more objects than bytes allow",
     "{\"a\":{},\"b\":{},\"c\":{},\"d\":{},\"e\":{},\"f\":{},\"g\":{},\"h\":{}}", 0,
     "9 objects and 0 lists, too many for tensors"},
    {"more lists than objects allow", "{\"a\":[],\"b\":[],\"c\":[]}", 0,
     "1 objects and 3 lists, too many for tensors"},
    {"a name that would move the cursor", "{\"\\u001b[2J\":1}", 0,
     "tensor ?[2J: its entry is no object"},
};

static void test_headers(void)
{
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const struct header_case *c = &headers[i];
        size_t size, length = strlen(c->json);
        char *bytes = make(length, c->json, length, c->buffer, &size);
        const char *message = verdict(bytes, size);
        bool right = c->message ? strstr(message, c->message) != NULL : !*message;
        if (!right)
            printf("# %s: %s\n", c->what, message);
        CU_ASSERT_TRUE(right);
        free(bytes);
    }
}

/* The bytes before the header. */
static void test_prefix(void)
{
    static const struct {
        uint64_t length;
        size_t size;
        const char *message;
    } cases[] = {
        {2, 0, "0 bytes are too few"},
        {2, 7, "7 bytes are too few"},
        {UINT64_MAX, 10, "header of 18446744073709551615 bytes, at most 8388608"},
        {UINT64_MAX - 7, 10, "at most 8388608"},
        {(uint64_t)1 << 63, 10, "at most 8388608"},
        {SPS_SAFETENSORS_HEADER_MAX + 1, 10, "at most 8388608"},
        {SPS_SAFETENSORS_HEADER_MAX, 10, "header of 8388608 bytes in a file of 10"},
        {3, 10, "header of 3 bytes in a file of 10"},
        {0, 8, "does not start with {"},
        {2, 10, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        char *bytes = make(cases[i].length, "{}", 2, 0, &size);
        char *exact =
            malloc(cases[i].size + 1); /* so that a sanitizer sees a step too far */
        CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
        memcpy(exact, bytes, cases[i].size);
        exact = realloc(exact, cases[i].size ? cases[i].size : 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(verdict(exact, cases[i].size), cases[i].message));
        free(exact);
        free(bytes);
    }
}

/* As many tensors as a header can hold; names in an order that defeats naive lookup. */
static void test_many(void)
{
    enum { COUNT = 120000 };
    char *json = malloc(SPS_SAFETENSORS_HEADER_MAX), name[16];
    size_t length = 0, size;
    struct sps_safetensors *file = NULL;

    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    for (int i = 0; i < COUNT; i++)
        length += (size_t)sprintf(json + length,
                                  "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[],"
                                  "\"data_offsets\":[%d,%d]}",
                                  i ? "," : "{", i * 7919 % COUNT, i, i + 1);
    json[length++] = '}';
    CU_ASSERT_TRUE_FATAL(length <= SPS_SAFETENSORS_HEADER_MAX);
    char *bytes = make(length, json, length, COUNT, &size);
    CU_ASSERT_EQUAL_FATAL(sps_safetensors_parse(bytes, size, "many", &file), SPS_OK);
    CU_ASSERT_EQUAL(sps_safetensors_count(file), COUNT);
    for (int i = 0; i < COUNT; i += 977) {
        struct sps_tensor x;
        sprintf(name, "%d", i * 7919 % COUNT);
        CU_ASSERT_EQUAL_FATAL(sps_safetensors_get(file, name, &x), SPS_OK);
        CU_ASSERT_EQUAL(*(char *)x.data, (char)i);
    }
    CU_ASSERT_FALSE(sps_safetensors_has(file, "120000"));
    sps_safetensors_close(file);
    free(bytes);
    free(json);
}

/* Valid in a file, but not to be had as a tensor. */
static void test_get(void)
{
    static const char json[] = "{\"__metadata__\":{\"b\":\"2\",\"a\":\"1\"},\"d\":" T(
        "F64", "[1]",
        "[0,8]") ",\"f\":" T("F4", "[2]",
                             "[8,9]") ",\"r\":" T("U8", "[1,1,1,1,2]",
                                                  "[9,11]") ",\"u\":" T("U8", "[2,3]",
                                                                        "[11,17]") "}";
    static const struct {
        const char *name, *message;
    } refused[] = {
        {"d", "tensor d: type F64 cannot be used, only F32, F16, BF16, I32 and U8"},
        {"f", "tensor f: type F4 cannot be used"},
        {"r", "tensor r: rank 5 cannot be used, at most 4"},
        {"s", "tensor s: there is none"},
        {"", "tensor : there is none"},
    };
    struct sps_safetensors *file;
    struct sps_tensor x;
    const char *dtype;
    size_t size;
    int64_t dim[8];
    int rank;
    char *bytes = make(sizeof json - 1, json, sizeof json - 1, 17, &size);

    CU_ASSERT_EQUAL_FATAL(sps_safetensors_parse(bytes, size, "get", &file), SPS_OK);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CU_ASSERT_EQUAL(sps_safetensors_get(file, refused[i].name, &x), SPS_ECONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), refused[i].message));
    }
    CU_ASSERT_EQUAL(sps_safetensors_get(file, "u", &x), SPS_OK);
    CU_ASSERT_EQUAL(sps_tensor_count(&x), 6);
    CU_ASSERT_EQUAL(((char *)x.data)[5], 16);
    CU_ASSERT_EQUAL(sps_safetensors_info(file, 2, &dtype, &rank, dim), SPS_OK);
    CU_ASSERT_STRING_EQUAL(sps_safetensors_name(file, 2), "r");
    CU_ASSERT_STRING_EQUAL(dtype, "U8");
    CU_ASSERT_EQUAL(rank, 5);
    CU_ASSERT_EQUAL(dim[4], 2);
    CU_ASSERT_EQUAL(sps_safetensors_info(file, 4, &dtype, &rank, dim), SPS_ECONFIG);
    CU_ASSERT_EQUAL(sps_safetensors_meta_count(file), 2);
    CU_ASSERT_STRING_EQUAL(sps_safetensors_meta_key(file, 0), "b");
    CU_ASSERT_STRING_EQUAL(sps_safetensors_meta(file, "a"), "1");
    CU_ASSERT_PTR_NULL(sps_safetensors_meta(file, "c"));
    sps_safetensors_close(file);
    free(bytes);
}

static void test_open(void)
{
    struct sps_safetensors *file;

    CU_ASSERT_EQUAL(sps_safetensors_open("no/such", &file), SPS_EIO);
    CU_ASSERT_STRING_EQUAL(sps_error(),
                           "no/such: cannot open: No such file or directory");
    CU_ASSERT_EQUAL(sps_safetensors_open(".", &file), SPS_ECONFIG);
    CU_ASSERT_STRING_EQUAL(sps_error(), ".: not a regular file");
    CU_ASSERT_EQUAL(sps_safetensors_open("/dev/null", &file), SPS_ECONFIG);
    sps_safetensors_close(NULL);
}

/* ---- writing ---- */

static char folder[] = "sps-write-XXXXXX", path[64];

static void enter(void)
{
    strcpy(folder, "sps-write-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    sprintf(path, "%s/x.safetensors", folder);
}

/* Nothing may be left but what the test itself wrote. */
static void leave(void)
{
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static float f32[6] = {1, -2, 0.5f, INFINITY, 0x1p-149f, -0.f};
static uint16_t bf16[6] = {0x3f80, 0xc000, 0x4049, 0x7f80, 0x0001, 0x8000};
static int32_t i32[2] = {-1, INT32_MAX};
static uint8_t u8[3] = {0, 127, 255};

static const struct {
    const char *name;
    void *data;
    enum sps_dtype dtype;
    int64_t dim[4];
    int rank;
} written[] = {
    {"u", u8, SPS_U8, {3, 1, 1, 1}, 1},
    {"half", bf16, SPS_BF16, {3, 2, 1, 1}, 2},
    {"z", f32, SPS_F32, {1, 2, 3, 1}, 3},
    {"b", i32, SPS_I32, {2, 1, 1, 1}, 1},
    {"a", f32, SPS_F32, {1, 1, 1, 1}, 0},
    {"h\xc3\xa9", bf16, SPS_F16, {1, 1, 2, 3}, 4},
    {"none", NULL, SPS_BF16, {0, 4, 1, 1}, 2},
};
enum { WRITTEN = sizeof written / sizeof *written };

static void describe(struct sps_named_tensor *x)
{
    for (int i = 0; i < WRITTEN; i++) {
        x[i].name = written[i].name, x[i].rank = written[i].rank;
        x[i].tensor =
            sps_tensor_view(written[i].data, written[i].dtype, written[i].dim[0],
                            written[i].dim[1], written[i].dim[2], written[i].dim[3]);
    }
}

static void test_round_trip(void)
{
    static const struct sps_meta meta[] = {{"scale", "0.125"},
                                           {"text", "a \"b\"\n\xc3\xa9"}};
    static const char *const order[] = {"a", "b", "z", "half", "h\xc3\xa9", "none", "u"};
    struct sps_named_tensor x[WRITTEN];
    struct sps_safetensors *file = NULL;
    struct sps_tensor got;

    describe(x);
    enter();
    for (int again = 0; again < 2; again++) /* the second time over the first */
        CU_ASSERT_EQUAL(sps_safetensors_write(path, x, WRITTEN, meta, 2), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_safetensors_open(path, &file), SPS_OK);
    CU_ASSERT_EQUAL(sps_safetensors_count(file), WRITTEN);
    for (int i = 0; i < WRITTEN; i++) {
        CU_ASSERT_EQUAL_FATAL(sps_safetensors_get(file, x[i].name, &got), SPS_OK);
        CU_ASSERT_EQUAL(got.dtype, x[i].tensor.dtype);
        CU_ASSERT_EQUAL(memcmp(got.dim, x[i].tensor.dim, sizeof got.dim), 0);
        if (x[i].tensor.data)
            CU_ASSERT_EQUAL(memcmp(got.data, x[i].tensor.data, sps_tensor_bytes(&got)),
                            0);
        CU_ASSERT_EQUAL((uintptr_t)got.data % sps_dtype_size(got.dtype), 0);
        CU_ASSERT_STRING_EQUAL(sps_safetensors_name(file, i), order[i]);
    }
    CU_ASSERT_STRING_EQUAL(sps_safetensors_meta(file, "scale"), "0.125");
    CU_ASSERT_STRING_EQUAL(sps_safetensors_meta(file, "text"), meta[1].value);
    sps_safetensors_close(file);
    leave();
}

static void test_write_nothing(void)
{
    struct sps_safetensors *file = NULL;
    struct stat info;

    enter();
    CU_ASSERT_EQUAL(sps_safetensors_write(path, NULL, 0, NULL, 0), SPS_OK);
    CU_ASSERT_EQUAL(stat(path, &info), 0);
    CU_ASSERT_EQUAL(info.st_size, 16); /* {} padded to 8 */
    CU_ASSERT_EQUAL_FATAL(sps_safetensors_open(path, &file), SPS_OK);
    CU_ASSERT_EQUAL(sps_safetensors_count(file), 0);
    CU_ASSERT_EQUAL(sps_safetensors_meta_count(file), 0);
    sps_safetensors_close(file);
    leave();
}

/* What cannot be written leaves no file, and no temporary one. */
static void test_write_refused(void)
{
    static const struct sps_meta twice[] = {{"a", "1"}, {"a", "2"}},
                                 bad[] = {{"a", "\xff"}};
    struct sps_named_tensor x[2] = {
        {.name = "x", .tensor = {u8, {3, 1, 1, 1}, SPS_U8}, .rank = 1}};

    enter();
    x[1] = x[0];
    CU_ASSERT_EQUAL(sps_safetensors_write(path, x, 2, NULL, 0), SPS_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "x: written twice"));
    x[1].name = "__metadata__";
    CU_ASSERT_EQUAL(sps_safetensors_write(path, x, 2, NULL, 0), SPS_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "__metadata__ cannot name a tensor"));
    x[1].name = "\xff";
    CU_ASSERT_EQUAL(sps_safetensors_write(path, x, 2, NULL, 0), SPS_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "not UTF-8"));
    x[1] = x[0], x[1].name = "y", x[1].rank = 0;
    CU_ASSERT_EQUAL(sps_safetensors_write(path, x, 2, NULL, 0), SPS_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "y: rank 0 leaves out dimension 0, 3"));
    CU_ASSERT_EQUAL(sps_safetensors_write(path, x, 1, twice, 2), SPS_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "a: written twice"));
    CU_ASSERT_EQUAL(sps_safetensors_write(path, x, 1, bad, 1), SPS_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "not UTF-8"));
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    leave();
    CU_ASSERT_EQUAL(sps_safetensors_write(path, x, 1, NULL, 0), SPS_EIO); /* no folder */
    CU_ASSERT_EQUAL(strncmp(sps_error(), path, strlen(path)), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "No such file"));
}

/* A full disk, played by a limit on the file's size: the old file stays as it was. */
static void test_write_full(void)
{
    struct sps_named_tensor x = {
        .name = "x", .tensor = {u8, {3, 1, 1, 1}, SPS_U8}, .rank = 1};
    struct sps_safetensors *file = NULL;
    struct rlimit old, small;
    static char big[1 << 20];

    enter();
    CU_ASSERT_EQUAL(sps_safetensors_write(path, &x, 1, NULL, 0), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old, small.rlim_cur = 65536;
    signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &small), 0);
    x.tensor = sps_tensor_view(big, SPS_U8, sizeof big, 1, 1, 1);
    enum sps_status status = sps_safetensors_write(path, &x, 1, NULL, 0);
    setrlimit(RLIMIT_FSIZE, &old);
    CU_ASSERT_EQUAL(status, SPS_EIO);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), strerror(EFBIG)));
    CU_ASSERT_EQUAL_FATAL(sps_safetensors_open(path, &file), SPS_OK);
    CU_ASSERT_EQUAL(sps_safetensors_count(file), 1);
    sps_safetensors_close(file);
    leave();
}

/* A bfloat16 file as others write it: pi, and the odd address of its one header. */
static void test_bf16(void)
{
    static const char json[] = ONE("BF16", "[2,1]", "[0,4]") " ";
    static const uint16_t pattern[] = {0x4049, 0xff80};
    struct sps_safetensors *file = NULL;
    struct sps_tensor x;
    uint16_t copy[2];
    float value[2];
    size_t size;
    char *bytes = make(sizeof json - 1, json, sizeof json - 1, 4, &size);

    memcpy(bytes + size - 4, pattern, 4);
    CU_ASSERT_EQUAL_FATAL(sps_safetensors_parse(bytes, size, "bf16", &file), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_safetensors_get(file, "x", &x), SPS_OK);
    CU_ASSERT_EQUAL(x.dtype, SPS_BF16);
    memcpy(copy, x.data, sizeof copy);
    sps_to_f32(copy, x.dtype, 2, value);
    CU_ASSERT_EQUAL(value[0], 3.140625f);
    CU_ASSERT_TRUE(isinf(value[1]) && value[1] < 0);
    sps_safetensors_close(file);
    free(bytes);
}

static const struct tap_test tests[] = {{"headers taken and refused", test_headers},
                                        {"prefix and file length", test_prefix},
                                        {"120000 tensors", test_many},
                                        {"get, info, metadata", test_get},
                                        {"open: what is no file", test_open},
                                        {"a bf16 file", test_bf16},
                                        {"write: round trip", test_round_trip},
                                        {"write: no tensor", test_write_nothing},
                                        {"write: refused", test_write_refused},
                                        {"write: disk full", test_write_full},
                                        {0}};

int main(void)
{
    return tap_run("safetensors", tests);
}
