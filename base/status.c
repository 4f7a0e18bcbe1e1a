/* status.c - one message per thread, and the names of the statuses. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[2048];

static const char *const names[SPS_STATUS_COUNT] = {
    [SPS_OK] = "ok",
    [SPS_EINVAL] = "invalid",
    [SPS_ECONFIG] = "config",
    [SPS_ENOTSUP] = "notsup",
    [SPS_ENOMEM] = "nomem",
    [SPS_EIO] = "io",
    [SPS_EDEVICE] = "device",
    [SPS_ENUMERIC] = "numeric",
    [SPS_EINTERRUPTED] = "interrupted",
};

enum sps_status sps_fail(enum sps_status status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return status;
}

enum sps_status sps_wrap(enum sps_status status, const char *fmt, ...)
{
    char old[sizeof message];
    va_list args;

    memcpy(old, message, sizeof old);
    va_start(args, fmt);
    int n = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof message)
        snprintf(message + n, sizeof message - n, ": %.*s", (int)(sizeof message - n - 3),
                 old);
    return status;
}

const char *sps_error(void)
{
    return message;
}

const char *sps_status_name(enum sps_status status)
{
    return (unsigned)status < SPS_STATUS_COUNT ? names[status] : "unknown";
}
