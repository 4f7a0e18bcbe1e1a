/* manifest.h - manifest.json: what ran where, from which inputs, with which code. */
#ifndef SPS_SIM_RUN_MANIFEST_H
#define SPS_SIM_RUN_MANIFEST_H

#include "datasets/dataset.h"
#include "kernels/backend.h"
#include "sim/run/folder.h"

struct sps_manifest; /* a document in the making */

enum sps_status sps_manifest_new(const char *config_path, int argc, char *const *argv,
                                 struct sps_manifest **manifest);
void sps_manifest_free(struct sps_manifest *manifest); /* tolerates NULL */

/* A device that was opened, with its measured roofs; once per name. */
void sps_manifest_backend(struct sps_manifest *manifest, const struct sps_device *dev,
                          const struct sps_roofs *roofs);

/* A recording that was read; once per path. */
void sps_manifest_input(struct sps_manifest *manifest, const char *path,
                        const char *sha256);

/* Close the books and save. */
enum sps_status sps_manifest_save(struct sps_manifest *manifest,
                                  const struct sps_folder *folder, uint64_t seed,
                                  int64_t total, int64_t ok, int64_t failed,
                                  double wall_s);

#endif
