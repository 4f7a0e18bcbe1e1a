/* report.h - result folders in, one page out.
 *
 * The page stands alone: style, script and figures are in it.  Beside it, in plots/, are
 * each figure, the rows that it draws and the scripts that drew it.
 */
#ifndef SPS_SIM_REPORT_REPORT_H
#define SPS_SIM_REPORT_REPORT_H

#include <stdint.h>

#include "base/status.h"

/* Read the folders, draw the figures, replace out_html.  datadir holds plots/;
 * gnuplot is a name to look up or a path.  Without gnuplot the page is written with a
 * sentence that says so, and is a success. */
enum sps_status sps_report_write(const char *const *folders, int64_t count,
                                 const char *out_html, const char *datadir,
                                 const char *gnuplot);

#endif
