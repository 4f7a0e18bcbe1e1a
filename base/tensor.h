/* tensor.h - a contiguous row-major array of up to four dimensions.
 *
 * Letters used in every shape, comment and CSV column:
 *   h query heads    g key/value heads, h % g == 0    G = h / g
 *   t queries        s keys                           n sequences
 *   dk size of q and k rows    dv size of v and o rows
 *   m compressed keys          nb key blocks of the longest sequence
 * Shapes read outermost first: q[t,h,dk], sequences packed.  Unused dimensions
 * are 1.  A view owns nothing; sps_tensor_new() owns, sps_tensor_free() ends it.
 */
#ifndef SPS_BASE_TENSOR_H
#define SPS_BASE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

SPS_BEGIN_DECLS

enum sps_dtype { SPS_F32, SPS_F16, SPS_BF16, SPS_I32, SPS_U8, SPS_DTYPE_COUNT };

struct sps_tensor {
    void *data; /* host, or the memory of one device; NULL: absent */
    int64_t dim[4];
    enum sps_dtype dtype;
};

/* Bytes of one element; lower-case name ("bf16"); the reverse, false if unknown. */
size_t sps_dtype_size(enum sps_dtype dtype);
const char *sps_dtype_name(enum sps_dtype dtype);
bool sps_dtype_find(const char *name, enum sps_dtype *dtype);

struct sps_tensor sps_tensor_view(void *data, enum sps_dtype dtype, int64_t d0,
                                  int64_t d1, int64_t d2, int64_t d3);
int64_t sps_tensor_count(const struct sps_tensor *x); /* elements; 0 when absent */
size_t sps_tensor_bytes(const struct sps_tensor *x);

/* Zeroed host memory, 64-byte aligned.  SPS_ENOMEM says how many bytes. */
enum sps_status sps_tensor_new(enum sps_dtype dtype, int64_t d0, int64_t d1, int64_t d2,
                               int64_t d3, struct sps_tensor *x);
void sps_tensor_free(struct sps_tensor *x); /* tolerates an absent one */

/* count elements of a float type to and from float32, round to nearest even. */
void sps_to_f32(const void *from, enum sps_dtype dtype, int64_t count, float *to);
void sps_from_f32(const float *from, int64_t count, enum sps_dtype dtype, void *to);

/* Each of x[count] becomes the nearest number that a float type holds, even at ties. */
void sps_round_f32(float *x, int64_t count, enum sps_dtype dtype);

/* 64-byte aligned host memory, zeroed; free() ends it. */
enum sps_status sps_calloc(size_t bytes, void **mem);

SPS_END_DECLS

#endif
