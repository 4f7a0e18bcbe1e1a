/* yaml_complain.c - file:line:column: message, the line, a caret. */
#include "sim/run/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BEFORE = 60, AFTER = 30 }; /* characters shown around the caret */

/* The bytes of 1-based line `line`: a pointer and *size; NULL: no such line. */
static const char *find_line(const struct sps_yaml_source *s, int64_t line, size_t *size)
{
    const char *p = s->text, *end = s->text + s->size;

    while (line > 1 && p < end) {
        if (*p == '\r' && p + 1 < end && p[1] == '\n')
            p++;
        line -= *p == '\n' || *p == '\r';
        p++;
    }
    if (line != 1 || p >= end)
        return NULL;
    const char *q = p;
    while (q < end && *q != '\n' && *q != '\r')
        q++;
    *size = (size_t)(q - p);
    return p;
}

/* Bytes of the next `count` characters of p[size]. */
static size_t characters(const char *p, size_t size, int64_t count)
{
    size_t i = 0;

    for (; count > 0 && i < size; count--) {
        i++;
        while (i < size && ((unsigned char)p[i] & 0xc0) == 0x80)
            i++;
    }
    return i;
}

/* "\n  the line\n       ^", cut to the caret's neighbourhood; tabs become spaces. */
static void excerpt(const struct sps_yaml_source *s, struct sps_yaml_mark mark, char *out,
                    size_t out_size)
{
    size_t size = 0;
    const char *line = find_line(s, mark.line, &size);
    int64_t from = mark.column - 1 > BEFORE ? mark.column - 1 - BEFORE : 0;

    out[0] = '\0';
    if (!line)
        return;
    size_t start = characters(line, size, from);
    size_t n = characters(line + start, size - start, BEFORE + AFTER);
    int written = snprintf(out, out_size, "\n  %.*s\n  %*s", (int)n, line + start,
                           (int)(mark.column - from), "^");
    for (char *p = out + 1; p < out + written && *p && *p != '\n'; p++)
        if (*p == '\t')
            *p = ' ';
}

static enum sps_status complain(const struct sps_yaml_source *source,
                                struct sps_yaml_mark mark, const char *fmt, va_list args)
{
    char message[1200], lines[8 * (BEFORE + AFTER)];

    vsnprintf(message, sizeof message, fmt, args);
    if (!source->text || mark.line < 1 || mark.column < 1)
        return sps_fail(SPS_ECONFIG, "%.300s: %s", source->name, message);
    excerpt(source, mark, lines, sizeof lines);
    return sps_fail(SPS_ECONFIG, "%.300s:%lld:%lld: %s%s", source->name,
                    (long long)mark.line, (long long)mark.column, message, lines);
}

enum sps_status sps_yaml_complain(const struct sps_yaml *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    enum sps_status status = complain(at->source, at->at, fmt, args);
    va_end(args);
    return status;
}

enum sps_status sps_yaml_complain_key(const struct sps_yaml *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    enum sps_status status =
        complain(at->source, at->key ? at->key_at : at->at, fmt, args);
    va_end(args);
    return status;
}

enum sps_status sps_yaml_complain_mark(const struct sps_yaml_source *source,
                                       struct sps_yaml_mark mark, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    enum sps_status status = complain(source, mark, fmt, args);
    va_end(args);
    return status;
}
