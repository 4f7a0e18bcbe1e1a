/* csv.c - rows written by hand (libcsv quotes numbers too), tables read by libcsv. */
#include "base/csv.h"

#include <csv.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 30 };

/* ---- writing ---- */

static void separate(struct sps_csv_row *row)
{
    if (row->fields++ > 0)
        sps_text_append(row->text, ",", 1);
}

/* Readers strip blanks at the ends of a bare field. */
static bool must_quote(const char *value)
{
    size_t n = strlen(value);

    return strpbrk(value, ",\"\r\n") ||
           (n > 0 && (strchr(" \t", value[0]) || strchr(" \t", value[n - 1])));
}

void sps_csv_row_text(struct sps_csv_row *row, const char *value)
{
    separate(row);
    if (!value)
        return;
    if (!must_quote(value)) {
        sps_text_put(row->text, value);
        return;
    }
    sps_text_append(row->text, "\"", 1);
    for (const char *c = value; *c; c++)
        sps_text_append(row->text, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    sps_text_append(row->text, "\"", 1);
}

void sps_csv_row_count(struct sps_csv_row *row, int64_t value)
{
    separate(row);
    sps_text_printf(row->text, "%" PRId64, value);
}

void sps_csv_row_real(struct sps_csv_row *row, double value)
{
    separate(row);
    if (isnan(value)) /* printf may write -nan */
        sps_text_put(row->text, "nan");
    else
        sps_text_printf(row->text, "%.9g", value);
}

void sps_csv_row_none(struct sps_csv_row *row)
{
    separate(row);
}

void sps_csv_row_end(struct sps_csv_row *row)
{
    sps_text_append(row->text, "\r\n", 2);
    row->fields = 0;
}

/* ---- reading ---- */

/* What libcsv's callbacks build: all cells in one text, by offset. */
struct parse {
    struct sps_table *table;
    struct sps_text bytes;
    size_t *offsets;
    int64_t cells, cells_size; /* offsets */
    int64_t fields;            /* of the row being read */
    int64_t line, lines_size;  /* table->lines */
    enum sps_status status;
};

/* Grow an array of `each` bytes an element so that element `used` exists. */
static enum sps_status grow(void **array, size_t each, int64_t used, int64_t *size)
{
    if (used < *size)
        return SPS_OK;
    int64_t more = *size ? 2 * *size : 1024;
    void *grown = realloc(*array, (size_t)more * each);
    if (!grown)
        return sps_fail(SPS_ENOMEM, "no memory for a table of %" PRId64 " cells", more);
    *array = grown;
    *size = more;
    return SPS_OK;
}

static void on_field(void *bytes, size_t count, void *data)
{
    struct parse *p = data;

    if (p->status != SPS_OK)
        return;
    p->status = grow((void **)&p->offsets, sizeof *p->offsets, p->cells, &p->cells_size);
    if (p->status != SPS_OK)
        return;
    p->offsets[p->cells++] = p->bytes.length;
    p->fields++;
    sps_text_append(&p->bytes, bytes, count);
    sps_text_append(&p->bytes, "", 1);
}

static void on_row(int end, void *data)
{
    struct parse *p = data;
    struct sps_table *t = p->table;

    (void)end;
    if (p->status != SPS_OK)
        return;
    if (t->columns == 0) {
        t->columns = p->fields;
        t->rows = -1; /* the header is counted below */
    }
    if (p->fields != t->columns) {
        p->status =
            sps_fail(SPS_ECONFIG,
                     "%s:%" PRId64 ": %" PRId64 " fields where the header has %" PRId64,
                     t->file, p->line, p->fields, t->columns);
        return;
    }
    p->status = grow((void **)&t->lines, sizeof *t->lines, t->rows + 1, &p->lines_size);
    if (p->status != SPS_OK)
        return;
    t->lines[++t->rows] = p->line;
    p->fields = 0;
}

static enum sps_status syntax(struct parse *p, struct csv_parser *parser)
{
    if (csv_error(parser) == CSV_ENOMEM)
        return sps_fail(SPS_ENOMEM, "%s: no memory for a cell", p->table->file);
    return sps_fail(SPS_ECONFIG,
                    "%s:%" PRId64
                    ": a quote that is not closed or stands inside a bare field",
                    p->table->file, p->line);
}

/* Line by line, so that p->line is right in every message. */
static enum sps_status feed(struct parse *p, const char *bytes, size_t size)
{
    struct csv_parser parser;
    enum sps_status status = SPS_OK;

    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
        return sps_fail(SPS_ENOMEM, "no memory for a parser");
    for (size_t at = 0; at < size && status == SPS_OK;) {
        const char *end = memchr(bytes + at, '\n', size - at);
        size_t count = end ? (size_t)(end - bytes) + 1 - at : size - at;
        p->line++;
        if (memchr(bytes + at, '\0', count))
            status = sps_fail(SPS_ECONFIG, "%s:%" PRId64 ": a NUL byte", p->table->file,
                              p->line);
        else if (csv_parse(&parser, bytes + at, count, on_field, on_row, p) != count)
            status = syntax(p, &parser);
        else
            status = p->status;
        at += count;
    }
    if (status == SPS_OK && csv_fini(&parser, on_field, on_row, p) != 0)
        status = syntax(p, &parser);
    csv_free(&parser);
    return status == SPS_OK ? p->status : status;
}

static enum sps_status check_header(const struct sps_table *t)
{
    if (t->columns == 0)
        return sps_fail(SPS_ECONFIG, "%s: empty: a header row is missing", t->file);
    for (int64_t i = 0; i < t->columns; i++) {
        if (!t->cells[i][0])
            return sps_fail(SPS_ECONFIG, "%s:1: column %" PRId64 " has no name", t->file,
                            i + 1);
        if (sps_table_find(t, t->cells[i]) != i)
            return sps_fail(SPS_ECONFIG, "%s:1: two columns are named '%s'", t->file,
                            t->cells[i]);
    }
    return SPS_OK;
}

/* Hand the parsed bytes over to the table and point its cells into them. */
static enum sps_status finish(struct parse *p)
{
    struct sps_table *t = p->table;

    SPS_TRY(sps_text_check(&p->bytes));
    t->cells = malloc((size_t)(p->cells + 1) * sizeof *t->cells);
    if (!t->cells)
        return sps_fail(SPS_ENOMEM, "no memory for %" PRId64 " cells", p->cells);
    t->bytes = p->bytes.data;
    p->bytes = (struct sps_text){0};
    for (int64_t i = 0; i < p->cells; i++)
        t->cells[i] = t->bytes + p->offsets[i];
    return check_header(t);
}

enum sps_status sps_table_parse(const char *bytes, size_t size, const char *file,
                                struct sps_table *table)
{
    struct parse p = {.table = table};

    *table = (struct sps_table){.file = strdup(file)};
    enum sps_status status = table->file ? feed(&p, bytes, size)
                                         : sps_fail(SPS_ENOMEM, "no memory for a table");
    if (status == SPS_OK)
        status = finish(&p);
    sps_text_free(&p.bytes);
    free(p.offsets);
    if (status != SPS_OK)
        sps_table_free(table);
    return status;
}

enum sps_status sps_table_read(const char *path, struct sps_table *table)
{
    struct sps_text text = {0};
    enum sps_status status = sps_text_read(&text, path, FILE_BYTES_MAX);

    if (status == SPS_OK)
        status = sps_table_parse(sps_text_string(&text), text.length, path, table);
    sps_text_free(&text);
    return status;
}

void sps_table_free(struct sps_table *table)
{
    free(table->cells);
    free(table->lines);
    free(table->file);
    free(table->bytes);
    *table = (struct sps_table){0};
}

int64_t sps_table_find(const struct sps_table *table, const char *name)
{
    for (int64_t i = 0; i < table->columns; i++)
        if (strcmp(table->cells[i], name) == 0)
            return i;
    return -1;
}

enum sps_status sps_table_column(const struct sps_table *table, const char *name,
                                 int64_t *column)
{
    int64_t found = sps_table_find(table, name);

    if (found < 0)
        return sps_fail(SPS_ECONFIG, "%s:1: no column '%s'", table->file, name);
    *column = found;
    return SPS_OK;
}

const char *sps_table_cell(const struct sps_table *table, int64_t row, int64_t column)
{
    return column < 0 ? "" : table->cells[(row + 1) * table->columns + column];
}

enum sps_status sps_table_number(const struct sps_table *table, int64_t row,
                                 int64_t column, double *value)
{
    const char *cell = sps_table_cell(table, row, column);
    char *end;

    if (!cell[0]) {
        *value = NAN;
        return SPS_OK;
    }
    double parsed = strtod(cell, &end);
    if (end == cell || *end)
        return sps_fail(SPS_ECONFIG, "%s:%" PRId64 ": %s: '%.64s' is not a number",
                        table->file, table->lines[row + 1], table->cells[column], cell);
    *value = parsed;
    return SPS_OK;
}
