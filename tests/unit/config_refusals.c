/* config_refusals.c - every complaint about an experiment file, with its place.
 * Over 400 lines because most of it is tables of messages. */
#include "sim/run/config.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA   "name: x\ndata:\n  - synthetic: needle\n    length: 8k\n"
#define BASE   DATA "methods:\n  - method: moba\n"
#define SAMPLE "datasets/samples/gemma3-270m/kjv-l11.safetensors"
#define FULL   "methods: [{method: full}]\n"
#define REC    "name: x\ndata:\n  - recorded: " SAMPLE "\n"
#define TOP                                                                              \
    "allowed: name, seed, data, methods, phases, measure, backends, dtype, exclude"
#define METHODS "allowed: full, window, nsa, moba, "
#define MATCHES                                                                          \
    "allowed: method, phase, backend, dtype, recorded, synthetic, layer, length, "       \
    "queries, cache, "

/* What the message must start with, behind "t.yaml". */
struct refusal {
    const char *text, *message;
};

static const struct refusal syntax[] = {
    {"", ": empty file"},
    {"# nothing\n", ": no YAML in it"},
    {"a\xff", ": not a text file: byte 0xff at offset 1"},
    {"a: \xc0\x80", ": not a text file: byte 0xc0 at offset 3"},
    {"a: \xed\xa0\x80", ": not a text file: byte 0xed at offset 3"},
    {"a: \x1b[1m", ": not a text file: byte 0x1b at offset 3"},
    {"a: \xc2\x9b", ": not a text file: byte 0xc2 at offset 3"},
    {"- 1\n", ":1:1: experiment: a mapping (key: value) is needed"},
    {"just text\n", ":1:1: experiment: a mapping (key: value) is needed"},
    {"a: [1, 2\n", ":2:1: flow sequence without a closing bracket"},
    {"a: 'x\n", ":1:5: single-quoted scalar without closing quote"},
    {"a: 1\nb c\n", ":2:1: invalid value after mapping"},
    {"name: &n x\n", ":1:10: anchors (&name) are not allowed"},
    {"name: *n\n", ":1:8: aliases (*name) are not allowed"},
    {"name: !!str x\n", ":1:13: tags (!name) are not allowed"},
    {"<<: {a: 1}\n", ":1:1: merge keys (<<) are not allowed"},
    {"a: 1\n\"a\": 2\n", ":2:2: key 'a' repeated, first on line 1"},
    {"? [1]\n: 2\n", ":1:3: a key must be a text"},
    {"a: \"x\\ey\"\n", ":1:5: control character 0x1b in a text: one line of printable"},
    {"a: \"x\\0y\"\n", ":1:5: control character 0x00 in a text"},
    {"a: |\n  b\n", ":2:1: control character 0x0a in a text"},
    {"a: 1\n---\nb: 2\n", ":2:1: a second document: one is allowed"},
    {"a: [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]\n", ":1:19: nested deeper than 16 levels"},
    {0},
};

static const struct refusal top_level[] = {
    {"nam: x\n", ":1:1: unknown key 'nam' (did you mean 'name'?); " TOP},
    {"name: x\n", ":1:1: experiment: key 'data' is missing"},
    {"name: [x]\n", ":1:7: name: one value is allowed, not a list"},
    {"name:\n", ":1:1: name: no value"},
    {BASE "seed: -1\n", ":7:7: seed: -1 is not allowed: a whole number from 0"},
    {BASE "seed: 1.5\n", ":7:7: seed: 1.5 is not allowed: a whole number from 0"},
    {BASE "colour: red\n", ":7:1: unknown key 'colour'; " TOP},
    {BASE "phases: [prefil]\n",
     ":7:10: unknown phase 'prefil' (did you mean 'prefill'?); allowed: prefill, decode"},
    {BASE "phases: [prefill, prefill]\n", ":7:19: phase prefill repeated"},
    {BASE "backends: [cpu, gpu]\n", ":7:17: unknown backend 'gpu' (did you mean 'cpu'?); "
                                    "allowed: auto, ref, cpu, cuda, cuda_portable"},
    {BASE "backends: []\n", ":7:11: backends: an empty list"},
    {BASE "dtype: bf32\n",
     ":7:8: unknown dtype 'bf32' (did you mean 'bf16'?); allowed: bf16, fp16, fp32"},
    {0},
};

static const struct refusal measure[] = {
    {BASE "measure: false\n", ":7:10: measure: a mapping (key: value) is needed"},
    {BASE "measure: {quality: false, time: false}\n",
     ":7:10: measure: quality and time are both false: nothing would be measured"},
    {BASE "measure: {quality: {rows: 0}}\n",
     ":7:27: rows: 0 is not allowed: all, a number from 1 to 1073741824, or last:NUMBER"},
    {BASE "measure: {quality: {rows: last:x}}\n",
     ":7:27: rows: last:x is not allowed: all"},
    {BASE "measure: {quality: {row: 5}}\n",
     ":7:21: unknown key 'row' (did you mean 'rows'?); allowed: rows, reference"},
    {BASE "measure: {quality: maybe}\n",
     ":7:20: quality: maybe is not allowed: true, false or a mapping"},
    {BASE "measure: {quality: {reference: 3}}\n",
     ":7:32: reference: 3 is not allowed: true|false, default false"},
    {BASE "measure: {time: {l2: [cold, warm]}}\n",
     ":7:29: unknown cache state 'warm'; allowed: cold, hot"},
    {BASE "measure: {time: {samples: 0}}\n",
     ":7:27: samples: 0 is not allowed: 1..1000000, default 30"},
    {BASE "measure: {time: {seconds: [1]}}\n",
     ":7:27: seconds: one value is allowed, not a list"},
    {BASE "measure: {speed: 1}\n", ":7:11: unknown key 'speed'; allowed: quality, time"},
    {0},
};

static const struct refusal methods[] = {
    {DATA "methods: []\n", ":5:10: methods: 0 entries: 1 to 1024 are allowed"},
    {DATA "methods: {method: full}\n", ":5:10: methods: a list is needed"},
    {DATA "methods: [full]\n", ":5:11: methods: each entry is a mapping (key: value)"},
    {DATA "methods: [{topk: 3}]\n", ":5:11: methods: key 'method' is missing"},
    {DATA "methods: [{method: mobba}]\n",
     ":5:20: unknown method 'mobba' (did you mean 'moba'?); " METHODS},
    {BASE "    topq: 3\n", ":7:5: unknown key 'topq' (did you mean 'topk'?); allowed: "
                           "method, zip, block, topk"},
    {BASE "    topk: 0\n", ":7:11: topk: 0 is not allowed: 1.."},
    {BASE "    topk: [4, x]\n", ":7:15: topk: x is not allowed: 1.."},
    {BASE "    topk: []\n", ":7:11: topk: an empty list"},
    {BASE "    topk: [[4]]\n", ":7:12: one value is allowed, not a list"},
    {BASE "    topk: {a: 1}\n", ":7:11: topk: one value is allowed, not a mapping"},
    {BASE "    topk:\n", ":7:5: topk: no value"},
    {BASE "    topk: [4, 4]\n", ":6:5: 'moba topk=4' repeats 'moba topk=4'"},
    {BASE "  - method: moba\n    topk: 3\n", ":7:5: 'moba topk=3' repeats 'moba'"},
    {BASE "    block: [64, 128]\n    topk: [2, 4, 8]\n    zip: [[block, topk]]\n",
     ":9:19: zip: 'topk' has 3 values, 'block' has 2: equally long lists are needed"},
    {BASE "    topk: [2, 4]\n    zip: [[block, topk]]\n",
     ":8:12: zip: 'block' is not given in this entry"},
    {BASE "    block: 64\n    topk: [2, 4]\n    zip: [[block, topk]]\n",
     ":9:12: zip: 'block' has one value: a list is needed"},
    {BASE
     "    block: [64, 128]\n    topk: [2, 4]\n    zip: [[block, topk], [topk, block]]\n",
     ":9:27: zip: 'topk' is named twice"},
    {BASE "    topk: [2, 4]\n    zip: [[topk, topk]]\n",
     ":8:18: zip: 'topk' is named twice"},
    {BASE "    topk: [2, 4]\n    zip: [topk]\n",
     ":8:11: zip: a list of at least two option names is allowed"},
    {BASE "    topk: [2, 4]\n    zip: topk\n",
     ":8:10: zip: a list of lists of option names is allowed"},
    {0},
};

static const struct refusal data[] = {
    {"name: x\ndata: []\n" FULL, ":2:7: data: 0 entries: 1 to 1024 are allowed"},
    {"name: x\ndata: {synthetic: needle}\n" FULL, ":2:7: data: a list is needed"},
    {"name: x\ndata: [{synthetic: nedle}]\n" FULL,
     ":2:20: unknown generator 'nedle' (did you mean 'needle'?); allowed: "},
    {"name: x\ndata: [{synthetic: needle, recorded: a}]\n" FULL,
     ":2:9: an entry is either recorded or synthetic"},
    {"name: x\ndata: [{length: 8k}]\n" FULL,
     ":2:8: data: key 'recorded' (a file) or 'synthetic' (a generator) is missing"},
    {"name: x\ndata: [{synthetic: needle, length: 8q}]\n" FULL,
     ":2:36: length: 8q is not allowed: 1.."},
    {"name: x\ndata: [{synthetic: needle, lenght: 8k}]\n" FULL,
     ":2:28: unknown key 'lenght' (did you mean 'length'?); allowed: synthetic, zip, "
     "length, "},
    {"name: x\ndata: [{synthetic: needle, layers: 3}]\n" FULL,
     ":2:28: unknown key 'layers'; allowed: synthetic, zip, "},
    {"name: x\ndata: [{synthetic: needle}, {synthetic: needle, length: 8192}]\n" FULL,
     ":2:29: data 'needle length=8192' is given twice"},
    {"name: x\ndata:\n  - recorded: absent/file.safetensors\n" FULL,
     ":3:15: absent/file.safetensors: "},
    {"name: x\ndata:\n  - recorded: tests/unit/config.c\n" FULL,
     ":3:15: tests/unit/config.c: "},
    {REC "    layers: [5, 11]\n" FULL,
     ":4:13: layer 5 is not in the recording; there: 11"},
    {REC "    layers: few\n" FULL,
     ":4:13: layers: few is not allowed: numbers from 0, or all"},
    {REC "    heads: [0, 4]\n" FULL, ":4:12: head 4 is not in layer 11: 0 to 3 are"},
    {REC "    heads: [1, 1]\n" FULL, ":4:12: heads: 1 repeated"},
    {REC "    heads: [-1]\n" FULL,
     ":4:13: heads: -1 is not allowed: numbers from 0, or all"},
    {REC "    head: [1]\n" FULL,
     ":4:5: unknown key 'head' (did you mean 'heads'?); allowed: "
     "recorded, layers, heads, zip, length, queries"},
    {0},
};

static const struct refusal exclude[] = {
    {BASE "exclude: {method: moba}\n", ":7:10: exclude: a list is needed"},
    {BASE "exclude: [{}]\n", ":7:11: exclude: 1 to 64 keys in an entry"},
    {BASE "exclude: [{method: nsa}]\n", ":7:11: exclude: this entry matches no point"},
    {BASE "exclude: [{method: moba, length: 4k}]\n",
     ":7:11: exclude: this entry matches no point"},
    {BASE "exclude: [{layer: 0}]\n", ":7:11: exclude: this entry matches no point"},
    {BASE "exclude: [{method: nosa}]\n",
     ":7:20: unknown method 'nosa' (did you mean 'nsa'?); " METHODS},
    {BASE "exclude: [{topk: 3}]\n",
     ":7:12: unknown key 'topk'; " MATCHES "and beside 'method' its options"},
    {BASE "exclude: [{method: moba, topq: 3}]\n",
     ":7:26: unknown key 'topq' (did you mean 'topk'?); " MATCHES "block, topk"},
    {BASE "exclude: [{method: [moba, full], topk: 3}]\n", ":7:34: unknown key 'topk'; "},
    {BASE "exclude: [{method: moba, topk: x}]\n",
     ":7:32: exclude: topk: x is not allowed: 1.."},
    {BASE "exclude: [{length: long}]\n", ":7:20: exclude: long is not a whole number"},
    {BASE "exclude: [{method: moba}]\n", ":7:10: exclude: no point is left"},
    {0},
};

/* --set, behind "--set TEXT: " where the message is not whole. */
static const struct refusal edits[] = {
    {"seed",
     "--set seed: a path like measure.time.samples=5 or methods[0].topk=8 is needed"},
    {"=3", "--set =3: a path like "},
    {".seed=3", "--set .seed=3: a path like "},
    {"methods[x].topk=1", "--set methods[x].topk=1: a path like "},
    {"methods[0]topk=1", "--set methods[0]topk=1: a path like "},
    {"seed=", "--set seed=: no value"},
    {"seed=[1", "--set seed=[1: flow sequence without a closing bracket"},
    {"seed=&a 1", "--set seed=&a 1: anchors (&name) are not allowed"},
    {"methods[1].topk=8", "--set methods[1].topk=8: methods[1] does not exist: methods "
                          "has 1 entries, counted from 0"},
    {"method[0].topk=8",
     "--set method[0].topk=8: 'method' does not exist (did you mean 'methods'?)"},
    {"name[0]=3", "--set name[0]=3: name is not a list"},
    {"name.x=3", "--set name.x=3: 'x' does not exist: name is a single value"},
    {"methods.topk=8", "--set methods.topk=8: 'topk' does not exist: methods is a list, "
                       "write [0] for its first"},
    {"mesure.time.samples=2",
     "--set mesure.time.samples=2: unknown key 'mesure' (did you mean 'measure'?); " TOP},
    {"measure.tme.samples=2",
     "--set measure.tme.samples=2: unknown key 'tme' (did you mean 'time'?); allowed: "},
    {"methods[0].topk=[4, 0]",
     "--set methods[0].topk=[4, 0]: topk: 0 is not allowed: 1.."},
    {"methods[0].topk={a: 1}",
     "--set methods[0].topk={a: 1}: topk: one value is allowed, not a mapping"},
    {0},
};

/* SPS_ECONFIG, nothing to free, and a message that starts as expected. */
static void expect(const char *text, size_t size, const char *const *set,
                   const char *message)
{
    struct sps_experiment x = {0};
    enum sps_status status =
        sps_experiment_parse(text, size, "t.yaml", set, set != NULL, &x);
    bool right =
        status == SPS_ECONFIG && strncmp(sps_error(), message, strlen(message)) == 0;

    if (!right)
        printf("# expected %s\n# found    %s\n", message,
               status == SPS_OK ? "no complaint" : sps_error());
    CU_ASSERT_TRUE(right);
    CU_ASSERT_PTR_NULL(x.owned);
    sps_experiment_free(&x);
}

static void expect_all(const struct refusal *table)
{
    for (; table->text; table++) {
        char message[1024];
        snprintf(message, sizeof message, "t.yaml%s", table->message);
        expect(table->text, strlen(table->text), NULL, message);
    }
}

static void test_syntax(void)
{
    expect_all(syntax);
    expect("\0\1", 2, NULL, "t.yaml: not a text file: byte 0x00 at offset 0");
}

static void test_top_level(void)
{
    expect_all(top_level);
}

static void test_measure(void)
{
    expect_all(measure);
}

static void test_methods(void)
{
    expect_all(methods);
}

static void test_data(void)
{
    expect_all(data);
}

static void test_exclude(void)
{
    expect_all(exclude);
}

static void test_edits(void)
{
    for (const struct refusal *e = edits; e->text; e++)
        expect(BASE, strlen(BASE), &e->text, e->message);
}

/* The whole message: line, caret below the column, tabs as spaces, a long line cut. */
static void test_caret(void)
{
    static const char far[] =
        "name: x\ndata:      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, "
        "14, 15, 16, 17, \xc3\xa9: &a 18, 19, 20, 21, 22, 23, 24, 25]\n";
    static const char tab[] = "name:\t\xc3\xa9 # \xc3\xa9\nseed:\t-1\n" FULL;

    expect(BASE "    topq: 3\n", strlen(BASE) + 12, NULL,
           "t.yaml:7:5: unknown key 'topq' (did you mean 'topk'?); allowed: method, zip, "
           "block, "
           "topk\n      topq: 3\n      ^");
    expect(tab, strlen(tab), NULL,
           "t.yaml:2:7: seed: -1 is not allowed: a whole number from 0\n"
           "  seed: -1\n        ^");
    expect(far, strlen(far), NULL,
           "t.yaml:2:78: anchors (&name) are not allowed\n"
           "   3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, \xc3\xa9: &a 18, 19, "
           "20, 21, "
           "22, 23, 24, 25\n"
           "                                                              ^");
}

/* `head`, then "1, 2, ... count", then `tail`; free() ends it. */
static char *long_list(const char *head, int count, const char *tail)
{
    char *text = malloc(strlen(head) + strlen(tail) + (size_t)count * 8 + 1);
    char *p = text + sprintf(text, "%s", head);

    for (int i = 1; i <= count; i++)
        p += sprintf(p, "%s%d", i > 1 ? ", " : "", i);
    strcpy(p, tail);
    return text;
}

static void expect_long(const char *head, int count, const char *tail,
                        const char *message)
{
    char *text = long_list(head, count, tail);

    expect(text, strlen(text), NULL, message);
    free(text);
}

static void test_limits(void)
{
    char *big = malloc(SPS_CONFIG_BYTES_MAX + 1);

    memset(big, '#', SPS_CONFIG_BYTES_MAX + 1);
    expect(big, SPS_CONFIG_BYTES_MAX + 1, NULL,
           "t.yaml: more than 1048576 bytes: not an experiment file");
    free(big);
    expect_long(
        BASE "    topk: [", 60000, "]\ndtype: [bf16, fp32]\n",
        "t.yaml:1:1: 120000 points (1 data sets x 1 backends x 2 dtypes x 1 phases x "
        "60000 methods): at most 100000 are allowed\n  name: x\n  ^");
    expect_long(
        "name: x\n" FULL "data:\n  - synthetic: needle\n    length: [", 4097, "]\n",
        "t.yaml:4:5: the data entries up to here give 4097 data sets: at most 4096 are");
}

/* A product far beyond int64 is counted, not overflowed. */
static void test_product(void)
{
    size_t used = 0, size = 1 << 16;
    char *text = malloc(size);
    static const char *const names[] = {
        "compress_block", "compress_stride", "select_block", "select_count",
        "init_blocks",    "local_blocks",    "window"};

    used += (size_t)sprintf(text, "%smethods:\n  - method: nsa\n", DATA);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char head[64];
        snprintf(head, sizeof head, "    %s: [", names[i]);
        char *line = long_list(head, 1000, "]\n");
        used += (size_t)snprintf(text + used, size - used, "%s", line);
        free(line);
    }
    expect(text, strlen(text), NULL, "t.yaml:1:1: 1e+21 points (1 data sets x ");
    free(text);
}

static void test_files(void)
{
    struct sps_experiment x = {0};

    CU_ASSERT_EQUAL(sps_experiment_load("absent.yaml", NULL, 0, &x), SPS_EIO);
    CU_ASSERT_STRING_EQUAL(sps_error(), "absent.yaml: No such file or directory");
    CU_ASSERT_EQUAL(sps_experiment_load("tests", NULL, 0, &x), SPS_EIO);
    CU_ASSERT_STRING_EQUAL(sps_error(), "tests: Is a directory");
    CU_ASSERT_EQUAL(sps_experiment_load(SAMPLE, NULL, 0, &x), SPS_ECONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "kjv-l11.safetensors: "));
    sps_experiment_free(&x);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"syntax and YAML features", test_syntax},
        {"top level", test_top_level},
        {"measure", test_measure},
        {"methods and zip", test_methods},
        {"data", test_data},
        {"exclude", test_exclude},
        {"--set", test_edits},
        {"the line and the caret", test_caret},
        {"limits", test_limits},
        {"a product beyond 64 bits", test_product},
        {"files", test_files},
        {NULL, NULL},
    };
    const char *srcdir = getenv("srcdir");

    if (srcdir && chdir(srcdir) != 0)
        return 99;
    if (access(SAMPLE, R_OK) != 0)
        return puts("1..0 # SKIP the sample recording is not here"), 0;
    return tap_run("config refusals", tests);
}
