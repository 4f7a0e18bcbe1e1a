/* slice_heads.c - rows for the map of heads: configurations by query heads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/report/figure.h"

/* A query head of a layer; layer NaN where data has none. */
struct head {
    double layer, number;
};

struct map {
    const struct sps_entry *rows[SPS_FIGURE_ROWS];
    struct head columns[SPS_FIGURE_COLUMNS];
    int64_t row_count, column_count, cut;
    double sum[SPS_FIGURE_ROWS][SPS_FIGURE_COLUMNS];
    int64_t count[SPS_FIGURE_ROWS][SPS_FIGURE_COLUMNS];
};

static int64_t row_of(struct map *map, const struct sps_entry *entry)
{
    for (int64_t i = 0; i < map->row_count; i++)
        if (map->rows[i] == entry)
            return i;
    if (map->row_count == SPS_FIGURE_ROWS)
        return -1;
    map->rows[map->row_count] = entry;
    return map->row_count++;
}

static int64_t column_of(struct map *map, struct head head)
{
    for (int64_t i = 0; i < map->column_count; i++)
        if (map->columns[i].number == head.number &&
            (map->columns[i].layer == head.layer || isnan(head.layer)))
            return i;
    if (map->column_count == SPS_FIGURE_COLUMNS)
        return -1;
    map->columns[map->column_count] = head;
    return map->column_count++;
}

static enum sps_status add_row(const struct sps_view *view,
                               const struct sps_source *source, int64_t row,
                               int64_t setting, struct map *map)
{
    const struct sps_entry *entry;
    struct head head;
    double recall;

    SPS_TRY(sps_view_find(view, source, SPS_CSV_HEADS, row, &entry));
    if (!entry || entry->setting != setting)
        return SPS_OK;
    SPS_TRY(sps_source_number(source, SPS_CSV_HEADS, row, SPS_H_layer, &head.layer));
    SPS_TRY(sps_source_number(source, SPS_CSV_HEADS, row, SPS_H_head, &head.number));
    SPS_TRY(sps_source_number(source, SPS_CSV_HEADS, row, SPS_H_recall_mass, &recall));
    if (isnan(recall) || isnan(head.number))
        return SPS_OK;
    int64_t i = row_of(map, entry), j = column_of(map, head);
    if (i < 0 || j < 0) {
        map->cut++;
        return SPS_OK;
    }
    map->sum[i][j] += recall;
    map->count[i][j]++;
    return SPS_OK;
}

static void write_cell(const struct map *map, int64_t i, int64_t j, struct sps_text *csv)
{
    struct sps_csv_row row = {.text = csv};
    struct sps_text name = {0};

    if (isfinite(map->columns[j].layer))
        sps_text_printf(&name, "%.0f.", map->columns[j].layer);
    sps_text_printf(&name, "%.0f", map->columns[j].number);
    sps_csv_row_count(&row, 1);
    sps_csv_row_count(&row, i + 1);
    sps_csv_row_text(&row, map->rows[i]->name);
    sps_csv_row_count(&row, j + 1);
    sps_csv_row_text(&row, sps_text_string(&name));
    sps_csv_row_real(&row, map->sum[i][j] / (double)map->count[i][j]);
    sps_csv_row_end(&row);
    sps_text_free(&name);
}

enum sps_status sps_slice_heads(const struct sps_view *view,
                                const struct sps_figure *figure, int64_t setting,
                                struct sps_text *csv, int64_t *rows, int64_t *cut)
{
    struct map *map = calloc(1, sizeof *map);
    enum sps_status status = SPS_OK;

    (void)figure;
    if (!map)
        return sps_fail(SPS_ENOMEM, "no memory for the map of heads");
    for (int64_t f = 0; f < view->source_count; f++)
        for (int64_t r = 0; r < view->sources[f].table[SPS_CSV_HEADS].rows; r++)
            if (status == SPS_OK)
                status = add_row(view, &view->sources[f], r, setting, map);
    sps_text_put(csv, "series,row,label,column,head,recall_mass\r\n");
    *rows = 0;
    *cut = map->cut;
    for (int64_t i = 0; i < map->row_count; i++)
        for (int64_t j = 0; j < map->column_count; j++)
            if (map->count[i][j]) {
                write_cell(map, i, j, csv);
                ++*rows;
            }
    free(map);
    return status == SPS_OK ? sps_text_check(csv) : status;
}
