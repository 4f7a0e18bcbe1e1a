/* compare.c - differences of float tensors. */
#include "sim/run/compare.h"

#include <math.h>

struct sums {
    double difference, expected, got, product;
};

static void add(struct sums *sums, double e, double g)
{
    sums->difference += (e - g) * (e - g);
    sums->expected += e * e;
    sums->got += g * g;
    sums->product += e * g;
}

struct sps_difference sps_compare(const float *expected, const float *got, int64_t count,
                                  const bool *keep, int64_t group)
{
    struct sps_difference d = {.masks_equal = true};
    struct sums sums = {0};

    for (int64_t i = 0; i < count; i++) {
        double e = expected[i], g = got[i];
        if (keep && !keep[i / group])
            continue;
        d.count++;
        if (e == -INFINITY && g == -INFINITY)
            continue;
        if (!isfinite(e) || !isfinite(g)) {
            d.worst = d.masks_equal ? i : d.worst;
            d.masks_equal = false;
            continue;
        }
        add(&sums, e, g);
        if (d.masks_equal && fabs(e - g) > d.max_abs) {
            d.max_abs = fabs(e - g);
            d.worst = i;
        }
    }
    d.rel_l2 = sums.difference > 0 ? sqrt(sums.difference / sums.expected) : 0;
    d.cosine = sums.expected > 0 && sums.got > 0
                   ? sums.product / sqrt(sums.expected * sums.got)
                   : 1;
    return d;
}
