/* glance.c - the columns for people, and how their values are written. */
#include "sim/report/glance.h"

#include <math.h>

enum format { WHOLE, PERCENT, FRACTION, DIGITS, RATIO };

const struct sps_glance sps_glances[SPS_GLANCE_COUNT] = {
    {"tokens", "tokens read per row, mean", SPS_R_tokens_read, WHOLE},
    {"pairs", "density_pairs: (query, key) pairs read, of the causal ones",
     SPS_R_density_pairs, PERCENT},
    {"mass", "recall_mass: attention mass kept, mean over rows", SPS_R_recall_mass,
     FRACTION},
    {"mass p05", "recall_mass_p05: one row in twenty keeps less", SPS_R_recall_mass_p05,
     FRACTION},
    {"set", "recall_set: chosen units that the oracle chooses too", SPS_R_recall_set,
     FRACTION},
    {"error", "error_rel_l2: relative error of the output", SPS_R_error_rel_l2, FRACTION},
    {"flops", "density_flops: operations, of full attention's", SPS_R_density_flops,
     RATIO},
    {"time, ms", "time of one pass, median", SPS_R_time_ms_p50_cold, DIGITS},
    {"speed-up", "speedup_dense: median time of full attention over this one's",
     SPS_R_speedup_dense, RATIO},
};

double sps_glance_value(const struct sps_view *view, const struct sps_entry *entry,
                        size_t i)
{
    enum sps_result_column column = sps_glances[i].column;

    return entry
        ->value[column == SPS_R_time_ms_p50_cold ? sps_view_time(view, column) : column];
}

void sps_glance_used(const struct sps_view *view, int64_t setting,
                     bool used[SPS_GLANCE_COUNT], bool *means)
{
    *means = false;
    for (size_t c = 0; c < SPS_GLANCE_COUNT; c++)
        used[c] = false;
    for (int64_t i = 0; i < view->entry_count; i++) {
        const struct sps_entry *e = &view->entries[i];
        if (e->setting != setting)
            continue;
        *means = *means || e->points > 1;
        for (size_t c = 0; c < SPS_GLANCE_COUNT; c++)
            used[c] = used[c] || isfinite(sps_glance_value(view, e, c));
    }
}

void sps_glance_put(const struct sps_view *view, const struct sps_entry *entry, size_t i,
                    struct sps_text *text)
{
    double value = sps_glance_value(view, entry, i);

    if (!isfinite(value))
        return;
    switch ((enum format)sps_glances[i].format) {
    case WHOLE:
        sps_text_printf(text, "%.0f", value);
        break;
    case PERCENT:
        sps_text_printf(text, "%.1f %%", 100 * value);
        break;
    case FRACTION:
        sps_text_printf(text, "%.3f", value);
        break;
    case DIGITS:
        sps_text_printf(text, value >= 100 ? "%.0f" : "%.3g", value);
        break;
    case RATIO:
        sps_text_printf(text, "%.2f", value);
        break;
    }
}

const char *sps_glance_tag(const struct sps_entry *entry)
{
    if (entry->oracle)
        return "oracle";
    return entry->degenerate && !entry->full ? "degenerate" : "";
}
