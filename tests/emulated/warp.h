/* warp.h - a warp of CUDA's threads on the CPU: 32 fibers that take turns, and the
 * intrinsics by which a warp talks, so that device code which needs no more can be tested
 * without a device.  For one .cu file, before the headers that it tests.
 *
 * All lanes must make the same exchanges in the same order, as converged device code
 * does.
 */
#ifndef SPS_TESTS_EMULATED_WARP_H
#define SPS_TESTS_EMULATED_WARP_H

#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum { WARP_LANES = 32, WARP_STACK = 65536 };

static struct warp {
    ucontext_t caller, lane[WARP_LANES];
    uint32_t given[2][WARP_LANES]; /* by turn: a lane may be one exchange ahead */
    int turn[WARP_LANES], running;
    bool over[WARP_LANES];
    void (*body)(void *);
    void *what;
    char stack[WARP_LANES][WARP_STACK];
} warp;

/* The next lane that has not ended, -1: none but this one, or none at all. */
static int warp_next(void)
{
    for (int i = 1; i < WARP_LANES; i++) {
        int lane = (warp.running + i) % WARP_LANES;
        if (!warp.over[lane])
            return lane;
    }
    return -1;
}

static void warp_lane(void)
{
    warp.body(warp.what);
    warp.over[warp.running] = true;
    int next = warp_next();
    if (next < 0)
        setcontext(&warp.caller);
    warp.running = next;
    setcontext(&warp.lane[next]);
}

/* Run body(what) on all lanes. */
static void warp_run(void (*body)(void *), void *what)
{
    warp.body = body, warp.what = what, warp.running = 0;
    for (int i = 0; i < WARP_LANES; i++) {
        warp.turn[i] = 0, warp.over[i] = false;
        getcontext(&warp.lane[i]);
        warp.lane[i].uc_stack.ss_sp = warp.stack[i];
        warp.lane[i].uc_stack.ss_size = WARP_STACK;
        warp.lane[i].uc_link = NULL;
        makecontext(&warp.lane[i], warp_lane, 0);
    }
    swapcontext(&warp.caller, &warp.lane[0]);
}

/* What every lane gives, once all have. */
static const uint32_t *warp_exchange(uint32_t own)
{
    int lane = warp.running, turn = warp.turn[lane];

    warp.given[turn][lane] = own;
    warp.turn[lane] = !turn;
    int next = warp_next();
    if (next >= 0) {
        warp.running = next;
        swapcontext(&warp.lane[lane], &warp.lane[next]);
    }
    return warp.given[turn];
}

/* The lanes' values by `f` from the first on. */
template <typename F> static uint32_t warp_fold(uint32_t own, F f)
{
    const uint32_t *given = warp_exchange(own);
    uint32_t all = given[0];

    for (int i = 1; i < WARP_LANES; i++)
        all = f(all, given[i]);
    return all;
}

static uint32_t warp_ballot(bool own)
{
    const uint32_t *given = warp_exchange(own);
    uint32_t all = 0;

    for (int i = 0; i < WARP_LANES; i++)
        all |= given[i] << i;
    return all;
}

static uint32_t warp_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float warp_float(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* What lane `from` gives. */
static uint32_t warp_shuffle(uint32_t own, int from)
{
    return warp_exchange(own)[from];
}

static int warp_shuffle(int own, int from)
{
    return (int)warp_exchange((uint32_t)own)[from];
}

static float warp_shuffle(float own, int from)
{
    return warp_float(warp_exchange(warp_bits(own))[from]);
}

static void warp_least(unsigned long long *at, unsigned long long x)
{
    *at = x < *at ? x : *at;
}

struct warp_thread {
    int x;
};

#define threadIdx                       (warp_thread{warp.running})
#define __shfl_sync(mask, own, from)    warp_shuffle(own, from)
#define __shfl_xor_sync(mask, own, bit) warp_shuffle(own, warp.running ^ (bit))
#define __ballot_sync(mask, own)        warp_ballot(own)
#define __any_sync(mask, own)           (warp_ballot(own) != 0)
#define __syncwarp()                    ((void)warp_exchange(0))
#define __reduce_add_sync(mask, own)                                                     \
    ((int)warp_fold((uint32_t)(own), [](uint32_t a, uint32_t b) { return a + b; }))
#define __reduce_max_sync(mask, own)                                                     \
    warp_fold(own, [](uint32_t a, uint32_t b) { return a > b ? a : b; })
#define __reduce_min_sync(mask, own)                                                     \
    warp_fold(own, [](uint32_t a, uint32_t b) { return a < b ? a : b; })
#define __popc(x)          __builtin_popcount(x)
#define __float_as_uint(x) warp_bits(x)
#define __uint_as_float(x) warp_float(x)
#define atomicMin(at, x)   warp_least(at, x)

#endif
