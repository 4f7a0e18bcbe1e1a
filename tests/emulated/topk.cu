/* topk.cu - the choice of blocks on the GPU (kernels/cuda/topk.cuh), without one: against
 * a sort, for every way to hold a list, and with NaN scores. */
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "tests/emulated/warp.h"
extern "C" {
#include "tests/tap.h"
}

/* What topk.cuh takes from geometry.cuh. */
#define SPS_KERNELS_CUDA_GEOMETRY_CUH
#define SPS_DEVICE static inline
struct score_source {
    const float *x;
};

SPS_DEVICE float score_of(const struct score_source *from, int64_t, int block, int)
{
    return from->x[block];
}

#include "kernels/cuda/sm90/topk_stored.cuh"

using std::vector;

/* Ways to choose, by the longest list each takes. */
enum { ANY = 3500 };
static const struct way {
    const char *name;
    int blocks;
} ways[] = {{"4 a lane", 128},   {"16 a lane", 512}, {"32 a lane", 1024},
            {"96 a lane", 3072}, {"any", ANY},       {"stored", ANY},
            {"keys", ANY}};
enum { WAYS = sizeof ways / sizeof *ways };

enum kind { NORMAL, FEW_VALUES, EQUAL, WIDE, INFINITE, CLOSE, NANS, KINDS };

struct list {
    size_t way;
    enum kind kind;
    int visible;
    struct topk_args a;
    vector<float> x, work; /* scores; what choose_stored() spoils */
    vector<int32_t> out;   /* width, and a margin that stays MARGIN */
    unsigned long long fault;
};

enum { MARGIN = -77 };

static int draw(uint64_t seed, uint64_t which, int low, int high)
{
    uint32_t word[4];

    sps_philox(seed, 50, which, word);
    return low + (int)(word[0] % (uint32_t)(high - low + 1));
}

static float score(enum kind kind, uint64_t seed, int block, float normal)
{
    switch (kind) {
    case FEW_VALUES:
        return (float)draw(seed, 100 + block, -1, 1);
    case EQUAL:
        return 0;
    case WIDE:
        return expf(8 * normal);
    case INFINITE:
        return normal > 0 ? -INFINITY : normal;
    case CLOSE:
        return 1e-3f * (1 + 1e-6f * (float)draw(seed, 100 + block, 0, 50));
    case NANS:
        return block % 3 ? normal : normal > 0 ? NAN : warp_float(0x7fffffff);
    default:
        return normal;
    }
}

static void make(uint64_t seed, size_t way, enum kind kind, struct list *l)
{
    int most = draw(seed, 0, 0, 3) ? std::min(ways[way].blocks, 300) : ways[way].blocks;
    int forced = draw(seed, 1, 0, 3);

    l->way = way, l->kind = kind, l->fault = ~0ull;
    l->visible = draw(seed, 2, 0, most);
    l->x.resize(ANY), l->work.resize(ANY);
    sps_normals(seed, 51, 0, ANY, l->x.data());
    for (int i = 0; i < ANY; i++)
        l->x[i] = i < l->visible ? score(kind, seed, i, l->x[i]) : 0;
    if (ways[way].blocks == ANY && kind != NANS) /* of blocks: sums of probabilities */
        for (float &x : l->x)
            x = fabsf(x);
    l->work = l->x;
    std::fill(l->work.begin() + l->visible, l->work.end(), -1e30f); /* best of keys */
    l->a = {};
    l->a.from.x = l->x.data();
    l->a.count = forced + draw(seed, 3, 1, draw(seed, 4, 0, 3) ? 20 : 64);
    l->a.init = draw(seed, 5, 0, forced), l->a.local = forced - l->a.init;
    l->a.width = l->a.count + draw(seed, 6, 0, 2);
    l->a.heads = l->a.block = 1;
    l->a.fault = &l->fault;
    l->out.assign((size_t)l->a.width + ANY, MARGIN);
}

/* From keys that are there already, whatever is forced. */
static void choose_from_keys(struct list *l, struct few_keys *few)
{
    struct list_view view = {0, 0, l->visible, 0};
    uint32_t *keys = (uint32_t *)l->work.data(), most = 0;

    for (int b = warp.running; b < (l->visible + 3) / 4 * 4; b += WARP_LANES) {
        keys[b] = b < l->visible ? warp_bits(l->x[b]) | 1u << 31 : 0;
        most = std::max(most, keys[b]);
    }
    __syncwarp();
    check_keys(&l->a, &view, most);
    force_keys(&l->a, &view, keys);
    choose_keys(&l->a, &view, keys, most, few, l->out.data());
}

static void choose(void *what)
{
    static struct few_keys few;
    struct list *l = (struct list *)what;
    struct list_view view = {0, 0, l->visible, 0};

    switch (l->way) {
    case 0:
        return choose_list<4>(&l->a, &view, l->out.data(), &few);
    case 1:
        return choose_list<16>(&l->a, &view, l->out.data(), &few);
    case 2:
        return choose_list<32>(&l->a, &view, l->out.data(), &few);
    case 3:
        return choose_list<96>(&l->a, &view, l->out.data(), &few);
    case 4:
        return choose_list<0>(&l->a, &view, l->out.data(), &few);
    case 5:
        return choose_stored(&l->a, &view, l->work.data(), &few, l->out.data());
    default:
        return choose_from_keys(l, &few);
    }
}

static bool forced(const struct list *l, int block)
{
    return block < l->a.init || block >= l->visible - l->a.local;
}

/* Forced blocks, then the best, of equals the more recent; ascending, -1 behind. */
static vector<int32_t> sorted(const struct list *l)
{
    vector<int32_t> best(l->visible);

    for (int i = 0; i < l->visible; i++)
        best[i] = i;
    std::sort(best.begin(), best.end(), [=](int p, int q) {
        float x = l->x[p], y = l->x[q];
        if (forced(l, p) != forced(l, q))
            return forced(l, p);
        return x != y && !forced(l, p) ? x > y : p > q;
    });
    best.resize(std::min(l->visible, l->a.count));
    std::sort(best.begin(), best.end());
    best.resize(l->a.width, -1);
    return best;
}

/* Seeds of one way and kind; holds: what is asked of a list that was chosen. */
static void for_lists(size_t way, int kind, bool (*holds)(const struct list *))
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        static struct list l;
        make(seed * WAYS * KINDS + way * KINDS + kind, way, (enum kind)kind, &l);
        warp_run(choose, &l);
        bool good = holds(&l) && std::all_of(l.out.begin() + l.a.width, l.out.end(),
                                             [](int32_t x) { return x == MARGIN; });
        if (!good)
            printf("# %s, kind %d, seed %d: %d of %d blocks\n", ways[way].name, kind,
                   (int)seed, l.a.count, l.visible);
        CU_ASSERT(good);
    }
}

static bool is_sorted(const struct list *l)
{
    return l->fault == ~0ull &&
           std::equal(l->out.begin(), l->out.begin() + l->a.width, sorted(l).begin());
}

static bool is_told(const struct list *l)
{
    return l->fault == (l->visible > 0 ? 0 : ~0ull);
}

static void test_sorted(void)
{
    for (size_t way = 0; way < WAYS; way++)
        for (int kind = 0; kind < NANS; kind++)
            for_lists(way, kind, is_sorted);
}

static void test_nans(void)
{
    for (size_t way = 0; way < WAYS; way++)
        for_lists(way, NANS, is_told);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"the best blocks, as a sort has them", test_sorted},
        {"NaN is told, and nothing written past a list", test_nans},
        {NULL, NULL},
    };

    return tap_run("emulated topk", tests);
}
