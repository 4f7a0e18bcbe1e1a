/* noise.cu - random block scores, the bits of the reference: word b % 4 of Philox(seed,
 * stream head, counter pos 2^32 + b / 4) as a uniform (Salmon et al., SC 2011). */
#include "kernels/cuda/cuda.h"

SPS_DEVICE void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t x[4])
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

    x[0] = (uint32_t)counter, x[1] = (uint32_t)(counter >> 32);
    x[2] = (uint32_t)stream, x[3] = (uint32_t)(stream >> 32);
#pragma unroll
    for (int i = 0; i < 10; i++) {
        uint64_t a = (uint64_t)0xd2511f53 * x[0], b = (uint64_t)0xcd9e8d57 * x[2];
        uint32_t y[4] = {(uint32_t)(b >> 32) ^ x[1] ^ key[0], (uint32_t)b,
                         (uint32_t)(a >> 32) ^ x[3] ^ key[1], (uint32_t)a};
        x[0] = y[0], x[1] = y[1], x[2] = y[2], x[3] = y[3];
        key[0] += 0x9e3779b9, key[1] += 0xbb67ae85;
    }
}

/* Four blocks a thread. */
static __global__ void noise(const __grid_constant__ struct geometry at, uint64_t seed,
                             int64_t heads, int64_t blocks, int64_t count, float *scores)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, fours = (blocks + 3) / 4;
    uint32_t word[4];

    if (i >= count)
        return;
    int64_t list = i / fours, b = i % fours * 4, row = list / heads;
    struct seq_view seq = geometry_find(&at, (int)row);
    uint64_t pos = (uint64_t)geometry_pos(&at, &seq, (int)(at.begin + row - seq.row));
    philox(seed, (uint64_t)(list % heads), pos << 32 | (uint64_t)b / 4, word);
    for (int e = 0; e < 4 && b + e < blocks; e++)
        scores[list * blocks + b + e] = ((float)(word[e] >> 9) + 0.5f) * 0x1p-23f;
}

enum sps_status sps_cuda_noise(struct sps_device *dev, const struct sps_shape *shape,
                               uint64_t seed, int64_t block, int64_t heads,
                               struct sps_rows rows, float *scores)
{
    int64_t blocks = sps_shape_blocks(shape, block);
    int64_t count = (rows.end - rows.begin) * heads * ((blocks + 3) / 4);
    struct geometry at;

    dev->impl = "noise";
    SPS_TRY(sps_cuda_geometry(dev, shape, NULL, NULL, rows, 1, 1, &at));
    if (count > 0)
        noise<<<(unsigned)((count + 255) / 256), 256, 0, cuda_state_of(dev)->stream>>>(
            at, seed, heads, blocks, count, scores);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}
