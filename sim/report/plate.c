/* plate.c - a drawing as HTML: the svg inline, its rows and command folded below. */
#include "sim/report/plate.h"

#include <string.h>

#include "sim/report/html.h"

void sps_plate_free(struct sps_plate *plate)
{
    sps_text_free(&plate->title);
    sps_text_free(&plate->name);
    sps_text_free(&plate->csv);
    sps_text_free(&plate->svg);
}

/* From <svg on; what has an id or refers to one gets the plate's name before it, for all
 * drawings stand in one page. */
static void put_svg(const struct sps_plate *plate, struct sps_text *html)
{
    static const char *const marks[] = {"id='", "id=\"", "href='#", "href=\"#", "url(#"};
    const char *at = strstr(sps_text_string(&plate->svg), "<svg");

    while (at && *at) {
        size_t n = 0;
        for (size_t i = 0; i < sizeof marks / sizeof *marks && n == 0; i++)
            if (strncmp(at, marks[i], strlen(marks[i])) == 0)
                n = strlen(marks[i]);
        sps_text_append(html, at, n ? n : 1);
        if (n)
            sps_text_printf(html, "%s-", sps_text_string(&plate->name));
        at += n ? n : 1;
    }
}

/* A word as a shell takes it. */
static void put_quoted(const char *word, struct sps_text *html)
{
    struct sps_text quoted = {0};

    sps_text_put(&quoted, "'");
    for (; *word; word++)
        *word == '\'' ? sps_text_put(&quoted, "'\\''")
                      : sps_text_append(&quoted, word, 1);
    sps_html_printf(html, "%s'</pre>\n", sps_text_string(&quoted));
    sps_text_free(&quoted);
}

void sps_plate_put(const struct sps_plate *plate, struct sps_text *html)
{
    const char *name = sps_text_string(&plate->name);

    sps_html_printf(html, "<div class=\"plate\" id=\"%s\">\n", name);
    put_svg(plate, html);
    if (plate->cut)
        sps_text_printf(html,
                        "<p class=\"note\">%lld rows did not fit and are left out.</p>\n",
                        (long long)plate->cut);
    sps_text_put(html, "<details><summary>rows and command</summary>\n");
    sps_html_printf(
        html,
        "<pre class=\"command\">gnuplot -d -c plots/%s.gp plots/%s.csv plots/%s.svg ",
        plate->figure->name, name, name);
    put_quoted(sps_text_string(&plate->title), html);
    sps_html_printf(html, "<pre class=\"csv\">%s</pre></details></div>\n",
                    sps_text_string(&plate->csv));
}
