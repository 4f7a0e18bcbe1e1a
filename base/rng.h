/* rng.h - counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).
 *
 * A number depends on (seed, stream, counter) alone, so any chunking, order
 * and thread count give the same bytes.
 */
#ifndef SPS_BASE_RNG_H
#define SPS_BASE_RNG_H

#include <stdint.h>

#include "base/status.h"

SPS_BEGIN_DECLS

/* Four 32-bit words for (seed, stream, counter). */
void sps_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

/* Uniform in (0,1), 23 bits, from one word: with 24 the largest would round to 1. */
static inline float sps_uniform(uint32_t word)
{
    return ((float)(word >> 9) + 0.5f) * 0x1p-23f;
}

/* count standard normals (Box-Muller in double), element i keyed by first + i;
 * first must be a multiple of 4. */
void sps_normals(uint64_t seed, uint64_t stream, uint64_t first, int64_t count,
                 float *out);

SPS_END_DECLS

#endif
