/* rows.h - an outcome as CSV rows: one of results.csv, some of the other files. */
#ifndef SPS_SIM_RUN_ROWS_H
#define SPS_SIM_RUN_ROWS_H

#include "sim/run/calibration.h"
#include "sim/run/folder.h"
#include "sim/run/point.h"
#include "sim/run/record.h"

enum { SPS_SCHEMA_VERSION = 1 };

/* The id of a point: a hash of everything its figures depend on; input_sha256 is the
 * recording's, or "" for generated data. */
enum sps_status sps_point_id(const struct sps_point *point,
                             const struct sps_measure *measure, const char *backend,
                             const char *input_sha256, char id[SPS_ID_SIZE]);

/* The identity columns; the shape columns stay empty until the data is loaded. */
void sps_rows_identify(const struct sps_point *point, const char *id, const char *backend,
                       struct sps_record *record);
void sps_rows_shape(const struct sps_data *data, struct sps_record *record);

/* Append the lines of rows.csv.gz, uncompressed; none when they were not asked for. */
void sps_rows_detail(const struct sps_data *data, const struct sps_outcome *outcome,
                     const char *id, struct sps_text *text);

/* Append the rows of a point that ran, or of one that could not.  roofs: measured in this
 * run; calibration: for predicted times. */
enum sps_status
sps_rows_write(const struct sps_point *point, const struct sps_group *group,
               const struct sps_outcome *outcome, const struct sps_roofs *roofs,
               const struct sps_calibration *calibration, struct sps_record *result,
               struct sps_text rows[SPS_CSV_COUNT]);
void sps_rows_fail(enum sps_status status, const char *reason, struct sps_record *result,
                   struct sps_text rows[SPS_CSV_COUNT]);

#endif
