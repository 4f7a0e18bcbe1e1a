/* stats.c - order statistics by sorting: type 7 quantiles (Hyndman and Fan, 1996). */
#include "analysis/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sort x[n]; false, leaving it alone, when there is nothing to sort or a NaN in it. */
static bool sorted(double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i]))
            return false;
    if (n > 0)
        qsort(x, n, sizeof *x, ascending);
    return n > 0;
}

static double quantile_of_sorted(const double *x, size_t n, double q)
{
    double at = q * (double)(n - 1), low = floor(at);
    size_t i = (size_t)low;

    /* An exact position must not meet 0 * infinity. */
    return at == low ? x[i] : x[i] + (at - low) * (x[i + 1] - x[i]);
}

double sps_quantile(double *x, size_t n, double q)
{
    return sorted(x, n) ? quantile_of_sorted(x, n, q) : NAN;
}

struct sps_quantiles sps_quantiles(double *x, size_t n)
{
    struct sps_quantiles at = {n, NAN, NAN, NAN, NAN, NAN};

    if (sorted(x, n)) {
        at.p05 = quantile_of_sorted(x, n, 0.05);
        at.p25 = quantile_of_sorted(x, n, 0.25);
        at.p50 = quantile_of_sorted(x, n, 0.50);
        at.p75 = quantile_of_sorted(x, n, 0.75);
        at.p95 = quantile_of_sorted(x, n, 0.95);
    }
    return at;
}
