/* topk.c - reference choice of blocks: sort what is visible, keep the first. */
#include <stdlib.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/ref/ref.h"

struct candidate {
    float score;
    int32_t block;
    bool forced;
};

/* Forced before free, then the higher score, then the more recent block. */
static int by_rank(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;

    if (a->forced != b->forced)
        return a->forced ? -1 : 1;
    if (!a->forced && a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->block < b->block) - (a->block > b->block);
}

static int by_block(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;

    return (a->block > b->block) - (a->block < b->block);
}

/* Visible blocks of a row, best first; false when a score is NaN. */
static bool rank(const float *scores, const struct sps_rule *rule, int64_t blocks,
                 struct candidate *all)
{
    for (int64_t b = 0; b < blocks; b++) {
        bool local = rule->local > 0 && b > blocks - 1 - rule->local;
        if (isnan(scores[b]))
            return false;
        all[b] = (struct candidate){scores[b], (int32_t)b, b < rule->init || local};
    }
    qsort(all, (size_t)blocks, sizeof *all, by_rank);
    return true;
}

/* The first `kept` of all, ascending. */
static void write_list(struct candidate *all, int64_t kept, int32_t *list)
{
    qsort(all, (size_t)kept, sizeof *all, by_block);
    for (int64_t i = 0; i < kept; i++)
        list[i] = all[i].block;
}

static int64_t visible_blocks(const struct sps_shape *shape, int64_t row, int64_t block)
{
    return (sps_ref_row(shape, row).visible + block - 1) / block;
}

/* One list; false when a visible block's score is NaN. */
static bool choose(const float *scores, const struct sps_rule *rule, int64_t blocks,
                   struct candidate *all, int32_t *list, int64_t width)
{
    int64_t kept = blocks < rule->count ? blocks : rule->count;

    if (!rank(scores, rule, blocks, all))
        return false;
    write_list(all, kept, list);
    for (int64_t i = kept; i < width; i++)
        list[i] = -1;
    return true;
}

enum sps_status sps_ref_topk(struct sps_device *dev, const struct sps_shape *shape,
                             const float *scores, const struct sps_rule *rule,
                             struct sps_rows rows, struct sps_index *index)
{
    int64_t blocks = sps_shape_blocks(shape, rule->block), heads = index->heads;
    int64_t lists = (rows.end - rows.begin) * heads, bad = lists;
    struct sps_scratch scratch;

    dev->impl = "topk_ref";
    SPS_TRY(sps_check_causal(shape, "topk"));
    SPS_TRY(sps_check_rule(rule, index));
    SPS_TRY(sps_scratch_new(dev, (size_t)blocks * sizeof(struct candidate), &scratch));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads) reduction(min : bad)
    for (int64_t i = 0; i < lists; i++) {
        int64_t row = rows.begin + i / heads;
        if (!choose(scores + i * blocks, rule, visible_blocks(shape, row, rule->block),
                    sps_scratch_mine(&scratch),
                    index->list + (row * heads + i % heads) * index->width, index->width))
            bad = i < bad ? i : bad;
    }
    sps_scratch_free(&scratch);
    return bad < lists ? sps_fail_nan(rows.begin + bad / heads, bad % heads) : SPS_OK;
}

/* How many of the ranked blocks hold the share p of all: the forced, and as many more. */
static int64_t fewest(const struct candidate *all, int64_t blocks, double p)
{
    double total = 0, sum = 0;
    int64_t kept = 0;

    for (int64_t i = 0; i < blocks; i++)
        total += all[i].score;
    while (kept < blocks && (all[kept].forced || sum < p * total))
        sum += all[kept++].score;
    return kept;
}

/* Lists that stand `blocks` apart move together; offset[i + 1] comes as a count. */
static void pack(int32_t *list, int64_t *offset, int64_t lists, int64_t blocks)
{
    offset[0] = 0;
    for (int64_t i = 0; i < lists; i++) {
        memmove(list + offset[i], list + i * blocks,
                (size_t)offset[i + 1] * sizeof *list);
        offset[i + 1] += offset[i];
    }
}

enum sps_status sps_ref_topp(struct sps_device *dev, const struct sps_shape *shape,
                             const float *scores, const struct sps_rule *rule, double p,
                             struct sps_rows rows, struct sps_index *index)
{
    int64_t blocks = sps_shape_blocks(shape, rule->block), heads = index->heads;
    int64_t lists = (rows.end - rows.begin) * heads, bad = lists;
    int64_t *offset = index->offset + rows.begin * heads;
    struct sps_scratch scratch;

    dev->impl = "topp_ref";
    SPS_TRY(sps_check_causal(shape, "topp"));
    SPS_TRY(sps_scratch_new(dev, (size_t)blocks * sizeof(struct candidate), &scratch));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads) reduction(min : bad)
    for (int64_t i = 0; i < lists; i++) {
        int64_t seen = visible_blocks(shape, rows.begin + i / heads, rule->block);
        struct candidate *all = sps_scratch_mine(&scratch);
        if (rank(scores + i * blocks, rule, seen, all)) {
            offset[i + 1] = fewest(all, seen, p);
            write_list(all, offset[i + 1], index->list + i * blocks);
        } else
            bad = i < bad ? i : bad;
    }
    sps_scratch_free(&scratch);
    if (bad < lists)
        return sps_fail_nan(rows.begin + bad / heads, bad % heads);
    pack(index->list, offset, lists, blocks);
    return SPS_OK;
}
