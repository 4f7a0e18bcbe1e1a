/* nvml.h - the GPU's sensors through libnvidia-ml, loaded when first asked. */
#ifndef SPS_KERNELS_CUDA_NVML_H
#define SPS_KERNELS_CUDA_NVML_H

#include "kernels/backend.h"

SPS_BEGIN_DECLS

/* struct sps_backend's health: NaN for what the library or device does not tell. */
enum sps_status sps_nvml_health(struct sps_device *dev, struct sps_health *health);

SPS_END_DECLS

#endif
