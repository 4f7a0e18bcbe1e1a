/* gate.c - reference scores of a query against what stands for each whole block: MoBA's
 * mean key, or another summary (bound.c).
 */
#include "kernels/check.h"
#include "kernels/ref/ref.h"

enum sps_status sps_ref_score_blocks(struct sps_device *dev,
                                     const struct sps_shape *shape,
                                     const struct sps_tensor *q, const float *blocks,
                                     int64_t width, sps_ref_score *score,
                                     const struct sps_compression *by,
                                     struct sps_rows rows, float *scores)
{
    int64_t h = shape->h, g = shape->g, dk = shape->dk;
    int64_t count = sps_shape_blocks(shape, by->l);

#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        int64_t whole = at.visible / by->l, first = by->cu[at.sequence];
        for (int64_t head = 0; head < h; head++) {
            const float *query = (const float *)q->data + (row * h + head) * dk;
            float *to = scores + ((row - rows.begin) * h + head) * count;
            for (int64_t b = 0; b < count; b++) {
                const float *of = blocks + ((first + b) * g + head / (h / g)) * width;
                to[b] = b < whole ? (float)score(query, of, dk) : 0;
            }
        }
    }
    return SPS_OK;
}

enum sps_status sps_ref_gate(struct sps_device *dev, const struct sps_shape *shape,
                             const struct sps_tensor *q, const float *means,
                             const struct sps_compression *by, struct sps_rows rows,
                             float *scores)
{
    dev->impl = "gate_ref";
    SPS_TRY(sps_check_causal(shape, "gate"));
    return sps_ref_score_blocks(dev, shape, q, means, shape->dk, sps_ref_dot, by, rows,
                                scores);
}
