/* sha256.c - SHA-256 by libcrypto. */
#include "base/sha256.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sps_sha256 {
    EVP_MD_CTX *context;
};

enum sps_status sps_sha256_new(struct sps_sha256 **sha)
{
    struct sps_sha256 *s = calloc(1, sizeof *s);

    if (s)
        s->context = EVP_MD_CTX_new();
    if (!s || !s->context || EVP_DigestInit_ex(s->context, EVP_sha256(), NULL) != 1) {
        if (s)
            EVP_MD_CTX_free(s->context);
        free(s);
        return sps_fail(SPS_ENOMEM, "cannot start a SHA-256 digest");
    }
    *sha = s;
    return SPS_OK;
}

void sps_sha256_add(struct sps_sha256 *sha, const void *data, size_t size)
{
    int ok = EVP_DigestUpdate(sha->context, data, size);

    assert(ok == 1); /* a started software digest cannot fail */
    (void)ok;
}

void sps_sha256_hex(struct sps_sha256 *sha, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int ok = EVP_DigestFinal_ex(sha->context, digest, &size);

    assert(ok == 1 && size == 32);
    (void)ok;
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(sha->context);
    free(sha);
}

static enum sps_status add_stream(struct sps_sha256 *sha, FILE *stream, const char *path)
{
    char buffer[65536];
    size_t size;

    while ((size = fread(buffer, 1, sizeof buffer, stream)) > 0)
        sps_sha256_add(sha, buffer, size);
    if (ferror(stream))
        return sps_fail(SPS_EIO, "%s: cannot read: %s", path, strerror(errno));
    return SPS_OK;
}

enum sps_status sps_sha256_file(const char *path, char hex[65])
{
    struct sps_sha256 *sha;
    char digits[65];
    FILE *stream = fopen(path, "rb");

    if (!stream)
        return sps_fail(SPS_EIO, "%s: cannot open: %s", path, strerror(errno));
    enum sps_status status = sps_sha256_new(&sha);
    if (status == SPS_OK) {
        status = add_stream(sha, stream, path);
        sps_sha256_hex(sha, digits);
    }
    fclose(stream);
    if (status == SPS_OK)
        memcpy(hex, digits, sizeof digits);
    return status;
}
