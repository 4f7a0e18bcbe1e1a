/* columns.c - the tables that columns.h declares. */
#include "analysis/columns.h"

#define X(name, unit, kind, range, help) {#name, unit, SPS_##kind, range, help},

static const struct sps_column results[] = {SPS_RESULT_COLUMNS(X)};
static const struct sps_column heads[] = {SPS_HEAD_COLUMNS(X)};
static const struct sps_column stages[] = {SPS_STAGE_COLUMNS(X)};
static const struct sps_column rows[] = {SPS_ROW_COLUMNS(X)};

#undef X

const struct sps_csv_file sps_csv_files[] = {
    [SPS_CSV_RESULTS] = {"results.csv", "one row a point and phase, all heads together",
                         results, SPS_R_COUNT},
    [SPS_CSV_HEADS] = {"heads.csv", "quality of each query head of each point", heads,
                       SPS_H_COUNT},
    [SPS_CSV_STAGES] = {"stages.csv", "cost and time of each stage of each point", stages,
                        SPS_S_COUNT},
    [SPS_CSV_ROWS] = {"rows.csv.gz", "on request: one line a measured row and query head",
                      rows, sizeof rows / sizeof *rows},
    [SPS_CSV_ROWS + 1] = {0},
};
