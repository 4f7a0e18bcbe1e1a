/* source.c - read a result folder. */
#include "sim/report/source.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)SPS_H_COUNT <= (int)SPS_R_COUNT &&
                   (int)SPS_S_COUNT <= (int)SPS_R_COUNT,
               "results.csv is the widest table");

static const size_t required[] = {SPS_R_point_id, SPS_R_phase,      SPS_R_method,
                                  SPS_R_label,    SPS_R_data_label, SPS_R_s,
                                  SPS_R_status};

static enum sps_status read_table(struct sps_source *source, enum sps_csv file,
                                  const char *path)
{
    struct sps_table *table = &source->table[file];
    const struct sps_csv_file *csv = &sps_csv_files[file];

    for (size_t i = 0; i < SPS_R_COUNT; i++)
        source->at[file][i] = -1;
    if (file != SPS_CSV_RESULTS && access(path, F_OK) != 0)
        return SPS_OK;
    SPS_TRY(sps_table_read(path, table));
    for (size_t i = 0; i < csv->count; i++)
        source->at[file][i] = sps_table_find(table, csv->columns[i].name);
    for (size_t i = 0; file == SPS_CSV_RESULTS && i < sizeof required / sizeof *required;
         i++)
        SPS_TRY(sps_table_column(table, csv->columns[required[i]].name,
                                 &source->at[file][required[i]]));
    return SPS_OK;
}

static enum sps_status read_manifest(struct sps_source *source, const char *path)
{
    json_error_t error;

    if (access(path, F_OK) != 0)
        return SPS_OK;
    source->manifest = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!source->manifest)
        return sps_fail(SPS_ECONFIG, "%s:%d: %s", path, error.line, error.text);
    return SPS_OK;
}

/* "results/run-a/" -> "run-a" */
static char *last_part(const char *folder)
{
    size_t end = strlen(folder);

    while (end > 1 && folder[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && folder[begin - 1] != '/')
        begin--;
    return strndup(folder + begin, end - begin);
}

enum sps_status sps_source_read(const char *folder, struct sps_source *source)
{
    struct sps_text path = {0};
    enum sps_status status = SPS_OK;

    *source = (struct sps_source){.folder = folder, .name = last_part(folder)};
    if (!source->name)
        status = sps_fail(SPS_ENOMEM, "no memory for a folder's name");
    for (int file = 0; file < SPS_CSV_COUNT && status == SPS_OK; file++) {
        sps_text_clear(&path);
        sps_text_printf(&path, "%s/%s", folder, sps_csv_files[file].name);
        status = sps_text_check(&path);
        if (status == SPS_OK)
            status = read_table(source, (enum sps_csv)file, path.data);
    }
    sps_text_clear(&path);
    sps_text_printf(&path, "%s/manifest.json", folder);
    if (status == SPS_OK)
        status = sps_text_check(&path);
    if (status == SPS_OK)
        status = read_manifest(source, path.data);
    sps_text_free(&path);
    if (status != SPS_OK)
        sps_source_free(source);
    return status;
}

void sps_source_free(struct sps_source *source)
{
    for (int file = 0; file < SPS_CSV_COUNT; file++)
        sps_table_free(&source->table[file]);
    json_decref(source->manifest);
    free(source->name);
    *source = (struct sps_source){0};
}

const char *sps_source_text(const struct sps_source *source, enum sps_csv file,
                            int64_t row, size_t column)
{
    return sps_table_cell(&source->table[file], row, source->at[file][column]);
}

enum sps_status sps_source_number(const struct sps_source *source, enum sps_csv file,
                                  int64_t row, size_t column, double *value)
{
    return sps_table_number(&source->table[file], row, source->at[file][column], value);
}

int sps_source_data_length(const struct sps_source *source, enum sps_csv file,
                           int64_t row)
{
    const char *label = sps_source_text(source, file, row, SPS_R_data_label);
    const char *layer = sps_source_text(source, file, row, SPS_R_layer);
    size_t length = strlen(label), n = strlen(layer), mark = strlen(" layer=");

    if (n && length > n + mark && strcmp(label + length - n, layer) == 0 &&
        strncmp(label + length - n - mark, " layer=", mark) == 0)
        length -= n + mark;
    return (int)length;
}
