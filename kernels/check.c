/* check.c - what a kernel refuses, in the same words on every backend. */
#include "kernels/check.h"

#include <inttypes.h>

enum sps_status sps_check_causal(const struct sps_shape *shape, const char *kernel)
{
    if (!shape->causal)
        return sps_fail(SPS_EINVAL, "%s: causal false: selection needs causal rows",
                        kernel);
    return SPS_OK;
}

enum sps_status sps_check_heads(const struct sps_shape *shape, int64_t heads)
{
    if (heads < shape->g || heads % shape->g != 0 || shape->h % heads != 0)
        return sps_fail(SPS_EINVAL,
                        "%" PRId64 " score heads: must be a multiple of %" PRId64
                        " kv heads that divides %" PRId64 " query heads",
                        heads, shape->g, shape->h);
    return SPS_OK;
}

enum sps_status sps_check_rule(const struct sps_rule *rule, const struct sps_index *index)
{
    if (rule->count < 1)
        return sps_fail(SPS_ECONFIG, "%" PRId64 " blocks kept: must be at least 1",
                        rule->count);
    if (rule->init + rule->local > rule->count)
        return sps_fail(SPS_ECONFIG,
                        "%" PRId64 " blocks kept: must be at least the %" PRId64
                        " first and %" PRId64 " local ones that are always kept",
                        rule->count, rule->init, rule->local);
    if (index->offset || index->width < rule->count || index->block != rule->block)
        return sps_fail(SPS_EINVAL,
                        "index of width %" PRId64 " and block %" PRId64
                        ": must be bounded, width %" PRId64 " or more, block %" PRId64,
                        index->width, index->block, rule->count, rule->block);
    return SPS_OK;
}

enum sps_status sps_check_strides(const struct sps_compression *by, int64_t block)
{
    if (by->l % by->u != 0 || block % by->u != 0)
        return sps_fail(SPS_EINVAL,
                        "stride %" PRId64 ": must divide compressed block %" PRId64
                        " and selection block %" PRId64,
                        by->u, by->l, block);
    return SPS_OK;
}

enum sps_status sps_check_one_sequence(const struct sps_shape *shape,
                                       struct sps_rows rows)
{
    if (rows.begin < rows.end &&
        sps_shape_sequence(shape, rows.begin) != sps_shape_sequence(shape, rows.end - 1))
        return sps_fail(SPS_EINVAL,
                        "rows %" PRId64 "..%" PRId64 ": must lie in one sequence",
                        rows.begin, rows.end - 1);
    return SPS_OK;
}

enum sps_status sps_fail_nan(int64_t row, int64_t head)
{
    return sps_fail(SPS_ENUMERIC, "score of row %" PRId64 ", head %" PRId64 " is nan",
                    row, head);
}
