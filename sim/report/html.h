/* html.h - pieces of HTML, and pages filled from a template. */
#ifndef SPS_SIM_REPORT_HTML_H
#define SPS_SIM_REPORT_HTML_H

#include "base/text.h"

/* Append `text` with & < > " ' escaped: safe in an element and in a quoted attribute.
 * Bytes that are no UTF-8 or no XML character become U+FFFD. */
void sps_html_put(struct sps_text *html, const char *text);

/* Append fmt; each %s in it takes the next string, escaped.  Nothing else is special. */
void sps_html_printf(struct sps_text *html, const char *fmt, ...);

/* What {{name}} in a template stands for. */
struct sps_field {
    const char *name, *value;
    bool raw; /* is HTML already */
};

/* Append `page` with every {{name}} replaced; fields ends with a NULL name.
 * SPS_EINVAL "FILE:LINE: ..." : a name that is not a field, or a {{ that stays open. */
enum sps_status sps_html_fill(struct sps_text *html, const char *page, const char *file,
                              const struct sps_field *fields);

#endif
