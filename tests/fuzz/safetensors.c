/* safetensors.c - fuzz target: any bytes give a valid file or one clear line.
 *
 * clang -fsanitize=fuzzer,address,undefined; the seeds in corpus/safetensors are the
 * cases of tests/unit/safetensors.c.
 */
#include "datasets/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read every byte of a tensor, so that a view past the end is caught. */
static unsigned touch(const struct sps_tensor *x)
{
    const unsigned char *bytes = x->data;
    unsigned sum = 0;

    for (size_t i = 0; i < sps_tensor_bytes(x); i++)
        sum += bytes[i];
    return sum;
}

static unsigned visit(const struct sps_safetensors *file)
{
    unsigned sum = 0;

    for (int64_t i = 0; i < sps_safetensors_count(file); i++) {
        const char *dtype, *name = sps_safetensors_name(file, i);
        struct sps_tensor x;
        int64_t dim[8];
        int rank;
        if (!sps_safetensors_has(file, name) ||
            sps_safetensors_info(file, i, &dtype, &rank, dim) != SPS_OK || rank > 8)
            abort();
        if (sps_safetensors_get(file, name, &x) == SPS_OK)
            sum += touch(&x);
    }
    for (int64_t i = 0; i < sps_safetensors_meta_count(file); i++)
        sum += (unsigned)strlen(
            sps_safetensors_meta(file, sps_safetensors_meta_key(file, i)));
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sps_safetensors *file;
    enum sps_status status = sps_safetensors_parse(data, size, "fuzz", &file);

    if (status == SPS_OK) {
        volatile unsigned sum = visit(file); /* volatile: the reading must happen */
        (void)sum;
        sps_safetensors_close(file);
    } else if (status != SPS_ECONFIG || strpbrk(sps_error(), "\n\033")) {
        abort(); /* one clear line, nothing that moves the cursor */
    }
    return 0;
}
