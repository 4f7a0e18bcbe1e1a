/* keep.h - zeroed memory for many small things that end together. */
#ifndef SPS_SIM_RUN_KEEP_H
#define SPS_SIM_RUN_KEEP_H

#include <stddef.h>

#include "base/status.h"

struct sps_keep {
    struct sps_keep_block *block; /* the one being filled; older ones behind it */
};

/* Zeroed, 16-byte aligned, alive until sps_keep_free(); NULL after sps_fail(SPS_ENOMEM).
 */
void *sps_keep_take(struct sps_keep *keep, size_t bytes);
/* A copy of text[size] with a NUL behind it; NULL likewise. */
char *sps_keep_text(struct sps_keep *keep, const char *text, size_t size);
void sps_keep_free(struct sps_keep *keep); /* tolerates a zeroed one */

#endif
