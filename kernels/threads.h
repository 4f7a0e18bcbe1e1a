/* threads.h - OpenMP's calls, and what they answer where the compiler has none. */
#ifndef SPS_KERNELS_THREADS_H
#define SPS_KERNELS_THREADS_H

#ifdef _OPENMP
#include <omp.h>
#else
static inline int omp_get_thread_num(void)
{
    return 0;
}

static inline int omp_get_num_procs(void)
{
    return 1;
}
#endif

#endif
