/* devices.h - the reference and the GPU, memory on either, and what was found so far.
 *
 * Memory ends with the program where a check fails to get or copy some: die() says what
 * was refused and exits.
 */
#ifndef SPS_TESTS_GPU_DEVICES_H
#define SPS_TESTS_GPU_DEVICES_H

#include <stdio.h>
#include <stdlib.h>

#include "kernels/backend.h"

/* The two that are compared: open from devices_open() to devices_close(). */
extern struct sps_device ref, gpu;

/* False, with the reason in sps_error(), where there is no GPU. */
bool devices_open(void);
void devices_close(void);

/* ---- what was found ---- */

/* Count a comparison of `impl`; a failed one is printed with its value. */
void verdict(bool ok, const char *name, const char *what, const char *impl, double got,
             double allowed);

/* Count a check that does not apply. */
void skip(void);

/* Print "N passed, N failed, N skipped"; true when none failed. */
bool summary(void);

/* Print what was refused and the summary, with it among the failed; exit. */
_Noreturn void die(const char *what);

#define MUST(call)                                                                       \
    do {                                                                                 \
        if ((call) != SPS_OK)                                                            \
            die(#call);                                                                  \
    } while (0)

/* ---- memory ---- */

/* Zeroed memory of the host, ended by free(); of the GPU, ended by device_free(). */
void *host(size_t bytes);
void *device(size_t bytes);
void device_free(void *p);

void upload(void *to, const void *from, size_t bytes);

/* GPU floats [from, from + count) in new host memory. */
float *fetch(const float *from, int64_t count);

/* NaN to GPU floats [to, to + count), so that what a kernel leaves out is seen. */
void poison(float *to, int64_t count);

#endif
