/* select.h - what the methods that keep blocks have in common: from scores in
 * scratch to the index, and from the index to the cost. */
#ifndef SPS_SIM_METHOD_SELECT_H
#define SPS_SIM_METHOD_SELECT_H

#include "sim/method/method.h"

/* Refuse a selection without order in time; every selecting plan() calls it. */
enum sps_status sps_select_check(const struct sps_plan *plan);

/* Set the plan's index form, rule, unit and scratch for `heads` lists of rule.count
 * blocks, and its predicted pairs and requested density. */
void sps_select_plan(struct sps_plan *plan, int64_t heads, struct sps_rule rule);

/* Set plan->by, kept, compressed and made to keys of l tokens every u; the (row,
 * compressed key) pairs that are visible, one head. */
enum sps_status sps_compress_plan(struct sps_plan *plan, int64_t l, int64_t u);
double sps_compress_pairs(const struct sps_plan *plan);

/* Options and plan of the methods that choose top-k blocks by a score that may be
 * summed over a group (oracle_topk, random). */
struct sps_shared {
    int64_t block, topk, share;
};
enum sps_share { SPS_SHARE_HEAD, SPS_SHARE_GROUP };
extern const struct sps_option sps_shared_options[];
enum sps_status sps_shared_plan(struct sps_plan *plan);

/* Top-k of call->scratch (scores[r,heads,nb]) into call->index. */
enum sps_status sps_select_topk(struct sps_call *call, struct sps_rows rows);

/* Attend over the index and the plan's band. */
enum sps_status sps_select_attend(struct sps_call *call, struct sps_rows rows);

/* Its gradients, added to the call's. */
enum sps_status sps_select_backward(struct sps_call *call, struct sps_rows rows);

/* Where the call's gradients go. */
struct sps_gradients sps_call_gradients(const struct sps_call *call);

/* Return SPS_ENOTSUP unless the device has `kernel`, which only backward calls. */
#define SPS_NEED_BACKWARD(plan, kernel)                                                  \
    do {                                                                                 \
        if ((plan)->problem->backward)                                                   \
            SPS_NEED((plan)->dev, kernel);                                               \
    } while (0)

/* Attend over the plan's band alone, as part of `stage`; and its gradients. */
enum sps_status sps_band_attend(struct sps_call *call, enum sps_stage stage,
                                struct sps_rows rows);
enum sps_status sps_band_backward(struct sps_call *call, enum sps_stage stage,
                                  struct sps_rows rows);

/* Cost of a stage that multiplies `pairs` (query head, key) pairs by k and v, and
 * of one that only scores them.  When a backward pass is wanted: its five products, and
 * nothing, because scores carry no gradient; forward's where lists are packed, which are
 * selected again. */
struct sps_cost sps_cost_attend(const struct sps_plan *plan, double pairs);
struct sps_cost sps_cost_score(const struct sps_plan *plan, double pairs);

/* Cost of the oracles: every visible pair is scored, those kept are attended. */
void sps_oracle_cost(const struct sps_plan *plan, struct sps_pairs pairs,
                     struct sps_cost *cost);

#endif
