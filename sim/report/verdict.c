/* verdict.c - what the numbers of a setting say, in a sentence and by density. */
#include <math.h>

#include "sim/report/page.h"

/* What may win: it ran, is no reference, and leaves something out. */
static bool competes(const struct sps_entry *e, int64_t setting)
{
    return e->setting == setting && !e->oracle && !e->full && !e->random && !e->idle &&
           !e->degenerate && isfinite(e->value[SPS_R_density_pairs]);
}

/* The entry that reads least among those that keep `target`; oracles or methods. */
static const struct sps_entry *cheapest(const struct sps_view *view, int64_t setting,
                                        double target, bool oracle)
{
    const struct sps_entry *best = NULL;

    for (int64_t i = 0; i < view->entry_count; i++) {
        const struct sps_entry *e = &view->entries[i];
        bool in = oracle ? e->setting == setting && e->oracle : competes(e, setting);
        if (!in || !(e->value[SPS_R_recall_mass] >= target))
            continue;
        if (!best || e->value[SPS_R_density_pairs] < best->value[SPS_R_density_pairs])
            best = e;
    }
    return best;
}

/* The entry with most mass whose density is in (low, high]. */
static const struct sps_entry *keenest(const struct sps_view *view, int64_t setting,
                                       double low, double high, bool oracle)
{
    const struct sps_entry *best = NULL;

    for (int64_t i = 0; i < view->entry_count; i++) {
        const struct sps_entry *e = &view->entries[i];
        double density = e->value[SPS_R_density_pairs];
        bool in = oracle ? e->setting == setting && e->oracle : competes(e, setting);
        if (!in || !(density > low && density <= high) ||
            !isfinite(e->value[SPS_R_recall_mass]))
            continue;
        if (!best || e->value[SPS_R_recall_mass] > best->value[SPS_R_recall_mass])
            best = e;
    }
    return best;
}

/* The fastest entry that keeps at least `target` (0: whatever it keeps). */
static const struct sps_entry *fastest(const struct sps_view *view, int64_t setting,
                                       double target)
{
    const struct sps_entry *best = NULL;

    for (int64_t i = 0; i < view->entry_count; i++) {
        const struct sps_entry *e = &view->entries[i];
        if (!competes(e, setting) || !(e->value[SPS_R_speedup_dense] > 0))
            continue;
        if (target > 0 && !(e->value[SPS_R_recall_mass] >= target))
            continue;
        if (!best || e->value[SPS_R_speedup_dense] > best->value[SPS_R_speedup_dense])
            best = e;
    }
    return best;
}

static void put_name(const struct sps_entry *e, struct sps_text *html)
{
    sps_html_printf(html, "<b>%s</b>", e->name);
}

/* "1.9 times as fast as full attention" */
static void put_speed(double speedup, struct sps_text *html)
{
    if (speedup >= 1)
        sps_text_printf(html, "%.2g times as fast as full attention", speedup);
    else
        sps_text_printf(html, "slower than full attention (%.2g times its speed)",
                        speedup);
}

static void put_details(const struct sps_entry *e, struct sps_text *html)
{
    sps_text_printf(html, " reads %.3g&nbsp;%% of the pairs and keeps %.3g&nbsp;%%",
                    100 * e->value[SPS_R_density_pairs],
                    100 * e->value[SPS_R_recall_mass]);
    if (isfinite(e->value[SPS_R_error_rel_l2]))
        sps_text_printf(html, ", with an output error of %.2g",
                        e->value[SPS_R_error_rel_l2]);
    if (e->value[SPS_R_speedup_dense] > 0) {
        sps_text_put(html, ", ");
        put_speed(e->value[SPS_R_speedup_dense], html);
    }
    sps_text_put(html, ".");
}

static void put_oracle(const struct sps_view *view, int64_t setting, double target,
                       struct sps_text *html)
{
    const struct sps_entry *oracle = cheapest(view, setting, target, true);

    if (!oracle)
        return;
    sps_text_printf(html, " The oracle that keeps %.3g&nbsp;%% with least, ",
                    100 * target);
    put_name(oracle, html);
    sps_text_printf(html, ", needs %.3g&nbsp;%% of the pairs.",
                    100 * oracle->value[SPS_R_density_pairs]);
}

static void put_fastest(const struct sps_view *view, int64_t setting, double target,
                        const struct sps_entry *named, struct sps_text *html)
{
    const struct sps_entry *e = fastest(view, setting, target);

    if (!e || e == named)
        return;
    sps_text_put(html,
                 target > 0 ? " Fastest of those that keep as much: " : " Fastest: ");
    put_name(e, html);
    sps_text_put(html, ", ");
    put_speed(e->value[SPS_R_speedup_dense], html);
    sps_text_put(html, ".");
}

void sps_page_verdict(const struct sps_view *view, int64_t setting, struct sps_text *html)
{
    const double target = 0.95;
    const struct sps_entry *e = cheapest(view, setting, target, false);
    const struct sps_entry *most = keenest(view, setting, -1, INFINITY, false);

    sps_text_put(html, "<p class=\"verdict\">");
    if (e) {
        sps_text_put(html, "At least 95&nbsp;% of the attention mass: ");
        put_name(e, html);
        put_details(e, html);
    } else if (most) {
        sps_text_put(html,
                     "No method that leaves pairs out keeps 95&nbsp;% of the attention "
                     "mass here. Nearest: ");
        put_name(most, html);
        put_details(most, html);
    }
    if (e || most)
        put_oracle(view, setting, target, html);
    put_fastest(view, setting, e ? target : 0, e ? e : most, html);
    sps_text_put(html, "</p>\n");
}

static void put_band(const char *label, const struct sps_entry *e,
                     const struct sps_entry *oracle, struct sps_text *html)
{
    sps_text_printf(html, "<tr><th scope=\"row\">%s</th>", label);
    sps_html_printf(html, "<td class=\"text\">%s</td>", e->name);
    for (int i = 0; i < 3; i++) {
        static const enum sps_result_column columns[] = {
            SPS_R_density_pairs, SPS_R_recall_mass, SPS_R_error_rel_l2};
        double value = e->value[columns[i]];
        if (isnan(value))
            sps_text_put(html, "<td></td>");
        else if (columns[i] == SPS_R_density_pairs)
            sps_text_printf(html, "<td>%.1f&nbsp;%%</td>", 100 * value);
        else
            sps_text_printf(html, "<td>%.3f</td>", value);
    }
    if (oracle)
        sps_text_printf(html, "<td>%.3f</td></tr>\n", oracle->value[SPS_R_recall_mass]);
    else
        sps_text_put(html, "<td></td></tr>\n");
}

void sps_page_bands(const struct sps_view *view, int64_t setting, struct sps_text *html)
{
    static const struct {
        double low, high;
        const char *label;
    } bands[] = {{-1, 0.02, "up to 2&nbsp;%"},  {0.02, 0.05, "2 to 5&nbsp;%"},
                 {0.05, 0.1, "5 to 10&nbsp;%"}, {0.1, 0.2, "10 to 20&nbsp;%"},
                 {0.2, 0.5, "20 to 50&nbsp;%"}, {0.5, 0.95, "50 to 95&nbsp;%"}};

    if (!keenest(view, setting, -1, INFINITY, false))
        return;
    sps_text_put(
        html,
        "<div class=\"scroll\"><table class=\"bands\"><caption>Best method by how much "
        "it reads</caption><thead><tr><th>pairs read</th><th>most mass kept by</th>"
        "<th>reads</th><th>mass kept</th><th>error</th><th>oracle keeps</th></tr>"
        "</thead><tbody>\n");
    for (size_t i = 0; i < sizeof bands / sizeof *bands; i++) {
        const struct sps_entry *e =
            keenest(view, setting, bands[i].low, bands[i].high, false);
        const struct sps_entry *oracle =
            keenest(view, setting, bands[i].low, bands[i].high, true);
        if (e)
            put_band(bands[i].label, e, oracle, html);
    }
    sps_text_put(html, "</tbody></table></div>\n");
}
