/* figure.h - the figures of a report: which rows each draws, and its script in plots/.
 *
 * A figure is drawn once for each setting (time-length: each family of settings).  Its
 * slice is a CSV file of exactly the rows drawn, written for plots/NAME.gp: `series` is
 * the number of the plot element that shows a row.
 */
#ifndef SPS_SIM_REPORT_FIGURE_H
#define SPS_SIM_REPORT_FIGURE_H

#include "sim/report/view.h"

/* The most rows and columns that a figure can show legibly. */
enum { SPS_FIGURE_ROWS = 40, SPS_FIGURE_COLUMNS = 96 };

struct sps_figure {
    const char *name;   /* of the script, without .gp */
    const char *common; /* a script that it loads beside style.gp, or NULL */
    const char *title;
    const char *caption;         /* how to read it */
    const char *lacking;         /* what was not measured when there is nothing to draw */
    enum sps_result_column x, y; /* what must be there and above 0 */
    bool timed;                  /* oracles stay out: they do not compete on time */
    /* Append header and rows; *rows 0: nothing to draw.  *cut: rows left out. */
    enum sps_status (*slice)(const struct sps_view *view, const struct sps_figure *figure,
                             int64_t setting, struct sps_text *csv, int64_t *rows,
                             int64_t *cut);
};

extern const struct sps_figure sps_figures[]; /* ends with a zero entry, in page order */

enum sps_status sps_slice_curves(const struct sps_view *view,
                                 const struct sps_figure *figure, int64_t setting,
                                 struct sps_text *csv, int64_t *rows, int64_t *cut);
enum sps_status sps_slice_lengths(const struct sps_view *view,
                                  const struct sps_figure *figure, int64_t setting,
                                  struct sps_text *csv, int64_t *rows, int64_t *cut);
enum sps_status sps_slice_heads(const struct sps_view *view,
                                const struct sps_figure *figure, int64_t setting,
                                struct sps_text *csv, int64_t *rows, int64_t *cut);
enum sps_status sps_slice_stages(const struct sps_view *view,
                                 const struct sps_figure *figure, int64_t setting,
                                 struct sps_text *csv, int64_t *rows, int64_t *cut);

#endif
