/* gather.h - an index turned round: for every block, the rows that chose it. */
#ifndef SPS_KERNELS_CUDA_GATHER_H
#define SPS_KERNELS_CUDA_GATHER_H

#include "kernels/cuda/cuda.h"

/* A tile of gathered rows: entries[first .. first + count) of one block, whose `keys`
 * keys start at packed key `key`. */
struct gather_tile {
    int32_t seq, unit, index_head, first, count, key, keys;
};

/* What a partial output says beside its values: the true ones are scale times these. */
struct partial_head {
    float lse, scale; /* lse in base 2 */
};

/* A list with one entry. */
SPS_DEVICE bool list_alone(const int32_t *list, int64_t width)
{
    return list[0] >= 0 && (width == 1 || list[1] < 0);
}

/* Rows a tile of the sm_90a kernels: as many as have room for outputs of dv columns. */
constexpr int gather90_rows(int dv)
{
    return dv > 128 ? 128 : 192;
}

enum { ALONE = 1 << 30 }; /* the row's only block: o and lse are written at once */

/* Partials are float32 with scale 1 (portable kernels), or fp16 with the power of two
 * that brings a row's largest element to [2^14, 2^15): then rounding moves an element by
 * at most 2^-11 of itself, or 2^-39 of the row's largest, whatever the range of v. */
struct gather_work {
    struct gather_tile *tiles;
    int32_t *total;             /* tiles in use */
    int64_t most;               /* tiles at most */
    int32_t *entries;           /* row of the chunk * width + slot; may have ALONE */
    void *partial;              /* [chunk,h,width,dv] */
    struct partial_head *heads; /* [chunk,h,width] */
};

/* Rows a chunk: as many as have their partials in the scratch at a time. */
int64_t sps_cuda_gather_chunk(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_index *index, struct sps_rows rows,
                              const struct attend_args *a);

/* Attend rows in chunks whose partials fit; a->at is rebuilt for each chunk. */
enum sps_status sps_cuda_gather(struct sps_device *dev, const struct sps_shape *shape,
                                const struct sps_index *index, struct sps_rows rows,
                                struct attend_args *a);

/* o and lse of `pairs` (row, head) from partials of `bytes` an element, in a fixed order;
 * rows with one entry have theirs. */
cudaError_t sps_cuda_merge(const struct attend_args *a, const struct gather_work *w,
                           int bytes, int64_t pairs, cudaStream_t stream);

/* Run the tiles: partials of every entry, but o and lse of rows that are ALONE. */
enum sps_status sps_cuda_gather_d64(struct sps_device *, const struct sps_shape *,
                                    const struct attend_args *,
                                    const struct gather_work *);
enum sps_status sps_cuda_gather_d128(struct sps_device *, const struct sps_shape *,
                                     const struct attend_args *,
                                     const struct gather_work *);
enum sps_status sps_cuda_gather_d192(struct sps_device *, const struct sps_shape *,
                                     const struct attend_args *,
                                     const struct gather_work *);
enum sps_status sps_cuda_gather_d256(struct sps_device *, const struct sps_shape *,
                                     const struct attend_args *,
                                     const struct gather_work *);

/* For sm_90a: tiles of gather90_rows() rows, blocks of at most 65535 keys. */
enum sps_status sps_sm90_gather_d64(struct sps_device *, const struct sps_shape *,
                                    const struct attend_args *,
                                    const struct gather_work *);
enum sps_status sps_sm90_gather_d128(struct sps_device *, const struct sps_shape *,
                                     const struct attend_args *,
                                     const struct gather_work *);
enum sps_status sps_sm90_gather_d192(struct sps_device *, const struct sps_shape *,
                                     const struct attend_args *,
                                     const struct gather_work *);
enum sps_status sps_sm90_gather_d256(struct sps_device *, const struct sps_shape *,
                                     const struct attend_args *,
                                     const struct gather_work *);

#endif
