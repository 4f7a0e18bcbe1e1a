/* data.c - end a problem's inputs, and find the first number that is none. */
#include "datasets/dataset.h"

#include <stdlib.h>

void sps_data_free(struct sps_data *data)
{
    struct sps_tensor *const owned[] = {
        &data->q,    &data->k,     &data->v,   &data->gate,  &data->w_k,   &data->w_v,
        &data->pe_k, &data->index, &data->d_o, &data->q_idx, &data->k_idx, &data->w_idx};

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        sps_tensor_free(owned[i]);
    free(data->cu_q);
    free(data->cu_k);
    free(data->probes);
    *data = (struct sps_data){0};
}

/* The first of count words whose exponent is all ones, or count. */
static int64_t find_word(const uint32_t *x, int64_t count, uint32_t exponent)
{
    int64_t i = 0;

    while (i < count && (x[i] & exponent) != exponent)
        i++;
    return i;
}

static int64_t find_half(const uint16_t *x, int64_t count, uint16_t exponent)
{
    int64_t i = 0;

    while (i < count && (x[i] & exponent) != exponent)
        i++;
    return i;
}

static enum sps_status check_finite(const char *name, const struct sps_tensor *x)
{
    int64_t count = sps_tensor_count(x), i;
    float bad;

    if (x->dtype == SPS_F32)
        i = find_word(x->data, count, 0x7f800000);
    else
        i = find_half(x->data, count, x->dtype == SPS_F16 ? 0x7c00 : 0x7f80);
    if (i == count)
        return SPS_OK;
    sps_to_f32((const char *)x->data + (size_t)i * sps_dtype_size(x->dtype), x->dtype, 1,
               &bad);
    return sps_fail(SPS_ENUMERIC, "%s[%lld, %lld, %lld] is %s", name,
                    (long long)(i / x->dim[2] / x->dim[1]),
                    (long long)(i / x->dim[2] % x->dim[1]), (long long)(i % x->dim[2]),
                    bad != bad ? "nan"
                    : bad < 0  ? "-inf"
                               : "inf");
}

enum sps_status sps_data_check_finite(const struct sps_data *data)
{
    SPS_TRY(check_finite("q", &data->q));
    SPS_TRY(check_finite("k", &data->k));
    SPS_TRY(check_finite("v", &data->v));
    SPS_TRY(check_finite("q_idx", &data->q_idx));
    SPS_TRY(check_finite("k_idx", &data->k_idx));
    SPS_TRY(check_finite("w_idx", &data->w_idx));
    return data->d_o.data ? check_finite("do", &data->d_o) : SPS_OK;
}
