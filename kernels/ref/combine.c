/* combine.c - reference sum of branches, each weighted by a gate or a constant. */
#include "kernels/ref/ref.h"

enum sps_status sps_ref_combine(struct sps_device *dev, const struct sps_shape *shape,
                                int64_t parts, const float *const *part,
                                const float *gate, const float *constant,
                                struct sps_rows rows, float *o)
{
    int64_t h = shape->h, dv = shape->dv;

    dev->impl = "combine_ref";
#pragma omp parallel for num_threads(dev->threads)
    for (int64_t i = rows.begin * h; i < rows.end * h; i++) {
        const float *weight = gate ? gate + i * parts : constant;
        for (int64_t d = 0; d < dv; d++) {
            double sum = 0;
            for (int64_t b = 0; b < parts; b++)
                sum += (double)weight[b] * part[b][i * dv + d];
            o[i * dv + d] = (float)sum;
        }
    }
    return SPS_OK;
}
