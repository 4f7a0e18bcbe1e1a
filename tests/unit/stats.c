/* stats.c - tests of analysis/stats: quantiles against hand values and R's type 7. */
#include "analysis/stats.h"
#include "tests/tap.h"

#include <math.h>

#define NEAR(a, b) CU_ASSERT(fabs((a) - (b)) <= 1e-12)

static void test_hand_values(void)
{
    double x[] = {40, 10, 30, 20}; /* R: quantile(c(10, 20, 30, 40), type = 7) */

    NEAR(sps_quantile(x, 4, 0), 10);
    NEAR(sps_quantile(x, 4, 0.05), 11.5);
    NEAR(sps_quantile(x, 4, 0.25), 17.5);
    NEAR(sps_quantile(x, 4, 0.5), 25);
    NEAR(sps_quantile(x, 4, 0.9), 37);
    NEAR(sps_quantile(x, 4, 1), 40);
    CU_ASSERT(x[0] == 10 && x[3] == 40);
}

static void test_all_quantiles(void)
{
    double x[101];

    for (int i = 0; i < 101; i++)
        x[i] = (i * 37) % 101;
    struct sps_quantiles q = sps_quantiles(x, 101);
    CU_ASSERT_EQUAL(q.n, 101);
    NEAR(q.p05, 5);
    NEAR(q.p25, 25);
    NEAR(q.p50, 50);
    NEAR(q.p75, 75);
    NEAR(q.p95, 95);
}

static void test_one_sample(void)
{
    double x[] = {7};
    struct sps_quantiles q = sps_quantiles(x, 1);

    CU_ASSERT(q.p05 == 7 && q.p50 == 7 && q.p95 == 7);
    CU_ASSERT(sps_quantile(x, 1, 0.3) == 7);
}

static void test_empty(void)
{
    struct sps_quantiles q = sps_quantiles(NULL, 0);

    CU_ASSERT_EQUAL(q.n, 0);
    CU_ASSERT(isnan(q.p05) && isnan(q.p50) && isnan(q.p95));
    CU_ASSERT(isnan(sps_quantile(NULL, 0, 0.5)));
}

static void test_nan(void)
{
    double x[] = {1, NAN, 3}, y[] = {1, -NAN};
    struct sps_quantiles q = sps_quantiles(x, 3);

    CU_ASSERT_EQUAL(q.n, 3);
    CU_ASSERT(isnan(q.p05) && isnan(q.p25) && isnan(q.p50) && isnan(q.p75));
    CU_ASSERT(isnan(q.p95));
    CU_ASSERT(isnan(sps_quantile(y, 2, 0)));
}

static void test_infinity(void)
{
    double x[] = {INFINITY, 1, 2};

    CU_ASSERT(sps_quantile(x, 3, 0) == 1);
    CU_ASSERT(sps_quantile(x, 3, 0.5) == 2);
    CU_ASSERT(sps_quantile(x, 3, 1) == INFINITY);
}

static const struct tap_test tests[] = {
    {"type 7 quantiles of four values", test_hand_values},
    {"five quantiles of 0..100", test_all_quantiles},
    {"one sample is every quantile", test_one_sample},
    {"nothing has no quantile", test_empty},
    {"a NaN makes every answer NaN", test_nan},
    {"infinity is a value", test_infinity},
    {0},
};

int main(void)
{
    return tap_run("stats", tests);
}
