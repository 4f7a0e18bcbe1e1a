/* roofs.c - what this processor does at best: products, reads, copies, on all threads. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/cpu.h"
#include "kernels/threads.h"

enum { MARK_BEGIN = 4, MARK_END = 5, TRIES = 3, PRODUCT = 1536 };
enum { BYTES = 128 << 20 }; /* well beyond the last-level cache */

/* One product a thread, each on its own operands. */
static void multiply(float *a, float *c, int threads)
{
    int64_t n = PRODUCT;

#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int i = 0; i < threads; i++)
        sps_blas_dots(n / 2, n, n, 1, a, n, a, n, c + i * n * n / 2, n);
}

static double read_all(const float *a, int threads)
{
    int64_t count = BYTES / (int64_t)sizeof *a;
    double sum = 0;

#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : sum)
    for (int64_t block = 0; block < count; block += 4096) {
        float part[16] = {0};
        for (int64_t i = 0; i < 4096; i += 16)
            for (int64_t j = 0; j < 16; j++)
                part[j] += a[block + i + j];
        for (int64_t j = 0; j < 16; j++)
            sum += part[j];
    }
    return sum;
}

static void copy_all(const float *a, float *c, int threads)
{
    int64_t count = BYTES / (int64_t)sizeof *a;

#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t block = 0; block < count; block += 4096)
        memcpy(c + block, a + block, 4096 * sizeof *a);
}

enum { MULTIPLY, READ, COPY, JOBS };

static void work(int job, float *a, float *c, int threads)
{
    if (job == MULTIPLY)
        multiply(a, c, threads);
    else if (job == READ)
        *(volatile double *)c = read_all(a, threads);
    else
        copy_all(a, c, threads);
}

/* The best of a few tries after one to warm up. */
static enum sps_status best_seconds(struct sps_device *dev, int job, float *a, float *c,
                                    double *best)
{
    double seconds;

    for (int i = 0; i <= TRIES; i++) {
        SPS_TRY(sps_host_mark(dev, MARK_BEGIN));
        work(job, a, c, dev->threads);
        SPS_TRY(sps_host_mark(dev, MARK_END));
        SPS_TRY(sps_host_elapsed(dev, MARK_BEGIN, MARK_END, &seconds));
        if (i == 1 || (i > 1 && seconds < *best))
            *best = seconds;
    }
    return SPS_OK;
}

enum sps_status sps_cpu_roofs(struct sps_device *dev, struct sps_roofs *roofs)
{
    double n = PRODUCT, seconds[JOBS] = {0};
    size_t products = sizeof(float) * PRODUCT * PRODUCT / 2 * (size_t)dev->threads;
    void *a = NULL, *c = NULL;
    enum sps_status status = sps_calloc(BYTES, &a);

    if (status == SPS_OK)
        status = sps_calloc(products > BYTES ? products : BYTES, &c);
    for (int job = 0; status == SPS_OK && job < JOBS; job++)
        status = best_seconds(dev, job, a, c, &seconds[job]);
    free(a);
    free(c);
    if (status == SPS_OK)
        *roofs = (struct sps_roofs){.matrix_flops =
                                        n * n * n * dev->threads / seconds[MULTIPLY],
                                    .read_bytes = BYTES / seconds[READ],
                                    .copy_bytes = 2.0 * BYTES / seconds[COPY]};
    return status;
}
