/* calibration.h - how long the stages of each method take on a device, and predictions.
 *
 * The cost model gives operations and bytes; a roofline (matrix rate, read rate) makes
 * them seconds at best.  `info --calibrate` measures by what factor each stage of each
 * method takes longer, at one size, and keeps the factors in one file for all devices of
 * a user: $XDG_CACHE_HOME/sparsescope/calibration.json, or the same under ~/.cache.
 */
#ifndef SPS_SIM_RUN_CALIBRATION_H
#define SPS_SIM_RUN_CALIBRATION_H

#include "sim/method/method.h"

enum { SPS_CALIBRATED_MAX = 256 };

struct sps_slowdown {
    char method[32];
    bool backward;
    enum sps_stage stage;
    double times; /* measured seconds over those at the roofs */
};

struct sps_calibration {
    enum sps_dtype dtype; /* of the kernels' inputs: what the device accepts */
    struct sps_roofs roofs;
    struct sps_slowdown slowdown[SPS_CALIBRATED_MAX];
    int64_t count; /* 0: the device was never calibrated */
};

/* Measure roofs and every method that generated data can run, in about half a minute.
 * SPS_ENOTSUP: the device does not know its roofs. */
enum sps_status sps_calibrate(struct sps_device *dev,
                              struct sps_calibration *calibration);

/* The file; "" where neither variable is set. */
void sps_calibration_path(char *path, size_t size);

/* Keep it under the device's name (processor, threads, core), beside those of others;
 * read it again.  A file that is not ours is replaced, and SPS_ECONFIG to read. */
enum sps_status sps_calibration_save(const struct sps_device *dev,
                                     const struct sps_calibration *calibration);
enum sps_status sps_calibration_load(const struct sps_device *dev,
                                     struct sps_calibration *calibration);

/* What a pass is expected to cost: of one phase, all heads. */
struct sps_work {
    const struct sps_method *method;
    bool backward;
    enum sps_dtype dtype;        /* as above */
    const struct sps_cost *cost; /* [SPS_STAGE_COUNT] */
    double causal_pairs;         /* all heads */
    double memory;               /* bytes that the pass touches at least once */
};

/* Seconds of each stage; returns their sum, NaN where the calibration has nothing on this
 * method, phase and type. */
double sps_calibration_predict(const struct sps_calibration *calibration,
                               const struct sps_work *work,
                               double seconds[SPS_STAGE_COUNT]);

/* Seconds at the roofs, what slowdowns are relative to.  Streaming stages go with
 * operations or bytes, whichever takes longer; the others with operations, for the cost
 * model counts their bytes per use and caches serve most; those without any (top-k) with
 * pairs. */
double sps_roof_seconds(const struct sps_roofs *roofs, enum sps_stage stage,
                        const struct sps_cost *cost, double causal_pairs);

#endif
