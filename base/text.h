/* text.h - a growing string: everything that becomes a file is built in one.
 *
 * A zeroed struct is the empty text.  Appending never reports: when memory runs
 * out the text remembers it, drops what follows, and sps_text_check() or
 * sps_text_save() says so at the end.
 */
#ifndef SPS_BASE_TEXT_H
#define SPS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

SPS_BEGIN_DECLS

struct sps_text {
    char *data; /* NUL after the last byte; NULL while nothing was appended */
    size_t length, size;
    bool failed;
};

void sps_text_append(struct sps_text *text, const char *bytes, size_t count);
void sps_text_put(struct sps_text *text, const char *string);
void sps_text_printf(struct sps_text *text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void sps_text_clear(struct sps_text *text); /* empty again, memory kept */
void sps_text_free(struct sps_text *text);  /* tolerates a zeroed one */

/* The text as a string; "" when nothing was appended. */
const char *sps_text_string(const struct sps_text *text);

/* SPS_ENOMEM if any append since the last clear was dropped. */
enum sps_status sps_text_check(const struct sps_text *text);

/* Append the whole file.  SPS_EIO: it cannot be read; SPS_ECONFIG: more than max bytes.
 */
enum sps_status sps_text_read(struct sps_text *text, const char *path, size_t max);

/* Replace the file at once: write PATH.tmp, fsync, rename. */
enum sps_status sps_text_save(const struct sps_text *text, const char *path);

SPS_END_DECLS

#endif
