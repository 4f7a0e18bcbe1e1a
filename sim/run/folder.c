/* folder.c - create, lock, repair and append. */
#include "sim/run/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/csv.h"
#include "base/tensor.h"
#include "sim/run/gzip.h"
#include "sim/run/record.h"

enum { FILE_BYTES_MAX = 1 << 30 };

static enum sps_status path_of(const struct sps_folder *folder, const char *name,
                               char **path)
{
    if (asprintf(path, "%s/%s", folder->path, name) < 0)
        return sps_fail(SPS_ENOMEM, "cannot allocate a path");
    return SPS_OK;
}

/* mkdir -p */
static enum sps_status make_folders(const char *path)
{
    char *copy = strdup(path);
    int failed = 0;

    if (!copy)
        return sps_fail(SPS_ENOMEM, "cannot allocate a path");
    for (char *slash = copy + 1; !failed && (slash = strchr(slash, '/'));
         *slash++ = '/') {
        *slash = '\0';
        failed = mkdir(copy, 0777) != 0 && errno != EEXIST;
    }
    free(copy);
    if (failed || (mkdir(path, 0777) != 0 && errno != EEXIST))
        return sps_fail(SPS_EIO, "%s: cannot make the folder: %s", path, strerror(errno));
    return SPS_OK;
}

static enum sps_status take_lock(struct sps_folder *folder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path;

    SPS_TRY(path_of(folder, "lock", &path));
    folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    free(path);
    if (folder->lock < 0)
        return sps_fail(SPS_EIO, "%s: cannot write there: %s", folder->path,
                        strerror(errno));
    if (fcntl(folder->lock, F_SETLK, &lock) != 0)
        return sps_fail(SPS_ECONFIG, "%s is in use by another run", folder->path);
    return SPS_OK;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, SPS_ID_SIZE);
}

bool sps_folder_done(const struct sps_folder *folder, const char *id)
{
    return folder->done_count && bsearch(id, folder->done, (size_t)folder->done_count,
                                         SPS_ID_SIZE, compare_ids) != NULL;
}

/* The file's whole lines only: a torn last one is a point that was not finished. */
static enum sps_status read_whole_lines(const char *path, enum sps_csv file,
                                        struct sps_text *text)
{
    SPS_TRY(file == SPS_CSV_ROWS ? sps_gunzip_file(path, text)
                                 : sps_text_read(text, path, FILE_BYTES_MAX));
    while (text->length && text->data[text->length - 1] != '\n')
        text->length--;
    if (text->data)
        text->data[text->length] = '\0';
    return SPS_OK;
}

/* Replace a CSV file, packed where it is kept packed. */
static enum sps_status save_file(enum sps_csv file, const struct sps_text *text,
                                 const char *path)
{
    struct sps_text packed = {0};

    if (file != SPS_CSV_ROWS)
        return sps_text_save(text, path);
    enum sps_status status = sps_gzip(text, &packed);
    if (status == SPS_OK)
        status = sps_text_save(&packed, path);
    sps_text_free(&packed);
    return status;
}

static enum sps_status check_header(const char *path, enum sps_csv file,
                                    const struct sps_text *text)
{
    struct sps_text header = {0};

    sps_record_header(file, &header);
    bool same = text->length >= header.length && header.length &&
                memcmp(text->data, header.data, header.length) == 0;
    sps_text_free(&header);
    if (!same)
        return sps_fail(SPS_ECONFIG,
                        "%s was written by another version: --force starts over", path);
    return SPS_OK;
}

static enum sps_status collect_ids(struct sps_folder *folder,
                                   const struct sps_table *table)
{
    void *ids;
    int64_t column;

    SPS_TRY(sps_table_column(table, "point_id", &column));
    SPS_TRY(sps_calloc((size_t)(table->rows + 1) * SPS_ID_SIZE, &ids));
    folder->done = ids;
    for (int64_t i = 0; i < table->rows; i++)
        snprintf(folder->done[i], SPS_ID_SIZE, "%s", sps_table_cell(table, i, column));
    folder->done_count = table->rows;
    qsort(folder->done, (size_t)folder->done_count, SPS_ID_SIZE, compare_ids);
    return SPS_OK;
}

/* Copy the header and the lines of finished points; our rows hold no line breaks. */
static enum sps_status keep_done(const struct sps_folder *folder,
                                 const struct sps_table *table,
                                 const struct sps_text *text, struct sps_text *kept)
{
    int64_t column;
    const char *line = text->data;

    SPS_TRY(sps_table_column(table, "point_id", &column));
    for (int64_t i = -1; i < table->rows; i++) {
        const char *end = strchr(line, '\n') + 1;
        if (i < 0 || sps_folder_done(folder, sps_table_cell(table, i, column)))
            sps_text_append(kept, line, (size_t)(end - line));
        line = end;
    }
    return sps_text_check(kept);
}

/* Cut one file back to finished points.  results.csv comes first and defines them. */
static enum sps_status repair(struct sps_folder *folder, enum sps_csv file,
                              const char *path)
{
    struct sps_text text = {0}, kept = {0};
    struct sps_table table = {0};
    enum sps_status status = read_whole_lines(path, file, &text);

    if (status == SPS_OK)
        status = check_header(path, file, &text);
    if (status == SPS_OK)
        status = sps_table_parse(text.data, text.length, path, &table);
    if (status == SPS_OK && file == SPS_CSV_RESULTS)
        status = collect_ids(folder, &table);
    if (status == SPS_OK)
        status = keep_done(folder, &table, &text, &kept);
    if (status == SPS_OK)
        status = save_file(file, &kept, path);
    sps_table_free(&table);
    sps_text_free(&text);
    sps_text_free(&kept);
    return status;
}

static enum sps_status start_file(enum sps_csv file, const char *path)
{
    struct sps_text header = {0};

    sps_record_header(file, &header);
    enum sps_status status = save_file(file, &header, path);
    sps_text_free(&header);
    return status;
}

static enum sps_status open_file(struct sps_folder *folder, enum sps_csv file,
                                 enum sps_folder_mode mode)
{
    char *path;

    SPS_TRY(path_of(folder, sps_csv_files[file].name, &path));
    bool there = access(path, F_OK) == 0;
    enum sps_status status = SPS_OK;
    if (there && mode == SPS_FOLDER_NEW)
        status = sps_fail(
            SPS_ECONFIG, "%s holds results: --resume continues them, --force starts over",
            folder->path);
    else if (there && mode == SPS_FOLDER_RESUME)
        status = repair(folder, file, path);
    else
        status = start_file(file, path);
    if (status == SPS_OK) {
        folder->csv[file] = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (folder->csv[file] < 0)
            status = sps_fail(SPS_EIO, "%s: %s", path, strerror(errno));
    }
    free(path);
    return status;
}

static enum sps_status open_all(struct sps_folder *folder, enum sps_folder_mode mode,
                                bool detail)
{
    SPS_TRY(make_folders(folder->path));
    SPS_TRY(take_lock(folder));
    for (int file = 0; file < SPS_CSV_COUNT + detail; file++)
        SPS_TRY(open_file(folder, (enum sps_csv)file, mode));
    return SPS_OK;
}

enum sps_status sps_folder_open(const char *path, enum sps_folder_mode mode, bool detail,
                                struct sps_folder *folder)
{
    *folder = (struct sps_folder){.path = strdup(path), .lock = -1};
    for (int i = 0; i <= SPS_CSV_COUNT; i++)
        folder->csv[i] = -1;
    if (!folder->path)
        return sps_fail(SPS_ENOMEM, "cannot allocate a path");
    return open_all(folder, mode, detail);
}

void sps_folder_close(struct sps_folder *folder)
{
    for (int i = 0; folder->path && i <= SPS_CSV_COUNT; i++)
        if (folder->csv[i] >= 0)
            close(folder->csv[i]);
    if (folder->path && folder->lock >= 0)
        close(folder->lock);
    free(folder->path);
    free(folder->done);
    *folder = (struct sps_folder){0};
}

static enum sps_status write_all(int fd, const struct sps_text *text, const char *name)
{
    const char *at = text->data;
    size_t left = text->length;

    while (left) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sps_fail(SPS_EIO, "%s: cannot write: %s", name, strerror(errno));
        at += n;
        left -= (size_t)n;
    }
    return SPS_OK;
}

/* Append one member to rows.csv.gz. */
static enum sps_status append_packed(const struct sps_folder *folder,
                                     const struct sps_text *rows)
{
    struct sps_text packed = {0};

    if (folder->csv[SPS_CSV_ROWS] < 0 || !rows->length)
        return SPS_OK;
    enum sps_status status = sps_gzip(rows, &packed);
    if (status == SPS_OK)
        status = write_all(folder->csv[SPS_CSV_ROWS], &packed, "rows.csv.gz");
    sps_text_free(&packed);
    return status;
}

/* Keep the list sorted. */
static enum sps_status add_done(struct sps_folder *folder, const char *id)
{
    size_t bytes = (size_t)(folder->done_count + 1) * SPS_ID_SIZE;
    char(*done)[SPS_ID_SIZE] = realloc(folder->done, bytes);
    int64_t i = folder->done_count;

    if (!done)
        return sps_fail(SPS_ENOMEM, "cannot allocate %zu bytes", bytes);
    folder->done = done;
    for (; i > 0 && compare_ids(id, done[i - 1]) < 0; i--)
        memcpy(done[i], done[i - 1], SPS_ID_SIZE);
    memcpy(done[i], id, SPS_ID_SIZE);
    folder->done_count++;
    return SPS_OK;
}

enum sps_status sps_folder_append(struct sps_folder *folder, const char *id,
                                  const struct sps_text rows[SPS_CSV_COUNT + 1])
{
    SPS_TRY(append_packed(folder, &rows[SPS_CSV_ROWS]));
    for (int file = SPS_CSV_COUNT - 1; file >= 0; file--) {
        SPS_TRY(sps_text_check(&rows[file]));
        SPS_TRY(write_all(folder->csv[file], &rows[file], sps_csv_files[file].name));
        if (fsync(folder->csv[file]) != 0 && errno != EINVAL)
            return sps_fail(SPS_EIO, "%s: cannot sync: %s", sps_csv_files[file].name,
                            strerror(errno));
    }
    return add_done(folder, id);
}

enum sps_status sps_folder_save(const struct sps_folder *folder, const char *name,
                                const struct sps_text *text)
{
    char *path;

    SPS_TRY(path_of(folder, name, &path));
    enum sps_status status = sps_text_check(text);
    if (status == SPS_OK)
        status = sps_text_save(text, path);
    free(path);
    return status;
}
