/* gather.cu - turn an index round, run the gathered tiles; merge.cu adds up what they
 * leave.
 *
 * Rows stand in a block's list in the order in which threads came by; no output bit
 * depends on that order, because each row's arithmetic is its own.
 */
#include "kernels/cuda/gather.h"
#include "kernels/cuda/sm90/tma.h"

typedef enum sps_status launch(struct sps_device *dev, const struct sps_shape *shape,
                               const struct attend_args *a, const struct gather_work *w);

struct variant {
    launch *run;
    const char *impl;
    int rows, bytes; /* rows a tile, bytes an element of a partial */
};

static const struct variant portable[] = {
    {sps_cuda_gather_d64, "gather_mma_d64", 128, 4},
    {sps_cuda_gather_d128, "gather_mma_d128", 128, 4},
    {sps_cuda_gather_d192, "gather_mma_d192", 128, 4},
    {sps_cuda_gather_d256, "gather_mma_d256", 64, 4},
};

static const struct variant hopper[] = {
    {sps_sm90_gather_d64, "gather_wgmma_d64", gather90_rows(64), 2},
    {sps_sm90_gather_d128, "gather_wgmma_d128", gather90_rows(128), 2},
    {sps_sm90_gather_d192, "gather_wgmma_d192", gather90_rows(128), 2},
    {sps_sm90_gather_d256, "gather_wgmma_d256", gather90_rows(256), 2},
};

static const struct variant *variant_of(struct sps_device *dev,
                                        const struct attend_args *a)
{
    int size = sps_cuda_size(a->dk, a->dv);

    return a->block <= 65535 && sps_sm90_usable(dev) ? &hopper[size] : &portable[size];
}

struct bins {
    int units, count; /* blocks of all sequences; times index heads */
    int32_t *size, *first, *tile, *next;
};

/* Rows that a CTA, of as many threads, turns round, of one index head; units, of all
 * sequences of a chunk, that it counts at a time. */
enum { PLACE_ROWS = 256, PLACE_UNITS = 8192 };

/* Element `slot` of the list of `row` of the chunk: the unit of all sequences that it
 * names, -1 where there is none, and what stands for it among entries. */
struct placed {
    int unit, entry;
};

SPS_DEVICE struct placed placed_at(const struct attend_args *a, int head, int row,
                                   int slot)
{
    struct seq_view seq = geometry_find(&a->at, row);
    const int32_t *list =
        a->list + ((a->at.begin + row) * a->index_heads + head) * (int64_t)a->width;
    int unit = list[slot];
    bool inside = unit >= 0 && (int64_t)unit * a->block < seq.keys,
         alone = slot == 0 && list_alone(list, a->width);

    return {inside ? seq.unit + unit : -1,
            (row * (int)a->width + slot) | (alone ? ALONE : 0)};
}

/* visit(unit - first, entry) of the CTA's elements in units [first, first + count). */
template <typename V>
SPS_DEVICE void visit_placed(const struct attend_args *a, int rows, int first, int count,
                             V visit)
{
    int head = (int)(blockIdx.x % a->index_heads), width = (int)a->width;
    int from = (int)(blockIdx.x / a->index_heads) * PLACE_ROWS;
    int end = (from + PLACE_ROWS < rows ? from + PLACE_ROWS : rows) * width;

#pragma unroll 4
    for (int i = from * width + (int)threadIdx.x; i < end; i += PLACE_ROWS) {
        struct placed own = placed_at(a, head, i / width, i % width);
        if (own.unit >= first && own.unit < first + count)
            visit(own.unit - first, own.entry);
    }
}

/* Count a CTA's entries, or put them into their bins: in shared memory first, so that a
 * CTA meets a counter once; neighbouring CTAs have different heads. */
template <bool FILL>
static __global__ void __launch_bounds__(PLACE_ROWS)
    place_lists(const __grid_constant__ struct attend_args a, struct bins bins, int rows,
                int32_t *entries)
{
    extern __shared__ int32_t places[];
    int32_t *counter =
        (FILL ? bins.next : bins.size) + (int)(blockIdx.x % a.index_heads) * bins.units;

    for (int first = 0; first < bins.units; first += PLACE_UNITS) {
        int count = min(bins.units - first, (int)PLACE_UNITS);
        for (int i = threadIdx.x; i < count; i += PLACE_ROWS)
            places[i] = 0;
        __syncthreads();
        visit_placed(&a, rows, first, count,
                     [=](int unit, int) { atomicAdd(places + unit, 1); });
        __syncthreads();
        for (int i = threadIdx.x; i < count; i += PLACE_ROWS)
            if (places[i] > 0)
                places[i] = atomicAdd(counter + first + i, places[i]);
        __syncthreads();
        if (FILL)
            visit_placed(&a, rows, first, count, [=](int unit, int entry) {
                entries[atomicAdd(places + unit, 1)] = entry;
            });
        __syncthreads();
    }
}

template <bool FILL>
static void place(const struct attend_args *a, const struct bins *bins, int rows,
                  int32_t *entries, cudaStream_t stream)
{
    unsigned grid = (unsigned)((rows + PLACE_ROWS - 1) / PLACE_ROWS * a->index_heads);
    int units = bins->units < PLACE_UNITS ? bins->units : PLACE_UNITS;

    place_lists<FILL>
        <<<grid, PLACE_ROWS, (size_t)units * 4, stream>>>(*a, *bins, rows, entries);
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

/* A warp a bin, CUT_BINS a CTA. */
enum { CUT_BINS = 4 };

static __global__ void cut_tiles(const __grid_constant__ struct attend_args a,
                                 struct bins bins, int rows, struct gather_tile *tiles)
{
    int bin = (int)(blockIdx.x * CUT_BINS + threadIdx.x / 32), seq = 0;

    if (bin >= bins.count)
        return;
    int unit = bin % bins.units, size = bins.size[bin];
    while (seq + 1 < a.at.n && a.at.seq[seq + 1].unit <= unit)
        seq++;
    struct seq_view view = a.at.seq[seq];
    int base = (unit - view.unit) * a.block;
    for (int i = threadIdx.x & 31; i * rows < size; i += 32) {
        struct gather_tile tile = {seq,
                                   unit - view.unit,
                                   bin / bins.units,
                                   bins.first[bin] + i * rows,
                                   size - i * rows < rows ? size - i * rows : rows,
                                   (int)view.key + base,
                                   base + a.block < view.keys ? a.block
                                                              : view.keys - base};
        tiles[bins.tile[bin] + i] = tile;
    }
}

/* Scratch of one chunk of `rows` rows. */
struct plan {
    const struct variant *by;
    int tile; /* entries a tile */
    int64_t rows, nnz, bins, most;
    size_t partial, bytes;
};

static struct plan plan_of(const struct sps_shape *shape, const struct sps_index *index,
                           int64_t rows, const struct variant *by, int lg)
{
    struct plan plan = {};

    plan.by = by;
    plan.tile = by->rows >> lg;
    plan.rows = rows;
    plan.nnz = rows * index->heads * index->width;
    for (int64_t i = 0; i < shape->n; i++)
        plan.bins += (sps_shape_keys(shape, i) + index->block - 1) / index->block;
    plan.bins *= index->heads;
    plan.most = plan.nnz / plan.tile + plan.bins + 1; /* not 0 where there is no key */
    size_t slots = (size_t)(rows * shape->h * index->width);
    plan.partial = slots * (size_t)(shape->dv * by->bytes);
    plan.bytes = sps_cuda_round(plan.partial) +
                 sps_cuda_round(slots * sizeof(struct partial_head)) +
                 sps_cuda_round((size_t)plan.nnz * 4) +
                 sps_cuda_round((size_t)plan.most * sizeof(struct gather_tile)) +
                 4 * sps_cuda_round((size_t)plan.bins * 4) + 256;
    return plan;
}

static enum sps_status run_chunk(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_index *index, struct sps_rows rows,
                                 struct plan *plan, struct attend_args *a)
{
    cudaStream_t stream = cuda_state_of(dev)->stream;
    int count = (int)(rows.end - rows.begin), tile = plan->tile;
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
    w.partial = sps_cuda_take(dev, plan->partial);
    w.heads = (struct partial_head *)sps_cuda_take(dev, slots * sizeof *w.heads);
    w.entries = (int32_t *)sps_cuda_take(dev, (size_t)plan->nnz * 4);
    w.tiles = (struct gather_tile *)sps_cuda_take(dev, (size_t)plan->most *
                                                           sizeof(struct gather_tile));
    w.total = (int32_t *)sps_cuda_take(dev, 4);
    for (int32_t **p : {&bins.size, &bins.first, &bins.tile, &bins.next})
        *p = (int32_t *)sps_cuda_take(dev, (size_t)plan->bins * 4);
    w.most = count * index->heads * index->width / tile + bins.count + 1;
    CUDA_TRY(cudaMemsetAsync(bins.size, 0, (size_t)bins.count * 4, stream));
    place<false>(a, &bins, count, NULL, stream);
    scan_bins<<<1, 1024, 0, stream>>>(bins, tile, w.total);
    cut_tiles<<<(unsigned)(bins.count / CUT_BINS + 1), CUT_BINS * 32, 0, stream>>>(
        *a, bins, tile, w.tiles);
    place<true>(a, &bins, count, w.entries, stream);
    CUDA_TRY(cudaGetLastError());
    SPS_TRY(plan->by->run(dev, shape, a, &w));
    CUDA_TRY(sps_cuda_merge(a, &w, plan->by->bytes, (int64_t)count * shape->h, stream));
    return SPS_OK;
}

/* All chunks but the last alike, so that none is a short rest. */
int64_t sps_cuda_gather_chunk(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_index *index, struct sps_rows rows,
                              const struct attend_args *a)
{
    size_t slot = (size_t)(shape->dv * variant_of(dev, a)->bytes) +
                  sizeof(struct partial_head) + sizeof(int32_t);
    int64_t most = sps_cuda_chunk(rows, (size_t)(shape->h * index->width) * slot,
                                  sps_cuda_work_limit(dev));
    int64_t count = rows.end - rows.begin, chunks = (count + most - 1) / most;

    return (count + chunks - 1) / chunks;
}

enum sps_status sps_cuda_gather(struct sps_device *dev, const struct sps_shape *shape,
                                const struct sps_index *index, struct sps_rows rows,
                                struct attend_args *a)
{
    const struct variant *by = variant_of(dev, a);
    int64_t chunk = sps_cuda_gather_chunk(dev, shape, index, rows, a);

    a->lg = sps_cuda_log(a->p);
    struct plan plan = plan_of(shape, index, chunk, by, a->lg);
    dev->impl = by->impl;
    for (int64_t row = rows.begin; row < rows.end; row += chunk) {
        struct sps_rows part = {row, row + chunk < rows.end ? row + chunk : rows.end};
        SPS_TRY(run_chunk(dev, shape, index, part, &plan, a));
    }
    return SPS_OK;
}
