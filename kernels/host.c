/* host.c - memory, copies, clock and scratch that the ref and cpu backends share. */
#include "kernels/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/threads.h"

enum { LEAST_FLOOD = 64 << 20 };

struct host {
    struct timespec mark[SPS_MARKS];
    char *flood; /* what flush streams through; made at the first flush */
    size_t flood_bytes;
};

/* The value of the first line of `path` that starts with `key`, past ':' and blanks. */
static void read_field(const char *path, const char *key, char *value, size_t size)
{
    FILE *file = fopen(path, "r");
    char line[256];

    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(value, size, "%s", colon);
        break;
    }
    if (file)
        fclose(file);
}

/* Four fifths of the memory that can be had without swapping. */
static size_t available_bytes(void)
{
    char text[64] = "";
    double bytes;

    read_field("/proc/meminfo", "MemAvailable", text, sizeof text);
    bytes = strtod(text, NULL) * 1024;
    if (bytes <= 0)
        bytes = (double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    return (size_t)(0.8 * bytes);
}

/* One number from a file of cpu `cpu`'s last-level cache; -1: there is none.  The
 * kernel's size counts in KiB ("32768K"), its list starts with the first cpu. */
static long cache_fact(int cpu, const char *name)
{
    char path[128];
    long value = -1;

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index3/%s", cpu,
             name);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    if (fscanf(file, "%ld", &value) != 1)
        value = -1;
    fclose(file);
    return value;
}

/* Bytes of all last-level caches of this machine, each counted at its first cpu.
 * sysconf() is of no use here: it reports the whole socket's even to a guest that sees a
 * part. */
static size_t cache_bytes(void)
{
    int cpus = omp_get_num_procs();
    long kib = 0;

    for (int cpu = 0; cpu < cpus; cpu++)
        if (cache_fact(cpu, "shared_cpu_list") == cpu && cache_fact(cpu, "size") > 0)
            kib += cache_fact(cpu, "size");
    return (size_t)kib * 1024;
}

enum sps_status sps_host_open(struct sps_device *dev, int threads, const char *what)
{
    char cpu[64] = "processor";

    if (threads < 0)
        return sps_fail(SPS_EINVAL, "threads: %d: must be 0 (all) or more", threads);
    SPS_TRY(sps_calloc(sizeof(struct host), &dev->state));
    dev->threads = threads ? threads : omp_get_num_procs();
    dev->memory_bytes = available_bytes();
    dev->cache_bytes = cache_bytes();
    dev->impl = "none";
    read_field("/proc/cpuinfo", "model name", cpu, sizeof cpu);
    snprintf(dev->name, sizeof dev->name, "%s, %d thread%s, %.32s", cpu, dev->threads,
             dev->threads == 1 ? "" : "s", what);
    return SPS_OK;
}

void sps_host_close(struct sps_device *dev)
{
    struct host *host = dev->state;

    if (host)
        free(host->flood);
    free(host);
    dev->state = NULL;
}

enum sps_dtype sps_host_accepts(enum sps_dtype wish)
{
    (void)wish;
    return SPS_F32;
}

enum sps_status sps_host_alloc(struct sps_device *dev, size_t bytes, void **mem)
{
    (void)dev;
    return sps_calloc(bytes, mem);
}

void sps_host_free(struct sps_device *dev, void *mem)
{
    (void)dev;
    free(mem);
}

enum sps_status sps_host_copy(struct sps_device *dev, void *to, const void *from,
                              size_t bytes)
{
    (void)dev;
    if (bytes)
        memmove(to, from, bytes);
    return SPS_OK;
}

enum sps_status sps_host_clear(struct sps_device *dev, void *mem, size_t bytes)
{
    dev->impl = "clear";
    if (bytes)
        memset(mem, 0, bytes);
    return SPS_OK;
}

static enum sps_status check_slot(int slot)
{
    if (slot < 0 || slot >= SPS_MARKS)
        return sps_fail(SPS_EINVAL, "mark %d: must be 0..%d", slot, SPS_MARKS - 1);
    return SPS_OK;
}

enum sps_status sps_host_mark(struct sps_device *dev, int slot)
{
    struct host *host = dev->state;

    SPS_TRY(check_slot(slot));
    clock_gettime(CLOCK_MONOTONIC, &host->mark[slot]);
    return SPS_OK;
}

enum sps_status sps_host_elapsed(struct sps_device *dev, int from, int to,
                                 double *seconds)
{
    const struct host *host = dev->state;

    SPS_TRY(check_slot(from));
    SPS_TRY(check_slot(to));
    *seconds = (double)(host->mark[to].tv_sec - host->mark[from].tv_sec) +
               1e-9 * (double)(host->mark[to].tv_nsec - host->mark[from].tv_nsec);
    return SPS_OK;
}

enum sps_status sps_host_flush(struct sps_device *dev)
{
    struct host *host = dev->state;

    if (!host->flood) {
        size_t bytes = 2 * dev->cache_bytes;
        void *mem;
        if (bytes < LEAST_FLOOD)
            bytes = LEAST_FLOOD;
        SPS_TRY(sps_calloc(bytes, &mem));
        host->flood = mem;
        host->flood_bytes = bytes;
    }
    for (size_t i = 0; i < host->flood_bytes; i += 64)
        ((volatile char *)host->flood)[i]++;
    return SPS_OK;
}

enum sps_status sps_scratch_new(const struct sps_device *dev, size_t each,
                                struct sps_scratch *scratch)
{
    scratch->each = (each + 63) & ~(size_t)63;
    return sps_calloc(scratch->each * (size_t)dev->threads, &scratch->mem);
}

void *sps_scratch_mine(const struct sps_scratch *scratch)
{
    return (char *)scratch->mem + scratch->each * (size_t)omp_get_thread_num();
}

void sps_scratch_free(struct sps_scratch *scratch)
{
    free(scratch->mem);
    scratch->mem = NULL;
}
