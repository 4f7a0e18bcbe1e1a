/* gzip.h - texts as gzip members, which may stand one after the other in a file. */
#ifndef SPS_SIM_RUN_GZIP_H
#define SPS_SIM_RUN_GZIP_H

#include "base/text.h"

/* Append `plain` to `packed` as one member. */
enum sps_status sps_gzip(const struct sps_text *plain, struct sps_text *packed);

/* Append what the whole members of the file hold; a torn last one is left out. */
enum sps_status sps_gunzip_file(const char *path, struct sps_text *plain);

#endif
