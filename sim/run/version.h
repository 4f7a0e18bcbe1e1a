/* version.h - which code this is: `git describe`, or the release in a tarball. */
#ifndef SPS_SIM_RUN_VERSION_H
#define SPS_SIM_RUN_VERSION_H

/* "0.1.0", and "0.1.0+g1a2b3c4" or "0.1.0+g1a2b3c4-dirty" built from a checkout. */
const char *sps_code_version(void);

#endif
