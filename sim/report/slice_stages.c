/* slice_stages.c - rows for stacked bars: the stages of each configuration. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/report/figure.h"

/* As the stage column names them; their place is the colour in plots/bars.gp. */
static const char *const names[] = {"compress", "score",  "select",  "invert",
                                    "attend",   "window", "combine", "total"};
enum { STAGES = sizeof names / sizeof *names, TOTAL = STAGES - 1 };

/* Sums over the points of an entry; a count of 0: not measured. */
struct part {
    double ms, flops, bytes;
    int64_t timed, counted;
    const char *impl;
};

struct bars {
    const struct sps_entry *rows[SPS_FIGURE_ROWS];
    struct part part[SPS_FIGURE_ROWS][STAGES];
    int64_t count, cut;
};

static int64_t row_of(struct bars *bars, const struct sps_entry *entry)
{
    for (int64_t i = 0; i < bars->count; i++)
        if (bars->rows[i] == entry)
            return i;
    if (bars->count == SPS_FIGURE_ROWS)
        return -1;
    bars->rows[bars->count] = entry;
    return bars->count++;
}

static int stage_of(const char *name)
{
    int i = 0;

    while (i < STAGES && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static enum sps_status add_part(const struct sps_view *view,
                                const struct sps_source *source, int64_t row,
                                struct part *part)
{
    double ms, flops, bytes;
    size_t p50 = view->hot ? SPS_S_time_ms_p50_hot : SPS_S_time_ms_p50_cold;

    SPS_TRY(sps_source_number(source, SPS_CSV_STAGES, row, p50, &ms));
    SPS_TRY(sps_source_number(source, SPS_CSV_STAGES, row, SPS_S_flops, &flops));
    SPS_TRY(sps_source_number(source, SPS_CSV_STAGES, row, SPS_S_bytes, &bytes));
    part->impl = sps_source_text(source, SPS_CSV_STAGES, row, SPS_S_impl);
    if (isfinite(ms)) {
        part->ms += ms;
        part->timed++;
    }
    if (isfinite(flops) && isfinite(bytes)) {
        part->flops += flops;
        part->bytes += bytes;
        part->counted++;
    }
    return SPS_OK;
}

static enum sps_status add_row(const struct sps_view *view,
                               const struct sps_source *source, int64_t row,
                               int64_t setting, struct bars *bars)
{
    const struct sps_entry *entry;

    SPS_TRY(sps_view_find(view, source, SPS_CSV_STAGES, row, &entry));
    if (!entry || entry->setting != setting || entry->oracle || entry->idle)
        return SPS_OK;
    int stage = stage_of(sps_source_text(source, SPS_CSV_STAGES, row, SPS_S_stage));
    if (stage == STAGES)
        return SPS_OK; /* of a newer version */
    int64_t i = row_of(bars, entry);
    if (i >= 0)
        return add_part(view, source, row, &bars->part[i][stage]);
    bars->cut++;
    return SPS_OK;
}

/* Whether the bar shows what the figure is about. */
static bool drawable(const struct bars *bars, int64_t i, bool flops)
{
    const struct part *total = &bars->part[i][TOTAL];
    return flops ? total->counted > 0 && total->flops > 0 : total->timed > 0;
}

static double mean(double sum, int64_t count)
{
    return count ? sum / (double)count : 0;
}

static void put_range(struct sps_csv_row *row, double begin, double length, bool known)
{
    if (!known) {
        sps_csv_row_none(row);
        sps_csv_row_none(row);
        return;
    }
    sps_csv_row_real(row, begin);
    sps_csv_row_real(row, begin + length);
}

/* The stages of one bar end to end, then its total from 0; returns how many. */
static int64_t write_bar(const struct sps_view *view, const struct bars *bars, int64_t i,
                         int64_t number, bool reference, struct sps_text *csv)
{
    double ms = 0, flops = 0;
    int64_t rows = 0;

    for (int s = 0; s < STAGES; s++) {
        const struct part *p = &bars->part[i][s];
        struct sps_csv_row row = {.text = csv};
        if (!p->timed && !p->counted)
            continue;
        sps_csv_row_count(&row, s + 1);
        sps_csv_row_count(&row, number);
        sps_csv_row_text(&row, bars->rows[i]->name);
        sps_csv_row_text(&row, names[s]);
        sps_csv_row_text(&row, p->impl);
        sps_csv_row_count(&row, reference);
        sps_csv_row_count(&row, bars->rows[i]->points);
        put_range(&row, s == TOTAL ? 0 : ms, mean(p->ms, p->timed), p->timed);
        put_range(&row, s == TOTAL ? 0 : flops, mean(p->flops, p->counted), p->counted);
        p->counted ? sps_csv_row_real(&row, mean(p->bytes, p->counted))
                   : sps_csv_row_none(&row);
        sps_csv_row_text(&row, view->hot ? "hot" : "cold");
        sps_csv_row_end(&row);
        ms += mean(p->ms, p->timed);
        flops += mean(p->flops, p->counted);
        rows++;
    }
    return rows;
}

static int64_t write_bars(const struct sps_view *view, const struct bars *bars,
                          bool flops, struct sps_text *csv)
{
    int64_t rows = 0, number = 0;
    bool reference = true;

    sps_text_put(csv, "series,row,label,stage,impl,reference,points,begin_ms,end_ms,"
                      "begin_flops,end_flops,bytes,l2\r\n");
    for (int full = 1; full >= 0; full--) /* full first */
        for (int64_t i = 0; i < bars->count; i++)
            if (bars->rows[i]->full == full && drawable(bars, i, flops)) {
                rows += write_bar(view, bars, i, ++number, full && reference, csv);
                reference = reference && !full;
            }
    return rows;
}

enum sps_status sps_slice_stages(const struct sps_view *view,
                                 const struct sps_figure *figure, int64_t setting,
                                 struct sps_text *csv, int64_t *rows, int64_t *cut)
{
    struct bars *bars = calloc(1, sizeof *bars);
    enum sps_status status = SPS_OK;

    if (!bars)
        return sps_fail(SPS_ENOMEM, "no memory for the stages");
    for (int64_t f = 0; f < view->source_count; f++)
        for (int64_t r = 0; r < view->sources[f].table[SPS_CSV_STAGES].rows; r++)
            if (status == SPS_OK)
                status = add_row(view, &view->sources[f], r, setting, bars);
    *rows = write_bars(view, bars, figure->y == SPS_R_flops, csv);
    *cut = bars->cut;
    free(bars);
    return status == SPS_OK ? sps_text_check(csv) : status;
}
