/* table.h - the result table that a run ends with, on the terminal. */
#ifndef SPS_SIM_REPORT_TABLE_H
#define SPS_SIM_REPORT_TABLE_H

#include <stdio.h>

#include "base/status.h"

/* Print what the result folder holds: a table for each setting, then what did not run.
 * Colour only on a terminal, and not when NO_COLOR is set. */
enum sps_status sps_report_table(const char *folder, FILE *out);

#endif
