/* nvml.cu - own prototypes of the few NVML calls we need: nvml.h is not in the toolkit
 * (NVML API reference, https://docs.nvidia.com/deploy/nvml-api). */
#include "kernels/cuda/nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>

#include "kernels/cuda/cuda.h"

enum { NVML_CLOCK_SM = 1, NVML_CLOCK_MEM = 2, NVML_TEMPERATURE_GPU = 0 };

/* nvmlClocksEventReason* bits. */
enum {
    REASON_SW_POWER_CAP = 0x04,
    REASON_HW_SLOWDOWN = 0x08,
    REASON_SW_THERMAL = 0x20,
    REASON_HW_THERMAL = 0x40,
    REASON_HW_POWER_BRAKE = 0x80
};

static const struct {
    unsigned long long reason;
    uint64_t held;
} reasons[] = {
    {REASON_SW_POWER_CAP, SPS_HELD_POWER_CAP},  {REASON_SW_THERMAL, SPS_HELD_THERMAL},
    {REASON_HW_THERMAL, SPS_HELD_THERMAL},      {REASON_HW_SLOWDOWN, SPS_HELD_HARDWARE},
    {REASON_HW_POWER_BRAKE, SPS_HELD_HARDWARE},
};

/* The library's entry points; NULL where it lacks one. */
struct nvml {
    void *library, *device;
    int (*clock)(void *, int, unsigned *);
    int (*power)(void *, unsigned *);
    int (*temperature)(void *, int, unsigned *);
    int (*energy)(void *, unsigned long long *);
    int (*held)(void *, unsigned long long *);
};

static void *symbol(const struct nvml *nvml, const char *name)
{
    return nvml->library ? dlsym(nvml->library, name) : NULL;
}

/* Find our device by its PCI address: NVML and CUDA may count in different orders. */
static void find_device(struct nvml *nvml, const struct cuda_state *state)
{
    int (*init)(void) = (int (*)(void))symbol(nvml, "nvmlInit_v2");
    int (*by_bus)(const char *, void **) =
        (int (*)(const char *, void **))symbol(nvml, "nvmlDeviceGetHandleByPciBusId_v2");
    char bus[32];

    if (init && by_bus && init() == 0 &&
        cudaDeviceGetPCIBusId(bus, sizeof bus, state->id) == cudaSuccess &&
        by_bus(bus, &nvml->device) != 0)
        nvml->device = NULL;
}

static struct nvml load(const struct cuda_state *state)
{
    struct nvml nvml = {};

    nvml.library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    find_device(&nvml, state);
    nvml.clock =
        (int (*)(void *, int, unsigned *))symbol(&nvml, "nvmlDeviceGetClockInfo");
    nvml.power = (int (*)(void *, unsigned *))symbol(&nvml, "nvmlDeviceGetPowerUsage");
    nvml.temperature =
        (int (*)(void *, int, unsigned *))symbol(&nvml, "nvmlDeviceGetTemperature");
    nvml.energy = (int (*)(void *, unsigned long long *))symbol(
        &nvml, "nvmlDeviceGetTotalEnergyConsumption");
    nvml.held = (int (*)(void *, unsigned long long *))symbol(
        &nvml, "nvmlDeviceGetCurrentClocksThrottleReasons");
    return nvml;
}

static double megahertz(const struct nvml *nvml, int which)
{
    unsigned mhz;

    return nvml->clock && nvml->clock(nvml->device, which, &mhz) == 0 ? (double)mhz : NAN;
}

static uint64_t held_back(const struct nvml *nvml)
{
    unsigned long long bits = 0;
    uint64_t held = 0;

    if (!nvml->held || nvml->held(nvml->device, &bits) != 0)
        return 0;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (bits & reasons[i].reason)
            held |= reasons[i].held;
    return held;
}

enum sps_status sps_nvml_health(struct sps_device *dev, struct sps_health *health)
{
    struct cuda_state *state = cuda_state_of(dev);
    unsigned milliwatts, celsius;
    unsigned long long millijoules;

    health->sm_mhz = health->memory_mhz = health->power_w = NAN;
    health->temperature_c = health->energy_j = NAN;
    health->held_back = 0;
    if (!state->nvml) {
        void *mem;
        SPS_TRY(sps_calloc(sizeof(struct nvml), &mem));
        state->nvml = (struct nvml *)mem;
        *state->nvml = load(state);
    }
    const struct nvml *nvml = state->nvml;
    if (!nvml->device)
        return SPS_OK;
    health->sm_mhz = megahertz(nvml, NVML_CLOCK_SM);
    health->memory_mhz = megahertz(nvml, NVML_CLOCK_MEM);
    if (nvml->power && nvml->power(nvml->device, &milliwatts) == 0)
        health->power_w = milliwatts * 1e-3;
    if (nvml->temperature &&
        nvml->temperature(nvml->device, NVML_TEMPERATURE_GPU, &celsius) == 0)
        health->temperature_c = celsius;
    if (nvml->energy && nvml->energy(nvml->device, &millijoules) == 0)
        health->energy_j = (double)millijoules * 1e-3;
    health->held_back = held_back(nvml);
    return SPS_OK;
}
