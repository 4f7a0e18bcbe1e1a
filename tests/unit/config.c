/* config.c - experiment files that are right: what they are read as.
 * Over 400 lines because the expected plans are written out in full. */
#include "sim/run/config.h"
#include "tests/tap.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEEDLE "name: x\ndata: [{synthetic: needle}]\n"
#define FULL   "methods: [{method: full}]\n"
#define SAMPLE "datasets/samples/gemma3-270m/kjv-l11.safetensors"

/* Parse, or fail the test with the complaint. */
static bool parse(const char *text, const char *const *set, int64_t sets,
                  struct sps_experiment *x)
{
    *x = (struct sps_experiment){0};
    enum sps_status status =
        sps_experiment_parse(text, strlen(text), "t.yaml", set, sets, x);

    if (status != SPS_OK)
        printf("# %s\n", sps_error());
    CU_ASSERT_EQUAL(status, SPS_OK);
    return status == SPS_OK;
}

/* The points as lines "group data | method | phase backend dtype"; free() ends it. */
static char *listing(const struct sps_experiment *x)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    for (int64_t i = 0; i < x->count; i++) {
        const struct sps_point *p = &x->points[i];
        fprintf(f, "%lld %s | %s | %s %s %s\n", (long long)p->group, p->data->label,
                p->label, sps_phase_name(p->phase), p->backend, sps_dtype_name(p->dtype));
    }
    fclose(f);
    return text;
}

static void expect_points(const char *text, const char *const *set, int64_t sets,
                          const char *expected)
{
    struct sps_experiment x;

    if (!parse(text, set, sets, &x))
        return;
    char *found = listing(&x);
    if (strcmp(found, expected) != 0)
        printf("# found:\n%s# expected:\n%s", found, expected);
    CU_ASSERT_STRING_EQUAL(found, expected);
    free(found);
    sps_experiment_free(&x);
}

/* The example of the manual, as far as this version runs it. */
static const char example[] =
    "name: recall-vs-budget\n"
    "seed: 3\n"
    "data:\n"
    "  - recorded: " SAMPLE "\n"
    "    heads: [2, 0]\n"
    "    length: [2048, 8192]\n"
    "    queries: 1024\n"
    "  - synthetic: needle\n"
    "    length: 8k\n"
    "    q_heads: [4, 16]\n"
    "methods:\n"
    "  - method: full\n"
    "  - method: moba\n"
    "    block: [128, 512]\n"
    "    topk: [3, 8]\n"
    "phases: [prefill]\n"
    "measure: {quality: {rows: last:64}, time: {samples: 5, seconds: 2.5, l2: [hot]}}\n"
    "backends: [auto]\n"
    "dtype: bf16\n"
    "exclude: [{method: moba, block: 512, topk: 8, length: 2k}]\n";

static void test_example(void)
{
    expect_points(
        example, NULL, 0,
        "0 kjv-l11 length=2048 | full | prefill auto bf16\n"
        "0 kjv-l11 length=2048 | moba block=128 topk=3 | prefill auto bf16\n"
        "0 kjv-l11 length=2048 | moba block=128 topk=8 | prefill auto bf16\n"
        "0 kjv-l11 length=2048 | moba block=512 topk=3 | prefill auto bf16\n"
        "1 kjv-l11 length=8192 | full | prefill auto bf16\n"
        "1 kjv-l11 length=8192 | moba block=128 topk=3 | prefill auto bf16\n"
        "1 kjv-l11 length=8192 | moba block=128 topk=8 | prefill auto bf16\n"
        "1 kjv-l11 length=8192 | moba block=512 topk=3 | prefill auto bf16\n"
        "1 kjv-l11 length=8192 | moba block=512 topk=8 | prefill auto bf16\n"
        "2 needle length=8192 q_heads=4 | full | prefill auto bf16\n"
        "2 needle length=8192 q_heads=4 | moba block=128 topk=3 | prefill auto bf16\n"
        "2 needle length=8192 q_heads=4 | moba block=128 topk=8 | prefill auto bf16\n"
        "2 needle length=8192 q_heads=4 | moba block=512 topk=3 | prefill auto bf16\n"
        "2 needle length=8192 q_heads=4 | moba block=512 topk=8 | prefill auto bf16\n"
        "3 needle length=8192 q_heads=16 | full | prefill auto bf16\n"
        "3 needle length=8192 q_heads=16 | moba block=128 topk=3 | prefill auto bf16\n"
        "3 needle length=8192 q_heads=16 | moba block=128 topk=8 | prefill auto bf16\n"
        "3 needle length=8192 q_heads=16 | moba block=512 topk=3 | prefill auto bf16\n"
        "3 needle length=8192 q_heads=16 | moba block=512 topk=8 | prefill auto bf16\n");
}

/* The fields behind the labels. */
static void test_fields(void)
{
    struct sps_experiment x;

    if (!parse(example, NULL, 0, &x))
        return;
    const struct sps_point *first = &x.points[0], *last = &x.points[x.count - 1];
    CU_ASSERT_STRING_EQUAL(x.name, "recall-vs-budget");
    CU_ASSERT_EQUAL(first->seed, 3);
    CU_ASSERT_STRING_EQUAL(first->data->source, SAMPLE);
    CU_ASSERT_PTR_NULL(first->data->generator);
    CU_ASSERT_EQUAL(first->data->layer, 11);
    CU_ASSERT_EQUAL(first->data->head_count, 2);
    CU_ASSERT_EQUAL(first->data->heads[0], 0);
    CU_ASSERT_EQUAL(first->data->heads[1], 2);
    CU_ASSERT_EQUAL(first->data->length, 2048);
    CU_ASSERT_EQUAL(first->data->queries, 1024);
    CU_ASSERT_PTR_NULL(first->options);
    CU_ASSERT_STRING_EQUAL(last->data->source, "needle");
    CU_ASSERT_PTR_EQUAL(last->data->generator, sps_generator_find("needle"));
    CU_ASSERT_EQUAL(last->data->length, 8192);
    CU_ASSERT_EQUAL(last->data->synthetic.length, 8192);
    CU_ASSERT_EQUAL(last->data->synthetic.q_heads, 16);
    CU_ASSERT_EQUAL(last->data->synthetic.seed, 3);
    CU_ASSERT_PTR_EQUAL(last->method, sps_method_find("moba"));
    char text[32];
    sps_option_format(sps_option_find(last->method->options, "topk"), last->options, text,
                      sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "8");
    sps_experiment_free(&x);
}

/* Backends, dtypes and the order of the loops; groups differ in all but the method. */
static void test_order(void)
{
    expect_points(
        NEEDLE "methods: [{method: full}, {method: 'null'}]\n"
               "backends: [ref, cpu]\ndtype: [fp32, bf16]\n",
        NULL, 0,
        "0 needle | full | prefill ref fp32\n0 needle | null | prefill ref fp32\n"
        "1 needle | full | prefill ref bf16\n1 needle | null | prefill ref bf16\n"
        "2 needle | full | prefill cpu fp32\n2 needle | null | prefill cpu fp32\n"
        "3 needle | full | prefill cpu bf16\n3 needle | null | prefill cpu bf16\n");
}

/* Exclusion closes the gap in group numbers; a plain `null` is the method's name. */
static void test_exclude(void)
{
    expect_points(
        NEEDLE "methods: [{method: full}, {method: null}]\n"
               "backends: [ref, cpu]\ndtype: [fp32, bf16]\n"
               "exclude:\n  - {backend: ref, dtype: bf16, phase: prefill}\n"
               "  - {method: [null], synthetic: [needle, topics], backend: cpu}\n",
        NULL, 0,
        "0 needle | full | prefill ref fp32\n0 needle | null | prefill ref fp32\n"
        "1 needle | full | prefill cpu fp32\n2 needle | full | prefill cpu bf16\n");
    expect_points("name: x\ndata: [{recorded: " SAMPLE "}, {synthetic: needle}]\n" FULL
                  "exclude: [{recorded: " SAMPLE ", layer: [5, 11]}]\n",
                  NULL, 0, "0 needle | full | prefill auto bf16\n");
}

/* How keys lie is an axis of any data, named in labels wherever it is given. */
static void test_cache(void)
{
    struct sps_experiment x;

    expect_points("name: x\ndata: [{synthetic: needle, cache: [contiguous, paged]},\n"
                  "  {recorded: " SAMPLE ", cache: paged}, {synthetic: topics}]\n" FULL
                  "phases: [prefill, decode]\n"
                  "exclude: [{cache: paged, phase: prefill}]\n",
                  NULL, 0,
                  "0 needle cache=contiguous | full | prefill auto bf16\n"
                  "1 needle cache=contiguous | full | decode auto bf16\n"
                  "2 needle cache=paged | full | decode auto bf16\n"
                  "3 kjv-l11 cache=paged | full | decode auto bf16\n"
                  "4 topics | full | prefill auto bf16\n"
                  "5 topics | full | decode auto bf16\n");
    if (!parse(NEEDLE FULL, (const char *[]){"data[0].cache=paged"}, 1, &x))
        return;
    CU_ASSERT_EQUAL(x.points[0].data->cache, SPS_PAGED);
    sps_experiment_free(&x);
}

static void test_zip(void)
{
    expect_points(
        NEEDLE "methods:\n  - method: nsa\n    select_count: [8, 16]\n"
               "    gate: [equal, fit]\n    select_block: [128, 64]\n"
               "    zip: [[select_count, select_block]]\n",
        NULL, 0,
        "0 needle | nsa select_count=8 gate=equal select_block=128 | prefill auto bf16\n"
        "0 needle | nsa select_count=8 gate=fit select_block=128 | prefill auto bf16\n"
        "0 needle | nsa select_count=16 gate=equal select_block=64 | prefill auto bf16\n"
        "0 needle | nsa select_count=16 gate=fit select_block=64 | prefill auto bf16\n");
    expect_points(
        "name: x\ndata: [{synthetic: needle, length: [1k, 2k], q_heads: [8, 4], "
        "zip: [[length, q_heads]]}]\n" FULL,
        NULL, 0,
        "0 needle length=1024 q_heads=8 | full | prefill auto bf16\n"
        "1 needle length=2048 q_heads=4 | full | prefill auto bf16\n");
}

/* Entries of one name show what tells them apart. */
static void test_labels(void)
{
    expect_points("name: x\ndata:\n  - {synthetic: needle, length: 1k, q_heads: 8}\n"
                  "  - {synthetic: needle, length: 1k, q_heads: 4}\n"
                  "  - {synthetic: topics, length: 1k, q_heads: 4}\n"
                  "  - {recorded: " SAMPLE ", heads: [0, 1]}\n"
                  "  - {recorded: ./" SAMPLE ", layers: 11}\n" FULL,
                  NULL, 0,
                  "0 needle length=1024 q_heads=8 | full | prefill auto bf16\n"
                  "1 needle length=1024 q_heads=4 | full | prefill auto bf16\n"
                  "2 topics length=1024 | full | prefill auto bf16\n"
                  "3 " SAMPLE " heads=0,1 | full | prefill auto bf16\n"
                  "4 ./" SAMPLE " layer=11 | full | prefill auto bf16\n");
}

static void test_edits(void)
{
    static const char *const set[] = {"methods[1].topk=[4, 8]", "data[0].length=2k",
                                      "backends=cpu", "methods[1].block=64",
                                      "methods[1].block=32"};
    static const char *const whole[] = {"methods=[{method: window, window: 1k}]"};
    static const char text[] =
        NEEDLE "methods: [{method: full}, {method: moba, block: 128}]\n";

    expect_points(text, set, 5,
                  "0 needle length=2048 | full | prefill cpu bf16\n"
                  "0 needle length=2048 | moba block=32 topk=4 | prefill cpu bf16\n"
                  "0 needle length=2048 | moba block=32 topk=8 | prefill cpu bf16\n");
    expect_points(text, whole, 1, "0 needle | window window=1024 | prefill auto bf16\n");
}

static struct sps_measure measure_of(const char *text, const char *edit)
{
    struct sps_experiment x;
    struct sps_measure m = {0};

    if (parse(text, &edit, edit != NULL, &x))
        m = x.measure;
    sps_experiment_free(&x);
    return m;
}

static void test_measure(void)
{
    struct sps_measure m = measure_of(NEEDLE FULL, NULL);
    CU_ASSERT(m.quality && m.time && m.cold && m.hot && !m.reference && !m.rows_last);
    CU_ASSERT(m.rows == 1024 && m.samples == 30 && m.seconds == 10);

    m = measure_of(example, NULL);
    CU_ASSERT(m.rows == 64 && m.rows_last && m.samples == 5 && m.seconds == 2.5);
    CU_ASSERT(!m.cold && m.hot);

    m = measure_of(NEEDLE FULL
                   "measure: {quality: {rows: all, reference: yes}, time: false}\n",
                   NULL);
    CU_ASSERT(m.quality && m.rows == 0 && !m.rows_last && m.reference && !m.time);

    m = measure_of(NEEDLE FULL "measure: {quality: false, time: true}\n", NULL);
    CU_ASSERT(!m.quality && m.time && m.samples == 30);

    m = measure_of(NEEDLE FULL, "measure.time.samples=5");
    CU_ASSERT(m.quality && m.time && m.samples == 5 && m.seconds == 10);
}

/* `resolved` holds the edits and reads back as the same experiment and text. */
static void test_resolved(void)
{
    static const char *const set[] = {"seed=7", "measure.time.samples=9",
                                      "name='a \"b\": #\\ \xc3\xa9'"};
    struct sps_experiment x, y;

    if (!parse(example, set, 3, &x))
        return;
    CU_ASSERT_PTR_NOT_NULL(strstr(x.resolved, "\nseed: 7\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(x.resolved, "    samples: 9\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(x.resolved, "    rows: last:64\n"));
    CU_ASSERT_STRING_EQUAL(x.name, "a \"b\": #\\ \xc3\xa9");
    if (parse(x.resolved, NULL, 0, &y)) {
        char *before = listing(&x), *after = listing(&y);
        CU_ASSERT_STRING_EQUAL(before, after);
        CU_ASSERT_STRING_EQUAL(x.resolved, y.resolved);
        CU_ASSERT_STRING_EQUAL(x.name, y.name);
        CU_ASSERT_EQUAL(memcmp(&x.measure, &y.measure, sizeof x.measure), 0);
        free(before);
        free(after);
    }
    sps_experiment_free(&x);
    sps_experiment_free(&y);
}

/* Texts that YAML would read as something else come back as themselves. */
static void test_quoting(void)
{
    static const char *const names[] = {
        "a: b", "a:",  "- a",  "a # b", "#a", "&a",  "*a",     "!a",      "[a]",
        "{a}",  "|",   ">",    "'a",    "?",  "a,b", "%a",     "@a",      "`a",
        "---",  "...", "null", "~",     "1",  "a ",  "a\\\"b", "\xc3\xa9"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char edit[64];
        const char *set[] = {edit};
        struct sps_experiment x, y;
        snprintf(edit, sizeof edit, "name='%s%s'", names[i][0] == '\'' ? "'" : "",
                 names[i]);
        if (parse(NEEDLE FULL, set, 1, &x) && parse(x.resolved, NULL, 0, &y)) {
            CU_ASSERT_STRING_EQUAL(x.name, names[i]);
            CU_ASSERT_STRING_EQUAL(y.name, names[i]);
            sps_experiment_free(&y);
        }
        sps_experiment_free(&x);
    }
}

/* The keys of sps_config_keys directly below `parent` ("" or "measure."), as the
 * readers list them. */
static void keys_below(const char *parent, char *list, size_t size)
{
    size_t n = strlen(parent), used = 0;

    list[0] = '\0';
    for (const struct sps_config_key *k = sps_config_keys; k->path; k++)
        if (strncmp(k->path, parent, n) == 0 && !strpbrk(k->path + n, ".["))
            used += (size_t)snprintf(list + used, size - used, "%s%s", used ? ", " : "",
                                     k->path + n);
}

/* The table of keys is what the readers allow. */
static void test_keys(void)
{
    static const struct {
        const char *parent, *text;
    } places[] = {
        {"", NEEDLE FULL "zzzzzz: 1\n"},
        {"measure.", NEEDLE FULL "measure: {zzzzzz: 1}\n"},
        {"measure.quality.", NEEDLE FULL "measure: {quality: {zzzzzz: 1}}\n"},
        {"measure.time.", NEEDLE FULL "measure: {time: {zzzzzz: 1}}\n"},
    };
    struct sps_experiment x = {0};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char list[512], expected[600];
        keys_below(places[i].parent, list, sizeof list);
        snprintf(expected, sizeof expected, "unknown key 'zzzzzz'; allowed: %s\n", list);
        CU_ASSERT_EQUAL(sps_experiment_parse(places[i].text, strlen(places[i].text),
                                             "t.yaml", NULL, 0, &x),
                        SPS_ECONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), expected));
    }
}

/* Its defaults are what is used when nothing is said. */
static void test_key_defaults(void)
{
    for (const struct sps_config_key *k = sps_config_keys; k->path; k++) {
        char edit[256];
        struct sps_experiment x, y;
        const char *set[] = {edit};
        if (!k->def || !*k->def || strpbrk(k->path, "[") ||
            strcmp(k->path, "measure") == 0)
            continue;
        snprintf(edit, sizeof edit, "%s=%s", k->path, k->def);
        if (parse(NEEDLE FULL, NULL, 0, &x) && parse(NEEDLE FULL, set, 1, &y)) {
            char *a = listing(&x), *b = listing(&y);
            CU_ASSERT_STRING_EQUAL(a, b);
            CU_ASSERT_EQUAL(memcmp(&x.measure, &y.measure, sizeof x.measure), 0);
            CU_ASSERT_EQUAL(x.points[0].seed, y.points[0].seed);
            free(a);
            free(b);
        }
        sps_experiment_free(&x);
        sps_experiment_free(&y);
    }
}

/* Every file of experiments/ is right, found from where it stands, and says in its
 * first line what it answers. */
static void test_experiments(void)
{
    DIR *folder = opendir("experiments");
    int count = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        const char *dot = strrchr(e->d_name, '.');
        char path[512], line[256] = "";
        struct sps_experiment x = {0};
        if (!dot || strcmp(dot, ".yaml") != 0)
            continue;
        snprintf(path, sizeof path, "experiments/%s", e->d_name);
        enum sps_status status = sps_experiment_load(path, NULL, 0, &x);
        if (status != SPS_OK)
            printf("# %s\n", sps_error());
        CU_ASSERT_EQUAL(status, SPS_OK);
        sps_experiment_free(&x);
        FILE *f = fopen(path, "r");
        CU_ASSERT_PTR_NOT_NULL_FATAL(f);
        CU_ASSERT_PTR_NOT_NULL(fgets(line, sizeof line, f));
        CU_ASSERT_EQUAL(line[0], '#');
        fclose(f);
        count++;
    }
    closedir(folder);
    CU_ASSERT(count >= 4);
}

static void test_free(void)
{
    struct sps_experiment x = {0};

    sps_experiment_free(&x);
    sps_experiment_free(&x);
    CU_ASSERT_PTR_NULL(x.points);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"the manual's example", test_example},
        {"fields of points and data", test_fields},
        {"order and groups", test_order},
        {"exclude", test_exclude},
        {"cache", test_cache},
        {"zip", test_zip},
        {"labels of entries that share a name", test_labels},
        {"--set", test_edits},
        {"measure", test_measure},
        {"resolved", test_resolved},
        {"quoting in resolved", test_quoting},
        {"table of keys", test_keys},
        {"defaults in the table of keys", test_key_defaults},
        {"experiments/", test_experiments},
        {"free", test_free},
        {NULL, NULL},
    };
    const char *srcdir = getenv("srcdir");

    if (srcdir && chdir(srcdir) != 0)
        return 99;
    if (access(SAMPLE, R_OK) != 0)
        return puts("1..0 # SKIP the sample recording is not here"), 0;
    return tap_run("config", tests);
}
