/* share.cu - one choice for neighbouring rows: their scores become the sum. */
#include "kernels/cuda/cuda.h"

/* The tile of a sequence's row; positions may be negative. */
SPS_DEVICE int tile_of(const struct geometry *at, const struct seq_view *seq, int row,
                       int tile)
{
    int pos = geometry_pos(at, seq, row);

    return pos < 0 ? -((tile - 1 - pos) / tile) : pos / tile;
}

/* A thread a column of a tile's rows; those of rows that do not begin one do nothing. */
static __global__ void share(const __grid_constant__ struct geometry at, int tile,
                             int64_t columns, int64_t count, float *scores)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

    if (i >= count)
        return;
    int row = (int)(i / columns);
    struct seq_view seq = geometry_find(&at, row);
    int own = (int)(at.begin + row - seq.row), number = tile_of(&at, &seq, own, tile);
    if (own > 0 && tile_of(&at, &seq, own - 1, tile) == number)
        return;
    float sum = 0, *x = scores + i;
    int rows = 0;
    for (; own + rows < seq.rows && tile_of(&at, &seq, own + rows, tile) == number;
         rows++)
        sum += x[rows * columns];
    for (int r = 0; r < rows; r++)
        x[r * columns] = sum;
}

enum sps_status sps_cuda_share(struct sps_device *dev, const struct sps_shape *shape,
                               int64_t tile, int64_t block, int64_t heads,
                               struct sps_rows rows, float *scores)
{
    int64_t columns = heads * sps_shape_blocks(shape, block),
            count = (rows.end - rows.begin) * columns;
    struct geometry at;

    dev->impl = "share";
    SPS_TRY(sps_cuda_geometry(dev, shape, NULL, NULL, rows, 1, 1, &at));
    if (count > 0)
        share<<<(unsigned)((count + 255) / 256), 256, 0, cuda_state_of(dev)->stream>>>(
            at, (int)tile, columns, count, scores);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}
