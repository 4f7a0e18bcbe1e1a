/* entries.c - the table of a setting's entries, and of what did not run. */
#include <math.h>

#include "sim/report/glance.h"
#include "sim/report/page.h"

static void put_row(const struct sps_view *view, const struct sps_entry *e,
                    const bool used[SPS_GLANCE_COUNT], bool means, struct sps_text *html)
{
    const char *tag = sps_glance_tag(e);

    sps_html_printf(html, "<tr class=\"%s\"><th scope=\"row\">%s", e->full ? "full" : tag,
                    e->name);
    if (tag[0])
        sps_html_printf(html, " <span class=\"tag\">%s</span>", tag);
    sps_text_put(html, "</th>");
    if (means)
        sps_text_printf(html, "<td data-v=\"%lld\">%lld</td>", (long long)e->points,
                        (long long)e->points);
    for (size_t c = 0; c < SPS_GLANCE_COUNT; c++)
        if (used[c]) {
            double value = sps_glance_value(view, e, c);
            sps_text_put(html, "<td");
            if (isfinite(value))
                sps_text_printf(html, " data-v=\"%.9g\"", value);
            sps_text_put(html, ">");
            sps_glance_put(view, e, c, html);
            sps_text_put(html, "</td>");
        }
    sps_text_put(html, "</tr>\n");
}

void sps_page_entries(const struct sps_view *view, int64_t setting, struct sps_text *html)
{
    bool used[SPS_GLANCE_COUNT], means;

    sps_glance_used(view, setting, used, &means);
    sps_text_put(html, "<div class=\"scroll\"><table class=\"sortable\"><thead><tr>"
                       "<th scope=\"col\">method</th>");
    if (means)
        sps_text_put(html,
                     "<th scope=\"col\" title=\"points that the row is the mean of: "
                     "layers and seeds\">points</th>");
    for (size_t c = 0; c < SPS_GLANCE_COUNT; c++)
        if (used[c])
            sps_html_printf(html, "<th scope=\"col\" title=\"%s\">%s</th>",
                            sps_glances[c].hint, sps_glances[c].title);
    sps_text_put(html, "</tr></thead><tbody>\n");
    for (int64_t i = 0; i < view->entry_count; i++)
        if (view->entries[i].setting == setting)
            put_row(view, &view->entries[i], used, means, html);
    sps_text_put(html, "</tbody></table></div>\n");
}

void sps_page_answers(const struct sps_view *view, struct sps_text *html)
{
    if (view->setting_count == 0)
        sps_text_put(html, "<p>No point ran.</p>\n");
    for (int64_t i = 0; i < view->setting_count; i++) {
        sps_html_printf(html, "<section class=\"setting\"><h3>%s</h3>\n",
                        view->settings[i].title);
        sps_page_verdict(view, i, html);
        sps_html_printf(html, "<details%s><summary>all configurations</summary>\n",
                        i == 0 ? " open" : "");
        sps_page_entries(view, i, html);
        sps_page_bands(view, i, html);
        sps_text_put(html, "</details></section>\n");
    }
}

void sps_page_failures(const struct sps_view *view, struct sps_text *html)
{
    static const enum sps_result_column shown[] = {
        SPS_R_data_label, SPS_R_phase, SPS_R_backend, SPS_R_status, SPS_R_reason};

    if (view->failure_count == 0)
        return;
    sps_text_printf(html,
                    "<h2 id=\"failed\">What did not run</h2>\n<p>%lld of the points "
                    "failed or were refused; no figure shows them.</p>\n",
                    (long long)view->failure_count);
    sps_text_put(html,
                 "<div class=\"scroll\"><table class=\"texts\"><thead><tr><th>method</th>"
                 "<th>data</th><th>phase</th><th>backend</th><th>status</th>"
                 "<th>reason</th></tr></thead><tbody>\n");
    for (int64_t i = 0; i < view->failure_count; i++) {
        const struct sps_failure *f = &view->failures[i];
        sps_html_printf(html, "<tr><th scope=\"row\">%s%s%s</th>",
                        view->source_count > 1 ? f->source->name : "",
                        view->source_count > 1 ? ": " : "",
                        sps_source_text(f->source, SPS_CSV_RESULTS, f->row, SPS_R_label));
        for (size_t c = 0; c < sizeof shown / sizeof *shown; c++)
            sps_html_printf(
                html, "<td class=\"text\">%s</td>",
                sps_source_text(f->source, SPS_CSV_RESULTS, f->row, shown[c]));
        sps_text_put(html, "</tr>\n");
    }
    sps_text_put(html, "</tbody></table></div>\n");
}
