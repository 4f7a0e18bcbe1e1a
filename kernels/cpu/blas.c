/* blas.c - OpenBLAS as the cpu backend uses it: row-major float32, one thread a call. */
#include "kernels/cpu/blas.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Builds for one processor alone have neither. */
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

const char *sps_blas_core(void)
{
    return openblas_get_corename();
}

#if defined(__x86_64__)
/* What OpenBLAS 0.3.21 and older answer for a processor newer than they are: cores
 * without AVX2, five times slower. */
static bool core_is_old(const char *core)
{
    static const char *const modern[] = {"Haswell",       "Zen",       "SkylakeX",
                                         "Cooperlake",    "Excavator", "SapphireRapids",
                                         "Graniterapids", NULL};

    for (const char *const *name = modern; *name; name++)
        if (strcasecmp(core, *name) == 0)
            return false;
    return true;
}

/* The core that fits this processor's instructions, NULL when the old ones do. */
static const char *fitting_core(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "Haswell";
    return NULL;
}

static void correct_core(void)
{
    const char *core = fitting_core();

    if (!core || getenv("OPENBLAS_CORETYPE") || !core_is_old(sps_blas_core()) ||
        !gotoblas_dynamic_init || !gotoblas_dynamic_quit)
        return;
    setenv("OPENBLAS_CORETYPE", core, 1);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv("OPENBLAS_CORETYPE");
}
#else
static void correct_core(void)
{
}
#endif

/* A product with odd sizes against its definition. */
static enum sps_status check_product(void)
{
    enum { M = 37, N = 41, K = 67 };
    static const int sizes[] = {M, N, K};
    float a[M * K], b[N * K], c[M * N];

    for (int i = 0; i < M * K; i++)
        a[i] = (float)(i % 13) - 6;
    for (int i = 0; i < N * K; i++)
        b[i] = (float)(i % 11) - 5;
    sps_blas_dots(sizes[0], sizes[1], sizes[2], 0.5f, a, K, b, K, c, N);
    for (int i = 0; i < M * N; i++) {
        double sum = 0;
        for (int x = 0; x < K; x++)
            sum += 0.5 * a[i / N * K + x] * b[i % N * K + x];
        if (!(fabs(sum - c[i]) <= 1e-3))
            return sps_fail(SPS_EDEVICE,
                            "openblas, core %s: sgemm gives %g, should be %g",
                            sps_blas_core(), c[i], sum);
    }
    return SPS_OK;
}

enum sps_status sps_blas_open(void)
{
    correct_core();
    openblas_set_num_threads(1);
    return check_product();
}

/* One row is a matrix times a vector: no packing of b, which is read once. */
void sps_blas_dots(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc)
{
    if (m == 1)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (blasint)n, (blasint)k, alpha, b,
                    (blasint)ldb, a, 1, 0, c, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n,
                    (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, 0, c,
                    (blasint)ldc);
}

void sps_blas_mix(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, (blasint)k, (blasint)n, 1, b, (blasint)ldb,
                    a, 1, beta, c, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)n,
                    (blasint)k, 1, a, (blasint)lda, b, (blasint)ldb, beta, c,
                    (blasint)ldc);
}

void sps_blas_add_dots(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                       const float *b, int64_t ldb, float *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n,
                (blasint)k, 1, a, (blasint)lda, b, (blasint)ldb, 1, c, (blasint)ldc);
}

void sps_blas_add_outer(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                        const float *b, int64_t ldb, float *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)m, (blasint)n,
                (blasint)k, 1, a, (blasint)lda, b, (blasint)ldb, 1, c, (blasint)ldc);
}
