/* tickets.cu - the producer of the kernels over unions
 * (kernels/cuda/sm90/union_feed.cuh), without a GPU: barriers that count, loads that
 * arrive when they like, and three readers that hold and give back stages as
 * union_steps.cuh does, in a random order.  Every reader must be told its tiles and
 * units, in order, while they stand where it was told; a ticket may not be written over
 * before it is read; and nothing may wait for ever.
 *
 * Over 400 lines because barriers, loads, readers and what is fed are one small machine.
 */
#include <vector>

#include "base/rng.h"
#include "kernels/backend.h"
#include "tests/emulated/warp.h"
extern "C" {
#include "tests/tap.h"
}

/* What the headers take from hopper.cuh, barrier.cuh, tile.cuh and softmax.cuh. */
#define SPS_KERNELS_CUDA_SM90_HOPPER_CUH
#define SPS_KERNELS_CUDA_SM90_BARRIER_CUH
#define SPS_KERNELS_CUDA_SM90_SOFTMAX_CUH
#define SPS_KERNELS_CUDA_TILE_CUH
#define SPS_SM90A
#define SPS_DEVICE static inline
enum { SM90_SHARED = 232448, KEEP_LONG = 0 };
uint64_t low_bits(int64_t); /* of geometry.cuh's, for rows: nobody calls them here */
template <int D> uint32_t tile_at(int, int);

/* ---- shared memory: barriers and words by their addresses, tiles by their first ---- */

struct barrier {
    int count, missing, phase;
};
static struct barrier barriers[SM90_SHARED / 8];
static int words[SM90_SHARED / 4], tiles_at[SM90_SHARED / 1024];

static void barrier_init(uint32_t at, int count)
{
    barriers[at / 8] = {count, count, 0};
}

SPS_DEVICE void barrier_arrive(uint32_t at, int count = 1)
{
    struct barrier *b = &barriers[at / 8];

    b->missing -= count;
    if (b->missing == 0)
        b->phase ^= 1, b->missing = b->count;
}

static bool barrier_over(uint32_t at, int parity)
{
    return barriers[at / 8].phase != parity;
}

static void barrier_poll(uint32_t at, int parity);

SPS_DEVICE void barrier_wait(uint32_t at, int parity)
{
    barrier_poll(at, parity);
}

SPS_DEVICE void store_shared(uint32_t at, int x)
{
    words[at / 4] = x;
}

SPS_DEVICE void load_shared_words(uint32_t at, uint32_t (&x)[4])
{
    memcpy(x, words + at / 4, sizeof x);
}

SPS_DEVICE void barrier_expect(uint32_t, uint32_t)
{
}

SPS_DEVICE void barrier_fence_init(void)
{
}

[[maybe_unused]] SPS_DEVICE void warp_arrive(uint32_t)
{
}

#include "kernels/cuda/sm90/ring.cuh"

/* ---- loads that are on their way ---- */

struct load {
    uint32_t to, barrier;
    int unit;
};
static std::vector<load> loads;

template <int D>
static void tma_load_slabs(uint32_t to, int, const void *, uint32_t barrier, int, int key,
                           int)
{
    loads.push_back({to, barrier, key / 64});
}

#include "kernels/cuda/sm90/union_feed.cuh"

using std::vector;

/* ---- readers ---- */

enum step { TILE, TAKE, SCORES, VALUES, OVER };

/* A warpgroup as union_steps.cuh drives it: `held` is the unit before, whose values wait
 * for the scores of `own`. */
struct reader {
    struct ring<UNION_TICKETS> queue;
    struct ring<UNION_TILES> tiles;
    enum step step;
    struct ticket own, held;
    bool holds;
    int ends;
    vector<int> told, near; /* units, END where a part ends; their `near` */
    vector<int> numbers;    /* of tiles */
};

enum { END = -1, PARTS = 2 };

static struct reader readers[UNION_WGS];
static uint64_t seed, draws;
static bool sound;   /* nobody was stuck, and units stood where they were said to */
static bool working; /* readers, not the producer */
static bool (*let_work)(void);

static int draw(int below)
{
    uint32_t x[4];

    sps_philox(seed, 0, draws++, x);
    return (int)(x[0] % (uint32_t)below);
}

static bool readers_work(void)
{
    working = true;
    bool done = let_work();
    working = false;
    return done;
}

/* The producer's lane 0 lets the readers work until the phase is over; a reader looks
 * before it waits. */
static void barrier_poll(uint32_t at, int parity)
{
    if (working)
        return;
    if (warp.running == 0)
        while (sound && !barrier_over(at, parity))
            if (!readers_work())
                sound = false;
    __syncwarp();
}

static int slot_stage(int slot)
{
    return slot & SLOT_STAGE;
}

static bool slot_full(uint32_t ring, int slot)
{
    return barrier_over(ring + 8 * slot_stage(slot), slot / SLOT_PHASE & 1);
}

template <class S> static void give_back_values(const struct ticket *t)
{
    sound &= tiles_at[(S::values + slot_stage(t->values) * S::stage) / 1024] == t->unit;
    barrier_arrive(S::value_ring + 8 * (S::value_stages + slot_stage(t->values)),
                   WG_WARPS);
}

static bool posted(const struct reader *r)
{
    return barrier_over(ring_full(&r->queue), r->queue.phase);
}

/* The next tile's number; false while there is none. */
template <class S> static bool begin(struct reader *r, int wg)
{
    if (!posted(r))
        return false;
    r->numbers.push_back(take_tile<S>(0, wg, &r->queue));
    r->step = r->numbers.back() < 0 ? OVER : TAKE;
    return true;
}

/* The warpgroup's next ticket; false while there is none. */
template <class S> static bool take(struct reader *r, int wg)
{
    if (!posted(r))
        return false;
    r->own = take_ticket<S>(0, wg, &r->queue);
    r->told.push_back(r->own.last ? END : r->own.unit);
    r->near.push_back(r->own.near);
    r->step = r->own.last ? TAKE : SCORES;
    if (r->own.last && ++r->ends % PARTS == 0) {
        barrier_arrive(ring_empty(&r->tiles), WG_WARPS);
        ring_next(&r->tiles);
        r->step = TILE;
    }
    return true;
}

template <class S> static bool score(struct reader *r)
{
    if (!slot_full(S::key_ring, r->own.keys) ||
        (r->holds && !slot_full(S::value_ring, r->held.values)))
        return false;
    sound &=
        tiles_at[(S::keys + slot_stage(r->own.keys) * S::stage) / 1024] == r->own.unit;
    barrier_arrive(S::key_ring + 8 * (S::key_stages + slot_stage(r->own.keys)), WG_WARPS);
    if (r->holds)
        give_back_values<S>(&r->held);
    r->held = r->own, r->holds = r->own.near;
    r->step = r->own.near ? TAKE : VALUES;
    return true;
}

template <class S> static bool add_values(struct reader *r)
{
    if (!slot_full(S::value_ring, r->own.values))
        return false;
    give_back_values<S>(&r->own);
    r->step = TAKE;
    return true;
}

static bool load_arrives(void)
{
    if (loads.empty())
        return false;
    size_t i = (size_t)draw((int)loads.size());
    tiles_at[loads[i].to / 1024] = loads[i].unit;
    barrier_arrive(loads[i].barrier);
    loads.erase(loads.begin() + (long)i);
    return true;
}

template <class S> static bool step(struct reader *r, int wg)
{
    switch (r->step) {
    case TILE:
        return begin<S>(r, wg);
    case TAKE:
        return take<S>(r, wg);
    case SCORES:
        return score<S>(r);
    case VALUES:
        return add_values<S>(r);
    case OVER:
        break;
    }
    return false;
}

/* One of those that can do something does it; false when nobody can. */
template <class S> static bool work(void)
{
    int from = draw(UNION_WGS + 1);

    for (int i = 0; i <= UNION_WGS; i++) {
        int who = (from + i) % (UNION_WGS + 1);
        if (who == UNION_WGS ? load_arrives() : step<S>(&readers[who], who))
            return true;
    }
    return false;
}

/* ---- what is fed: tiles with a union and a window ---- */

struct tile {
    vector<union_entry> entries;
    struct unit_range window[UNION_WGS]; /* of each warpgroup */
};

/* dense of 8 warpgroups read a unit; `empty`: some tiles have none. */
static struct tile tile_of(int units, int dense, bool empty)
{
    struct tile t;

    for (int u = 0; u < units && !(empty && draw(2)); u++) {
        union_entry e = {};
        e.unit = u;
        for (int w = 0; w < UNION_WGS; w++)
            if (draw(8) < dense)
                e.chosen[w] = draw(2) ? 1 : 1ull << 63;
        if (e.chosen[0] || e.chosen[1] || e.chosen[2])
            t.entries.push_back(e);
    }
    for (int w = 0; w < UNION_WGS; w++) {
        t.window[w].from = w + draw(2);
        t.window[w].end = t.window[w].from + (empty && draw(3) == 0 ? 0 : draw(5));
    }
    return t;
}

static const vector<tile> *fed;

/* All tiles, as feed_unions and feed_window bring them. */
template <class S> static void feed_all(void *)
{
    static const struct union_work work = {};
    int lane = warp.running;
    struct ring<UNION_TILES> ring = {
        S::tile_ring, 0, 0
    };
    struct union_feeder<S> f = {
    };

    f.keys.at = S::key_ring, f.values.at = S::value_ring;
    f.queue = tickets_of<S>(0, lane);
    for (size_t i = 0; i < fed->size(); i++) {
        const struct tile &t = (*fed)[i];
        struct union_tile tile = {};
        tile.entries = t.entries.data(), tile.count = (int)t.entries.size();
        ring_free(&ring);
        feed_tile(&f, (int)i);
        feed_union(&work, &tile, &f);
        feed_range(&work, {0, 9}, t.window[lane % UNION_WGS], &f);
        ring_next(&ring);
    }
    ring_free(&ring);
    feed_tile(&f, -1);
}

/* What reader wg must be told. */
static void expect(const vector<tile> &tiles, int wg, vector<int> *told,
                   vector<int> *near)
{
    for (const struct tile &t : tiles) {
        const vector<union_entry> &e = t.entries;
        for (size_t i = 0; i < e.size(); i++) {
            if (!e[i].chosen[wg])
                continue;
            bool soon = false;
            for (size_t j = i + 1; j < e.size() && j <= i + UNION_NEAR; j++)
                soon |= e[j].chosen[wg] != 0;
            told->push_back(e[i].unit), near->push_back(soon);
        }
        told->push_back(END);
        near->push_back(true); /* of no meaning */
        for (int unit = t.window[wg].from; unit < t.window[wg].end; unit++)
            told->push_back(unit), near->push_back(unit + 1 < t.window[wg].end);
        told->push_back(END);
        near->push_back(true);
    }
}

template <class S> static bool told_right(const vector<tile> &tiles)
{
    vector<int> numbers;
    bool right = true;

    for (int i = 0; i < (int)tiles.size(); i++)
        numbers.push_back(i);
    numbers.push_back(-1);
    init_barriers<S>(0);
    fed = &tiles;
    loads.clear(), sound = true, let_work = work<S>;
    for (int wg = 0; wg < UNION_WGS; wg++) {
        readers[wg] = {};
        readers[wg].queue = tickets_of<S>(0, wg);
        readers[wg].tiles.at = S::tile_ring;
    }
    warp_run(feed_all<S>, NULL);
    while (sound && readers_work())
        ;
    for (const struct reader &r : readers)
        right &= r.numbers == numbers;
    for (int wg = 0; wg < UNION_WGS; wg++) {
        vector<int> told, near;
        expect(tiles, wg, &told, &near);
        right &= readers[wg].told == told && readers[wg].near == near;
    }
    return sound && right;
}

enum { TILES = 12, SEEDS = 40 };

template <class S> static void check_shape(void)
{
    for (int dense = 0; dense <= 8; dense++)
        for (int empty = 0; empty < 2; empty++)
            for (seed = 0; seed < SEEDS; seed++) {
                vector<tile> tiles;
                draws = 0;
                for (int i = 0; i < TILES; i++)
                    tiles.push_back(tile_of(1 + draw(40), dense, empty));
                if (!told_right<S>(tiles)) {
                    CU_FAIL("a reader was told wrong, or waits for ever");
                    return;
                }
            }
}

static void test_d128(void)
{
    check_shape<union_shape<128, 5, 6>>();
}

static void test_d64(void)
{
    check_shape<union_shape<64, 10, 14>>();
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"heads of 128: every reader is told its units", test_d128},
        {"heads of 64: every reader is told its units", test_d64},
        {NULL, NULL},
    };

    return tap_run("emulated tickets", tests);
}
