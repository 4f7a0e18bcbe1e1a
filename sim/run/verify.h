/* verify.h - recompute what a golden file expects, tensor by tensor.
 *
 * The file names its method in the metadata key `kind` and its options by their
 * golden names (docs/methods.md, golden files).  Outputs are checked twice: on the file's
 * own selection, every row; end to end, on every row whose selection agrees.  So are
 * gradients, end to end where every selection agrees.
 */
#ifndef SPS_SIM_RUN_VERIFY_H
#define SPS_SIM_RUN_VERIFY_H

#include <stdint.h>
#include <stdio.h>

#include "base/tensor.h"

struct sps_verify_counts {
    int64_t passed, failed, skipped; /* tensors */
};

/* Check one file on a backend, inputs rounded to `dtype`, printing a line a tensor to
 * `out`; adds to *counts. A status other than SPS_OK: the file cannot be checked at all.
 */
enum sps_status sps_verify(const char *path, const char *backend, enum sps_dtype dtype,
                           FILE *out, struct sps_verify_counts *counts);

#endif
