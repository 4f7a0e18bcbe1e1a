/* backend.c - the registry of backends, and opening a device of one. */
#include "kernels/backend.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <string.h>

#include "base/option.h"

/* Every backend of this build, the plainest first. */
#ifdef HAVE_CUDA
#define SPS_BACKENDS(X) X(ref) X(cpu) X(cuda) X(cuda_portable)
#else
#define SPS_BACKENDS(X) X(ref) X(cpu)
#endif

#define X(name) extern const struct sps_backend sps_backend_##name;
SPS_BACKENDS(X)
#undef X

#define X(name) &sps_backend_##name,
const struct sps_backend *const sps_backends[] = {SPS_BACKENDS(X) NULL};
#undef X

#define X(name) #name,
static const char *const names[] = {SPS_BACKENDS(X) NULL};
#undef X

const struct sps_backend *sps_backend_find(const char *name)
{
    for (const struct sps_backend *const *b = sps_backends; *b; b++)
        if (strcmp((*b)->name, name) == 0)
            return *b;
    return NULL;
}

static enum sps_status unknown(const char *name)
{
    const char *nearest = sps_nearest(name, names);
    char known[64] = "";

    for (const char *const *n = names; *n; n++) {
        strcat(known, n == names ? "" : ", ");
        strcat(known, *n);
    }
    return sps_fail(SPS_ECONFIG, "backend '%s' is not in this build (%s)%s%s%s", name,
                    known, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                    nearest ? "'?" : "");
}

enum sps_status sps_device_open(const char *name, int threads, struct sps_device *dev)
{
    const struct sps_backend *backend = sps_backend_find(name);
    struct sps_device opened = {.backend = backend};

    if (!backend)
        return unknown(name);
    SPS_TRY(backend->open(&opened, threads));
    *dev = opened;
    return SPS_OK;
}

void sps_device_close(struct sps_device *dev)
{
    if (dev->backend)
        dev->backend->close(dev);
    *dev = (struct sps_device){0};
}
