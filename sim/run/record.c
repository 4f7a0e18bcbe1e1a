/* record.c - cells to CSV. */
#include "sim/run/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/tensor.h"

enum sps_status sps_record_new(enum sps_csv file, struct sps_record *record)
{
    void *cells;

    SPS_TRY(sps_calloc(sps_csv_files[file].count * sizeof(struct sps_cell), &cells));
    *record = (struct sps_record){.file = file, .cells = cells};
    return SPS_OK;
}

void sps_record_free(struct sps_record *record)
{
    for (size_t i = 0; record->cells && i < sps_csv_files[record->file].count; i++)
        free(record->cells[i].text);
    free(record->cells);
    record->cells = NULL;
}

void sps_record_number(struct sps_record *record, size_t column, double value)
{
    if (!isnan(value))
        record->cells[column] =
            (struct sps_cell){.kind = SPS_CELL_NUMBER, .number = value};
}

void sps_record_text(struct sps_record *record, size_t column, const char *value)
{
    char *copy = strdup(value);

    free(record->cells[column].text);
    record->cells[column] = (struct sps_cell){.kind = SPS_CELL_TEXT, .text = copy};
    for (char *c = copy; c && *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
}

void sps_record_copy_id(struct sps_record *to, const struct sps_record *from)
{
    for (size_t i = 0; i <= SPS_R_dv; i++)
        if (from->cells[i].kind == SPS_CELL_TEXT)
            sps_record_text(to, i, from->cells[i].text);
        else
            to->cells[i] = from->cells[i];
}

void sps_record_header(enum sps_csv file, struct sps_text *out)
{
    struct sps_csv_row row = {.text = out};

    for (size_t i = 0; i < sps_csv_files[file].count; i++)
        sps_csv_row_text(&row, sps_csv_files[file].columns[i].name);
    sps_csv_row_end(&row);
}

void sps_record_write(const struct sps_record *record, struct sps_text *out)
{
    const struct sps_csv_file *file = &sps_csv_files[record->file];
    struct sps_csv_row row = {.text = out};

    for (size_t i = 0; i < file->count; i++) {
        const struct sps_cell *cell = &record->cells[i];
        if (cell->kind == SPS_CELL_EMPTY)
            sps_csv_row_none(&row);
        else if (cell->kind == SPS_CELL_TEXT)
            sps_csv_row_text(&row, cell->text);
        else if (file->columns[i].kind == SPS_COUNT)
            sps_csv_row_count(&row, (int64_t)cell->number);
        else
            sps_csv_row_real(&row, cell->number);
    }
    sps_csv_row_end(&row);
}
