/* glance.h - the few columns that tables for people show, on the page and on the
 * terminal. */
#ifndef SPS_SIM_REPORT_GLANCE_H
#define SPS_SIM_REPORT_GLANCE_H

#include "sim/report/view.h"

enum { SPS_GLANCE_COUNT = 9 };

struct sps_glance {
    const char *title, *hint;
    enum sps_result_column column;
    int format;
};

extern const struct sps_glance sps_glances[SPS_GLANCE_COUNT];

/* Which columns have a value in the setting; *means: some entry is over several points.
 */
void sps_glance_used(const struct sps_view *view, int64_t setting,
                     bool used[SPS_GLANCE_COUNT], bool *means);

/* An entry's value, and append it as people read it; nothing when not measured. */
double sps_glance_value(const struct sps_view *view, const struct sps_entry *entry,
                        size_t i);
void sps_glance_put(const struct sps_view *view, const struct sps_entry *entry, size_t i,
                    struct sps_text *text);

/* "oracle", "degenerate" or "". */
const char *sps_glance_tag(const struct sps_entry *entry);

#endif
