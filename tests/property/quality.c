/* quality.c - what must hold between metrics, whatever the problem: the identities of
 * docs/columns.md, on every host backend. */
#include "analysis/quality.h"
#include "tests/property/quality_sample.h"
#include "tests/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const struct sample_size size = {4, 2, 8, 6, {70, 33}, {90, 33}};
static const char *const backends[] = {"ref", "cpu", NULL};

static struct sps_quality measure(const struct sps_quality_in *in)
{
    struct sps_quality quality = {0};

    CU_ASSERT_EQUAL_FATAL(sps_quality_measure(in, &quality), SPS_OK);
    return quality;
}

/* The same measurement of one row: its own recall, not a mean. */
static double row_recall(const struct sps_quality_in *in, int64_t row, int64_t head)
{
    struct sps_quality_in one = *in;

    one.rows = &row, one.at = &row, one.count = 1, one.o = NULL;
    struct sps_quality quality = measure(&one);
    double recall = quality.head[head][SPS_Q_recall_mass];
    sps_quality_free(&quality);
    return recall;
}

/* Half the sum of |p - p restricted to what is read and rescaled|. */
static double total_variation(const struct sample *p, const struct sps_quality_in *in,
                              int64_t row, int64_t head)
{
    double probs[128], kept = 0, apart = 0;
    int64_t visible = sample_probs(p, row, head, probs);

    for (int64_t j = 0; j < visible; j++)
        kept += plain_reads(in->shape, in->index, &in->band, row, head, j) ? probs[j] : 0;
    for (int64_t j = 0; j < visible; j++) {
        bool read = plain_reads(in->shape, in->index, &in->band, row, head, j);
        apart += fabs(probs[j] - (read ? probs[j] / kept : 0));
    }
    return apart / 2;
}

static void check_identities(struct sample *p, const struct sps_quality_in *in)
{
    const struct sps_band none = {0};
    int64_t dv = p->shape.dv, h = p->shape.h, width = h * dv;
    float *o = calloc((size_t)(p->shape.t * width), sizeof *o);
    float *rest = calloc((size_t)(p->shape.t * width), sizeof *rest);
    const float *full = p->o_full.data;
    struct sps_index dropped;

    index_dropped(p, in->index, &in->band, &dropped);
    sample_attend(p, in->index, &in->band, o);
    sample_attend(p, &dropped, &none, rest);
    for (int64_t row = 0; row < p->shape.t; row += 3)
        for (int64_t head = 0; head < h; head++) {
            double lost = 1 - row_recall(in, row, head);
            CU_ASSERT(fabs(total_variation(p, in, row, head) - lost) <= 1e-6);
            for (int64_t i = (row * h + head) * dv; i < (row * h + head + 1) * dv; i++) {
                double left = (double)full[i] - o[i],
                       right = lost * ((double)rest[i] - o[i]);
                CU_ASSERT(fabs(left - right) <= 2e-6);
            }
        }
    index_free(&dropped);
    free(o), free(rest);
}

static void test_identities(void)
{
    const struct sps_rule rule = {4, 5, 1, 2};

    for (const char *const *backend = backends; *backend; backend++) {
        struct sample p;
        struct sps_index index;
        sample_open(&p, *backend, &size, 11);
        index_random(&p, &rule, 2, 1, &index);
        struct sps_quality_in in = sample_in(&p);
        in.index = &index;
        check_identities(&p, &in);
        in.band.window = 9, in.band.sink = 2;
        check_identities(&p, &in);
        in.index = NULL;
        check_identities(&p, &in);
        index_free(&index);
        sample_close(&p);
    }
}

/* Count so large that every block is kept. */
static void test_all_blocks(void)
{
    const struct sps_rule rule = {8, 12, 0, 1};

    for (const char *const *backend = backends; *backend; backend++) {
        struct sample p;
        struct sps_index index;
        sample_open(&p, *backend, &size, 12);
        float *o = calloc((size_t)sps_tensor_count(&p.o_full), sizeof *o);
        index_random(&p, &rule, 4, 1, &index);
        sample_attend(&p, &index, &(struct sps_band){0}, o);
        struct sps_quality_in in = sample_in(&p);
        in.index = &index, in.rule = rule, in.o = o, in.o_full = p.o_full.data;
        struct sps_quality got = measure(&in);
        CU_ASSERT(fabs(got.all[SPS_Q_recall_mass_min] - 1) <= 1e-12);
        CU_ASSERT(fabs(got.all[SPS_Q_recall_mass_rel] - 1) <= 1e-12);
        CU_ASSERT(got.all[SPS_Q_density_row] == 1);
        CU_ASSERT(got.pairs == sps_shape_pairs(&p.shape) * 4);
        CU_ASSERT(got.all[SPS_Q_error_rel_l2_max] <= 1e-5);
        CU_ASSERT(got.all[SPS_Q_error_max_abs] <= 1e-5);
        CU_ASSERT(fabs(got.all[SPS_Q_error_cos] - 1) <= 1e-9);
        CU_ASSERT(got.all[SPS_Q_n_rows_set] == 0);
        CU_ASSERT(isnan(got.all[SPS_Q_recall_set]));
        sps_quality_free(&got);
        index_free(&index);
        free(o);
        sample_close(&p);
    }
}

static void check_oracle(struct sample *p, const struct sps_rule *rule, int64_t heads)
{
    struct sps_index index;
    struct sps_quality_in in = sample_in(p);

    index_oracle(p, rule, heads, &index);
    in.index = &index, in.rule = *rule;
    struct sps_quality best = measure(&in);
    CU_ASSERT(best.all[SPS_Q_recall_set] == 1);
    CU_ASSERT(best.all[SPS_Q_recall_set_free] == 1);
    CU_ASSERT(best.all[SPS_Q_recall_set_tie] == 1);
    CU_ASSERT(best.all[SPS_Q_recall_set_head] <= 1);
    CU_ASSERT(heads == p->shape.h ? best.all[SPS_Q_recall_set_head] == 1
                                  : best.all[SPS_Q_recall_set_head] < 1);
    CU_ASSERT(best.all[SPS_Q_recall_mass] <= best.all[SPS_Q_mass_oracle_k] + 1e-12);
    index_free(&index);
    for (uint64_t seed = 0; seed < 50; seed++) {
        index_random(p, rule, heads, seed, &index);
        struct sps_quality other = measure(&in);
        CU_ASSERT(other.all[SPS_Q_recall_mass] < best.all[SPS_Q_recall_mass]);
        CU_ASSERT(other.all[SPS_Q_recall_set] < 1);
        CU_ASSERT(other.all[SPS_Q_recall_set_free] <= other.all[SPS_Q_recall_set]);
        CU_ASSERT(other.all[SPS_Q_recall_set_tie] >= other.all[SPS_Q_recall_set]);
        for (int64_t head = 0; head < p->shape.h; head++)
            CU_ASSERT(heads < p->shape.h || other.head[head][SPS_Q_recall_mass] <=
                                                best.head[head][SPS_Q_recall_mass]);
        sps_quality_free(&other);
        index_free(&index);
    }
    sps_quality_free(&best);
}

static void test_oracle(void)
{
    static const struct sample_size small = {4, 2, 8, 6, {40, 21}, {52, 21}};
    struct sample p;

    sample_open(&p, "ref", &small, 13);
    check_oracle(&p, &(struct sps_rule){4, 4, 1, 1}, 4);
    check_oracle(&p, &(struct sps_rule){4, 4, 0, 1}, 2);
    check_oracle(&p, &(struct sps_rule){1, 6, 0, 0}, 1);
    sample_close(&p);
}

static void test_more_is_more(void)
{
    struct sample p;
    double last = 0, last_best = 0, last_random = 0;

    sample_open(&p, "ref", &size, 14);
    for (int64_t k = 1; k <= 12; k++) {
        const struct sps_rule rule = {8, k, 0, 1};
        struct sps_index best, other;
        struct sps_quality_in in = sample_in(&p);
        in.rule = rule;
        index_oracle(&p, &rule, 2, &best);
        index_random(&p, &rule, 2, 1, &other); /* same scores for every k: nested */
        in.index = &best;
        struct sps_quality x = measure(&in);
        in.index = &other;
        struct sps_quality y = measure(&in);
        CU_ASSERT(x.all[SPS_Q_recall_mass] >= last);
        CU_ASSERT(x.all[SPS_Q_mass_oracle_k] >= last_best);
        CU_ASSERT(y.all[SPS_Q_recall_mass] >= last_random);
        CU_ASSERT(x.all[SPS_Q_budget_95] >= x.all[SPS_Q_budget_90]);
        last = x.all[SPS_Q_recall_mass];
        last_best = x.all[SPS_Q_mass_oracle_k];
        last_random = y.all[SPS_Q_recall_mass];
        sps_quality_free(&x), sps_quality_free(&y);
        index_free(&best), index_free(&other);
    }
    CU_ASSERT(fabs(last - 1) <= 1e-12 && fabs(last_best - 1) <= 1e-12);
    sample_close(&p);
}

static void test_relative_recall(void)
{
    const struct sps_rule tokens = {1, 10, 0, 0}, blocks = {8, 3, 0, 1};
    struct sample p;
    struct sps_index index;

    sample_open(&p, "ref", &size, 15);
    struct sps_quality_in in = sample_in(&p);
    in.index = &index;
    index_oracle(&p, &tokens, 4, &index);
    struct sps_quality best = measure(&in);
    for (int64_t head = 0; head < 4; head++)
        CU_ASSERT(fabs(best.head[head][SPS_Q_recall_mass_rel] - 1) <= 1e-12);
    sps_quality_free(&best);
    index_free(&index);
    index_oracle(&p, &blocks, 4, &index);
    struct sps_quality coarse = measure(&in);
    CU_ASSERT(coarse.all[SPS_Q_recall_mass_rel] < 1);
    CU_ASSERT(coarse.all[SPS_Q_recall_mass_rel] > coarse.all[SPS_Q_recall_mass]);
    sps_quality_free(&coarse);
    index_free(&index);
    sample_close(&p);
}

/* Equal keys: every whole block weighs the same, so any choice ties with the best. */
static void test_ties(void)
{
    const struct sps_rule rule = {8, 3, 0, 1};
    struct sample p;
    struct sps_index index;

    sample_open(&p, "ref", &size, 16);
    memset(p.k.data, 0, sps_tensor_bytes(&p.k));
    index_random(&p, &rule, 4, 1, &index);
    struct sps_quality_in in = sample_in(&p);
    in.index = &index, in.rule = rule;
    struct sps_quality got = measure(&in);
    CU_ASSERT(got.all[SPS_Q_recall_set] < 0.9);
    CU_ASSERT(got.all[SPS_Q_recall_set_tie] == 1);
    sps_quality_free(&got);
    index_free(&index);
    index_oracle(&p, &rule, 4,
                 &index); /* the more recent of equals, as in every selector */
    got = measure(&in);
    CU_ASSERT(got.all[SPS_Q_recall_set] == 1);
    sps_quality_free(&got);
    index_free(&index);
    sample_close(&p);
}

/* Uniform attention has known entropy, Gini, sinks and budgets. */
static void test_uniform_atlas(void)
{
    static const struct sample_size flat = {4, 2, 8, 6, {1, 1}, {160, 160}};
    struct sample p;

    sample_open(&p, "ref", &flat, 17);
    memset(p.k.data, 0, sps_tensor_bytes(&p.k));
    struct sps_quality_in in = sample_in(&p);
    struct sps_quality got = measure(&in);
    CU_ASSERT(fabs(got.all[SPS_Q_entropy] - log(160)) <= 1e-6);
    CU_ASSERT(fabs(got.all[SPS_Q_gini]) <= 1e-6);
    CU_ASSERT(fabs(got.all[SPS_Q_sink_mass] - 4. / 160) <= 1e-6);
    CU_ASSERT(fabs(got.all[SPS_Q_distant_mass] - 92. / 160) <= 1e-6);
    CU_ASSERT(got.all[SPS_Q_budget_90] == 18 && got.all[SPS_Q_budget_95] == 19);
    sps_quality_free(&got);
    sample_close(&p);
}

static void test_threads(void)
{
    const struct sps_rule rule = {4, 5, 1, 2};
    struct sample p;
    struct sps_index index;
    struct sps_quality first, again;

    sample_open(&p, "ref", &size, 18);
    index_random(&p, &rule, 2, 1, &index);
    float *o = calloc((size_t)sps_tensor_count(&p.o_full), sizeof *o);
    sample_attend(&p, &index, &(struct sps_band){0}, o);
    struct sps_quality_in in = sample_in(&p);
    in.index = &index, in.rule = rule, in.o = o, in.o_full = p.o_full.data;
    in.band.window = 3;
    first = measure(&in);
    p.dev.threads = 3;
    again = measure(&in);
    CU_ASSERT(memcmp(first.all, again.all, sizeof first.all) == 0);
    CU_ASSERT(memcmp(first.head, again.head, 4 * sizeof *first.head) == 0);
    CU_ASSERT(first.pairs == again.pairs);
    sps_quality_free(&first), sps_quality_free(&again);
    index_free(&index);
    free(o);
    sample_close(&p);
}

static void refused(const struct sps_quality_in *in, enum sps_status status,
                    const char *part)
{
    struct sps_quality got;

    CU_ASSERT_EQUAL(sps_quality_measure(in, &got), status);
    CU_ASSERT(strstr(sps_error(), part) != NULL);
}

static void test_not_finite(void)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct sample p;

    sample_open(&p, "ref", &size, 19);
    float *o = calloc((size_t)sps_tensor_count(&p.o_full), sizeof *o);
    struct sps_quality_in in = sample_in(&p);
    in.band.window = 4, in.o = o, in.o_full = p.o_full.data;
    for (int i = 0; i < 3; i++) {
        float *at = &o[(50 * 4 + 2) * 6 + 5];
        *at = bad[i];
        refused(&in, SPS_ENUMERIC, "output of row 50, head 2 is not finite");
        *at = 0;
        at = &((float *)p.o_full.data)[(12 * 4 + 3) * 6];
        *at = bad[i];
        refused(&in, SPS_ENUMERIC, "output of row 12, head 3 is not finite");
        *at = 0;
    }
    ((float *)p.q.data)[(60 * 4 + 1) * 8] = NAN;
    refused(&in, SPS_ENUMERIC, "attention of row 60, head 1");
    free(o);
    sample_close(&p);
}

static void test_refusals(void)
{
    const struct sps_needle future = {10, 0, 31}, foreign = {10, 4, 0};
    struct sample p;
    struct sps_index index;

    sample_open(&p, "ref", &size, 20);
    index_random(&p, &(struct sps_rule){4, 5, 1, 2}, 2, 1, &index);
    struct sps_quality_in in = sample_in(&p);
    in.index = &index;
    in.rule = (struct sps_rule){8, 5, 1, 2};
    refused(&in, SPS_EINVAL, "index of block 4, rule of block 8");
    in.rule = (struct sps_rule){4, 2, 1, 2};
    refused(&in, SPS_EINVAL, "3 forced units do not fit into count 2");
    in.rule = (struct sps_rule){0};
    in.needles = &future, in.needle_count = 1;
    refused(&in, SPS_EINVAL, "key 31, row 10 sees 31");
    in.needles = &foreign;
    refused(&in, SPS_EINVAL, "head 4 of 4");
    in.needle_count = 0, in.atlas_block = 0;
    refused(&in, SPS_EINVAL, "no unit");
    in.atlas_block = 8, p.dev.kernels.probs = NULL;
    refused(&in, SPS_ENOTSUP, "no kernel 'probs'");
    index_free(&index);
    sample_close(&p);
}

static const struct tap_test tests[] = {
    {"lost mass is total variation, and scales the error", test_identities},
    {"all blocks chosen: recall 1, no error", test_all_blocks},
    {"the oracle agrees with itself and beats 50 random choices", test_oracle},
    {"more units never hold less", test_more_is_more},
    {"recall_mass_rel is 1 for the token oracle alone", test_relative_recall},
    {"ties count as chosen in recall_set_tie", test_ties},
    {"atlas of uniform attention", test_uniform_atlas},
    {"no figure depends on threads", test_threads},
    {"NaN and Inf are refused with their place", test_not_finite},
    {"what does not fit together is refused", test_refusals},
    {0},
};

int main(void)
{
    return tap_run("quality", tests);
}
