/* generate_diffuse.c - attention spread over everything: logits N(0, tau^2).
 *
 * q = tau z, k = z.  For n keys the row's entropy is about ln n - tau^2/2 and its
 * effective number of keys 1 / sum p^2 about n exp(-tau^2): moments of the log-normal
 * weights exp(s).  Good to a few percent up to tau = 1.5; above, few keys carry the sums.
 */
#include "datasets/generate.h"

#include <math.h>
#include <stdlib.h>

struct diffuse {
    double tau, share;
};

static const struct sps_option options[] = {
    {"tau", SPS_OPT_REAL, SPS_LIST_AXIS, offsetof(struct diffuse, tau), "1", 0, 4, NULL,
     NULL, "standard deviation of a row's logits, in nats"},
    {"share", SPS_OPT_REAL, SPS_LIST_AXIS, offsetof(struct diffuse, share), "0.5", 0, 1,
     NULL, NULL, "correlation of the queries of one group's heads"},
    {0}};

static enum sps_status fill(const struct sps_synthetic *spec, const void *values,
                            struct sps_data *data)
{
    const struct diffuse *o = values;
    float *q = data->q.data, *k = data->k.data;

#pragma omp parallel for
    for (int64_t i = 0; i < data->t * data->h; i++) {
        float *row = q + i * data->dk;
        sps_draw_query(spec, o->share, sps_query_place(data, i / data->h), i % data->h,
                       row);
        for (int64_t c = 0; c < data->dk; c++)
            row[c] *= (float)o->tau;
    }
#pragma omp parallel for
    for (int64_t i = 0; i < data->s * data->g; i++) {
        struct sps_place place = sps_key_place(data, i / data->g);
        sps_draw(spec->seed, DRAW_K, place.sequence, i % data->g, place.position,
                 data->dk, k + i * data->dk);
    }
    sps_draw_values(spec, data);
    return SPS_OK;
}

/* Entropy, ln of 1 / sum p^2 and deviation of one row's logits. */
static void describe(const double *logit, int64_t n, double out[3])
{
    double most = logit[0], total = 0, weighted = 0, squares = 0, sum = 0, sum2 = 0;

    for (int64_t j = 1; j < n; j++)
        most = fmax(most, logit[j]);
    for (int64_t j = 0; j < n; j++) {
        double e = exp(logit[j] - most);
        total += e, weighted += e * (logit[j] - most), squares += e * e;
        sum += logit[j], sum2 += logit[j] * logit[j];
    }
    out[0] = log(total) - weighted / total;
    out[1] = 2 * log(total) - log(squares);
    out[2] = sqrt(fmax(0, sum2 / (double)n - sum / (double)n * (sum / (double)n)));
}

/* Means over up to 64 rows and heads, of the later half of the rows. */
static int64_t realise(const struct sps_synthetic *spec, const void *values,
                       const struct sps_data *data, const char *names[8],
                       double target[8], double realised[8])
{
    enum { ROWS = 64 };
    const struct diffuse *o = values;
    double *logit = malloc((size_t)spec->length * sizeof *logit), mean[3] = {0},
           log_n = 0;
    int64_t half = data->t / 2, all = (data->t - half) * data->h;
    int64_t rows = all < ROWS ? all : ROWS;

    if (!logit)
        return 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t pick = (r + 1) * all / rows - 1;
        double one[3];
        int64_t n = sps_row_logits(data, half + pick / data->h, pick % data->h, logit);
        describe(logit, n, one);
        log_n += log((double)n) / (double)rows;
        for (int i = 0; i < 3; i++)
            mean[i] += one[i] / (double)rows;
    }
    free(logit);
    double tau2 = o->tau * o->tau;
    SPS_REALISED(0, "entropy, nats", log_n - tau2 / 2, mean[0]);
    SPS_REALISED(1, "ln effective keys", log_n - tau2, mean[1]);
    SPS_REALISED(2, "logit deviation", o->tau, mean[2]);
    return 3;
}

const struct sps_generator sps_generator_diffuse = {
    .name = "diffuse",
    .summary = "logits N(0, tau^2): no key matters more than chance",
    .source = "log-normal moments; the null case of block selection",
    .options = options,
    .options_size = sizeof(struct diffuse),
    .fill = fill,
    .realise = realise,
};
