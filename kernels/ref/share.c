/* share.c - one choice for neighbouring rows: their scores become the sum. */
#include "kernels/ref/ref.h"

/* scores[rows][columns], rows `columns` numbers apart, all get the sum of each column. */
static void add_up(float *scores, int64_t rows, int64_t columns)
{
    for (int64_t c = 0; c < columns; c++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += scores[r * columns + c];
        for (int64_t r = 0; r < rows; r++)
            scores[r * columns + c] = (float)sum;
    }
}

enum sps_status sps_ref_share(struct sps_device *dev, const struct sps_shape *shape,
                              int64_t tile, int64_t block, int64_t heads,
                              struct sps_rows rows, float *scores)
{
    int64_t columns = heads * sps_shape_blocks(shape, block);

    dev->impl = "share_ref";
#pragma omp parallel for schedule(dynamic, 64) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_rows own = sps_shape_tile(shape, tile, row);
        own.begin = own.begin < rows.begin ? rows.begin : own.begin;
        own.end = own.end > rows.end ? rows.end : own.end;
        if (own.begin == row)
            add_up(scores + (row - rows.begin) * columns, own.end - own.begin, columns);
    }
    return SPS_OK;
}
