/* html.c - escape, and fill templates. */
#include "sim/report/html.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 character at s (RFC 3629); 0: not one. */
static size_t character(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, low, high, more;
    } forms[] = {{0x20, 0x7e, 0, 0, 0},       {'\t', '\n', 0, 0, 0},
                 {'\r', '\r', 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1},
                 {0xe0, 0xe0, 0xa0, 0xbf, 2}, {0xe1, 0xec, 0x80, 0xbf, 2},
                 {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
                 {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3},
                 {0xf4, 0xf4, 0x80, 0x8f, 3}};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t n = forms[i].more ? 2 : 1;
        if (s[0] < forms[i].first || s[0] > forms[i].last)
            continue;
        if (forms[i].more && (s[1] < forms[i].low || s[1] > forms[i].high))
            return 0;
        for (; n <= forms[i].more; n++)
            if (s[n] < 0x80 || s[n] > 0xbf)
                return 0;
        return n;
    }
    return 0;
}

static const char *escape(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void sps_html_put(struct sps_text *html, const char *text)
{
    while (*text) {
        size_t n = character((const unsigned char *)text);
        const char *special = escape(*text);
        if (special)
            sps_text_put(html, special);
        else if (n > 0)
            sps_text_append(html, text, n);
        else
            sps_text_put(html, "\xef\xbf\xbd");
        text += n > 0 ? n : 1;
    }
}

void sps_html_printf(struct sps_text *html, const char *fmt, ...)
{
    va_list args;
    const char *mark;

    va_start(args, fmt);
    for (; (mark = strstr(fmt, "%s")); fmt = mark + 2) {
        sps_text_append(html, fmt, (size_t)(mark - fmt));
        sps_html_put(html, va_arg(args, const char *));
    }
    va_end(args);
    sps_text_put(html, fmt);
}

static const struct sps_field *find(const struct sps_field *fields, const char *name,
                                    size_t size)
{
    for (const struct sps_field *f = fields; f->name; f++)
        if (strlen(f->name) == size && strncmp(f->name, name, size) == 0)
            return f;
    return NULL;
}

static int line_of(const char *page, const char *at)
{
    int line = 1;

    for (; page < at; page++)
        line += *page == '\n';
    return line;
}

enum sps_status sps_html_fill(struct sps_text *html, const char *page, const char *file,
                              const struct sps_field *fields)
{
    const char *at = page, *open;

    while ((open = strstr(at, "{{"))) {
        const char *close = strstr(open, "}}");
        if (!close)
            return sps_fail(SPS_EINVAL, "%s:%d: {{ without }}", file,
                            line_of(page, open));
        const struct sps_field *field =
            find(fields, open + 2, (size_t)(close - open - 2));
        if (!field)
            return sps_fail(SPS_EINVAL, "%s:%d: {{%.*s}} is not a field", file,
                            line_of(page, open), (int)(close - open - 2), open + 2);
        sps_text_append(html, at, (size_t)(open - at));
        if (field->raw)
            sps_text_put(html, field->value);
        else
            sps_html_put(html, field->value);
        at = close + 2;
    }
    sps_text_put(html, at);
    return sps_text_check(html);
}
