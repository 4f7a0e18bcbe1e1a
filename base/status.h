/* status.h - how every function in this project reports failure.
 *
 * A function that can fail returns enum sps_status; results go out through
 * pointers, last, written only on success.  Whoever first knows what went wrong
 * calls sps_fail() once; callers forward it with SPS_TRY() and may prepend
 * context with sps_wrap().  Only main() prints and exits.  A broken invariant
 * is a bug, not a status: assert() it.
 *
 * Messages: lower case, no full stop, the exact value, what is allowed.
 */
#ifndef SPS_BASE_STATUS_H
#define SPS_BASE_STATUS_H

#ifdef __cplusplus
#define SPS_BEGIN_DECLS extern "C" {
#define SPS_END_DECLS   }
#else
#define SPS_BEGIN_DECLS
#define SPS_END_DECLS
#endif

SPS_BEGIN_DECLS

enum sps_status {
    SPS_OK,
    SPS_EINVAL,       /* caller broke a documented precondition         */
    SPS_ECONFIG,      /* the user's YAML, command line or file is wrong */
    SPS_ENOTSUP,      /* a fair request, but not on this backend        */
    SPS_ENOMEM,       /* host or device memory exhausted                */
    SPS_EIO,          /* a file or stream failed                        */
    SPS_EDEVICE,      /* CUDA or BLAS reported an error                 */
    SPS_ENUMERIC,     /* NaN, Inf or tolerance exceeded                 */
    SPS_EINTERRUPTED, /* Ctrl-C or SIGTERM                              */
    SPS_STATUS_COUNT
};

/* Keep the formatted message for this thread; return `status`. */
enum sps_status sps_fail(enum sps_status status, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Prepend "context: " to this thread's message; return `status`. */
enum sps_status sps_wrap(enum sps_status status, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Return the status of `call` from this function, unless it is SPS_OK. */
#define SPS_TRY(call)                                                                    \
    do {                                                                                 \
        enum sps_status sps_try_ = (call);                                               \
        if (sps_try_ != SPS_OK)                                                          \
            return sps_try_;                                                             \
    } while (0)

/* This thread's last message, "" if none.  May hold several lines (a caret). */
const char *sps_error(void);

/* "ok", "config", "notsup", ...: the `status` column of results.csv. */
const char *sps_status_name(enum sps_status status);

SPS_END_DECLS

#endif
