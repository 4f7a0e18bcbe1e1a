/* record.h - one row of one CSV file, cell by cell, by the column tables. */
#ifndef SPS_SIM_RUN_RECORD_H
#define SPS_SIM_RUN_RECORD_H

#include "analysis/columns.h"
#include "base/text.h"

struct sps_cell {
    enum { SPS_CELL_EMPTY, SPS_CELL_NUMBER, SPS_CELL_TEXT } kind;
    double number;
    char *text; /* owned */
};

struct sps_record {
    enum sps_csv file;
    struct sps_cell *cells; /* [columns of the file], owned */
};

enum sps_status sps_record_new(enum sps_csv file, struct sps_record *record);
void sps_record_free(struct sps_record *record);

/* NaN means "not measured" and leaves the cell empty. */
void sps_record_number(struct sps_record *record, size_t column, double value);
void sps_record_text(struct sps_record *record, size_t column, const char *value);

/* The identity columns stand first in every file, in the same order. */
void sps_record_copy_id(struct sps_record *to, const struct sps_record *from);

void sps_record_header(enum sps_csv file, struct sps_text *out);
void sps_record_write(const struct sps_record *record, struct sps_text *out);

#endif
