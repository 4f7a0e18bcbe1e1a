/* folder.h - a result folder: locked, appended to point by point, resumable.
 *
 * All rows of a point go out in one write per file, results.csv last: a point is
 * done iff its row is there.  What a crash left of others is cut on resume.
 */
#ifndef SPS_SIM_RUN_FOLDER_H
#define SPS_SIM_RUN_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/columns.h"
#include "base/text.h"

enum sps_folder_mode {
    SPS_FOLDER_NEW,    /* refuse a folder that holds results */
    SPS_FOLDER_RESUME, /* keep what is done */
    SPS_FOLDER_FORCE   /* start over */
};

enum { SPS_ID_SIZE = 17 }; /* 16 hex digits and the NUL */

struct sps_folder {
    char *path;
    int lock;                  /* descriptor of PATH/lock, -1: none */
    int csv[SPS_CSV_COUNT];    /* descriptors, append only */
    char (*done)[SPS_ID_SIZE]; /* ids of finished points, sorted */
    int64_t done_count;
};

/* Create or reopen PATH; SPS_ECONFIG: it holds results, or another run holds the lock. */
enum sps_status sps_folder_open(const char *path, enum sps_folder_mode mode,
                                struct sps_folder *folder);
void sps_folder_close(struct sps_folder *folder); /* tolerates a zeroed one */

bool sps_folder_done(const struct sps_folder *folder, const char *id);

/* Append the rows of a finished point, one text per CSV file; results.csv goes last and
 * is synced.  From then on sps_folder_done(folder, id). */
enum sps_status sps_folder_append(struct sps_folder *folder, const char *id,
                                  const struct sps_text rows[SPS_CSV_COUNT]);

/* Replace PATH/NAME at once. */
enum sps_status sps_folder_save(const struct sps_folder *folder, const char *name,
                                const struct sps_text *text);

#endif
