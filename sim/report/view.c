/* view.c - gather the points of the folders into entries and settings. */
#include "sim/report/view.h"

#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static const char *id(const struct sps_source *source, enum sps_csv file, int64_t row,
                      size_t column)
{
    return sps_source_text(source, file, row, column);
}

/* The ID columns stand at the same place in all three files. */
static void put_key(const struct sps_source *source, enum sps_csv file, int64_t row,
                    struct sps_text *key)
{
    sps_text_printf(key, "%s\037%s\037%s\037%.*s\037%s\037%s\037%s\037%s", source->folder,
                    id(source, file, row, SPS_R_phase),
                    id(source, file, row, SPS_R_backend),
                    sps_source_data_length(source, file, row),
                    id(source, file, row, SPS_R_data_label),
                    id(source, file, row, SPS_R_dtype), id(source, file, row, SPS_R_t),
                    id(source, file, row, SPS_R_s), id(source, file, row, SPS_R_label));
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct sps_entry *)a)->key, ((const struct sps_entry *)b)->key);
}

static bool is_true(const char *text)
{
    return strcmp(text, "true") == 0;
}

/* A new entry at the end; entries[] has room for one a row. */
static enum sps_status add_entry(struct sps_view *view, const struct sps_source *source,
                                 int64_t row, char *key, struct sps_entry **entry)
{
    struct sps_entry *e = &view->entries[view->entry_count];
    const char *method = id(source, SPS_CSV_RESULTS, row, SPS_R_method);

    *e = (struct sps_entry){.source = source, .row = row, .key = key, .setting = -1};
    e->oracle = is_true(id(source, SPS_CSV_RESULTS, row, SPS_R_oracle));
    e->full = strcmp(method, "full") == 0;
    e->random = strcmp(method, "random") == 0;
    e->idle = strcmp(method, "null") == 0;
    if (!tsearch(e, &view->index, by_key))
        return sps_fail(SPS_ENOMEM, "no memory for a report's entries");
    view->entry_count++;
    *entry = e;
    return SPS_OK;
}

static enum sps_status find_or_add(struct sps_view *view, const struct sps_source *source,
                                   int64_t row, struct sps_entry **entry)
{
    struct sps_text key = {0};

    put_key(source, SPS_CSV_RESULTS, row, &key);
    SPS_TRY(sps_text_check(&key));
    struct sps_entry probe = {.key = key.data},
                     **found = tfind(&probe, &view->index, by_key);
    if (!found) {
        enum sps_status status = add_entry(view, source, row, key.data, entry);
        if (status != SPS_OK)
            sps_text_free(&key);
        return status;
    }
    sps_text_free(&key);
    *entry = *found;
    return SPS_OK;
}

/* Sum here, divide in finish(): NaN stands for no number yet. */
static enum sps_status accumulate(struct sps_entry *e, int64_t row, int64_t *measured)
{
    const struct sps_csv_file *file = &sps_csv_files[SPS_CSV_RESULTS];

    if (e->points++ == 0) {
        e->row = row;
        e->degenerate = is_true(sps_entry_text(e, SPS_R_degenerate));
    }
    for (size_t c = 0; c < SPS_R_COUNT; c++) {
        double value = NAN;
        if (file->columns[c].kind != SPS_TEXT)
            SPS_TRY(sps_source_number(e->source, SPS_CSV_RESULTS, row, c, &value));
        if (isnan(value))
            continue;
        e->value[c] += value;
        measured[c]++;
    }
    return SPS_OK;
}

static enum sps_status gather(struct sps_view *view, int64_t (*measured)[SPS_R_COUNT])
{
    for (int64_t i = 0; i < view->source_count; i++) {
        const struct sps_source *source = &view->sources[i];
        for (int64_t row = 0; row < source->table[SPS_CSV_RESULTS].rows; row++) {
            struct sps_entry *e;
            SPS_TRY(find_or_add(view, source, row, &e));
            if (strcmp(id(source, SPS_CSV_RESULTS, row, SPS_R_status), "ok") == 0) {
                SPS_TRY(accumulate(e, row, measured[e - view->entries]));
            } else {
                e->failed++;
                view->failures[view->failure_count++] = (struct sps_failure){source, row};
            }
        }
    }
    return SPS_OK;
}

/* Divide the sums; decide which times the report shows. */
static void finish(struct sps_view *view, int64_t (*measured)[SPS_R_COUNT])
{
    bool cold = false, hot = false;

    for (int64_t i = 0; i < view->entry_count; i++) {
        struct sps_entry *e = &view->entries[i];
        for (size_t c = 0; c < SPS_R_COUNT; c++)
            e->value[c] = measured[i][c] ? e->value[c] / (double)measured[i][c] : NAN;
        cold = cold || isfinite(e->value[SPS_R_time_ms_p50_cold]);
        hot = hot || isfinite(e->value[SPS_R_time_ms_p50_hot]);
    }
    view->hot = hot && !cold;
}

static enum sps_status build(struct sps_view *view, int64_t rows)
{
    int64_t(*measured)[SPS_R_COUNT] = calloc((size_t)rows + 1, sizeof *measured);

    view->entries = calloc((size_t)rows + 1, sizeof *view->entries);
    view->settings = calloc((size_t)rows + 1, sizeof *view->settings);
    view->failures = calloc((size_t)rows + 1, sizeof *view->failures);
    enum sps_status status = SPS_OK;
    if (!measured || !view->entries || !view->settings || !view->failures)
        status = sps_fail(SPS_ENOMEM, "no memory for a report of %lld points",
                          (long long)rows);
    if (status == SPS_OK)
        status = gather(view, measured);
    if (status == SPS_OK)
        finish(view, measured);
    free(measured);
    for (int64_t i = 0; i < view->entry_count && status == SPS_OK; i++) {
        status = sps_entry_name(view, &view->entries[i]);
        if (status == SPS_OK && view->entries[i].points)
            status = sps_entry_place(view, &view->entries[i]);
    }
    if (status == SPS_OK)
        status = sps_view_name_series(view);
    for (int64_t i = 0; i < view->entry_count; i++)
        sps_entry_plain(view->entries[i].series);
    return status;
}

enum sps_status sps_view_build(const struct sps_source *sources, int64_t count,
                               struct sps_view *view)
{
    int64_t rows = 0;

    *view = (struct sps_view){.sources = sources, .source_count = count};
    for (int64_t i = 0; i < count; i++)
        rows += sources[i].table[SPS_CSV_RESULTS].rows;
    enum sps_status status = build(view, rows);
    if (status != SPS_OK)
        sps_view_free(view);
    return status;
}

void sps_view_free(struct sps_view *view)
{
    for (int64_t i = 0; i < view->entry_count; i++) {
        tdelete(&view->entries[i], &view->index, by_key);
        free(view->entries[i].key);
        free(view->entries[i].name);
        free(view->entries[i].series);
    }
    for (int64_t i = 0; i < view->setting_count; i++) {
        free(view->settings[i].title);
        free(view->settings[i].family);
    }
    free(view->entries);
    free(view->settings);
    free(view->failures);
    *view = (struct sps_view){0};
}

enum sps_status sps_view_find(const struct sps_view *view,
                              const struct sps_source *source, enum sps_csv file,
                              int64_t row, const struct sps_entry **entry)
{
    struct sps_text key = {0};

    put_key(source, file, row, &key);
    SPS_TRY(sps_text_check(&key));
    struct sps_entry probe = {.key = key.data};
    struct sps_entry **found = tfind(&probe, &view->index, by_key);
    *entry = found && (*found)->points ? *found : NULL;
    sps_text_free(&key);
    return SPS_OK;
}

const char *sps_entry_text(const struct sps_entry *entry, enum sps_result_column column)
{
    return sps_source_text(entry->source, SPS_CSV_RESULTS, entry->row, column);
}

enum sps_result_column sps_view_time(const struct sps_view *view,
                                     enum sps_result_column cold)
{
    int shift = SPS_R_time_ms_p50_hot - SPS_R_time_ms_p50_cold;

    return view->hot ? (enum sps_result_column)((int)cold + shift) : cold;
}
