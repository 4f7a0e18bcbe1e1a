/* safetensors_write.c - write a file that no reader ever sees half finished.
 *
 * Order and padding are those of the format's reference writer: alignment descending,
 * then name; the header padded with spaces to a multiple of 8.
 */
#include "datasets/safetensors_header.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t bytes_of(const struct sps_named_tensor *x)
{
    size_t bytes = sps_dtype_size(x->tensor.dtype);

    for (int i = 0; i < 4; i++)
        bytes *= (size_t)x->tensor.dim[i];
    return bytes;
}

static int file_order(const void *a, const void *b)
{
    const struct sps_named_tensor *x = *(const struct sps_named_tensor *const *)a;
    const struct sps_named_tensor *y = *(const struct sps_named_tensor *const *)b;
    size_t p = sps_dtype_size(x->tensor.dtype), q = sps_dtype_size(y->tensor.dtype);

    if (p != q)
        return p > q ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Add key: value, and own value in any case; text that is not UTF-8 comes as NULL. */
static enum sps_status put(json_t *object, const char *key, json_t *value)
{
    char shown[SAFETENSORS_SHOWN];
    bool repeated = json_object_get(object, key) != NULL;

    sps_safetensors_show(key, shown);
    if (!repeated && value && json_object_set_new(object, key, value) == 0)
        return SPS_OK;
    if (repeated)
        json_decref(value);
    return sps_fail(SPS_EINVAL, "%s: %s", shown,
                    repeated ? "written twice" : "name or value is not UTF-8");
}

static json_t *describe(const struct sps_named_tensor *x, size_t begin)
{
    json_t *shape = json_array();

    for (int i = 0; i < x->rank; i++)
        json_array_append_new(shape, json_integer(x->tensor.dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                     sps_safetensors_type_of(x->tensor.dtype)->name, "shape", shape,
                     "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + bytes_of(x)));
}

static enum sps_status fill_header(json_t *root,
                                   const struct sps_named_tensor *const *order,
                                   int64_t count, const struct sps_meta *meta,
                                   int64_t meta_count)
{
    size_t begin = 0;
    json_t *strings = json_object();

    enum sps_status status = SPS_OK;
    for (int64_t i = 0; i < meta_count && status == SPS_OK; i++)
        status = put(strings, meta[i].key, json_string(meta[i].value));
    if (status != SPS_OK || meta_count == 0)
        json_decref(strings);
    else
        status = put(root, "__metadata__", strings);
    for (int64_t i = 0; i < count && status == SPS_OK; i++) {
        if (strcmp(order[i]->name, "__metadata__") == 0)
            return sps_fail(SPS_EINVAL, "__metadata__ cannot name a tensor");
        status = put(root, order[i]->name, describe(order[i], begin));
        begin += bytes_of(order[i]);
    }
    return status;
}

/* The prefix, the JSON and its padding in one piece; free() ends it. */
static enum sps_status make_header(const struct sps_named_tensor *const *order,
                                   int64_t count, const struct sps_meta *meta,
                                   int64_t meta_count, char **text, size_t *size)
{
    json_t *root = json_object();

    if (!root)
        return sps_fail(SPS_ENOMEM, "out of memory");
    enum sps_status status = fill_header(root, order, count, meta, meta_count);
    if (status == SPS_OK) {
        size_t length = json_dumpb(root, NULL, 0, JSON_COMPACT);
        uint64_t padded = (length + 7) & ~(uint64_t)7;
        *size = 8 + padded;
        *text = malloc(*size);
        if (*text) {
            memcpy(*text, &padded, 8);
            memset(*text + 8, ' ', padded);
            json_dumpb(root, *text + 8, length, JSON_COMPACT);
        } else {
            status = sps_fail(SPS_ENOMEM, "out of memory");
        }
    }
    json_decref(root);
    return status;
}

static enum sps_status write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sps_fail(SPS_EIO, "cannot write: %s", strerror(errno));
        at += n;
        size -= (size_t)n;
    }
    return SPS_OK;
}

static enum sps_status write_file(int fd, const char *header, size_t size,
                                  const struct sps_named_tensor *const *order,
                                  int64_t count)
{
    SPS_TRY(write_all(fd, header, size));
    for (int64_t i = 0; i < count; i++)
        SPS_TRY(write_all(fd, order[i]->tensor.data, bytes_of(order[i])));
    if (fsync(fd) != 0)
        return sps_fail(SPS_EIO, "cannot flush to disk: %s", strerror(errno));
    return SPS_OK;
}

/* The rename is on disk once the folder is; some file systems cannot say. */
static enum sps_status flush_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
    int fd =
        folder ? open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    free(folder);
    if (fd < 0)
        return SPS_OK;
    int failed = fsync(fd) != 0 && errno == EIO;
    close(fd);
    return failed ? sps_fail(SPS_EIO, "cannot flush its folder: %s", strerror(EIO))
                  : SPS_OK;
}

static enum sps_status replace(const char *path, const char *temporary,
                               const char *header, size_t size,
                               const struct sps_named_tensor *const *order, int64_t count)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    if (fd < 0)
        return sps_fail(SPS_EIO, "cannot create %s: %s", temporary, strerror(errno));
    enum sps_status status = write_file(fd, header, size, order, count);
    if (close(fd) != 0 && status == SPS_OK)
        status = sps_fail(SPS_EIO, "cannot close: %s", strerror(errno));
    if (status == SPS_OK && rename(temporary, path) != 0)
        status = sps_fail(SPS_EIO, "cannot rename %s: %s", temporary, strerror(errno));
    if (status != SPS_OK)
        unlink(temporary);
    return status == SPS_OK ? flush_folder(path) : status;
}

static enum sps_status write_ordered(const char *path,
                                     const struct sps_named_tensor *const *order,
                                     int64_t count, const struct sps_meta *meta,
                                     int64_t meta_count)
{
    char *header = NULL, temporary[PATH_MAX];
    size_t size = 0;

    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp%ld", path,
                         (long)getpid()) >= sizeof temporary)
        return sps_fail(SPS_EIO, "path of more than %d characters", PATH_MAX);
    SPS_TRY(make_header(order, count, meta, meta_count, &header, &size));
    enum sps_status status;
    if (size - 8 > SPS_SAFETENSORS_HEADER_MAX)
        status = sps_fail(SPS_EINVAL, "header of %zu bytes, at most %d are allowed",
                          size - 8, SPS_SAFETENSORS_HEADER_MAX);
    else
        status = replace(path, temporary, header, size, order, count);
    free(header);
    return status;
}

static enum sps_status check(const struct sps_named_tensor *x)
{
    char shown[SAFETENSORS_SHOWN];

    for (int i = x->rank; i < 4; i++)
        if (x->tensor.dim[i] != 1)
            return sps_fail(SPS_EINVAL, "%s: rank %d leaves out dimension %d, %lld",
                            sps_safetensors_show(x->name, shown), x->rank, i,
                            (long long)x->tensor.dim[i]);
    return SPS_OK;
}

enum sps_status sps_safetensors_write(const char *path,
                                      const struct sps_named_tensor *tensors,
                                      int64_t count, const struct sps_meta *meta,
                                      int64_t meta_count)
{
    const struct sps_named_tensor **order = calloc((size_t)count + 1, sizeof *order);

    if (!order)
        return sps_fail(SPS_ENOMEM, "%s: out of memory", path);
    enum sps_status status = SPS_OK;
    for (int64_t i = 0; i < count && status == SPS_OK; i++) {
        order[i] = &tensors[i];
        status = check(order[i]);
    }
    if (status == SPS_OK) {
        qsort(order, (size_t)count, sizeof *order, file_order);
        status = write_ordered(path, order, count, meta, meta_count);
    }
    free(order);
    return status == SPS_OK ? SPS_OK : sps_wrap(status, "%s", path);
}
