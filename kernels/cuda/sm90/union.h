/* union.h - attention over an index by unions: a tile of tokens reads every 64 keys that
 * one of them chose once, for all of them (sm_90a).
 */
#ifndef SPS_KERNELS_CUDA_SM90_UNION_H
#define SPS_KERNELS_CUDA_SM90_UNION_H

#include <cuda.h>

#include "kernels/cuda/sm90/tma.h"

/* Consumer warpgroups of a CTA, each with 64 rows: 64/p tokens of p heads. */
enum { UNION_WGS = 3, UNION_ROWS = 64, UNION_KEYS = 64 };

/* Keys [64 unit, 64 unit + 64) of a sequence, and who reads them: bit j of chosen[w] is
 * token j of warpgroup w. */
struct union_entry {
    uint64_t chosen[UNION_WGS];
    int32_t unit, pad;
};

/* Behind the union the window of a->at, then the sum: o = gate[t,h,0] first[t,h,dv] +
 * gate[t,h,1] union + gate[t,h,2] window; gate NULL: constant. */
struct union_gates {
    const float *first, *gate;
    float constant[3];
};

/* The unions of tiles [first, first + tiles) of a->at, ascending: that of tile i and
 * index head x is entries[j * most ..] of length count[j], j = i * index_heads + x. */
struct union_work {
    struct union_entry *entries;
    int32_t *count;
    int64_t most;
    int32_t first, tiles;
    int ctas; /* to launch */
    struct tile_counter counter;
    struct union_gates gates;
    float4 *parked;      /* gated: d/8 a consumer thread of each CTA */
    CUtensorMap q, k, v; /* boxes: p heads of 64/p tokens; 64 keys of one head */
};

/* True when the kernels here take this call: bounded lists of whole units, no band. */
bool sps_sm90_union_suits(struct sps_device *dev, const struct sps_shape *shape,
                          const struct sps_index *index, const struct sps_band *band,
                          const struct attend_args *a);

/* Attend rows; a->at is filled.  gates NULL: over the index alone; else lse is left. */
enum sps_status sps_sm90_union(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_index *index, int64_t window,
                               const struct union_gates *gates, struct sps_rows rows,
                               struct attend_args *a);

/* w->entries and w->count of its tiles, from a->list; units: of the longest sequence. */
cudaError_t sps_sm90_union_lists(const struct attend_args *a, const struct union_work *w,
                                 int64_t units, cudaStream_t stream);

typedef cudaError_t union_run(const struct attend_args *a, const struct union_work *w,
                              cudaStream_t stream);
union_run sps_sm90_union_d64, sps_sm90_union_d128, sps_sm90_union_gated_d64,
    sps_sm90_union_gated_d128;

#endif
