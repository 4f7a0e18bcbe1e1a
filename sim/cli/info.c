/* info.c - what this build found: backends, devices, libraries, paths. */
#include <jansson.h>
#include <libfyaml.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "kernels/backend.h"
#include "sim/cli/cli.h"
#include "sim/run/calibration.h"
#include "sim/run/run.h"
#include "sim/run/version.h"

extern const char *openblas_get_config(void);

static const struct cli_option options[] = {
    {0, "calibrate", NULL,
     "measure each device's roofs and every method, for predicted times"},
    {0},
};

static void print_roofs(const struct sps_roofs *roofs)
{
    printf("  %-10s   matrix %.1f GFLOP/s, read %.1f GB/s, copy %.1f GB/s\n", "",
           roofs->matrix_flops * 1e-9, roofs->read_bytes * 1e-9,
           roofs->copy_bytes * 1e-9);
}

/* Measure and keep, or say what was kept. */
static enum sps_status print_calibration(struct sps_device *dev, bool measure)
{
    struct sps_calibration calibration;

    if (!dev->backend->roofs)
        return SPS_OK;
    if (measure) {
        SPS_TRY(sps_calibrate(dev, &calibration));
        SPS_TRY(sps_calibration_save(dev, &calibration));
    } else {
        SPS_TRY(sps_calibration_load(dev, &calibration));
    }
    if (calibration.count)
        print_roofs(&calibration.roofs);
    else
        printf("  %-10s   not calibrated\n", "");
    return SPS_OK;
}

static enum sps_status print_backend(const struct sps_backend *backend, bool calibrate)
{
    struct sps_device dev;

    if (sps_device_open(backend->name, 0, &dev) != SPS_OK) {
        printf("  %-10s not usable: %s\n", backend->name, sps_error());
        return SPS_OK;
    }
    printf("  %-10s %s; %.1f GiB may be used\n", backend->name, dev.name,
           (double)dev.memory_bytes / (1 << 30));
    enum sps_status status = print_calibration(&dev, calibrate);
    sps_device_close(&dev);
    return status;
}

static enum sps_status info(const struct cli_args *args, int *code)
{
    char path[4096];

    (void)code;
    sps_calibration_path(path, sizeof path);
    printf("sparsescope %s\nbackends (auto is %s):\n", sps_code_version(),
           sps_backend_choose("auto"));
    for (const struct sps_backend *const *b = sps_backends; *b; b++)
        SPS_TRY(print_backend(*b, cli_has(args, "calibrate")));
    printf("libraries:\n  OpenBLAS   %s\n  libfyaml   %s\n  jansson    %s\n  libcrypto  "
           "%s\n",
           openblas_get_config(), fy_library_version(), JANSSON_VERSION,
           OpenSSL_version(OPENSSL_VERSION));
    printf("data files:  %s\ngnuplot:     %s\ncalibration: %s\n", cli_datadir(),
           SPS_GNUPLOT, path);
    return SPS_OK;
}

const struct cli_command cli_info = {
    "info",  "[options]", "backends, devices, library versions and paths", 0, 0,
    options, info};
