/* tma.cu - tensor maps by the driver's own encoder, found at run time. */
#include "kernels/cuda/sm90/tma.h"

#include "kernels/cuda/sm90/hopper.cuh"

enum { HAS_BODIES = 90 };

/* Kernels of other targets, plain sm_90 among them, run and do nothing. */
static __global__ void probe(unsigned *p)
{
#ifdef SPS_SM90A
    *p = HAS_BODIES;
#endif
}

/* Run a kernel to see whether those built in have bodies. */
static enum sps_status look_for_bodies(struct cuda_state *state, bool *found)
{
    unsigned answer = 0;

    CUDA_TRY(cudaMemsetAsync(state->counter, 0, sizeof *state->counter, state->stream));
    probe<<<1, 1, 0, state->stream>>>(state->counter);
    CUDA_TRY(cudaGetLastError());
    CUDA_TRY(cudaMemcpyAsync(&answer, state->counter, sizeof answer,
                             cudaMemcpyDeviceToHost, state->stream));
    CUDA_TRY(cudaMemsetAsync(state->counter, 0, sizeof *state->counter, state->stream));
    CUDA_TRY(cudaStreamSynchronize(state->stream));
    *found = answer == HAS_BODIES;
    return SPS_OK;
}

typedef CUresult encode(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                        const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                        const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                        CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* A map of `rank` dimensions, innermost first, with slabs of 64 columns. */
static CUresult make_map(const struct cuda_state *state, CUtensorMap *map, const void *x,
                         CUtensorMapDataType type, int rank, const cuuint64_t *size,
                         const cuuint64_t *stride, const cuuint32_t *box)
{
    cuuint32_t step[5] = {1, 1, 1, 1, 1};

    return ((encode *)state->encode)(
        map, type, (cuuint32_t)rank, (void *)x, size, stride, box, step,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

static CUresult make_spread(const struct cuda_state *state, CUtensorMap *map,
                            const void *x, int64_t rows, int64_t heads, int64_t d)
{
    cuuint64_t row = (cuuint64_t)(heads * d) * 2;
    /* e from 0 or 1 on, q, n: a box may begin at any row */
    cuuint64_t size[5] = {(cuuint64_t)d, (cuuint64_t)heads, 3, 4,
                          (cuuint64_t)(rows + SPREAD_ROWS) / 2};
    cuuint64_t stride[4] = {(cuuint64_t)d * 2, row, 32 * row, 2 * row};
    cuuint32_t box[5] = {64, 1, 2, 4, SPREAD_ROWS / 8};

    return make_map(state, map, x, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 5, size, stride, box);
}

static enum sps_status check_map(CUresult result, int64_t rows, int64_t heads, int64_t d,
                                 int box_rows)
{
    if (result == CUDA_SUCCESS)
        return SPS_OK;
    return sps_fail(SPS_EDEVICE,
                    "cuda: no tensor map for [%lld,%lld,%lld] in boxes of %d rows "
                    "(driver error %d)",
                    (long long)rows, (long long)heads, (long long)d, box_rows,
                    (int)result);
}

enum sps_status sps_sm90_map_rows(struct sps_device *dev, CUtensorMap *map, const void *x,
                                  enum sps_dtype dtype, int64_t rows, int64_t heads,
                                  int64_t d, int box_heads, int box_rows)
{
    cuuint64_t size[3] = {(cuuint64_t)d, (cuuint64_t)heads, (cuuint64_t)rows};
    cuuint64_t stride[2] = {(cuuint64_t)d * 2, (cuuint64_t)(heads * d) * 2};
    cuuint32_t box[3] = {64, (cuuint32_t)box_heads, (cuuint32_t)box_rows};
    CUtensorMapDataType type = dtype == SPS_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                                 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;

    return check_map(make_map(cuda_state_of(dev), map, x, type, 3, size, stride, box),
                     rows, heads, d, box_rows);
}

enum sps_status sps_sm90_map_spread(struct sps_device *dev, CUtensorMap *map,
                                    const void *x, int64_t rows, int64_t heads, int64_t d)
{
    return check_map(make_spread(cuda_state_of(dev), map, x, rows, heads, d), rows, heads,
                     d, SPREAD_ROWS);
}

enum sps_status sps_sm90_open(struct cuda_state *state)
{
    cudaDriverEntryPointQueryResult found;
    CUtensorMap map;
    bool bodies;

    if (state->prop.major != 9 || state->prop.minor != 0)
        state->portable = true;
    if (state->portable)
        return SPS_OK;
    CUDA_TRY(cudaMalloc((void **)&state->counter, sizeof *state->counter));
    SPS_TRY(look_for_bodies(state, &bodies));
#if CUDART_VERSION >= 12050
    CUDA_TRY(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &state->encode,
                                              12000, cudaEnableDefault, &found));
#else
    CUDA_TRY(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &state->encode,
                                     cudaEnableDefault, &found));
#endif
    state->portable = !bodies || found != cudaDriverEntryPointSuccess;
    state->spreads = !state->portable && make_spread(state, &map, state->counter,
                                                     SPREAD_ROWS, 1, 64) == CUDA_SUCCESS;
    return SPS_OK;
}

struct tile_counter sps_sm90_counter(struct sps_device *dev)
{
    struct cuda_state *state = cuda_state_of(dev);
    struct tile_counter counter = {state->counter, state->drawn};

    return counter;
}

void sps_sm90_draws(struct sps_device *dev, int64_t tiles)
{
    cuda_state_of(dev)->drawn += (unsigned)tiles;
}
