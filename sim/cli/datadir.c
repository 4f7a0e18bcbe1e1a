/* datadir.c - where the plots, the report template and the samples are. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/cli/cli.h"

/* The executable's folder, or one above it, when it holds plots/style.gp. */
static bool beside(char *path, size_t size)
{
    static const char *const steps[] = {"", "/..", "/../share/sparsescope"};
    char self[PATH_MAX], probe[2 * PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n <= 0)
        return false;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        snprintf(probe, sizeof probe, "%s%s/plots/style.gp", self, steps[i]);
        if (access(probe, R_OK) == 0)
            return snprintf(path, size, "%s%s", self, steps[i]), true;
    }
    return false;
}

const char *cli_datadir(void)
{
    static char path[2 * PATH_MAX];
    const char *env = getenv("SPARSESCOPE_DATADIR");

    if (env && *env)
        return env;
    if (path[0] || beside(path, sizeof path))
        return path;
    if (access(SPS_SRCDIR "/plots/style.gp", R_OK) == 0)
        return SPS_SRCDIR;
    return SPS_PKGDATADIR;
}
