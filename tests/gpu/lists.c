/* lists.c - lists of blocks on the reference and on the GPU, and their comparison. */
#include "tests/gpu/lists.h"

#include <math.h>
#include <string.h>

void lists_new(struct problem *p, int64_t heads, int64_t block, int64_t width,
               struct lists *l)
{
    size_t bytes = (size_t)(p->shape.t * heads * width) * 4;

    l->ref = (struct sps_index){p->shape.t, heads, block, width, host(bytes), NULL};
    l->gpu = l->ref;
    l->gpu.list = device(bytes);
    l->got = host(bytes);
    l->count = (p->rows.end - p->rows.begin) * heads * width;
}

void lists_drop(struct lists *l)
{
    free(l->ref.list), free(l->got);
    device_free(l->gpu.list);
}

/* The relative score gap that the difference of lists a and b, of w blocks each, would
 * need; x[nb]: scores. */
static double gap_of(const int32_t *a, const int32_t *b, int64_t w, const float *x,
                     int64_t nb)
{
    double top = 0, low = INFINITY, high = -INFINITY;

    for (int64_t j = 0; j < nb; j++)
        top = fmax(top, fabs((double)x[j]));
    for (int64_t j = 0; j < w; j++) {
        bool in_a = false, in_b = false;
        for (int64_t k = 0; k < w; k++)
            in_b |= a[j] == b[k], in_a |= b[j] == a[k];
        if (!in_b)
            low = a[j] >= 0 && a[j] < nb ? fmin(low, x[a[j]]) : NAN;
        if (!in_a)
            high = b[j] >= 0 ? fmax(high, x[b[j]]) : NAN;
    }
    return (high - low) / top;
}

/* Lists that differ, and the largest gap among them. */
static int64_t differing(struct problem *p, struct lists *l, const float *scores,
                         int64_t nb, double *gap)
{
    int64_t w = l->ref.width, lists = l->count / w, bad = 0,
            from = p->rows.begin * l->ref.heads;

    MUST(gpu.backend->download(&gpu, l->got, l->gpu.list + from * w,
                               (size_t)l->count * 4));
    *gap = 0;
    for (int64_t i = 0; i < lists; i++) {
        const int32_t *a = l->got + i * w, *b = l->ref.list + (from + i) * w;
        if (memcmp(a, b, (size_t)w * 4) == 0)
            continue;
        bad++;
        double d = gap_of(a, b, w, scores + i * nb, nb);
        if (!(d <= *gap))
            *gap = d;
    }
    return bad;
}

void lists_compare(struct problem *p, struct lists *l, const float *scores, int64_t nb,
                   const char *what, double allowed)
{
    double gap;
    int64_t bad = differing(p, l, scores, nb, &gap);

    verdict(allowed > 0 ? gap <= allowed : bad == 0, p->spec.name, what, gpu.impl,
            allowed > 0 ? gap : (double)bad, allowed);
    if (bad > 0 && allowed > 0)
        printf("note %s: %s: %lld of %lld lists differ by ties (gap %.2g)\n",
               p->spec.name, what, (long long)bad, (long long)(l->count / l->ref.width),
               gap);
}
