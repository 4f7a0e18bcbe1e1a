/* view.h - what a report compares: entries, in the settings they can be compared in.
 *
 * A setting is a phase, backend, type and data of one length.  An entry is one label of
 * one folder in one setting: the mean over the layers and seeds that were run.  A series
 * is the entries that differ in one option only, the line of a figure.
 */
#ifndef SPS_SIM_REPORT_VIEW_H
#define SPS_SIM_REPORT_VIEW_H

#include "sim/report/source.h"

struct sps_setting {
    char *title;  /* "kjv-l11, 8192 keys, 1024 rows, prefill, cpu, bf16" */
    char *family; /* the same for settings that differ in length only */
    double s;
};

struct sps_entry {
    const struct sps_source *source;
    int64_t row; /* of results.csv: its first point, whose texts stand for all */
    int64_t points, failed;    /* that ran, that did not */
    double value[SPS_R_COUNT]; /* mean over points; NaN: not measured or no number */
    char *key;
    char *name;      /* the label, after the folder's name where there are several */
    char *series;    /* the name, `*` for the value that the series runs over */
    int64_t setting; /* -1: no point of it ran */
    bool oracle, degenerate;
    bool full, random, idle; /* the methods to compare with; idle: null */
};

struct sps_failure {
    const struct sps_source *source;
    int64_t row; /* of results.csv */
};

struct sps_view {
    const struct sps_source *sources;
    int64_t source_count;
    struct sps_entry *entries;
    int64_t entry_count;
    struct sps_setting *settings;
    int64_t setting_count;
    struct sps_failure *failures;
    int64_t failure_count;
    bool hot;    /* times are the hot ones: none was measured cold */
    void *index; /* entries by key */
};

/* The sources must outlive the view. */
enum sps_status sps_view_build(const struct sps_source *sources, int64_t count,
                               struct sps_view *view);
void sps_view_free(struct sps_view *view); /* tolerates a zeroed one */

/* The entry that a row of heads.csv or stages.csv belongs to; NULL: none that ran. */
enum sps_status sps_view_find(const struct sps_view *view,
                              const struct sps_source *source, enum sps_csv file,
                              int64_t row, const struct sps_entry **entry);

/* A text of the entry's first point. */
const char *sps_entry_text(const struct sps_entry *entry, enum sps_result_column column);

/* `cold`, or its hot twin where the view's times are hot. */
enum sps_result_column sps_view_time(const struct sps_view *view,
                                     enum sps_result_column cold);

/* ---- steps of sps_view_build ---- */

/* Put an entry into its setting, a new one where there is none yet; settings[] has room.
 */
enum sps_status sps_entry_place(struct sps_view *view, struct sps_entry *entry);
enum sps_status sps_entry_name(const struct sps_view *view, struct sps_entry *entry);

/* gnuplot reads names from CSV, but no doubled quotes and no line breaks in them. */
void sps_entry_plain(char *name);

/* Name every entry's series (series.c). */
enum sps_status sps_view_name_series(struct sps_view *view);

#endif
