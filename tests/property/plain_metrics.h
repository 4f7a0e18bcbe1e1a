/* plain_metrics.h - every metric of one head by plain code, independent of analysis/. */
#ifndef SPS_TESTS_PLAIN_METRICS_H
#define SPS_TESTS_PLAIN_METRICS_H

#include "tests/property/quality_sample.h"

/* What rows bring to the metrics of query head `head`, means taken, and its recall_mass
 * of every row; at most 128 keys a sequence. */
void plain_head(const struct sample *p, const struct sps_quality_in *in, int64_t head,
                double *recall, double *value);

/* error_* but quantiles; each row's relative error to rows[]; returns how many. */
int64_t plain_errors(const struct sps_quality_in *in, int64_t head, double *rows,
                     double *value);

/* Quantiles of at most 1024 samples each. */
void plain_quantiles(const double *recall, int64_t recalls, const double *error,
                     int64_t errors, double *value);

#endif
