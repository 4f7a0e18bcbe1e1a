/* compress.c - checks of compressed keys: by means, by a linear map, rounded, in goes. */
#include "tests/gpu/checks.h"

#include <string.h>

/* Compressed keys on the device, by the map w, or NULL: by means. */
static void make_keys(struct problem *p, const struct sps_compression *by,
                      const struct sps_tensor *pe, const struct sps_tensor *w, float *y)
{
    if (w)
        MUST(gpu.kernels.compress_linear(&gpu, &p->shape, &p->gpu.in.k, pe, w, by, y));
    else
        MUST(gpu.kernels.compress_mean(&gpu, &p->shape, &p->gpu.in.k, by, y));
}

/* y on the device, as many keys as `by` has, is `want`, bit for bit. */
static void same_keys(struct problem *p, const struct sps_compression *by,
                      const float *want, const float *y, const char *what)
{
    int64_t size = by->cu[p->shape.n] * p->spec.g * p->spec.dk;
    float *got = fetch(y, size);

    verdict(memcmp(want, got, (size_t)size * 4) == 0, p->spec.name, what, gpu.impl, 1, 0);
    free(got);
}

/* Keys rounded to the type of the input are `made` ones, rounded. */
static void check_rounded(struct problem *p, const struct sps_compression *by,
                          const struct sps_tensor *pe, const struct sps_tensor *w,
                          const float *made)
{
    int64_t size = by->cu[p->shape.n] * p->spec.g * p->spec.dk;
    struct sps_compression rounded = *by;
    float *y = device((size_t)size * 4), *want = fetch(made, size);

    rounded.rounded = p->spec.dtype;
    poison(y, size);
    make_keys(p, &rounded, pe, w, y);
    sps_round_f32(want, size, p->spec.dtype);
    same_keys(p, by, want, y, "rounded keys");
    free(want);
    device_free(y);
}

void check_made(struct problem *p, const struct sps_compression *by,
                const struct sps_tensor *pe, const struct sps_tensor *w,
                const float *whole)
{
    int64_t first[4], make[5] = {0}, rest[5] = {0}, n = p->shape.n;
    int64_t size = by->cu[n] * p->spec.g * p->spec.dk;
    struct sps_compression goes[] = {
        {.l = by->l, .u = by->u, .cu = by->cu, .make = make},
        {.l = by->l, .u = by->u, .cu = by->cu, .first = first, .make = rest}};
    float *y = device((size_t)size * 4), *want = fetch(whole, size);

    for (int64_t i = 0; i < n; i++) {
        int64_t all = by->cu[i + 1] - by->cu[i];
        first[i] = i % 2 ? all / 3 : all;
        make[i + 1] = make[i] + first[i];
        rest[i + 1] = rest[i] + all - first[i];
    }
    poison(y, size);
    for (int i = 0; i < 2; i++)
        make_keys(p, &goes[i], pe, w, y);
    same_keys(p, by, want, y, "made in two goes");
    free(want);
    device_free(y);
}

void check_mean(struct problem *p, const struct sps_compression *by, float *means,
                float *means_gpu)
{
    int64_t size = by->cu[p->spec.n] * p->spec.g * p->spec.dk;

    poison(means_gpu, size);
    MUST(ref.kernels.compress_mean(&ref, &p->shape, &p->ref.in.k, by, means));
    MUST(gpu.kernels.compress_mean(&gpu, &p->shape, &p->gpu.in.k, by, means_gpu));
    close_to(p, "compress_mean", means_gpu, means, size, size > 0 ? size : 1, 1e-6);
    check_rounded(p, by, NULL, NULL, means_gpu);
}

void check_linear(struct problem *p, const struct sps_compression *by)
{
    int64_t g = p->spec.g, dk = p->spec.dk, size = by->cu[p->shape.n] * g * dk;
    float *k = host((size_t)size * 4), *k_gpu = device((size_t)size * 4);
    struct sps_tensor w, w_gpu, pe, pe_gpu;

    fill(p, 4, &w, &w_gpu, g, by->l * dk, dk);
    fill(p, 5, &pe, &pe_gpu, g, by->l, dk);
    poison(k_gpu, size);
    MUST(ref.kernels.compress_linear(&ref, &p->shape, &p->ref.in.k, &pe, &w, by, k));
    make_keys(p, by, &pe_gpu, &w_gpu, k_gpu);
    close_to(p, "compress_linear", k_gpu, k, size, size > 0 ? size : 1, 1e-5);
    check_made(p, by, &pe_gpu, &w_gpu, k_gpu);
    check_rounded(p, by, &pe_gpu, &w_gpu, k_gpu);
    free(k), free(w.data), free(pe.data);
    device_free(k_gpu);
    device_free(w_gpu.data), device_free(pe_gpu.data);
}

/* Windows that overlap or not, of less and more than a thread adds up. */
void check_means(void)
{
    static const struct spec specs[] = {
        {"means, bf16", ONE(1, 4200), 2, 2, 128, 16, SPS_BF16, .block = 16},
        {"means, fp16", 3, {1, 1, 1}, {900, 5, 1300}, 3, 3, 72, 16, SPS_F16, .block = 16},
        {"means, fp32", ONE(1, 2100), 2, 1, 20, 16, SPS_F32, .block = 16},
        {"means, odd", ONE(1, 2100), 3, 3, 20, 16, SPS_BF16, .block = 16},
    };
    static const int64_t windows[][2] = {{1, 1},     {16, 4},    {17, 5},   {32, 16},
                                         {127, 127}, {128, 64},  {300, 7},  {512, 512},
                                         {777, 100}, {2048, 64}, {4100, 50}};
    struct problem p;

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        problem_build(&p, &specs[i], i + 600);
        for (size_t j = 0; j < sizeof windows / sizeof *windows; j++) {
            int64_t cu[5], l = windows[j][0], u = windows[j][1],
                           m = sps_compressed_offsets(&p.shape, l, u, cu);
            struct sps_compression by = {.l = l, .u = u, .cu = cu};
            size_t bytes = (size_t)(m * p.spec.g * p.spec.dk) * 4;
            float *means = host(bytes), *means_gpu = device(bytes);
            check_mean(&p, &by, means, means_gpu);
            free(means);
            device_free(means_gpu);
        }
        problem_drop(&p);
    }
}
