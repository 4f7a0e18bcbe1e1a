/* pages.h - where the keys of a paged cache lie: a block table in shuffled order, as an
 * allocator that serves many sequences leaves it. */
#ifndef SPS_SIM_RUN_PAGES_H
#define SPS_SIM_RUN_PAGES_H

#include "kernels/backend.h"

enum { SPS_PAGE_TOKENS = 64 };

struct sps_paging {
    struct sps_pages pages; /* of the shape */
    int32_t *table;         /* its block table; -1 past a sequence's last page; owned */
    int64_t slots;          /* rows of the paged tensors: all pages, every slot */
    int64_t *row;           /* [slots] packed key that lies there, -1: none; owned */
};

/* Slots of sequences with keys cu_k[n+1] in pages of so many tokens. */
int64_t sps_paging_slots(const int64_t *cu_k, int64_t n, int64_t tokens);

/* The order of the pages follows from the seed.  sps_paging_free() ends *paging, also
 * after a failure; it tolerates a zeroed one. */
enum sps_status sps_paging_make(const int64_t *cu_k, int64_t n, int64_t tokens,
                                uint64_t seed, struct sps_paging *paging);
void sps_paging_free(struct sps_paging *paging);

#endif
