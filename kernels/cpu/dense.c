/* dense.c - attention over all tokens of a band, in tiles through OpenBLAS. */
#include <stdlib.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/tile.h"

enum sps_status sps_cpu_dense(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_qkv *in, const struct sps_band *band,
                              struct sps_rows rows, float *o, float *lse)
{
    int64_t size = sps_task_rows(shape, SPS_TILE_ITEMS), count;
    struct sps_scratch scratch;
    struct sps_task *tasks;

    dev->impl = "dense_tiles_sgemm";
    SPS_TRY(sps_scratch_new(dev, sps_tile_bytes(shape, size), &scratch));
    enum sps_status status = sps_tasks_new(shape, rows, size, shape->g, &tasks, &count);
    if (status == SPS_OK) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(dev->threads)
        for (int64_t i = 0; i < count; i++) {
            struct sps_tile tile;
            sps_tile_begin(&tile, shape, in, &tasks[i], sps_scratch_mine(&scratch), size);
            sps_tile_band(&tile, band);
            sps_tile_end(&tile, o, lse);
        }
        free(tasks);
    }
    sps_scratch_free(&scratch);
    return status;
}
