/* safetensors.c - map a file, validate it once, hand out views. */
#include "datasets/safetensors_header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors is little endian, and views are handed out without swapping"
#endif

struct sps_safetensors {
    const char *data; /* the whole file */
    size_t size;
    const char *buffer; /* after the header */
    bool mapped;
    struct safetensors_header header;
};

enum { PREFIX = 8 }; /* bytes that hold the header's length */

static enum sps_status validate(struct sps_safetensors *file)
{
    uint64_t length;

    if (file->size < PREFIX)
        return sps_fail(SPS_ECONFIG,
                        "%zu bytes are too few for a safetensors file, "
                        "which starts with its header's length in 8",
                        file->size);
    memcpy(&length, file->data, sizeof length);
    if (length > SPS_SAFETENSORS_HEADER_MAX)
        return sps_fail(SPS_ECONFIG, "header of %llu bytes, at most %d are allowed",
                        (unsigned long long)length, SPS_SAFETENSORS_HEADER_MAX);
    if (length > file->size - PREFIX)
        return sps_fail(SPS_ECONFIG, "header of %llu bytes in a file of %zu",
                        (unsigned long long)length, file->size);
    file->buffer = file->data + PREFIX + length;
    return sps_safetensors_header_parse(file->data + PREFIX, (size_t)length,
                                        (int64_t)(file->size - PREFIX - length),
                                        &file->header);
}

/* Takes over `file`, mapped or not: it is closed on failure. */
static enum sps_status finish(struct sps_safetensors *file, const char *name,
                              struct sps_safetensors **out)
{
    enum sps_status status = validate(file);

    if (status != SPS_OK) {
        sps_safetensors_close(file);
        return sps_wrap(status, "%s", name);
    }
    *out = file;
    return SPS_OK;
}

enum sps_status sps_safetensors_parse(const void *data, size_t size, const char *name,
                                      struct sps_safetensors **out)
{
    struct sps_safetensors *file = calloc(1, sizeof *file);

    if (!file)
        return sps_fail(SPS_ENOMEM, "%s: out of memory", name);
    file->data = data;
    file->size = size;
    return finish(file, name, out);
}

/* Map a regular file; an empty one stays unmapped, with size 0. */
static enum sps_status map(int fd, const char *path, struct sps_safetensors *file)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return sps_fail(SPS_EIO, "%s: cannot stat: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return sps_fail(SPS_ECONFIG, "%s: not a regular file", path);
    file->size = (size_t)info.st_size;
    if (file->size == 0)
        return SPS_OK;
    void *data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return sps_fail(SPS_EIO, "%s: cannot map %zu bytes: %s", path, file->size,
                        strerror(errno));
    file->data = data;
    file->mapped = true;
    return SPS_OK;
}

enum sps_status sps_safetensors_open(const char *path, struct sps_safetensors **out)
{
    /* O_NONBLOCK: a named pipe must be refused, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return sps_fail(SPS_EIO, "%s: cannot open: %s", path, strerror(errno));
    struct sps_safetensors *file = calloc(1, sizeof *file);
    enum sps_status status =
        file ? map(fd, path, file) : sps_fail(SPS_ENOMEM, "%s: out of memory", path);
    close(fd);
    if (status == SPS_OK)
        return finish(file, path, out);
    free(file);
    return status;
}

void sps_safetensors_close(struct sps_safetensors *file)
{
    if (!file)
        return;
    sps_safetensors_header_free(&file->header);
    if (file->mapped)
        munmap((void *)file->data, file->size);
    free(file);
}

int64_t sps_safetensors_count(const struct sps_safetensors *file)
{
    return file->header.count;
}

const char *sps_safetensors_name(const struct sps_safetensors *file, int64_t i)
{
    return file->header.entries[i].name;
}

const void *sps_safetensors_bytes(const struct sps_safetensors *file, size_t *size)
{
    *size = file->size;
    return file->data;
}

const struct safetensors_entry *sps_safetensors_entry(const struct sps_safetensors *file,
                                                      const char *name)
{
    const struct safetensors_header *h = &file->header;
    int64_t low = 0, high = h->count;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const struct safetensors_entry *e = h->by_name[middle];
        int order = strcmp(name, e->name);
        if (order == 0)
            return e;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool sps_safetensors_has(const struct sps_safetensors *file, const char *name)
{
    return sps_safetensors_entry(file, name) != NULL;
}

enum sps_status sps_safetensors_get(const struct sps_safetensors *file, const char *name,
                                    struct sps_tensor *x)
{
    char shown[SAFETENSORS_SHOWN];
    const struct safetensors_entry *e = sps_safetensors_entry(file, name);
    int64_t dim[4] = {1, 1, 1, 1};

    sps_safetensors_show(name, shown);
    if (!e)
        return sps_fail(SPS_ECONFIG, "tensor %s: there is none", shown);
    if (!e->type->ours)
        return sps_fail(SPS_ECONFIG,
                        "tensor %s: type %s cannot be used, only F32, F16, "
                        "BF16, I32 and U8",
                        shown, e->type->name);
    if (e->rank > 4)
        return sps_fail(SPS_ECONFIG, "tensor %s: rank %d cannot be used, at most 4",
                        shown, e->rank);
    for (int i = 0; i < e->rank; i++)
        dim[i] = e->dim[i];
    *x = sps_tensor_view((void *)(file->buffer + e->begin), e->type->dtype, dim[0],
                         dim[1], dim[2], dim[3]);
    return SPS_OK;
}

enum sps_status sps_safetensors_info(const struct sps_safetensors *file, int64_t i,
                                     const char **dtype, int *rank, int64_t dim[8])
{
    if (i < 0 || i >= file->header.count)
        return sps_fail(SPS_ECONFIG, "tensor number %lld: there are %lld", (long long)i,
                        (long long)file->header.count);
    const struct safetensors_entry *e = &file->header.entries[i];
    *dtype = e->type->name;
    *rank = e->rank;
    memcpy(dim, e->dim, sizeof e->dim);
    return SPS_OK;
}

const char *sps_safetensors_meta(const struct sps_safetensors *file, const char *key)
{
    for (int64_t i = 0; i < file->header.meta_count; i++)
        if (strcmp(file->header.meta[i].key, key) == 0)
            return file->header.meta[i].value;
    return NULL;
}

int64_t sps_safetensors_meta_count(const struct sps_safetensors *file)
{
    return file->header.meta_count;
}

const char *sps_safetensors_meta_key(const struct sps_safetensors *file, int64_t i)
{
    return file->header.meta[i].key;
}
