/* quality_error.c - a method's output against full attention of the same backend. */
#include "analysis/quality_parts.h"

#include <math.h>

/* Sums over elements x of o and y of o_full. */
struct sums {
    double diff2, full2, o2, dot, diff, full, most;
};

static struct sums row_sums(const float *o, const float *full, int64_t dv)
{
    struct sums s = {0};

    for (int64_t d = 0; d < dv; d++) {
        double x = o[d], y = full[d], e = fabs(y - x);
        s.diff2 += e * e, s.full2 += y * y, s.o2 += x * x, s.dot += x * y;
        s.diff += e, s.full += fabs(y);
        s.most = fmax(s.most, e);
    }
    return s;
}

static void add(struct sums *to, const struct sums *s)
{
    to->diff2 += s->diff2, to->full2 += s->full2, to->o2 += s->o2, to->dot += s->dot;
    to->diff += s->diff, to->full += s->full;
    to->most = fmax(to->most, s->most);
}

int64_t sps_head_errors(const struct sps_quality_in *in, int64_t head, double *value,
                        double *rows, int64_t *n)
{
    const struct sps_shape *shape = in->shape;
    struct sums all = {0};

    *n = 0;
    for (int64_t i = 0; i < in->count; i++) {
        const float *o = in->o + (in->at[i] * shape->h + head) * shape->dv;
        const float *full = in->o_full + (i * shape->h + head) * shape->dv;
        struct sums s = row_sums(o, full, shape->dv);
        /* Squares of finite floats are finite in double, so these see every Inf. */
        if (!isfinite(s.o2) || !isfinite(s.full2))
            return i;
        add(&all, &s);
        if (s.full2 > 0)
            rows[(*n)++] = sqrt(s.diff2 / s.full2);
    }
    if (in->count > 0)
        value[SPS_Q_error_max_abs] = all.most;
    if (all.full2 > 0) {
        value[SPS_Q_error_rel_l2] = sqrt(all.diff2 / all.full2);
        value[SPS_Q_error_rel_l1] = all.diff / all.full;
    }
    if (all.full2 > 0 && all.o2 > 0)
        value[SPS_Q_error_cos] =
            fmax(-1, fmin(1, all.dot / (sqrt(all.full2) * sqrt(all.o2))));
    return -1;
}
