/* noise.c - random block scores that any backend can repeat.
 *
 * Score of block b at position pos for score head x: word b % 4 of Philox(seed, stream x,
 * counter pos 2^32 + b / 4) as a uniform.  Sequences of one pack draw alike.
 */
#include "base/rng.h"
#include "kernels/ref/ref.h"

enum sps_status sps_ref_noise(struct sps_device *dev, const struct sps_shape *shape,
                              uint64_t seed, int64_t block, int64_t heads,
                              struct sps_rows rows, float *scores)
{
    int64_t blocks = sps_shape_blocks(shape, block);

    dev->impl = "noise_ref";
#pragma omp parallel for num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        uint64_t pos = (uint64_t)sps_ref_row(shape, row).pos;
        for (int64_t x = 0; x < heads; x++) {
            float *score = scores + ((row - rows.begin) * heads + x) * blocks;
            uint32_t word[4];
            for (int64_t b = 0; b < blocks; b++) {
                if (b % 4 == 0)
                    sps_philox(seed, (uint64_t)x, pos << 32 | (uint64_t)b / 4, word);
                score[b] = sps_uniform(word[b % 4]);
            }
        }
    }
    return SPS_OK;
}
