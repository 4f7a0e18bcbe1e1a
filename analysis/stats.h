/* stats.h - order statistics of samples.  NaN never sorts silently: a NaN sample
 * makes the answer NaN. */
#ifndef SPS_ANALYSIS_STATS_H
#define SPS_ANALYSIS_STATS_H

#include <stddef.h>

struct sps_quantiles {
    size_t n;
    double p05, p25, p50, p75, p95;
};

/* Quantile q of x[n], linear interpolation between order statistics (type 7);
 * sorts x.  n == 0: NaN. */
double sps_quantile(double *x, size_t n, double q);

struct sps_quantiles sps_quantiles(double *x, size_t n); /* sorts x */

#endif
