/* csv.h - comma-separated values after RFC 4180: rows out, tables in.
 *
 * Numbers bare, reals as %.9g with a point, text quoted only where it must be,
 * not measured = empty, computed NaN = nan, lines end in CR LF.
 */
#ifndef SPS_BASE_CSV_H
#define SPS_BASE_CSV_H

#include <stdint.h>

#include "base/text.h"

SPS_BEGIN_DECLS

/* ---- writing: start with {.text = &text}; one call a field; then end ---- */

struct sps_csv_row {
    struct sps_text *text;
    int64_t fields; /* written in the row so far */
};

void sps_csv_row_text(struct sps_csv_row *row, const char *value); /* NULL: empty */
void sps_csv_row_count(struct sps_csv_row *row, int64_t value);
void sps_csv_row_real(struct sps_csv_row *row, double value);
void sps_csv_row_none(struct sps_csv_row *row);
void sps_csv_row_end(struct sps_csv_row *row); /* ready for the next row */

/* ---- reading ---- */

/* A file whose first row names the columns.  Cells live as long as the table. */
struct sps_table {
    int64_t columns, rows;
    const char **cells; /* [1 + rows][columns], the names first */
    int64_t *lines;     /* [1 + rows] the line of the file where each row ends */
    char *file, *bytes;
};

/* Strict: SPS_ECONFIG "FILE:LINE: ..." on a row of another length, a column
 * named twice or not at all, a stray quote, a NUL byte, or no header. */
enum sps_status sps_table_read(const char *path, struct sps_table *table);

/* The same from memory; `file` stands for it in messages. */
enum sps_status sps_table_parse(const char *bytes, size_t size, const char *file,
                                struct sps_table *table);
void sps_table_free(struct sps_table *table); /* tolerates a zeroed one */

int64_t sps_table_find(const struct sps_table *table, const char *name); /* -1: none */

/* The same; SPS_ECONFIG names the file and the column that is missing. */
enum sps_status sps_table_column(const struct sps_table *table, const char *name,
                                 int64_t *column);

/* "" for an empty cell, and for column -1. */
const char *sps_table_cell(const struct sps_table *table, int64_t row, int64_t column);

/* NaN for an empty cell, and for column -1; SPS_ECONFIG: not a number. */
enum sps_status sps_table_number(const struct sps_table *table, int64_t row,
                                 int64_t column, double *value);

SPS_END_DECLS

#endif
