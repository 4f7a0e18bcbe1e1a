/* methods_run.h - every registered method on every CPU backend, on random problems. */
#ifndef SPS_TESTS_METHODS_RUN_H
#define SPS_TESTS_METHODS_RUN_H

#include "sim/run/pass.h"
#include "tests/problem.h"

enum { SEEDS = 12, SETTINGS_MAX = 5, BACKENDS = 2, KEPT = 3 };

extern const char *const backends[BACKENDS];

/* A method and options small enough that a random problem has something to choose. */
struct setting {
    const char *method;
    const char *set[SETTINGS_MAX][2];
    bool single; /* one softmax: constant v comes back unchanged */
};

extern const struct setting settings[]; /* ends with method NULL; the first is full */

/* nsa with a linear map, which run_draw_map() draws. */
extern const struct setting linear_setting;

/* What methods keep of the tokens before a step, as peek() names it. */
extern const char *const kept_names[KEPT];

/* A method run on a random problem; everything to free together. */
struct run {
    struct problem problem;
    struct sps_problem input;
    struct sps_device dev;
    struct sps_pass pass;
    void *options;
    int32_t
        *given; /* lists of the method `given`: unsorted, with repeats and later units */
    struct sps_tensor w_k, w_v, pe_k; /* run_draw_map(); owned */
    struct sps_index index;           /* host, owned */
    int64_t count;                    /* floats of the output */
};

/* From run->problem to run->input, of a type that the seed draws (q, k and v are rounded
 * to it), with lists for the method `given`. */
void run_inputs(struct run *run);

/* Weights of linear_setting for a run with inputs. */
void run_draw_map(struct run *run);

/* Open a device and a pass over run->input, and run it. */
bool run_start(const struct setting *setting, const char *backend, struct run *run);

/* All of it on a random problem.  False with a line on stdout; run_close() ends *run
 * either way. */
bool run_open(const struct setting *setting, const char *backend, uint64_t seed,
              struct run *run);
void run_close(struct run *run);

/* The same pass over what the input holds now. */
bool run_again(struct run *run);

void run_report(const struct setting *setting, const char *backend,
                const struct run *run);

/* Call `holds` for every setting, backend and seed; each false one is a failed check. */
void for_all(bool (*holds)(const struct setting *, struct run *));

/* Row i's lists of a are row j's of b. */
bool same_lists(const struct sps_index *a, int64_t i, const struct sps_index *b,
                int64_t j);

/* All rows of a chose as those of b; outputs within `relative` in L2. */
bool runs_agree(const struct run *a, const struct run *b, double relative);

#endif
