/* topk.c - reference choice of blocks: sort what is visible, keep the first. */
#include <stdlib.h>

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

/* One list; false when a visible block's score is NaN. */
static bool choose(const float *scores, const struct sps_rule *rule, int64_t visible,
                   struct candidate *all, int32_t *list, int64_t width)
{
    int64_t blocks = (visible + rule->block - 1) / rule->block;
    int64_t kept = blocks < rule->count ? blocks : rule->count;

    for (int64_t b = 0; b < blocks; b++) {
        bool local = rule->local > 0 && b > blocks - 1 - rule->local;
        if (isnan(scores[b]))
            return false;
        all[b] = (struct candidate){scores[b], (int32_t)b, b < rule->init || local};
    }
    qsort(all, (size_t)blocks, sizeof *all, by_rank);
    qsort(all, (size_t)kept, sizeof *all, by_block);
    for (int64_t i = 0; i < width; i++)
        list[i] = i < kept ? all[i].block : -1;
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
        if (!choose(scores + i * blocks, rule, sps_ref_row(shape, row).visible,
                    sps_scratch_mine(&scratch),
                    index->list + (row * heads + i % heads) * index->width, index->width))
            bad = i < bad ? i : bad;
    }
    sps_scratch_free(&scratch);
    return bad < lists ? sps_fail_nan(rows.begin + bad / heads, bad % heads) : SPS_OK;
}
