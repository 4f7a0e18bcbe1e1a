/* keep.c - a list of blocks, each cut from front to back. */
#include "sim/run/keep.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 << 10 };

struct sps_keep_block {
    struct sps_keep_block *older;
    size_t used, size;
    alignas(16) unsigned char mem[];
};

void *sps_keep_take(struct sps_keep *keep, size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;
    struct sps_keep_block *b = keep->block;

    if (!b || rounded > b->size - b->used) {
        size_t size = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;

        b = rounded < bytes ? NULL : calloc(1, sizeof *b + size);
        if (!b) {
            sps_fail(SPS_ENOMEM, "cannot allocate %zu bytes of host memory", bytes);
            return NULL;
        }
        b->older = keep->block;
        b->size = size;
        keep->block = b;
    }
    b->used += rounded;
    return b->mem + b->used - rounded;
}

char *sps_keep_text(struct sps_keep *keep, const char *text, size_t size)
{
    char *copy = sps_keep_take(keep, size + 1);

    if (copy && size)
        memcpy(copy, text, size);
    return copy;
}

void sps_keep_free(struct sps_keep *keep)
{
    while (keep->block) {
        struct sps_keep_block *older = keep->block->older;
        free(keep->block);
        keep->block = older;
    }
}
