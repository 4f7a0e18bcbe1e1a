/* topk.c - choice of blocks in time linear in their number: radix selection.
 *
 * Scores become integers that order alike; four passes over their bytes, each over what
 * the last left undecided, find the count-th largest; where few are wanted, one pass that
 * holds the largest so far.  Then one walk from the most recent block back takes what is
 * larger, and of what is equal as many as are still wanted.
 */
#include <math.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/cpu/cpu.h"

enum { FEW = 16 };

/* Integers in the order of floats; -0 as +0. */
static uint32_t order(float score)
{
    float x = score + 0.0f;
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The wanted-th largest of keys[n] (1 <= wanted <= n), which are overwritten; *equal is
 * how many of that value are among the wanted ones. */
static uint32_t nth_largest(uint32_t *keys, int64_t n, int64_t wanted, int64_t *equal)
{
    uint32_t prefix = 0;

    for (int shift = 24; shift >= 0; shift -= 8) {
        int64_t bins[256] = {0}, left = 0;
        uint32_t digit = 255;
        for (int64_t i = 0; i < n; i++)
            bins[keys[i] >> shift & 255]++;
        for (; bins[digit] < wanted; digit--)
            wanted -= bins[digit];
        for (int64_t i = 0; i < n; i++)
            if ((keys[i] >> shift & 255) == digit)
                keys[left++] = keys[i];
        n = left;
        prefix |= digit << shift;
    }
    *equal = wanted;
    return prefix;
}

/* The same for at most FEW wanted, which are held in order; keys stay. */
static uint32_t nth_largest_few(const uint32_t *keys, int64_t n, int64_t wanted,
                                int64_t *equal)
{
    uint32_t best[FEW];
    int64_t held = 0;

    for (int64_t i = 0; i < n; i++) {
        if (held == wanted && keys[i] <= best[held - 1])
            continue;
        int64_t at = held < wanted ? held++ : held - 1;
        for (; at > 0 && best[at - 1] < keys[i]; at--)
            best[at] = best[at - 1];
        best[at] = keys[i];
    }
    *equal = 1;
    while (*equal < wanted && best[wanted - 1 - *equal] == best[wanted - 1])
        ++*equal;
    return best[wanted - 1];
}

struct choice {
    int64_t blocks, init, own; /* visible ones; forced: below init, from own on */
    uint32_t least;            /* free ones above it are in, `equal` of those at it */
    int64_t equal;
};

/* False when a visible block's score is NaN. */
static bool choose(const float *scores, int64_t wanted, uint32_t *keys,
                   struct choice *choice)
{
    int64_t n = 0;
    bool sane = true;

    for (int64_t b = 0; b < choice->blocks; b++) {
        sane &= !isnan(scores[b]);
        if (b >= choice->init && b < choice->own)
            keys[n++] = order(scores[b]);
    }
    choice->least = UINT32_MAX;
    choice->equal = 0;
    if (sane && n > 0 && wanted > 0)
        choice->least = wanted <= FEW ? nth_largest_few(keys, n, wanted, &choice->equal)
                                      : nth_largest(keys, n, wanted, &choice->equal);
    return sane;
}

static void write_list(const float *scores, struct choice *choice, int64_t kept,
                       int32_t *list, int64_t width)
{
    for (int64_t i = kept; i < width; i++)
        list[i] = -1;
    for (int64_t b = choice->blocks - 1; kept > 0; b--) {
        bool forced = b < choice->init || b >= choice->own;
        uint32_t key = order(scores[b]);
        if (forced || key > choice->least ||
            (key == choice->least && choice->equal-- > 0))
            list[--kept] = (int32_t)b;
    }
}

/* One list. */
static bool select_blocks(const float *scores, const struct sps_rule *rule,
                          int64_t visible, uint32_t *keys, int32_t *list, int64_t width)
{
    int64_t blocks = (visible + rule->block - 1) / rule->block;
    int64_t kept = blocks < rule->count ? blocks : rule->count;
    struct choice choice = {.blocks = blocks, .init = rule->init};

    if (choice.init > blocks)
        choice.init = blocks;
    choice.own = blocks - rule->local;
    if (choice.own < choice.init)
        choice.own = choice.init;
    int64_t forced = choice.init + blocks - choice.own;
    if (!choose(scores, kept - forced, keys, &choice))
        return false;
    write_list(scores, &choice, kept, list, width);
    return true;
}

enum sps_status sps_cpu_topk(struct sps_device *dev, const struct sps_shape *shape,
                             const float *scores, const struct sps_rule *rule,
                             struct sps_rows rows, struct sps_index *index)
{
    int64_t blocks = sps_shape_blocks(shape, rule->block), heads = index->heads;
    int64_t lists = (rows.end - rows.begin) * heads, bad = lists;
    struct sps_scratch scratch;

    dev->impl = "topk_radix";
    SPS_TRY(sps_check_causal(shape, "topk"));
    SPS_TRY(sps_check_rule(rule, index));
    SPS_TRY(sps_scratch_new(dev, (size_t)blocks * sizeof(uint32_t), &scratch));
#pragma omp parallel for schedule(dynamic, 64) num_threads(dev->threads)                 \
    reduction(min                                                                        \
              : bad)
    for (int64_t i = 0; i < lists; i++) {
        int64_t row = rows.begin + i / heads, sequence = sps_shape_sequence(shape, row);
        int32_t *list = index->list + (row * heads + i % heads) * index->width;
        if (!select_blocks(scores + i * blocks, rule,
                           sps_shape_visible(shape, sequence, row),
                           sps_scratch_mine(&scratch), list, index->width))
            bad = i < bad ? i : bad;
    }
    sps_scratch_free(&scratch);
    return bad < lists ? sps_fail_nan(rows.begin + bad / heads, bad % heads) : SPS_OK;
}
