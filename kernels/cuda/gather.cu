/* gather.cu - turn an index round, run the gathered tiles, merge the partial outputs.
 *
 * Rows stand in a block's list in the order in which warps came by; no output bit depends
 * on that order, because each row's arithmetic is its own.
 */
#include "kernels/cuda/gather.h"

#include <string.h>

typedef cudaError_t launch(const struct attend_args *a, const struct gather_work *w,
                           cudaStream_t stream);

static const struct {
    launch *run;
    const char *impl;
    int rows;
} sizes[] = {
    {sps_cuda_gather_d64, "gather_mma_d64", 128},
    {sps_cuda_gather_d128, "gather_mma_d128", 128},
    {sps_cuda_gather_d192, "gather_mma_d192", 128},
    {sps_cuda_gather_d256, "gather_mma_d256", 64},
};

/* One (row, index head, slot) of the chunk; its bin, or -1 where the list has ended. */
struct place {
    int32_t entry;
    int bin;
};

struct bins {
    int units, count; /* blocks of all sequences; times index heads */
    int32_t *size, *first, *tile, *next;
};

SPS_DEVICE struct place place_of(const struct attend_args *a, const struct bins *bins,
                                 int64_t i, int rows)
{
    struct place at = {0, -1};
    int slot = (int)(i / rows % a->width), head = (int)(i / rows / a->width);
    int row = (int)(i % rows);

    if (i >= rows * a->width * a->index_heads)
        return at;
    int unit = a->list[((a->at.begin + row) * a->index_heads + head) * a->width + slot];
    struct seq_view seq = geometry_find(&a->at, row);
    at.entry = (int32_t)(row * a->width + slot);
    if (unit >= 0 && (int64_t)unit * a->block < seq.keys)
        at.bin = head * bins->units + seq.unit + unit;
    return at;
}

/* Take a place in the counter of each lane's bin, one atomic per bin and warp. */
SPS_DEVICE int take_place(int32_t *counter, int bin)
{
    unsigned same = __match_any_sync(~0u, bin);
    int lane = threadIdx.x & 31, leader = __ffs(same) - 1, base = 0;

    if (lane == leader && bin >= 0)
        base = atomicAdd(counter + bin, __popc(same));
    base = __shfl_sync(~0u, base, leader);
    return base + __popc(same & ((1u << lane) - 1));
}

static __global__ void count_places(const __grid_constant__ struct attend_args a,
                                    struct bins bins, int rows)
{
    struct place at =
        place_of(&a, &bins, blockIdx.x * (int64_t)blockDim.x + threadIdx.x, rows);

    take_place(bins.size, at.bin);
}

static __global__ void fill_places(const __grid_constant__ struct attend_args a,
                                   struct bins bins, int rows, int32_t *entries)
{
    struct place at =
        place_of(&a, &bins, blockIdx.x * (int64_t)blockDim.x + threadIdx.x, rows);
    int place = take_place(bins.next, at.bin);

    if (at.bin >= 0)
        entries[place] = at.entry;
}

/* Exclusive sums of sizes (first, next) and of tiles, by one CTA of 1024. */
static __global__ void __launch_bounds__(1024)
    scan_bins(struct bins bins, int rows, int32_t *total)
{
    __shared__ int32_t warps[2][32];
    int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
    int32_t entries = 0, tiles = 0;

    for (int from = 0; from < bins.count; from += 1024) {
        int bin = from + threadIdx.x, size = bin < bins.count ? bins.size[bin] : 0;
        int sum[2] = {size, (size + rows - 1) / rows}, own[2] = {sum[0], sum[1]};
        for (int step = 1; step < 32; step *= 2)
            for (int i = 0; i < 2; i++) {
                int other = __shfl_up_sync(~0u, sum[i], step);
                sum[i] += lane >= step ? other : 0;
            }
        __syncthreads();
        if (lane == 31)
            warps[0][warp] = sum[0], warps[1][warp] = sum[1];
        __syncthreads();
        int before[2] = {entries + sum[0] - own[0], tiles + sum[1] - own[1]};
        for (int w = 0; w < 32; w++) {
            before[0] += w < warp ? warps[0][w] : 0;
            before[1] += w < warp ? warps[1][w] : 0;
            entries += warps[0][w];
            tiles += warps[1][w];
        }
        if (bin < bins.count) {
            bins.first[bin] = bins.next[bin] = before[0];
            bins.tile[bin] = before[1];
        }
    }
    if (threadIdx.x == 0)
        *total = tiles;
}

static __global__ void cut_tiles(const __grid_constant__ struct attend_args a,
                                 struct bins bins, int rows, struct gather_tile *tiles)
{
    int bin = blockIdx.x * blockDim.x + threadIdx.x, seq = 0;

    if (bin >= bins.count)
        return;
    int unit = bin % bins.units, size = bins.size[bin];
    while (seq + 1 < a.at.n && a.at.seq[seq + 1].unit <= unit)
        seq++;
    for (int i = 0; i * rows < size; i++) {
        struct gather_tile tile = {seq, unit - a.at.seq[seq].unit, bin / bins.units,
                                   bins.first[bin] + i * rows,
                                   size - i * rows < rows ? size - i * rows : rows};
        tiles[bins.tile[bin] + i] = tile;
    }
}

/* o, lse of one (row, head) from its partials, in slot order: a warp each. */
static __global__ void merge(const __grid_constant__ struct attend_args a,
                             struct gather_work w, int64_t pairs)
{
    int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / 32;
    int lane = threadIdx.x & 31;

    if (i >= pairs)
        return;
    int64_t row = i / a.h, head = i % a.h, to = (a.at.begin + row) * a.h + head;
    const int32_t *list =
        a.list +
        ((a.at.begin + row) * a.index_heads + head * a.index_heads / a.h) * a.width;
    const float *lse = w.lse + i * a.width;
    float top = -INFINITY, sum = 0;

    for (int slot = 0; slot < a.width; slot++)
        if (list[slot] >= 0)
            top = fmaxf(top, lse[slot]);
    for (int slot = 0; slot < a.width; slot++)
        if (list[slot] >= 0 && lse[slot] > -INFINITY)
            sum += exp2f(lse[slot] - top);
    for (int d = lane * 4; d < a.dv; d += 128) {
        float4 o = {0, 0, 0, 0};
        for (int slot = 0; slot < a.width; slot++) {
            if (list[slot] < 0 || lse[slot] == -INFINITY)
                continue;
            float weight = exp2f(lse[slot] - top) / sum;
            float4 x = *(const float4 *)(w.partial + (i * a.width + slot) * a.dv + d);
            o.x += weight * x.x, o.y += weight * x.y, o.z += weight * x.z,
                o.w += weight * x.w;
        }
        *(float4 *)(a.o + to * a.dv + d) = o;
    }
    if (a.lse && lane == 0)
        a.lse[to] = sum > 0 ? (top + log2f(sum)) * 0.6931471805599453f : -INFINITY;
}

/* Scratch of one chunk of `rows` rows. */
struct plan {
    int64_t rows, nnz, bins, most;
    size_t bytes;
};

static struct plan plan_of(const struct sps_shape *shape, const struct sps_index *index,
                           int64_t rows, int tile)
{
    struct plan plan = {};

    plan.rows = rows;
    plan.nnz = rows * index->heads * index->width;
    for (int64_t i = 0; i < shape->n; i++)
        plan.bins += (sps_shape_keys(shape, i) + index->block - 1) / index->block;
    plan.bins *= index->heads;
    plan.most = plan.nnz / tile + plan.bins;
    size_t slots = (size_t)(rows * shape->h * index->width);
    plan.bytes = sps_cuda_round(slots * (size_t)shape->dv * 4) +
                 sps_cuda_round(slots * 4) + sps_cuda_round((size_t)plan.nnz * 4) +
                 sps_cuda_round((size_t)plan.most * sizeof(struct gather_tile)) +
                 4 * sps_cuda_round((size_t)plan.bins * 4) + 256;
    return plan;
}

static enum sps_status run_chunk(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_index *index, struct sps_rows rows,
                                 struct plan *plan, struct attend_args *a)
{
    cudaStream_t stream = cuda_state_of(dev)->stream;
    int size = sps_cuda_size(a->dk, a->dv), tile = sizes[size].rows >> a->lg;
    int count = (int)(rows.end - rows.begin);
    size_t slots = (size_t)(plan->rows * shape->h * index->width);
    struct gather_work w;
    struct bins bins = {0, 0, NULL, NULL, NULL, NULL};

    SPS_TRY(sps_cuda_geometry(dev, shape, NULL, NULL, rows, 1, index->block, &a->at));
    for (int64_t i = 0; i < shape->n; i++)
        if (shape->cu_q[i] < rows.end && shape->cu_q[i + 1] > rows.begin)
            bins.units +=
                (int)((sps_shape_keys(shape, i) + index->block - 1) / index->block);
    bins.count = bins.units * (int)index->heads;
    SPS_TRY(sps_cuda_reserve(dev, plan->bytes));
    w.partial = (float *)sps_cuda_take(dev, slots * (size_t)shape->dv * 4);
    w.lse = (float *)sps_cuda_take(dev, slots * 4);
    w.entries = (int32_t *)sps_cuda_take(dev, (size_t)plan->nnz * 4);
    w.tiles = (struct gather_tile *)sps_cuda_take(dev, (size_t)plan->most *
                                                           sizeof(struct gather_tile));
    w.total = (int32_t *)sps_cuda_take(dev, 4);
    for (int32_t **p : {&bins.size, &bins.first, &bins.tile, &bins.next})
        *p = (int32_t *)sps_cuda_take(dev, (size_t)plan->bins * 4);
    int64_t places = count * index->heads * index->width;
    w.most = places / tile + bins.count;
    CUDA_TRY(cudaMemsetAsync(bins.size, 0, (size_t)bins.count * 4, stream));
    count_places<<<(unsigned)((places + 255) / 256), 256, 0, stream>>>(*a, bins, count);
    scan_bins<<<1, 1024, 0, stream>>>(bins, tile, w.total);
    cut_tiles<<<(unsigned)((bins.count + 127) / 128), 128, 0, stream>>>(*a, bins, tile,
                                                                        w.tiles);
    fill_places<<<(unsigned)((places + 255) / 256), 256, 0, stream>>>(*a, bins, count,
                                                                      w.entries);
    CUDA_TRY(cudaGetLastError());
    CUDA_TRY(sizes[size].run(a, &w, stream));
    int64_t pairs = (int64_t)count * shape->h;
    merge<<<(unsigned)((pairs + 7) / 8), 256, 0, stream>>>(*a, w, pairs);
    CUDA_TRY(cudaGetLastError());
    return SPS_OK;
}

enum sps_status sps_cuda_gather(struct sps_device *dev, const struct sps_shape *shape,
                                const struct sps_index *index, struct sps_rows rows,
                                struct attend_args *a)
{
    int size = sps_cuda_size(a->dk, a->dv);
    size_t row_bytes = (size_t)(shape->h * index->width) * (size_t)(shape->dv + 2) * 4;
    int64_t chunk = sps_cuda_chunk(rows, row_bytes, sps_cuda_work_limit(dev));

    a->lg = sps_cuda_log(a->p);
    struct plan plan = plan_of(shape, index, chunk, sizes[size].rows >> a->lg);
    dev->impl = sizes[size].impl;
    for (int64_t row = rows.begin; row < rows.end; row += chunk) {
        struct sps_rows part = {row, row + chunk < rows.end ? row + chunk : rows.end};
        SPS_TRY(run_chunk(dev, shape, index, part, &plan, a));
    }
    return SPS_OK;
}
