/* gnuplot.h - run gnuplot without a shell. */
#ifndef SPS_SIM_REPORT_GNUPLOT_H
#define SPS_SIM_REPORT_GNUPLOT_H

#include "base/status.h"

/* Run `program` with `folder` as its working folder and wait for it.  argv[0] is the
 * program's name, a NULL ends it.  SPS_ENOTSUP: there is no such program; SPS_EIO: it
 * failed, and the message is what it printed. */
enum sps_status sps_gnuplot_run(const char *program, const char *folder,
                                const char *const *argv);

#endif
