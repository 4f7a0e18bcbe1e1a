/* counts.c - pairs and tiles counted from real indices: the published integers, a
 * matrix filled token by token, and the relations between them. */
#include "tests/property/quality_sample.h"
#include "tests/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const struct sample_size size = {4, 2, 8, 4, {60, 41}, {77, 41}};

/* Pairs that a reference N x N matrix holds, and causal pairs of its touched tiles. */
static void plain_counts(const struct sps_shape *shape, const struct sps_index *index,
                         const struct sps_band *band, int64_t tr, int64_t tk,
                         double *pairs, double *tiles)
{
    *pairs = *tiles = 0;
    for (int64_t head = 0; head < shape->h; head++)
        for (int64_t n = 0; n < shape->n; n++)
            for (int64_t r0 = shape->cu_q[n]; r0 < shape->cu_q[n + 1]; r0 += tr)
                for (int64_t k0 = 0; k0 < sps_shape_keys(shape, n); k0 += tk) {
                    double read = 0, causal = 0;
                    for (int64_t r = r0; r < r0 + tr && r < shape->cu_q[n + 1]; r++)
                        for (int64_t j = k0; j < k0 + tk; j++) {
                            causal += j < sps_shape_visible(shape, n, r);
                            read += plain_reads(shape, index, band, r, head, j);
                        }
                    *pairs += read;
                    *tiles += read > 0 ? causal : 0;
                }
}

static const struct sps_rule rules[] = {
    {8, 3, 0, 1}, {4, 5, 1, 2}, {1, 9, 0, 0}, {16, 2, 0, 1}};
static const struct sps_band bands[] = {{false, 0, 0}, {false, 12, 0},   {false, 5, 3},
                                        {false, 0, 9}, {false, 1000, 2}, {false, 3, 1000},
                                        {true, 0, 0}};
static const int64_t tilings[][2] = {{1, 1}, {3, 5}, {16, 8}, {64, 128}, {5, 1}, {1, 7}};

enum {
    RULES = sizeof rules / sizeof *rules,
    BANDS = sizeof bands / sizeof *bands,
    TILINGS = sizeof tilings / sizeof *tilings
};

static void check_all_tilings(const struct sps_shape *shape,
                              const struct sps_index *index, const struct sps_band *band)
{
    double both, only, want, want_only, tiles, unused;

    sps_count_pairs(shape, index, band, &both, &only);
    plain_counts(shape, index, &(struct sps_band){0}, 1, 1, &want_only, &unused);
    CU_ASSERT(only == want_only);
    for (int i = 0; i < TILINGS; i++) {
        int64_t tr = tilings[i][0], tk = tilings[i][1];
        double got = sps_count_tile_pairs(shape, index, band, tr, tk);
        plain_counts(shape, index, band, tr, tk, &want, &tiles);
        CU_ASSERT(both == want);
        CU_ASSERT(got == tiles);
        CU_ASSERT(got >= both);
        CU_ASSERT(tr * tk > 1 || got == both);
    }
}

static void test_against_matrix(void)
{
    struct sample p;

    sample_open(&p, "ref", &size, 1);
    for (int b = 0; b < BANDS; b++) {
        check_all_tilings(&p.shape, NULL, &bands[b]);
        for (int r = 0; r < RULES; r++)
            for (int64_t heads = 1; heads <= 4; heads *= 2) {
                struct sps_index index, packed;
                index_random(&p, &rules[r], heads, (uint64_t)r, &index);
                check_all_tilings(&p.shape, &index, &bands[b]);
                if (r == 0) {
                    index_dropped(&p, &index, &bands[b], &packed);
                    check_all_tilings(&p.shape, &packed, &bands[b]);
                    index_free(&packed);
                }
                index_free(&index);
            }
    }
    sample_close(&p);
}

static void test_everything(void)
{
    struct sample p;
    double both, only, full;

    sample_open(&p, "ref", &size, 2);
    full = sps_shape_pairs(&p.shape) * 4;
    sps_count_pairs(&p.shape, NULL, &bands[BANDS - 1], &both, &only);
    CU_ASSERT(both == full && only == 0);
    CU_ASSERT(sps_count_tile_pairs(&p.shape, NULL, &bands[BANDS - 1], 16, 16) == full);
    p.shape.causal = false;
    sps_count_pairs(&p.shape, NULL, &bands[BANDS - 1], &both, &only);
    CU_ASSERT(both == 4 * (60 * 77 + 41 * 41));
    CU_ASSERT(sps_count_tile_pairs(&p.shape, NULL, &bands[BANDS - 1], 16, 16) == both);
    sample_close(&p);
}

/* One head, one sequence of n keys, the last t rows; own block and count - 1 random
 * earlier ones. */
static struct sps_index blocks_index(int64_t t, int64_t n, int64_t block, int64_t count)
{
    struct sps_index index = {t, 1, block, count, NULL, NULL};
    int64_t own_max = (n - 1) / block;
    bool *take = calloc((size_t)own_max + 1, 1);

    index.list = malloc((size_t)(t * count) * sizeof *index.list);
    for (int64_t row = 0; row < t; row++) {
        int64_t own = (n - t + row) / block, at = 0;
        int64_t past = own < count - 1 ? own : count - 1;
        memset(take, 0, (size_t)own_max + 1);
        take[own] = true;
        for (uint64_t draw = 0; past > 0; draw++) {
            uint32_t word[4];
            sps_philox(3, (uint64_t)row, draw, word);
            int64_t u = word[0] % own;
            past -= !take[u];
            take[u] = true;
        }
        for (int64_t u = 0; u <= own; u++)
            if (take[u])
                index.list[row * count + at++] = (int32_t)u;
        while (at < count)
            index.list[row * count + at++] = -1;
    }
    free(take);
    return index;
}

static struct sps_shape one_sequence(int64_t t, int64_t s, int64_t cu[4])
{
    cu[0] = cu[2] = 0, cu[1] = t, cu[3] = s;
    return (struct sps_shape){.h = 1,
                              .g = 1,
                              .t = t,
                              .s = s,
                              .n = 1,
                              .cu_q = cu,
                              .cu_k = cu + 2,
                              .causal = true};
}

/* MoBA over N tokens, blocks of B, k blocks: sum over whole blocks b of
 * B(B+1)/2 + min(k-1, b) B^2, then the tail's. */
static double moba_pairs(int64_t n, int64_t block, int64_t k)
{
    int64_t whole = n / block, tail = n % block, pairs = 0;

    for (int64_t b = 0; b < whole; b++)
        pairs += block * (block + 1) / 2 + (b < k - 1 ? b : k - 1) * block * block;
    pairs += tail * (tail + 1) / 2 + (whole < k - 1 ? whole : k - 1) * tail * block;
    return (double)pairs;
}

static void test_moba_table(void)
{
    static const struct {
        int64_t n, block, k;
        double pairs, full;
    } table[] = {
        {12, 4, 2, 62, 78},
        {1000, 128, 3, 270100, 500500},
        {1000, 64, 4, 199444, 500500},
        {2048, 256, 4, 1442816, 2098176},
        {8192, 512, 3, 9703424, 33558528},
        {32768, 512, 3, 41172992, 536887296},
        {32768, 2048, 3, 155205632, 536887296},
    };
    const struct sps_band none = {0};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t cu[4], n = table[i].n;
        struct sps_shape shape = one_sequence(n, n, cu);
        struct sps_index index = blocks_index(n, n, table[i].block, table[i].k);
        double both, only;
        sps_count_pairs(&shape, &index, &none, &both, &only);
        CU_ASSERT(both == table[i].pairs && only == table[i].pairs);
        CU_ASSERT(moba_pairs(n, table[i].block, table[i].k) == table[i].pairs);
        CU_ASSERT(sps_shape_pairs(&shape) == table[i].full);
        CU_ASSERT(n > 2048 || sps_count_tile_pairs(&shape, &index, &none, 1, 1) == both);
        index_free(&index);
    }
}

/* NSA, table 4: a step reads s/16 compressed tokens, 16 blocks of 64, a window of 512.
 * The paper's s/16 is one more than there are windows of 32 at stride 16. */
static void test_nsa_decode(void)
{
    static const int64_t table[][2] = {
        {8192, 2048}, {16384, 2560}, {32768, 3584}, {65536, 5632}, {1048576, 67072}};
    const struct sps_band window = {false, 512, 0}, none = {0};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t cu[4], s = table[i][0];
        struct sps_shape shape = one_sequence(1, s, cu);
        struct sps_index index = blocks_index(1, s, 64, 16);
        double selected, recent, unused;
        sps_count_pairs(&shape, &index, &none, &unused, &selected);
        sps_count_pairs(&shape, NULL, &window, &recent, &unused);
        int64_t compressed = sps_compressed_visible(s - 1, 32, 16) + 1;
        CU_ASSERT(selected + recent + (double)compressed == (double)table[i][1]);
        index_free(&index);
    }
}

static void test_union_of_window_and_blocks(void)
{
    int64_t cu[4];
    int32_t list[] = {0, 5, 126, 127};
    struct sps_shape shape = one_sequence(1, 8192, cu);
    struct sps_index index = {1, 1, 64, 4, list, NULL};
    double both, only;

    /* The two last blocks lie inside the window of 512; the sink inside block 0. */
    sps_count_pairs(&shape, &index, &(struct sps_band){false, 512, 4}, &both, &only);
    CU_ASSERT(both == 512 + 2 * 64 && only == 4 * 64);
}

static void test_future_units(void)
{
    int64_t cu[4];
    int32_t list[] = {0, 1, 2, 3, 0, 1, 2, 3};
    struct sps_shape shape = one_sequence(2, 21, cu);
    struct sps_index index = {2, 1, 10, 4, list, NULL};
    double both, only;

    /* Rows see 20 and 21 keys: units 0 and 1, then one token of unit 2, never 3. */
    sps_count_pairs(&shape, &index, &(struct sps_band){0}, &both, &only);
    CU_ASSERT(both == 20 + 21 && only == 20 + 21);
}

static void test_long_sequence(void)
{
    int64_t cu[4];
    struct sps_shape shape = one_sequence(3, 10000, cu);
    struct sps_index index = blocks_index(3, 10000, 32, 40);
    const struct sps_band band = {false, 7000, 100};
    double both, only;

    sps_count_pairs(&shape, &index, &band, &both, &only);
    CU_ASSERT(sps_count_tile_pairs(&shape, &index, &band, 1, 1) == both);
    CU_ASSERT(sps_count_tile_pairs(&shape, NULL, &bands[BANDS - 1], 2, 1) ==
              sps_shape_pairs(&shape));
    index_free(&index);
}

static const struct tap_test tests[] = {
    {"pairs and tiles equal a matrix filled token by token", test_against_matrix},
    {"everything read is every causal pair", test_everything},
    {"MoBA's pairs, from an index and from the closed form", test_moba_table},
    {"NSA's tokens per decoding step", test_nsa_decode},
    {"a token in block and window counts once", test_union_of_window_and_blocks},
    {"units that are not visible yet are not read", test_future_units},
    {"more key tiles than are marked at a time", test_long_sequence},
    {0},
};

int main(void)
{
    return tap_run("counts", tests);
}
