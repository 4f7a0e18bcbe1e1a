/* slice_curves.c - rows for figures of lines: an entry a row, by series and x. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/report/figure.h"

/* A row to come: the entry, and the line that it belongs to. */
struct item {
    const struct sps_entry *entry;
    const char *line;
    int64_t order; /* of the line's first entry: lines keep the order of the config */
    double x;
};

static const enum sps_result_column shown[] = {SPS_R_s,
                                               SPS_R_tokens_read,
                                               SPS_R_density_pairs,
                                               SPS_R_recall_mass,
                                               SPS_R_recall_mass_p05,
                                               SPS_R_recall_mass_rel,
                                               SPS_R_error_rel_l2,
                                               SPS_R_speedup_dense};
static const struct {
    enum sps_result_column cold;
    const char *name;
} times[] = {{SPS_R_time_ms_p50_cold, "time_ms_p50"},
             {SPS_R_time_ms_p25_cold, "time_ms_p25"},
             {SPS_R_time_ms_p75_cold, "time_ms_p75"}};
enum { SHOWN = sizeof shown / sizeof *shown, TIMES = sizeof times / sizeof *times };

static enum sps_result_column timed(const struct sps_view *view,
                                    enum sps_result_column column)
{
    return column == SPS_R_time_ms_p50_cold ? sps_view_time(view, column) : column;
}

static bool drawable(const struct sps_view *view, const struct sps_figure *figure,
                     const struct sps_entry *e)
{
    double x = e->value[timed(view, figure->x)], y = e->value[timed(view, figure->y)];

    if (e->idle || (figure->timed && e->oracle))
        return false;
    /* An error of 0 is a point; logarithmic axes need more. */
    return isfinite(x) && isfinite(y) && x > 0 &&
           (y > 0 || figure->y == SPS_R_error_rel_l2);
}

static int by_line(const void *a, const void *b)
{
    const struct item *p = a, *q = b;

    if (p->order != q->order)
        return p->order < q->order ? -1 : 1;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    return p->entry < q->entry ? -1 : p->entry > q->entry;
}

static void write_header(struct sps_text *csv)
{
    static const char *const names[] = {"series", "name",  "method",
                                        "dash",   "label", "points"};
    struct sps_csv_row row = {.text = csv};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        sps_csv_row_text(&row, names[i]);
    for (size_t i = 0; i < SHOWN; i++)
        sps_csv_row_text(&row, sps_csv_files[SPS_CSV_RESULTS].columns[shown[i]].name);
    for (size_t i = 0; i < TIMES; i++)
        sps_csv_row_text(&row, times[i].name);
    sps_csv_row_text(&row, "l2");
    sps_csv_row_end(&row);
}

static void put_value(struct sps_csv_row *row, double value)
{
    if (isnan(value))
        sps_csv_row_none(row);
    else
        sps_csv_row_real(row, value);
}

static void write_item(const struct sps_view *view, const struct item *item,
                       int64_t series, int64_t dash, struct sps_text *csv)
{
    struct sps_csv_row row = {.text = csv};
    const struct sps_entry *e = item->entry;

    sps_csv_row_count(&row, series);
    sps_csv_row_text(&row, item->line);
    sps_csv_row_text(&row, sps_entry_text(e, SPS_R_method));
    sps_csv_row_count(&row, dash);
    sps_csv_row_text(&row, e->name);
    sps_csv_row_count(&row, e->points);
    for (size_t i = 0; i < SHOWN; i++)
        put_value(&row, e->value[shown[i]]);
    for (size_t i = 0; i < TIMES; i++)
        put_value(&row, e->value[sps_view_time(view, times[i].cold)]);
    sps_csv_row_text(&row, view->hot ? "hot" : "cold");
    sps_csv_row_end(&row);
}

/* How many lines of the same method came before the one that starts at items[at], plus 1.
 */
static int64_t dash_of(const struct item *items, int64_t at)
{
    const char *method = sps_entry_text(items[at].entry, SPS_R_method);
    int64_t dash = 1;

    for (int64_t i = 0; i < at; i++)
        dash += (i == 0 || items[i].order != items[i - 1].order) &&
                strcmp(sps_entry_text(items[i].entry, SPS_R_method), method) == 0;
    return dash;
}

static void write_items(const struct sps_view *view, struct item *items, int64_t count,
                        struct sps_text *csv)
{
    int64_t series = 0, dash = 0;

    for (int64_t i = 0; i < count; i++)
        for (items[i].order = 0; strcmp(items[items[i].order].line, items[i].line) != 0;)
            items[i].order++;
    qsort(items, (size_t)count, sizeof *items, by_line);
    write_header(csv);
    for (int64_t i = 0; i < count; i++) {
        if (i == 0 || items[i].order != items[i - 1].order) {
            series++;
            dash = dash_of(items, i);
        }
        write_item(view, &items[i], series, dash, csv);
    }
}

/* Entries of the setting (`family` NULL) or of all settings of the family. */
static enum sps_status collect(const struct sps_view *view,
                               const struct sps_figure *figure, int64_t setting,
                               const char *family, struct item **items, int64_t *count)
{
    *count = 0;
    *items = malloc((size_t)(view->entry_count + 1) * sizeof **items);
    if (!*items)
        return sps_fail(SPS_ENOMEM, "no memory for the rows of a figure");
    for (int64_t i = 0; i < view->entry_count; i++) {
        const struct sps_entry *e = &view->entries[i];
        if (e->setting < 0 || !drawable(view, figure, e))
            continue;
        if (family ? strcmp(view->settings[e->setting].family, family) != 0
                   : e->setting != setting)
            continue;
        (*items)[(*count)++] = (struct item){e, family ? e->name : e->series, 0,
                                             e->value[timed(view, figure->x)]};
    }
    return SPS_OK;
}

enum sps_status sps_slice_curves(const struct sps_view *view,
                                 const struct sps_figure *figure, int64_t setting,
                                 struct sps_text *csv, int64_t *rows, int64_t *cut)
{
    struct item *items;

    SPS_TRY(collect(view, figure, setting, NULL, &items, rows));
    write_items(view, items, *rows, csv);
    free(items);
    *cut = 0;
    return sps_text_check(csv);
}

/* Once a family, at its first setting, and only where lengths differ. */
enum sps_status sps_slice_lengths(const struct sps_view *view,
                                  const struct sps_figure *figure, int64_t setting,
                                  struct sps_text *csv, int64_t *rows, int64_t *cut)
{
    const char *family = view->settings[setting].family;
    struct item *items;
    bool several = false;

    *rows = *cut = 0;
    for (int64_t i = 0; i < setting; i++)
        if (strcmp(view->settings[i].family, family) == 0)
            return SPS_OK;
    SPS_TRY(collect(view, figure, setting, family, &items, rows));
    for (int64_t i = 1; i < *rows; i++)
        several = several || items[i].x != items[0].x;
    if (several)
        write_items(view, items, *rows, csv);
    else
        *rows = 0;
    free(items);
    return sps_text_check(csv);
}
