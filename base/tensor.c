/* tensor.c - sizes, host memory and number formats of tensors. */
#include "base/tensor.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[SPS_DTYPE_COUNT] = {
    [SPS_F32] = {"fp32", 4},  [SPS_F16] = {"fp16", 2}, [SPS_BF16] = {"bf16", 2},
    [SPS_I32] = {"int32", 4}, [SPS_U8] = {"uint8", 1},
};

size_t sps_dtype_size(enum sps_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *sps_dtype_name(enum sps_dtype dtype)
{
    return dtypes[dtype].name;
}

bool sps_dtype_find(const char *name, enum sps_dtype *dtype)
{
    for (int i = 0; i < SPS_DTYPE_COUNT; i++)
        if (strcmp(name, dtypes[i].name) == 0)
            return *dtype = (enum sps_dtype)i, true;
    return false;
}

struct sps_tensor sps_tensor_view(void *data, enum sps_dtype dtype, int64_t d0,
                                  int64_t d1, int64_t d2, int64_t d3)
{
    return (struct sps_tensor){.data = data, .dim = {d0, d1, d2, d3}, .dtype = dtype};
}

int64_t sps_tensor_count(const struct sps_tensor *x)
{
    return x->data ? x->dim[0] * x->dim[1] * x->dim[2] * x->dim[3] : 0;
}

size_t sps_tensor_bytes(const struct sps_tensor *x)
{
    return (size_t)sps_tensor_count(x) * sps_dtype_size(x->dtype);
}

enum sps_status sps_calloc(size_t bytes, void **mem)
{
    size_t rounded = (bytes + 63) & ~(size_t)63;
    void *p = aligned_alloc(64, rounded ? rounded : 64);

    if (!p)
        return sps_fail(SPS_ENOMEM, "cannot allocate %zu bytes of host memory", bytes);
    memset(p, 0, rounded);
    *mem = p;
    return SPS_OK;
}

enum sps_status sps_tensor_new(enum sps_dtype dtype, int64_t d0, int64_t d1, int64_t d2,
                               int64_t d3, struct sps_tensor *x)
{
    void *mem;

    SPS_TRY(sps_calloc((size_t)(d0 * d1 * d2 * d3) * sps_dtype_size(dtype), &mem));
    *x = sps_tensor_view(mem, dtype, d0, d1, d2, d3);
    return SPS_OK;
}

void sps_tensor_free(struct sps_tensor *x)
{
    free(x->data);
    *x = (struct sps_tensor){0};
}

static float bits_to_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t f32_to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float f16_to_f32(uint16_t x)
{
    uint32_t sign = (uint32_t)(x & 0x8000) << 16, exp = x >> 10 & 31, frac = x & 0x3ff;

    if (exp == 31)
        return bits_to_f32(sign | 0x7f800000 | frac << 13);
    if (exp)
        return bits_to_f32(sign | (exp + 112) << 23 | frac << 13);
    float tiny = (float)frac * 0x1p-24f;
    return sign ? -tiny : tiny;
}

/* Round to nearest even by adding a float whose last place is the target's. */
static uint16_t f32_to_f16(float f)
{
    uint32_t u = f32_to_bits(f), sign = u >> 16 & 0x8000;

    u &= 0x7fffffff;
    if (u > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (u >= 0x47800000)
        return (uint16_t)(sign | 0x7c00);
    if (u < 0x38800000) {
        float shifted = bits_to_f32(u) + 0.5f;
        return (uint16_t)(sign | (f32_to_bits(shifted) - 0x3f000000));
    }
    u += 0xfff + (u >> 13 & 1);
    return (uint16_t)(sign | (u - 0x38000000) >> 13);
}

static uint16_t f32_to_bf16(float f)
{
    uint32_t u = f32_to_bits(f);

    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

void sps_to_f32(const void *from, enum sps_dtype dtype, int64_t count, float *to)
{
    const uint16_t *half = from;

    switch (dtype) {
    case SPS_F16:
        for (int64_t i = 0; i < count; i++)
            to[i] = f16_to_f32(half[i]);
        break;
    case SPS_BF16:
        for (int64_t i = 0; i < count; i++)
            to[i] = bits_to_f32((uint32_t)half[i] << 16);
        break;
    default:
        memmove(to, from, (size_t)count * sizeof *to);
    }
}

void sps_from_f32(const float *from, int64_t count, enum sps_dtype dtype, void *to)
{
    uint16_t *half = to;

    switch (dtype) {
    case SPS_F16:
        for (int64_t i = 0; i < count; i++)
            half[i] = f32_to_f16(from[i]);
        break;
    case SPS_BF16:
        for (int64_t i = 0; i < count; i++)
            half[i] = f32_to_bf16(from[i]);
        break;
    default:
        memmove(to, from, (size_t)count * sizeof *from);
    }
}

void sps_round_f32(float *x, int64_t count, enum sps_dtype dtype)
{
    uint16_t half;

    if (dtype == SPS_F32)
        return;
    for (int64_t i = 0; i < count; i++) {
        sps_from_f32(x + i, 1, dtype, &half);
        sps_to_f32(&half, dtype, 1, x + i);
    }
}
