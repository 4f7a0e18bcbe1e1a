/* combine.c - reference sum of branches, each weighted by a gate or a constant, and its
 * gradients. */
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

enum sps_status sps_ref_combine_backward(struct sps_device *dev,
                                         const struct sps_shape *shape, int64_t parts,
                                         const float *const *part, const float *gate,
                                         const float *constant, struct sps_rows rows,
                                         const float *d_o, float *const *d_part,
                                         float *dgate)
{
    int64_t h = shape->h, dv = shape->dv;

    dev->impl = "combine_backward_ref";
#pragma omp parallel for num_threads(dev->threads)
    for (int64_t i = rows.begin * h; i < rows.end * h; i++) {
        const float *weight = gate ? gate + i * parts : constant;
        for (int64_t b = 0; b < parts; b++) {
            dgate[i * parts + b] = (float)sps_ref_dot(d_o + i * dv, part[b] + i * dv, dv);
            for (int64_t d = 0; d < dv; d++)
                d_part[b][i * dv + d] = weight[b] * d_o[i * dv + d];
        }
    }
    return SPS_OK;
}
