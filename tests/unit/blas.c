/* blas.c - tests of kernels/cpu/blas: a core too old for the processor is replaced, one
 * that the user names is not.  The program starts itself again with an old core. */
#include "kernels/cpu/blas.h"
#include "tests/tap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OLD "Prescott"

static bool starts_old(void)
{
    if (strcmp(sps_blas_core(), OLD) == 0)
        return true;
    tap_skip("this OpenBLAS has no " OLD " core");
    return false;
}

static void test_named(void)
{
    if (!starts_old())
        return;
    CU_ASSERT_EQUAL(sps_blas_open(), SPS_OK);
    CU_ASSERT_STRING_EQUAL(sps_blas_core(), OLD);
}

static void test_corrected(void)
{
    if (!starts_old())
        return;
#if defined(__x86_64__)
    bool newer = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    bool newer = false;
#endif
    unsetenv("OPENBLAS_CORETYPE");
    CU_ASSERT_EQUAL(sps_blas_open(), SPS_OK);
    CU_ASSERT_EQUAL(strcmp(sps_blas_core(), OLD) != 0, newer);
    CU_ASSERT_PTR_NULL(getenv("OPENBLAS_CORETYPE"));
}

static const struct tap_test tests[] = {
    {"a core that the user names stays", test_named},
    {"an old core is replaced where the processor can do more", test_corrected},
    {0},
};

int main(int argc, char **argv)
{
    (void)argc;
    const char *core = getenv("OPENBLAS_CORETYPE");

    if (!core || strcmp(core, OLD) != 0) {
        setenv("OPENBLAS_CORETYPE", OLD, 1);
        execv("/proc/self/exe", argv);
        return 99;
    }
    return tap_run("blas", tests);
}
