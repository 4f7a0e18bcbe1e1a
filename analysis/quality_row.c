/* quality_row.c - recall of one row from its true probabilities. */
#include "analysis/quality_parts.h"

#include <math.h>
#include <string.h>

#include "analysis/read.h"

static double sum(const float *p, int64_t begin, int64_t end)
{
    double total = 0;

    for (int64_t j = begin; j < end; j++)
        total += p[j];
    return total;
}

enum sps_status sps_row_masses(struct sps_row *row)
{
    row->total = 0;
    for (int64_t u = 0; u < row->units; u++) {
        int64_t end = (u + 1) * row->block;
        row->mass[u] =
            sum(row->p, u * row->block, end < row->visible ? end : row->visible);
        row->total += row->mass[u];
    }
    if (!(fabs(row->total - 1) <= 1e-3))
        return sps_fail(SPS_ENUMERIC,
                        "attention of row %lld, head %lld sums to %g, 1 is needed",
                        (long long)row->row, (long long)row->head, row->total);
    for (int64_t u = 0; u < row->units; u++)
        row->mass[u] /= row->total;
    return SPS_OK;
}

/* Byte of a mass, reversed so that the largest comes first. */
static int digit_down(double mass, int shift)
{
    uint64_t bits;

    memcpy(&bits, &mass, sizeof bits);
    return 255 - (int)(bits >> shift & 255);
}

/* Masses >= 0 order as their bits: radix sort by bytes, whose passes keep the order of
 * equals.  With tokens for units a comparing sort would cost more than the attention. */
void sps_row_sort(struct sps_unit *best, const double *mass, int64_t units)
{
    struct sps_unit *from = best, *to = best + units;

    for (int64_t i = 0; i < units; i++)
        best[i] = (struct sps_unit){mass[units - 1 - i], units - 1 - i};
    for (int shift = 0; shift < 64; shift += 8) {
        int64_t start[257] = {0};
        for (int64_t i = 0; i < units; i++)
            start[1 + digit_down(from[i].mass, shift)]++;
        for (int d = 0; d < 256; d++)
            start[d + 1] += start[d];
        for (int64_t i = 0; i < units; i++)
            to[start[digit_down(from[i].mass, shift)]++] = from[i];
        struct sps_unit *other = from;
        from = to, to = other;
    }
}

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Radix selection: floats >= 0 order as their bits, found 11, 10 and 10 at a time. */
double sps_top_sum(const float *p, int64_t n, int64_t k)
{
    uint32_t found = 0, mask = 0;

    for (int shift = 20; shift >= 0; shift -= 10) {
        uint32_t digits = shift == 20 ? 2047 : 1023, digit = digits;
        int64_t count[2048] = {0};
        for (int64_t j = 0; j < n; j++)
            if ((bits_of(p[j]) & mask) == found)
                count[bits_of(p[j]) >> shift & digits]++;
        while (count[digit] < k)
            k -= count[digit--];
        found |= digit << shift;
        mask |= digits << shift;
    }
    float least;
    memcpy(&least, &found, sizeof least);
    double total = (double)k * least; /* k: how many of those equal to it */
    for (int64_t j = 0; j < n; j++)
        if (p[j] > least)
            total += p[j];
    return total;
}

/* Share of p that `read` walks over: all of it, and that from key `from` on. */
struct share {
    double all, rest;
};

static struct share read_share(const struct sps_row *row, struct sps_read read,
                               int64_t from)
{
    struct share share = {0, 0};

    for (struct sps_span span; sps_read_next(&read, &span);) {
        int64_t middle = from < span.begin ? span.begin
                         : from < span.end ? from
                                           : span.end;
        double rest = sum(row->p, middle, span.end);
        share.all += sum(row->p, span.begin, middle) + rest;
        share.rest += rest;
    }
    share.all = fmin(1, share.all / row->total);
    share.rest /= row->total;
    return share;
}

void sps_row_recall(const struct sps_quality_in *in, const struct sps_row *row,
                    double *value)
{
    const struct sps_index *index = in->index;
    int64_t list = index ? sps_index_head(index, in->shape->h, row->head) : 0;
    struct sps_read read =
        sps_read_begin(in->shape, row->row, index, row->at, list, &in->band);
    struct share both = read_share(row, read, row->block);
    int64_t tokens = sps_read_count(read);

    value[SPS_Q_tokens_read] = (double)tokens;
    value[SPS_Q_recall_mass] = both.all;
    double rest = sum(row->p, row->block, row->visible) / row->total;
    if (rest > 0)
        value[SPS_Q_recall_mass_nosink] = fmin(1, both.rest / rest);
    if (tokens > 0)
        value[SPS_Q_recall_mass_rel] =
            fmin(1, both.all * row->total / sps_top_sum(row->p, row->visible, tokens));
    if (!index || !(in->band.all || in->band.window > 0 || in->band.sink > 0))
        return;
    read = sps_read_begin(in->shape, row->row, index, row->at, list, NULL);
    value[SPS_Q_recall_mass_slc] = read_share(row, read, 0).all;
    read = sps_read_begin(in->shape, row->row, NULL, 0, 0, &in->band);
    value[SPS_Q_recall_mass_win] = read_share(row, read, 0).all;
}

void sps_row_needles(const struct sps_quality_in *in, const struct sps_row *row,
                     double *value)
{
    const struct sps_index *index = in->index;
    int64_t list = index ? sps_index_head(index, in->shape->h, row->head) : 0;
    double hits = 0, ranks = 0, n = 0;

    for (int64_t i = 0; i < in->needle_count; i++) {
        const struct sps_needle *needle = &in->needles[i];
        if (needle->row != row->row || needle->head != row->head)
            continue;
        struct sps_read read =
            sps_read_begin(in->shape, row->row, index, row->at, list, &in->band);
        for (struct sps_span span; sps_read_next(&read, &span);)
            hits += needle->key >= span.begin && needle->key < span.end;
        for (int64_t u = 0; u < row->units; u++)
            ranks += row->mass[u] > row->mass[needle->key / row->block];
        ranks++, n++;
    }
    if (n > 0) {
        value[SPS_Q_needle_hit] = hits / n;
        value[SPS_Q_needle_rank] = ranks / n;
    }
}
