/* rng.c - Philox4x32-10 and the normals made from it. */
#include "base/rng.h"

#include <math.h>

static void round_once(uint32_t x[4], const uint32_t key[2])
{
    uint64_t a = (uint64_t)0xd2511f53 * x[0], b = (uint64_t)0xcd9e8d57 * x[2];
    uint32_t y[4] = {(uint32_t)(b >> 32) ^ x[1] ^ key[0], (uint32_t)b,
                     (uint32_t)(a >> 32) ^ x[3] ^ key[1], (uint32_t)a};

    for (int i = 0; i < 4; i++)
        x[i] = y[i];
}

void sps_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4])
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

    out[0] = (uint32_t)counter, out[1] = (uint32_t)(counter >> 32);
    out[2] = (uint32_t)stream, out[3] = (uint32_t)(stream >> 32);
    for (int i = 0; i < 10; i++) {
        round_once(out, key);
        key[0] += 0x9e3779b9, key[1] += 0xbb67ae85;
    }
}

/* Two uniforms of (0,1] and [0,1) with 32 bits each to two normals. */
static void box_muller(uint32_t a, uint32_t b, float out[2])
{
    double radius = sqrt(-2 * log((a + 1.0) * 0x1p-32)), angle = b * 0x1p-32 * 2 * M_PI;

    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

void sps_normals(uint64_t seed, uint64_t stream, uint64_t first, int64_t count,
                 float *out)
{
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t word[4];
        float four[4];

        sps_philox(seed, stream, (first + (uint64_t)i) / 4, word);
        box_muller(word[0], word[1], four);
        box_muller(word[2], word[3], four + 2);
        for (int64_t j = 0; j < 4 && i + j < count; j++)
            out[i + j] = four[j];
    }
}
