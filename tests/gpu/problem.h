/* problem.h - one attention problem on the reference and on the GPU, and comparisons of
 * what both make of it.
 */
#ifndef SPS_TESTS_GPU_PROBLEM_H
#define SPS_TESTS_GPU_PROBLEM_H

#include "tests/gpu/devices.h"

/* n sequences of t rows and s keys each; the letters of base/tensor.h. */
struct spec {
    const char *name;
    int64_t n, t[4], s[4], h, g, dk, dv;
    enum sps_dtype dtype;
    bool free_rows; /* not causal */
    int64_t block;
    int64_t from, to; /* rows to compute; 0, 0: all */
    bool spread;      /* pos given: every third position, or as near as fits */
    float q_size, k_size, v_size; /* what each is multiplied by; 0: 1 */
};

/* The n, t and s of one sequence. */
#define ONE(t, s)                                                                        \
    1, {t},                                                                              \
    {                                                                                    \
        s                                                                                \
    }

/* What one device has: in floats of the host for ref; on the GPU, in the spec's type. */
struct side {
    struct sps_qkv in;
    float *o, *lse; /* [t,h,dv], [t,h] */
};

struct problem {
    struct spec spec;
    int64_t cu_q[5], cu_k[5];
    int64_t *pos;
    struct sps_shape shape; /* points into the problem: do not copy it */
    struct sps_rows rows;
    struct side ref, gpu;
    double tol; /* relative L2 error of o that the type allows */
    uint64_t seed;
};

/* Seeded inputs, outputs of zeros; the problem owns all until problem_drop(). */
void problem_build(struct problem *p, const struct spec *spec, uint64_t seed);
void problem_drop(struct problem *p);

/* Normals [d0,d1,d2] keyed by the problem's seed and `stream`, rounded to its type:
 * floats for ref, the type on the GPU.  The caller ends both. */
void fill(struct problem *p, uint64_t stream, struct sps_tensor *a, struct sps_tensor *b,
          int64_t d0, int64_t d1, int64_t d2);

/* Poison the GPU's o and lse of the range. */
void poison_output(struct problem *p);

/* o and lse of the range, GPU against ref. */
void compare(struct problem *p, const char *what);

/* The GPU's `from` against want[count]: differences relative to the largest |want| of
 * each `row` elements. */
void close_to(struct problem *p, const char *what, const float *from, const float *want,
              int64_t count, int64_t row, double tol);

/* |a - b| / |b| in L2; NaN anywhere gives NaN, which no tolerance accepts. */
double rel_l2(const float *a, const float *b, int64_t count);

#endif
