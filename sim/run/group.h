/* group.h - what points on the same data share: inputs on the device, the rows
 * that are measured, full attention's output there, the dense baseline.
 */
#ifndef SPS_SIM_RUN_GROUP_H
#define SPS_SIM_RUN_GROUP_H

#include "analysis/quality.h"
#include "sim/run/config.h"
#include "sim/run/pass.h"
#include "sim/run/problem.h"

/* Some key/value heads of the data: all, or one when all do not fit in memory. */
struct sps_part {
    struct sps_take take;      /* every row of these heads */
    struct sps_input input;    /* every row when all run, else the measured ones */
    struct sps_input measured; /* when all run: the measured rows, keys borrowed */
    bool open;
    float *o_full;         /* host [count,h,dv] at the measured rows */
    struct sps_pass dense; /* full attention over the input, when timing; has run
                              forward once where backward is timed */
    bool dense_open;
};

struct sps_group {
    int64_t id; /* of its points; -1: none entered */
    bool open;  /* dev is open */
    struct sps_device dev;
    struct sps_data data;
    struct sps_measure measure;
    enum sps_dtype dtype;
    enum sps_phase phase; /* backward: parts have d_o, nothing is measured but cost;
                             decode: the data have the last row of each sequence */
    bool paged;           /* keys and values lie in pages */
    uint64_t seed;
    bool whole;           /* every row runs, not the measured ones alone */
    int64_t *rows, count; /* measured packed rows of the data */
    int64_t *at;          /* where each stands in a part's input */
    struct sps_part *part;
    int64_t parts;
};

/* Load what `point` needs unless the group is in already; *group starts zeroed with
 * id -1.  On failure the group is left empty. */
enum sps_status sps_group_enter(struct sps_group *group, const struct sps_point *point,
                                const struct sps_measure *measure, int threads);
void sps_group_leave(struct sps_group *group); /* drop the data, keep the device */
void sps_group_close(struct sps_group *group);

/* Have part i's input, o_full and dense baseline ready; release what cannot stay. */
enum sps_status sps_part_enter(struct sps_group *group, int64_t i);
void sps_part_leave(struct sps_group *group, int64_t i);

/* The problem of an entered part whose rows are the measured ones, in their order. */
const struct sps_problem *sps_part_measured(const struct sps_group *group, int64_t i);

/* Load a point's data on the host, without a device; for decode the last row of each
 * sequence.  A sketch of a synthetic set has numbers and offsets but no tensors: 1M
 * tokens need no memory to plan. */
enum sps_status sps_data_load(const struct sps_data_spec *spec, enum sps_phase phase,
                              struct sps_data *data);
enum sps_status sps_data_sketch(const struct sps_data_spec *spec, enum sps_phase phase,
                                struct sps_data *data);

#endif
