/* read.c - merge an index's units with window and sink. */
#include "analysis/read.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Window and sink clamped to the visible keys, as at most two disjoint spans. */
static int64_t band_spans(const struct sps_band *band, int64_t pos, int64_t visible,
                          struct sps_span *out)
{
    struct sps_span sink = {0, band->all ? visible : least(band->sink, visible)};
    struct sps_span window = {pos - band->window + 1, least(pos + 1, visible)};
    int64_t count = 0;

    if (window.begin < sink.end)
        window.begin = sink.end;
    if (sink.begin < sink.end)
        out[count++] = sink;
    if (window.begin < window.end)
        out[count++] = window;
    return count;
}

struct sps_read sps_read_begin(const struct sps_shape *shape, int64_t row,
                               const struct sps_index *index, int64_t at, int64_t head,
                               const struct sps_band *band)
{
    int64_t sequence = sps_shape_sequence(shape, row);
    struct sps_read read = {.visible = sps_shape_visible(shape, sequence, row)};

    if (index) {
        read.block = index->block;
        read.unit = sps_index_list(index, at, head, &read.units);
    }
    while (read.units > 0 && read.unit[read.units - 1] * read.block >= read.visible)
        read.units--;
    if (band)
        read.bands = band_spans(band, sps_shape_pos(shape, sequence, row), read.visible,
                                read.band);
    return read;
}

static struct sps_span first_unit(const struct sps_read *read)
{
    int64_t begin = read->unit[0] * read->block;

    return (struct sps_span){begin, least(begin + read->block, read->visible)};
}

/* Remove and return the unit or band span that begins first. */
static struct sps_span take(struct sps_read *read)
{
    struct sps_span span;

    if (read->bands == 0 ||
        (read->units > 0 && first_unit(read).begin <= read->band[0].begin)) {
        span = first_unit(read);
        read->unit++, read->units--;
    } else {
        span = read->band[0];
        read->band[0] = read->band[1];
        read->bands--;
    }
    return span;
}

/* True when what comes next begins at or before `end`. */
static bool touches(const struct sps_read *read, int64_t end)
{
    return (read->units > 0 && first_unit(read).begin <= end) ||
           (read->bands > 0 && read->band[0].begin <= end);
}

bool sps_read_next(struct sps_read *read, struct sps_span *span)
{
    if (read->units == 0 && read->bands == 0)
        return false;
    *span = take(read);
    while (touches(read, span->end)) {
        int64_t end = take(read).end;
        if (end > span->end)
            span->end = end;
    }
    return true;
}

int64_t sps_read_count(struct sps_read read)
{
    int64_t tokens = 0;

    for (struct sps_span span; sps_read_next(&read, &span);)
        tokens += span.end - span.begin;
    return tokens;
}
