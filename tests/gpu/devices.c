/* devices.c - the reference and the GPU, memory on either, and what was found so far. */
#include "tests/gpu/devices.h"

#include <math.h>

extern const struct sps_backend sps_backend_ref, sps_backend_cuda;

struct sps_device ref, gpu;

static int passed, failed, skipped;

bool devices_open(void)
{
    ref.backend = &sps_backend_ref;
    gpu.backend = &sps_backend_cuda;
    MUST(ref.backend->open(&ref, 0));
    return gpu.backend->open(&gpu, 0) == SPS_OK;
}

void devices_close(void)
{
    gpu.backend->close(&gpu);
    ref.backend->close(&ref);
}

void verdict(bool ok, const char *name, const char *what, const char *impl, double got,
             double allowed)
{
    ok ? passed++ : failed++;
    if (!ok)
        printf("FAIL %s: %s (%s): %g, allowed %g\n", name, what, impl, got, allowed);
}

void skip(void)
{
    skipped++;
}

bool summary(void)
{
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed == 0;
}

void die(const char *what)
{
    printf("FAIL %s: %s\n", what, sps_error());
    failed++;
    summary();
    exit(1);
}

void *host(size_t bytes)
{
    void *p = calloc(bytes ? bytes : 1, 1);

    if (!p)
        die("host memory");
    return p;
}

void *device(size_t bytes)
{
    void *p;

    MUST(gpu.backend->alloc(&gpu, bytes, &p));
    return p;
}

void device_free(void *p)
{
    gpu.backend->free(&gpu, p);
}

void upload(void *to, const void *from, size_t bytes)
{
    MUST(gpu.backend->upload(&gpu, to, from, bytes));
}

float *fetch(const float *from, int64_t count)
{
    float *x = host((size_t)count * 4);

    MUST(gpu.backend->download(&gpu, x, from, (size_t)count * 4));
    return x;
}

void poison(float *to, int64_t count)
{
    float *x = host((size_t)count * 4);

    for (int64_t i = 0; i < count; i++)
        x[i] = NAN;
    upload(to, x, (size_t)count * 4);
    free(x);
}
