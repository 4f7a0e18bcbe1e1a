/* version.c - the version that the build wrote into code_version.h. */
#include "sim/run/version.h"

#include "code_version.h"

const char *sps_code_version(void)
{
    return SPS_CODE_VERSION;
}
