/* memory.c - peak resident memory from /proc. */
#include "sim/run/memory.h"

#include <math.h>
#include <stdio.h>

void sps_memory_reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");

    if (!file)
        return;
    fputs("5", file);
    fclose(file);
}

double sps_memory_peak(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    double kib = NAN;

    if (!file)
        return kib;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lf", &kib) == 1)
            break;
    fclose(file);
    return kib * 1024;
}
