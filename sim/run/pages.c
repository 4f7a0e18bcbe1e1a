/* pages.c - deal pages out to sequences in shuffled order. */
#include "sim/run/pages.h"

#include <stdlib.h>

#include "base/rng.h"

static int64_t page_count(const int64_t *cu_k, int64_t sequence, int64_t tokens)
{
    return (cu_k[sequence + 1] - cu_k[sequence] + tokens - 1) / tokens;
}

int64_t sps_paging_slots(const int64_t *cu_k, int64_t n, int64_t tokens)
{
    int64_t pages = 0;

    for (int64_t i = 0; i < n; i++)
        pages += page_count(cu_k, i, tokens);
    return pages * tokens;
}

/* Fisher and Yates; swaps are keyed by the seed. */
static void shuffle(uint64_t seed, int32_t *order, int64_t count)
{
    const uint64_t stream = UINT64_C(0x7067) << 48; /* "pg": no generator's */

    for (int64_t i = 0; i < count; i++)
        order[i] = (int32_t)i;
    for (int64_t i = count - 1; i > 0; i--) {
        uint32_t word[4];
        sps_philox(seed, stream, (uint64_t)i, word);
        int64_t j = (int64_t)(((uint64_t)word[0] << 32 | word[1]) % (uint64_t)(i + 1));
        int32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* Pages order[0], order[1], .. to the sequences, and keys to their slots. */
static void deal(const int64_t *cu_k, int64_t n, const int32_t *order,
                 struct sps_paging *paging)
{
    int64_t tokens = paging->pages.tokens, width = paging->pages.width, next = 0;

    for (int64_t i = 0; i < paging->slots; i++)
        paging->row[i] = -1;
    for (int64_t i = 0; i < n * width; i++)
        paging->table[i] =
            i % width < page_count(cu_k, i / width, tokens) ? order[next++] : -1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < cu_k[i + 1] - cu_k[i]; j++)
            paging->row[paging->table[i * width + j / tokens] * tokens + j % tokens] =
                cu_k[i] + j;
}

enum sps_status sps_paging_make(const int64_t *cu_k, int64_t n, int64_t tokens,
                                uint64_t seed, struct sps_paging *paging)
{
    int64_t width = 0;
    void *order, *mem;

    *paging = (struct sps_paging){.slots = sps_paging_slots(cu_k, n, tokens)};
    for (int64_t i = 0; i < n; i++)
        if (page_count(cu_k, i, tokens) > width)
            width = page_count(cu_k, i, tokens);
    SPS_TRY(sps_calloc((size_t)(n * width) * sizeof *paging->table, &mem));
    paging->table = mem;
    SPS_TRY(sps_calloc((size_t)paging->slots * sizeof *paging->row, &mem));
    paging->row = mem;
    paging->pages = (struct sps_pages){tokens, width, paging->table};
    int64_t count = paging->slots / tokens;
    SPS_TRY(sps_calloc((size_t)count * sizeof(int32_t), &order));
    shuffle(seed, order, count);
    deal(cu_k, n, order, paging);
    free(order);
    return SPS_OK;
}

void sps_paging_free(struct sps_paging *paging)
{
    free(paging->table);
    free(paging->row);
    *paging = (struct sps_paging){0};
}
