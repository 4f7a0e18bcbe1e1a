/* run.h - an experiment from its file to a folder of results. */
#ifndef SPS_SIM_RUN_RUN_H
#define SPS_SIM_RUN_RUN_H

#include <stdio.h>

#include "sim/run/config.h"
#include "sim/run/folder.h"

struct sps_run_options {
    const char *config;
    const char *folder;
    const char *const *set; /* "path=value" */
    int64_t set_count;
    enum sps_folder_mode mode;
    const char *backend; /* overrides the config; NULL: its own */
    int threads;         /* 0: all */
    bool quiet;
    int argc;
    char *const *argv; /* for the manifest */
};

struct sps_run_counts {
    int64_t total, ok, failed, skipped; /* skipped: done before */
};

/* Run every point that the folder lacks.  A point that fails is a row.
 * SPS_EINTERRUPTED: stopped on request; what is done is kept. */
enum sps_status sps_run(const struct sps_run_options *options,
                        struct sps_run_counts *counts);

/* Print every point with its predicted cost and memory; run nothing. */
enum sps_status sps_dry_run(const struct sps_run_options *options, FILE *out);

/* The backend that "auto" stands for: the first that opens, fastest first. */
const char *sps_backend_choose(const char *wish);

#endif
