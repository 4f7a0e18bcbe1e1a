/* host.h - memory, copies, clock and scratch that the ref and cpu backends share. */
#ifndef SPS_KERNELS_HOST_H
#define SPS_KERNELS_HOST_H

#include "kernels/backend.h"

SPS_BEGIN_DECLS

/* Set threads (0: all processors of the process), memory_bytes, state and name:
 * "PROCESSOR, N threads, WHAT".  sps_host_close() frees the state. */
enum sps_status sps_host_open(struct sps_device *dev, int threads, const char *what);
void sps_host_close(struct sps_device *dev);

/* The slots of struct sps_backend. */
enum sps_dtype sps_host_accepts(enum sps_dtype wish);
enum sps_status sps_host_alloc(struct sps_device *dev, size_t bytes, void **mem);
void sps_host_free(struct sps_device *dev, void *mem);
enum sps_status sps_host_copy(struct sps_device *dev, void *to, const void *from,
                              size_t bytes);
enum sps_status sps_host_mark(struct sps_device *dev, int slot);
enum sps_status sps_host_elapsed(struct sps_device *dev, int from, int to,
                                 double *seconds);
enum sps_status sps_host_flush(struct sps_device *dev);

/* The clear slot of struct sps_kernels. */
enum sps_status sps_host_clear(struct sps_device *dev, void *mem, size_t bytes);

/* One zeroed, 64-byte aligned piece of memory per thread, for one kernel call. */
struct sps_scratch {
    void *mem;
    size_t each;
};

enum sps_status sps_scratch_new(const struct sps_device *dev, size_t each,
                                struct sps_scratch *scratch);
void *sps_scratch_mine(const struct sps_scratch *scratch); /* the calling thread's */
void sps_scratch_free(struct sps_scratch *scratch);

SPS_END_DECLS

#endif
