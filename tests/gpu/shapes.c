/* shapes.c - every slot on tables of shapes and on random ones: a new shape goes into one
 * of the tables, a new slot into check_all().
 */
#include "tests/gpu/checks.h"

#include "base/rng.h"

static int64_t longest(const struct spec *s)
{
    int64_t most = 0;

    for (int64_t i = 0; i < s->n; i++)
        most = s->s[i] > most ? s->s[i] : most;
    return most;
}

static void check_bands(struct problem *p)
{
    check_dense(p, (struct sps_band){true, 0, 0}, "dense");
    check_dense(p, (struct sps_band){false, 37, 0}, "window 37");
    check_dense(p, (struct sps_band){false, 200, 3}, "window 200 sink 3");
    check_dense(p, (struct sps_band){false, 0, 70}, "sink 70");
}

static void check_lists(struct problem *p)
{
    const struct spec *spec = &p->spec;

    check_index(p, spec->g, spec->block, 3);
    check_index(p, spec->h, spec->block, 5);
    check_index(p, spec->g, 1, 7);
    check_index(p, spec->g, 100, 2);
    check_index(p, 1, spec->block, 4);
    check_index(p, spec->h, 192, 1);
}

static void check_scores(struct problem *p)
{
    const struct spec *spec = &p->spec;

    check_mass(p, spec->g, spec->block);
    check_mass(p, spec->h, spec->block);
    check_mass(p, spec->g, 5);
    check_probs(p);
    check_moba(p, (struct sps_rule){spec->block, 3, 0, 1}, false);
    if (longest(spec) <= 5000)
        check_moba(p, (struct sps_rule){128, 8, 0, 1}, false);
}

static void check_all(const struct spec *spec, uint64_t seed)
{
    struct problem p;

    problem_build(&p, spec, seed);
    check_bands(&p);
    check_lists(&p);
    check_scores(&p);
    check_nsa(&p, 32, 16, 64, 16);
    check_nsa(&p, 64, 64, 64, 4);
    check_nsa(&p, 16, 4, 8, 3);
    check_combine(&p);
    for (int64_t window = 0; window <= 4096; window = window * 8 + (window == 0))
        check_gated(&p, 64, 5, window);
    check_gated(&p, 192, 2, 63);
    check_gated(&p, 64, 16, 65);
    problem_drop(&p);
}

/* ---- tables ---- */

static const struct spec edges[] = {
    {"s 1", ONE(1, 1), 4, 2, 128, 128, SPS_BF16, .block = 64},
    {"s 63", ONE(63, 63), 16, 1, 128, 128, SPS_BF16, .block = 16},
    {"s 65", ONE(65, 65), 4, 4, 128, 128, SPS_F16, .block = 32},
    {"d 64", ONE(200, 200), 6, 2, 64, 64, SPS_BF16, .block = 32},
    {"d 192/128", ONE(130, 130), 8, 2, 192, 128, SPS_BF16, .block = 64},
    {"d 256", ONE(140, 140), 8, 1, 256, 256, SPS_BF16, .block = 64},
    {"d 80/48", ONE(70, 70), 4, 2, 80, 48, SPS_F16, .block = 16},
    {"fp32", ONE(80, 80), 4, 2, 128, 128, SPS_F32, .block = 16},
    {"d 20", ONE(50, 50), 2, 2, 20, 20, SPS_BF16, .block = 16},
    {"packed", 3, {70, 1, 129}, {70, 90, 200}, 4, 2, 128, 128, SPS_BF16, .block = 32},
    {"positions", ONE(60, 333), 4, 2, 128, 128, SPS_BF16, .block = 64, .spread = true},
    {"not causal", ONE(77, 201), 4, 2, 128, 128, SPS_BF16, true, .block = 64},
    {"G 64", ONE(40, 300), 64, 1, 128, 128, SPS_BF16, .block = 64},
    {"G 3", ONE(50, 260), 6, 2, 64, 64, SPS_F16, .block = 64},
    {"range", ONE(300, 300), 4, 1, 128, 128, SPS_BF16, .block = 64, .from = 100,
     .to = 201},
    {"G 16, 127 keys", ONE(25, 2047), 16, 1, 128, 128, SPS_BF16, .block = 64},
    {"G 16, 129 keys", ONE(23, 2095), 32, 2, 128, 128, SPS_F16, .block = 64},
    {"G 16, packed",
     4,
     {13, 1, 40, 12},
     {2081, 31, 700, 12},
     32,
     2,
     128,
     128,
     SPS_BF16,
     .block = 32},
    {"G 16, positions", ONE(37, 2200), 16, 1, 128, 128, SPS_BF16, .block = 64,
     .spread = true},
    {"G 16, range",
     2,
     {90, 200},
     {90, 2200},
     16,
     1,
     64,
     64,
     SPS_BF16,
     .block = 64,
     .from = 77,
     .to = 131},
    {"G 3, 128 keys", ONE(50, 2064), 6, 2, 128, 128, SPS_BF16, .block = 64},
    {"G 1, 193 rows", ONE(193, 600), 2, 2, 128, 128, SPS_BF16, .block = 64},
    {"G 12", ONE(30, 500), 24, 2, 128, 96, SPS_BF16, .block = 64},
    {"G 20", ONE(29, 700), 40, 2, 64, 64, SPS_BF16, .block = 64},
    {"G 40", ONE(11, 2100), 40, 1, 128, 128, SPS_F16, .block = 64},
    {"G 64, range", ONE(20, 2100), 128, 2, 128, 128, SPS_BF16, .block = 64, .from = 3,
     .to = 17},
    {"G 65", ONE(9, 300), 65, 1, 64, 64, SPS_BF16, .block = 64},
    {"rows before keys",
     3,
     {190, 70, 5},
     {100, 70, 300},
     8,
     2,
     64,
     64,
     SPS_BF16,
     .block = 32},
};

bool check_edges(int64_t first, int64_t end)
{
    int64_t shapes = sizeof edges / sizeof *edges;

    for (int64_t i = first; i < end && i < shapes; i++)
        check_all(&edges[i], (uint64_t)i + 1);
    return end >= shapes;
}

static const struct spec larger[] = {
    {"s 4095", ONE(4095, 4095), 2, 1, 128, 128, SPS_BF16, .block = 64, .from = 3900,
     .to = 4095},
    {"s 65537", ONE(65537, 65537), 2, 1, 128, 128, SPS_BF16, .block = 64, .from = 65500,
     .to = 65537},
    {"decode 65537", 2, {1, 3}, {65537, 777}, 16, 2, 128, 128, SPS_BF16, .block = 64},
    {"G 1, 2048", ONE(2048, 2048), 2, 2, 128, 128, SPS_BF16, .block = 32},
    {"G 2, packed",
     3,
     {1500, 200, 700},
     {1500, 300, 700},
     4,
     2,
     64,
     64,
     SPS_F16,
     .block = 64},
    {"d 256, 1200", ONE(1200, 1200), 2, 2, 256, 256, SPS_F16, .block = 64},
    {"d 192, 1200", ONE(1200, 1200), 2, 2, 192, 128, SPS_F16, .block = 64},
    {"G 16, 1500", ONE(1500, 1500), 16, 1, 128, 128, SPS_BF16, .block = 64},
    {"G 16, packed",
     4,
     {70, 1, 133, 13},
     {70, 90, 500, 13},
     32,
     2,
     128,
     128,
     SPS_F16,
     .block = 64},
    {"G 16, positions", ONE(90, 700), 32, 2, 96, 80, SPS_BF16, .block = 64,
     .spread = true},
    {"G 16, range", ONE(700, 700), 16, 1, 64, 64, SPS_BF16, .block = 64, .from = 401,
     .to = 600},
    {"G 8, block 128", ONE(300, 600), 16, 2, 128, 128, SPS_BF16, .block = 128},
    {"G 4, 900", ONE(900, 900), 8, 2, 128, 128, SPS_BF16, .block = 64},
    {"G 48, block 192", ONE(450, 450), 48, 1, 128, 64, SPS_F16, .block = 192},
    {"G 5, block 64", ONE(300, 500), 10, 2, 64, 64, SPS_F16, .block = 64},
    {"G 32, decode",
     3,
     {1, 2, 1},
     {5000, 64, 65},
     32,
     1,
     128,
     128,
     SPS_BF16,
     .block = 64},
};

void check_larger(void)
{
    for (size_t i = 0; i < sizeof larger / sizeof *larger; i++)
        check_all(&larger[i], i + 50);
}

/* Scores so small that their scale underflows; as many positions as make the buffer of
 * small uploads grow; more blocks than are turned round at a time. */
void check_extremes(void)
{
    static const struct spec tiny = {
        "tiny q and k",      ONE(300, 300),      8, 2, 128, 128, SPS_BF16,
        .q_size = 0x1p-120f, .k_size = 0x1p-100f};
    static const struct spec many = {"70000 positions", ONE(70000, 64), 1, 1, 64, 64,
                                     SPS_BF16,          .spread = true};
    static const struct spec blocks = {"8200 blocks",
                                       4,
                                       {1000, 1000, 1000, 1000},
                                       {65600, 65600, 65600, 65600},
                                       1,
                                       1,
                                       64,
                                       64,
                                       SPS_F16,
                                       .block = 32};
    struct problem p;

    problem_build(&p, &blocks, 732);
    check_index(&p, 1, 32, 40);
    problem_drop(&p);
    problem_build(&p, &many, 730);
    check_dense(&p, (struct sps_band){true, 0, 0}, "dense");
    problem_drop(&p);
    problem_build(&p, &tiny, 731);
    check_nsa(&p, 32, 16, 64, 4);
    problem_drop(&p);
}

/* ---- random ones ---- */

static int64_t pick(uint64_t seed, uint64_t i, int64_t low, int64_t high)
{
    uint32_t word[4];

    sps_philox(seed, 77, i, word);
    return low + word[0] % (uint32_t)(high - low + 1);
}

void check_random(uint64_t seed)
{
    static const int64_t dims[][2] = {
        {64, 64}, {128, 128}, {192, 128}, {256, 256}, {96, 96}};
    static const int64_t groups[] = {1, 2, 4, 8, 16, 5};
    int64_t g = pick(seed, 0, 1, 3), group = groups[pick(seed, 1, 0, 5)],
            d = pick(seed, 2, 0, 4);
    char name[64];
    struct spec s = {.name = name, .n = pick(seed, 3, 1, 3), .h = g * group, .g = g};

    for (int64_t i = 0; i < s.n; i++) {
        s.s[i] = pick(seed, 10 + (uint64_t)i, 1, 600);
        s.t[i] = pick(seed, 20 + (uint64_t)i, 1, s.s[i]);
    }
    s.dk = dims[d][0], s.dv = dims[d][1];
    s.dtype = pick(seed, 4, 0, 1) ? SPS_BF16 : SPS_F16;
    s.block = (int64_t)16 << pick(seed, 5, 0, 3);
    s.spread = pick(seed, 6, 0, 3) == 0;
    snprintf(name, sizeof name, "random %llu", (unsigned long long)seed);
    check_all(&s, seed);
}
