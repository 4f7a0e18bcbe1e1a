/* text.c - a growing string, and whole files to and from it. */
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for count more bytes and the NUL. */
static bool reserve(struct sps_text *text, size_t count)
{
    size_t size = text->size ? text->size : 256;

    if (text->failed)
        return false;
    if (text->length + count < text->size)
        return true;
    while (size <= text->length + count)
        size *= 2;
    char *data = realloc(text->data, size);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->size = size;
    return true;
}

void sps_text_append(struct sps_text *text, const char *bytes, size_t count)
{
    if (!reserve(text, count))
        return;
    if (count)
        memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
}

void sps_text_put(struct sps_text *text, const char *string)
{
    sps_text_append(text, string, strlen(string));
}

void sps_text_printf(struct sps_text *text, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    if (n >= 0 && reserve(text, (size_t)n)) {
        vsnprintf(text->data + text->length, (size_t)n + 1, fmt, again);
        text->length += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void sps_text_clear(struct sps_text *text)
{
    text->length = 0;
    text->failed = false;
    if (text->data)
        text->data[0] = '\0';
}

void sps_text_free(struct sps_text *text)
{
    free(text->data);
    *text = (struct sps_text){0};
}

const char *sps_text_string(const struct sps_text *text)
{
    return text->data ? text->data : "";
}

enum sps_status sps_text_check(const struct sps_text *text)
{
    if (text->failed)
        return sps_fail(SPS_ENOMEM, "no memory for a text of more than %zu bytes",
                        text->length);
    return SPS_OK;
}

enum sps_status sps_text_read(struct sps_text *text, const char *path, size_t max)
{
    char buffer[8192];
    size_t n, total = 0;
    enum sps_status status = SPS_OK;
    FILE *file = fopen(path, "rb");

    if (!file)
        return sps_fail(SPS_EIO, "%s: %s", path, strerror(errno));
    while (status == SPS_OK && (n = fread(buffer, 1, sizeof buffer, file)) > 0) {
        total += n;
        if (total > max)
            status = sps_fail(SPS_ECONFIG, "%s: more than %zu bytes", path, max);
        else
            sps_text_append(text, buffer, n);
    }
    if (status == SPS_OK && ferror(file))
        status = sps_fail(SPS_EIO, "%s: %s", path, strerror(errno));
    fclose(file);
    return status == SPS_OK ? sps_text_check(text) : status;
}

enum sps_status sps_text_save(const struct sps_text *text, const char *path)
{
    struct sps_text temp = {0};

    SPS_TRY(sps_text_check(text));
    sps_text_printf(&temp, "%s.tmp", path);
    SPS_TRY(sps_text_check(&temp));
    FILE *file = fopen(temp.data, "wb");
    bool ok =
        file && fwrite(sps_text_string(text), 1, text->length, file) == text->length;
    ok = ok && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int reason = errno;
    if (file && fclose(file) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    if (ok && rename(temp.data, path) != 0) {
        ok = false;
        reason = errno;
    }
    if (file && !ok)
        remove(temp.data);
    sps_text_free(&temp);
    return ok ? SPS_OK : sps_fail(SPS_EIO, "%s: %s", path, strerror(reason));
}
