/* calibration.c - tests of sim/run/calibration: what is kept comes back, predictions grow
 * with the work, a strange file is refused. */
#include "sim/run/calibration.h"
#include "tests/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

static char folder[] = "/tmp/calibration-XXXXXX", path[256];
static const struct sps_backend one = {.name = "one"};

static const struct sps_calibration sample = {
    .dtype = SPS_BF16,
    .roofs = {.matrix_flops = 1e9, .read_bytes = 1e8, .copy_bytes = 5e7},
    .slowdown = {{"full", false, SPS_STAGE_ATTEND, 2},
                 {"full", true, SPS_STAGE_ATTEND, 3},
                 {"nsa", false, SPS_STAGE_COMPRESS, 1.5},
                 {"nsa", false, SPS_STAGE_SELECT, 4},
                 {"nsa", false, SPS_STAGE_ATTEND, 0.1}},
    .count = 5};

static struct sps_device device(const char *name)
{
    struct sps_device dev = {.backend = &one};

    snprintf(dev.name, sizeof dev.name, "%s", name);
    return dev;
}

static bool same(const struct sps_calibration *a, const struct sps_calibration *b)
{
    bool equal = a->count == b->count && a->dtype == b->dtype &&
                 memcmp(&a->roofs, &b->roofs, sizeof a->roofs) == 0;

    for (int64_t i = 0; equal && i < a->count; i++)
        equal = strcmp(a->slowdown[i].method, b->slowdown[i].method) == 0 &&
                a->slowdown[i].backward == b->slowdown[i].backward &&
                a->slowdown[i].stage == b->slowdown[i].stage &&
                a->slowdown[i].times == b->slowdown[i].times;
    return equal;
}

/* How often the file says `what`. */
static int file_says(const char *what)
{
    struct sps_text text = {0};
    int times = 0;

    CU_ASSERT_EQUAL(sps_text_read(&text, path, 1 << 20), SPS_OK);
    for (const char *at = sps_text_string(&text); (at = strstr(at, what)); at++)
        times++;
    sps_text_free(&text);
    return times;
}

static void test_kept(void)
{
    struct sps_device a = device("processor, 2 threads"),
                      b = device("processor, 4 threads");
    struct sps_calibration other = sample, got;

    unlink(path);
    CU_ASSERT(sps_calibration_load(&a, &got) == SPS_OK && got.count == 0);
    other.slowdown[0].times = 7;
    CU_ASSERT_EQUAL(sps_calibration_save(&a, &other), SPS_OK);
    CU_ASSERT_EQUAL(sps_calibration_save(&b, &other), SPS_OK);
    CU_ASSERT_EQUAL(sps_calibration_save(&a, &sample), SPS_OK);
    CU_ASSERT_EQUAL(file_says("\"device\""), 2);
    CU_ASSERT(sps_calibration_load(&a, &got) == SPS_OK && same(&got, &sample));
    CU_ASSERT(sps_calibration_load(&b, &got) == SPS_OK && same(&got, &other));
    a = device("another processor");
    CU_ASSERT(sps_calibration_load(&a, &got) == SPS_OK && got.count == 0);
}

static void test_refused(void)
{
    static const char *const strange[] = {
        "",
        "{",
        "[]",
        "{\"devices\": 3}",
        "{\"devices\": [{\"backend\": \"one\", \"device\": \"x\"}]}",
        "{\"devices\": [{\"backend\": \"one\", \"device\": \"x\", \"dtype\": \"fp32\", "
        "\"matrix_flops\": 0, \"read_bytes_per_s\": 1, \"copy_bytes_per_s\": 1, "
        "\"slowdown\": []}]}",
        "{\"devices\": [{\"backend\": \"one\", \"device\": \"x\", \"dtype\": \"fp32\", "
        "\"matrix_flops\": 1, \"read_bytes_per_s\": 1, \"copy_bytes_per_s\": 1, "
        "\"slowdown\": [{\"method\": \"full\", \"backward\": false, \"stage\": \"nap\", "
        "\"times\": 1}]}]}"};
    struct sps_device x = device("x");
    struct sps_calibration got;

    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        struct sps_text text = {0};
        sps_text_put(&text, strange[i]);
        CU_ASSERT_EQUAL(sps_text_save(&text, path), SPS_OK);
        sps_text_free(&text);
        CU_ASSERT_EQUAL(sps_calibration_load(&x, &got), SPS_ECONFIG);
        CU_ASSERT(got.count == 0 && strstr(sps_error(), "info --calibrate"));
    }
    CU_ASSERT_EQUAL(sps_calibration_save(&x, &sample), SPS_OK);
    CU_ASSERT(sps_calibration_load(&x, &got) == SPS_OK && same(&got, &sample));
}

/* full: 2 s for each 1e9 operations; nsa: streams, and chooses without operations. */
static void test_predict(void)
{
    struct sps_cost cost[SPS_STAGE_COUNT] = {
        [SPS_STAGE_COMPRESS] = {1e6, 2e8}, [SPS_STAGE_ATTEND] = {3e9, 1e9}};
    struct sps_work work = {.method = sps_method_find("full"),
                            .dtype = SPS_BF16,
                            .cost = cost,
                            .causal_pairs = 5e8,
                            .memory = 1e8};
    double seconds[SPS_STAGE_COUNT];

    CU_ASSERT(sps_calibration_predict(&sample, &work, seconds) == 6);
    CU_ASSERT(seconds[SPS_STAGE_ATTEND] == 6 && seconds[SPS_STAGE_COMPRESS] == 0);
    work.backward = true;
    CU_ASSERT(sps_calibration_predict(&sample, &work, seconds) == 9);
    work.backward = false;
    work.method = sps_method_find("nsa");
    double sum = sps_calibration_predict(&sample, &work, seconds);
    CU_ASSERT(fabs(seconds[SPS_STAGE_COMPRESS] - 3) <= 1e-12);
    CU_ASSERT(fabs(seconds[SPS_STAGE_SELECT] - 2) <= 1e-12);
    CU_ASSERT(seconds[SPS_STAGE_ATTEND] == 1); /* 1e8 bytes once, longer than 0.3 s */
    CU_ASSERT(fabs(sum - 6) <= 1e-12);
}

static void test_unknown(void)
{
    struct sps_cost cost[SPS_STAGE_COUNT] = {{0}};
    struct sps_work work = {
        .method = sps_method_find("moba"), .dtype = SPS_BF16, .cost = cost};
    double seconds[SPS_STAGE_COUNT];

    CU_ASSERT(isnan(sps_calibration_predict(&sample, &work, seconds)));
    work.method = sps_method_find("full");
    work.dtype = SPS_F32;
    CU_ASSERT(isnan(sps_calibration_predict(&sample, &work, seconds)));
}

static void test_path(void)
{
    char at[256];

    sps_calibration_path(at, sizeof at);
    CU_ASSERT_STRING_EQUAL(at, path);
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/home/someone", 1);
    sps_calibration_path(at, sizeof at);
    CU_ASSERT_STRING_EQUAL(at, "/home/someone/.cache/sparsescope/calibration.json");
    unsetenv("HOME");
    sps_calibration_path(at, sizeof at);
    CU_ASSERT_STRING_EQUAL(at, "");
}

static const struct tap_test tests[] = {
    {"what is kept comes back, by device", test_kept},
    {"a strange file is refused, then replaced", test_refused},
    {"predictions go with operations, bytes or pairs", test_predict},
    {"other methods and types are unknown", test_unknown},
    {"the file's place", test_path},
    {0},
};

int main(void)
{
    char sub[128];

    if (!mkdtemp(folder))
        return 99;
    setenv("XDG_CACHE_HOME", folder, 1);
    snprintf(sub, sizeof sub, "%s/sparsescope", folder);
    snprintf(path, sizeof path, "%s/calibration.json", sub);
    int status = tap_run("calibration", tests);
    unlink(path);
    rmdir(sub);
    rmdir(folder);
    return status;
}
