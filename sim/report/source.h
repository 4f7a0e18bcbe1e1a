/* source.h - one result folder, read: its tables by the columns of analysis/columns.h,
 * and its manifest.  A file of the folder that does not exist has no rows. */
#ifndef SPS_SIM_REPORT_SOURCE_H
#define SPS_SIM_REPORT_SOURCE_H

#include <jansson.h>

#include "analysis/columns.h"
#include "base/csv.h"

struct sps_source {
    const char *folder; /* as the user wrote it */
    char *name;         /* its last part */
    struct sps_table table[SPS_CSV_COUNT];
    int64_t at[SPS_CSV_COUNT][SPS_R_COUNT]; /* where a column stands; -1: absent */
    json_t *manifest;                       /* NULL: there is none */
};

/* results.csv must exist, with the columns that tell points apart; other columns may be
 * missing, as in a folder of an older version, and read as not measured. */
enum sps_status sps_source_read(const char *folder, struct sps_source *source);
void sps_source_free(struct sps_source *source); /* tolerates a zeroed one */

/* A cell; column: of enum sps_result_column, sps_head_column or sps_stage_column. */
const char *sps_source_text(const struct sps_source *source, enum sps_csv file,
                            int64_t row, size_t column);
enum sps_status sps_source_number(const struct sps_source *source, enum sps_csv file,
                                  int64_t row, size_t column, double *value);

/* Bytes of a row's data_label without " layer=N": layers are averaged. */
int sps_source_data_length(const struct sps_source *source, enum sps_csv file,
                           int64_t row);

#endif
