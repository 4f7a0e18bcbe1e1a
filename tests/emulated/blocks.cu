/* blocks.cu - scores of blocks out of one pass over compressed keys
 * (kernels/cuda/sm90/compressed_blocks.cuh), without a GPU: against plain sums in double,
 * for all group sizes, and with logits that grow beyond float's range.
 */
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "kernels/backend.h"
#include "tests/emulated/warp.h"
extern "C" {
#include "tests/tap.h"
}

/* What the header takes from hopper.cuh and geometry.cuh, and needs no device for. */
#define SPS_KERNELS_CUDA_SM90_HOPPER_CUH
#define SPS_KERNELS_CUDA_GEOMETRY_CUH
#define SPS_SM90A
#define SPS_DEVICE         static inline
#define exp2_fast(x)       exp2f(x)
#define __fmaf_rn(a, b, c) fmaf(a, b, c)
#define __ldcg(p)          (*(p))

SPS_DEVICE float block_score(float x)
{
    return x < SPS_SCORE_LEAST ? 0 : x;
}

#include "kernels/cuda/sm90/compressed_blocks.cuh"

using std::vector;

enum {
    KEYS = COMPRESSED90_KEYS,
    WARPS = 4,
    ROWS = 16 * WARPS,
    LAZY = 8,
    STRIDES_A_BLOCK = 4
};

enum kind { NORMAL, WIDE, GROWING, KINDS };

/* A warpgroup's rows of one head group against `tiles` tiles of keys, of which token i
 * sees the first seen[i]. */
struct problem {
    int lg, p, tiles, warp;
    vector<int> seen;               /* [tokens] */
    vector<float> logit;            /* [ROWS,tiles * KEYS], base 2 */
    vector<float> m, sum;           /* [ROWS] of online softmax */
    vector<struct block_sums> sums; /* [tiles + 1,TILE_WARPS] */
    struct row_state rows[ROWS];
    float weights[ROWS];
    vector<float>
        scores; /* [WARPS or tokens,columns]; of tokens of many warps the first's */
    int columns;
};

static int tokens_of(const struct problem *x)
{
    return ROWS >> x->lg;
}

/* Blocks that a token sees: as many as begin before its last key's end. */
static int blocks_of(int seen)
{
    return (seen + 1) / STRIDES_A_BLOCK + 1;
}

static float logit(const struct problem *x, int row, int key)
{
    return key < x->seen[row >> x->lg] ? x->logit[(size_t)row * x->tiles * KEYS + key]
                                       : -INFINITY;
}

static void make(uint64_t seed, int lg, enum kind kind, struct problem *x)
{
    uint32_t word[4];

    sps_philox(seed, 60, 0, word);
    /* as log_rows() in sm90/compressed.cu: 8 rows where p is no power of two */
    int fewer = lg < 3 ? 1 : lg == 3 ? 6 : 1 << (lg - 1);
    x->lg = lg, x->p = (1 << lg) - (int)(word[0] % fewer);
    x->tiles = 1 + (int)(word[1] % (seed % 10 ? 6 : 24)),
    x->columns = (x->tiles + 1) * TILE_BLOCKS;
    int keys = x->tiles * KEYS, last = keys - (int)(word[2] % KEYS);
    x->seen.assign(tokens_of(x), 0);
    for (int i = 0; i < tokens_of(x); i++)
        x->seen[i] = std::max(0, last - (tokens_of(x) - 1 - i) * (int)(word[3] % 3));
    x->logit.resize((size_t)ROWS * keys);
    sps_normals(seed, 61, 0, (int64_t)x->logit.size(), x->logit.data());
    for (size_t i = 0; i < x->logit.size(); i++)
        x->logit[i] *= kind == NORMAL ? 1.f
                       : kind == WIDE ? 20.f
                                      : exp2f(8.f * (float)(i % keys) / (float)keys);
    x->m.assign(ROWS, -INFINITY), x->sum.assign(ROWS, 0);
    x->sums.assign((size_t)(x->tiles + 1) * TILE_WARPS, {});
    x->scores.assign((size_t)std::max<int>(WARPS, tokens_of(x)) * x->columns, NAN);
    for (struct row_state &row : x->rows)
        row = {1, 0, NO_BASE, {0, 0, 0, 0}};
}

/* The row's maximum moves on to tile `tile`, as softmax_rows() moves it. */
static void see_tile(struct problem *x, int row, int tile)
{
    float most = -INFINITY, m = x->m[row];

    for (int k = tile * KEYS; k < (tile + 1) * KEYS; k++)
        most = std::max(most, logit(x, row, k));
    m = most > m + LAZY ? most : m;
    x->sum[row] *= m == -INFINITY ? 0 : exp2f(x->m[row] - m);
    for (int k = tile * KEYS; k < (tile + 1) * KEYS && m != -INFINITY; k++)
        x->sum[row] += exp2f(logit(x, row, k) - m);
    x->m[row] = m;
}

/* One warp sets its sums of a tile aside, from where an accumulator has p. */
static int tile_now;
static void store_tile(void *what)
{
    struct problem *x = (struct problem *)what;
    int lane = warp.running, first = 16 * x->warp + lane / 4;
    float s[KEYS / 2], m[2] = {x->m[first], x->m[first + 8]};

    for (int j = 0; j < KEYS / 2; j++) {
        int i = j >> 1 & 1, key = 32 * (lane & 3) + j / 4 * 2 + (j & 1);
        float base = m[i] == -INFINITY ? 0 : m[i];
        s[j] = exp2f(logit(x, first + 8 * i, tile_now * KEYS + key) - base);
    }
    struct block_sums *sums = x->sums.data() + x->warp;
    store_sums(s, m, tile_now, x->rows + first, sums + tile_now * TILE_WARPS);
    if (tile_now == x->tiles - 1)
        store_carry(x->rows + first, sums + x->tiles * TILE_WARPS);
}

static void merge(void *what)
{
    struct problem *x = (struct problem *)what;
    int first = x->warp * 16 >> x->lg, count = x->lg < 4 ? 16 >> x->lg : 1,
        lane = warp.running;
    struct warp_tokens tokens = {first, count, 0,
                                 lane < count ? blocks_of(x->seen[first + lane]) : 0};

    write_scores(x->sums.data(), x->weights, x->warp, x->lg, x->p, &tokens, x->columns,
                 x->scores.data());
}

/* The same of a token that begins a warp by sums over its rows, a lane four columns of
 * every fourth row, a tile at a time. */
static void add_up(void *what)
{
    struct problem *x = (struct problem *)what;
    int lane = warp.running, token = x->warp * 16 >> x->lg,
        visible = blocks_of(x->seen[token]);
    float *scores = x->scores.data() + (size_t)x->warp * x->columns;

    for (int tile = 0; tile * TILE_BLOCKS < visible; tile++) {
        float4 y = make_float4(0, 0, 0, 0);
        for (int r = lane / 8; r < x->p; r += 4) {
            const struct block_sums *sums =
                &x->sums[(size_t)tile * TILE_WARPS + x->warp + r / 16];
            const float *four = sums->x[r % 16] + 4 * (lane & 7),
                        w = x->weights[16 * x->warp + r];
            y.x += four[0] * w, y.y += four[1] * w;
            y.z += four[2] * w, y.w += four[3] * w;
        }
        float score = block_score(add_rows(y));
        scores[tile * TILE_BLOCKS + own_block()] = score;
    }
}

static void run(struct problem *x)
{
    for (int tile = 0; tile < x->tiles; tile++) {
        for (int row = 0; row < ROWS; row++)
            see_tile(x, row, tile);
        tile_now = tile;
        for (x->warp = 0; x->warp < WARPS; x->warp++)
            warp_run(store_tile, x);
    }
    for (int row = 0; row < ROWS; row++)
        x->weights[row] =
            x->sum[row] > 0 ? exp2f(x->rows[row].base - x->m[row]) / x->sum[row] : 0;
}

/* Scores by every warp, or by those with which tokens of whole warps begin. */
static void score_all(struct problem *x, void (*body)(void *), int step)
{
    x->scores.assign(x->scores.size(), NAN);
    for (x->warp = 0; x->warp < WARPS; x->warp += step)
        warp_run(body, x);
}

/* A row's logits' maximum and what exp2 of them less that adds up to. */
struct total {
    double top, sum;
};

static struct total total_of(const struct problem *x, int row)
{
    struct total of = {-INFINITY, 0};
    int seen = x->seen[row >> x->lg];

    for (int k = 0; k < seen; k++)
        of.top = fmax(of.top, logit(x, row, k));
    for (int k = 0; k < seen; k++)
        of.sum += exp2(logit(x, row, k) - of.top);
    return of;
}

/* Score of a token's block by NSA's eq. 9, in double. */
static double plain(const struct problem *x, const struct total *totals, int token,
                    int block)
{
    static const int weight[] = {1, 2, 2, 2, 1};
    double score = 0;

    for (int row = token << x->lg; row < (token << x->lg) + x->p; row++)
        for (int i = 0; i < 5; i++) {
            int k = STRIDES_A_BLOCK * block - 1 + i;
            if (k >= 0 && k < x->seen[token])
                score += weight[i] * exp2(logit(x, row, k) - totals[row].top) /
                         totals[row].sum;
        }
    return score;
}

/* Scores are off by no more than the width of a tie (docs/methods.md), 8 2^-24 of the
 * largest logit, and what exp2 and sums in float leave out. */
static void check(const struct problem *x, enum kind kind)
{
    struct total totals[ROWS];
    double most = 0;

    for (int row = 0; row < ROWS; row++)
        totals[row] = total_of(x, row);
    for (float logit : x->logit)
        most = fmax(most, fabsf(logit));
    for (int token = 0; token < tokens_of(x); token++)
        for (int block = 0; block < blocks_of(x->seen[token]); block++) {
            int slot = x->lg > 4 ? token << (x->lg - 4) : token;
            double want = plain(x, totals, token, block),
                   got = x->scores[(size_t)slot * x->columns + block];
            bool good = want < 0x1p-63 ? got < 0x1p-62
                                       : fabs(got / want - 1) < 2e-6 + 8 * 0x1p-24 * most;
            if (!good)
                printf("# kind %d, %d heads, token %d of %d keys, block %d: %g, not %g\n",
                       kind, x->p, token, x->seen[token], block, got, want);
            CU_ASSERT(good);
        }
}

static void test_scores(void)
{
    static struct problem x;

    for (int kind = 0; kind < KINDS; kind++)
        for (int lg = 0; lg <= 6; lg++)
            for (uint64_t seed = 0; seed < 4; seed++) {
                make(seed + 10 * lg + 100 * kind, lg, (enum kind)kind, &x);
                run(&x);
                score_all(&x, merge, 1);
                check(&x, (enum kind)kind);
                if (lg < 4)
                    continue;
                score_all(&x, add_up, 1 << (lg - 4));
                check(&x, (enum kind)kind);
            }
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"scores of blocks, as plain sums have them", test_scores},
        {NULL, NULL},
    };

    return tap_run("emulated blocks", tests);
}
