/* sha256.h - SHA-256 (FIPS 180-4) of bytes and files, as 64 lower-case digits. */
#ifndef SPS_BASE_SHA256_H
#define SPS_BASE_SHA256_H

#include <stddef.h>

#include "base/status.h"

SPS_BEGIN_DECLS

struct sps_sha256; /* a digest in the making */

enum sps_status sps_sha256_new(struct sps_sha256 **sha);
void sps_sha256_add(struct sps_sha256 *sha, const void *data, size_t size);

/* Write the digest and free `sha`. */
void sps_sha256_hex(struct sps_sha256 *sha, char hex[65]);

/* The digest of a file's content.  SPS_EIO starts with the path. */
enum sps_status sps_sha256_file(const char *path, char hex[65]);

SPS_END_DECLS

#endif
