/* columns_doc.c - print the column tables as Markdown, for docs/columns.md. */
#include "analysis/columns.h"

#include <stdio.h>

/* Text of a table cell: a bar would end it. */
static void put_cell(const char *text)
{
    fputs("| ", stdout);
    for (; *text; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
    putchar(' ');
}

int main(void)
{
    static const char *const kinds[] = {
        [SPS_TEXT] = "text", [SPS_COUNT] = "count", [SPS_REAL] = "real"};

    for (const struct sps_csv_file *file = sps_csv_files; file->name; file++) {
        printf("\n### %s\n\nHolds %s.\n\n", file->name, file->help);
        puts("| column | unit | kind | range | meaning |\n|---|---|---|---|---|");
        for (size_t i = 0; i < file->count; i++) {
            const struct sps_column *column = &file->columns[i];
            printf("| `%s` ", column->name);
            put_cell(column->unit);
            put_cell(kinds[column->kind]);
            put_cell(column->range);
            put_cell(column->help);
            puts("|");
        }
    }
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
