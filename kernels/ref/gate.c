/* gate.c - reference MoBA scores: a query against the mean key of each whole block. */
#include "kernels/check.h"
#include "kernels/ref/ref.h"

/* Blocks that the row sees only in part score 0: their mean holds keys it must not see.
 */
enum sps_status sps_ref_gate(struct sps_device *dev, const struct sps_shape *shape,
                             const struct sps_tensor *q, const float *means,
                             const struct sps_compression *by, struct sps_rows rows,
                             float *scores)
{
    int64_t h = shape->h, g = shape->g, dk = shape->dk;
    int64_t blocks = sps_shape_blocks(shape, by->l);

    dev->impl = "gate_ref";
    SPS_TRY(sps_check_causal(shape, "gate"));
#pragma omp parallel for schedule(dynamic) num_threads(dev->threads)
    for (int64_t row = rows.begin; row < rows.end; row++) {
        struct sps_ref_row at = sps_ref_row(shape, row);
        int64_t whole = at.visible / by->l, first = by->cu[at.sequence];
        for (int64_t head = 0; head < h; head++) {
            const float *query = (const float *)q->data + (row * h + head) * dk;
            float *score = scores + ((row - rows.begin) * h + head) * blocks;
            for (int64_t b = 0; b < blocks; b++) {
                const float *mean = means + ((first + b) * g + head / (h / g)) * dk;
                score[b] = b < whole ? (float)sps_ref_dot(query, mean, dk) : 0;
            }
        }
    }
    return SPS_OK;
}
