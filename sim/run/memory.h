/* memory.h - the most memory this process held since the last reset. */
#ifndef SPS_SIM_RUN_MEMORY_H
#define SPS_SIM_RUN_MEMORY_H

/* Start a new peak (Linux: /proc/self/clear_refs). */
void sps_memory_reset_peak(void);

/* Bytes (VmHWM); NaN where the system does not tell. */
double sps_memory_peak(void);

#endif
