/* gzip.c - pack and unpack with zlib. */
#include "sim/run/gzip.h"

#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, MEMORY_LEVEL = 8, PIECE = 1 << 16 };

enum sps_status sps_gzip(const struct sps_text *plain, struct sps_text *packed)
{
    z_stream z = {.next_in = (Bytef *)sps_text_string(plain),
                  .avail_in = (uInt)plain->length};
    char piece[PIECE];
    int code;

    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return sps_fail(SPS_ENOMEM, "cannot start zlib");
    do {
        z.next_out = (Bytef *)piece;
        z.avail_out = sizeof piece;
        code = deflate(&z, Z_FINISH);
        sps_text_append(packed, piece, sizeof piece - z.avail_out);
    } while (code == Z_OK);
    deflateEnd(&z);
    if (code != Z_STREAM_END)
        return sps_fail(SPS_EIO, "zlib: cannot compress, code %d", code);
    return sps_text_check(packed);
}

/* One member from z->next_in; false: torn or damaged, and nothing is appended. */
static bool unpack_member(z_stream *z, struct sps_text *plain)
{
    size_t before = plain->length;
    char piece[PIECE];
    int code;

    do {
        z->next_out = (Bytef *)piece;
        z->avail_out = sizeof piece;
        code = inflate(z, Z_NO_FLUSH);
        sps_text_append(plain, piece, sizeof piece - z->avail_out);
    } while (code == Z_OK && (z->avail_in || z->avail_out == 0));
    if (code == Z_STREAM_END)
        return true;
    plain->length = before;
    if (plain->data)
        plain->data[before] = '\0';
    return false;
}

enum sps_status sps_gunzip_file(const char *path, struct sps_text *plain)
{
    struct sps_text packed = {0};
    z_stream z = {0};
    enum sps_status status = sps_text_read(&packed, path, (size_t)1 << 30);

    if (status == SPS_OK && inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        status = sps_fail(SPS_ENOMEM, "cannot start zlib");
    if (status == SPS_OK) {
        z.next_in = (Bytef *)sps_text_string(&packed);
        z.avail_in = (uInt)packed.length;
        while (z.avail_in && unpack_member(&z, plain))
            inflateReset(&z);
        inflateEnd(&z);
        status = sps_text_check(plain);
    }
    sps_text_free(&packed);
    return status;
}
