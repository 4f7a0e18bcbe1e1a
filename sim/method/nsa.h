/* nsa.h - what nsa.c and nsa_gate.c share: options, workspace, gates. */
#ifndef SPS_SIM_METHOD_NSA_H
#define SPS_SIM_METHOD_NSA_H

#include "sim/method/method.h"

enum { NSA_MEAN, NSA_LINEAR };
enum { NSA_GATE_AUTO, NSA_GATE_EQUAL, NSA_GATE_FIT };
enum { NSA_GATED, NSA_UNION };
enum { NSA_KEEP_FLOAT32, NSA_KEEP_INPUT };
enum { NSA_BRANCHES = 3 }; /* compressed, selected, window */

struct nsa_options {
    int64_t l, u, compress, block, count, share, init, local, window, gate, combine, keep;
};

/* Views into the fixed workspace of a call. */
struct nsa_work {
    float *k_cmp, *v_cmp;               /* [m,g,dk], [m,g,dv] */
    float *o_cmp, *o_slc, *o_win;       /* [t,h,dv]; slc, win NULL when fused */
    float *lse_cmp, *lse_slc, *lse_win; /* [t,h]; the same */
    float *gate;                        /* [t,h,3], when fitted */
    float *d_part[NSA_BRANCHES];        /* [t,h,dv], for backward */
    float *dgate;                       /* [t,h,3], for backward */
};

/* Views into call->gradients. */
struct nsa_gradients {
    float *k_cmp, *v_cmp;    /* as k_cmp, v_cmp */
    float *w_k, *w_v, *pe_k; /* as the data's; linear only */
};

/* Lay out the workspace at base (NULL: only count); returns its bytes. */
size_t nsa_cut(const struct sps_plan *plan, void *base, struct nsa_work *work);

/* The same for call->gradients. */
size_t nsa_cut_gradients(const struct sps_plan *plan, void *base,
                         struct nsa_gradients *gradients);

/* True when selected branch, window and sum are one kernel, which leaves no o_slc, o_win
 * and no lse of theirs: the device has it for this shape, and none of them is wanted
 * (gates to fit, a backward pass, problem->keep). */
bool nsa_fused(const struct sps_plan *plan);

/* The gates that combine takes: the data's, or NULL and *constant. */
const float *nsa_gates(const struct sps_plan *plan, const float **constant);

/* call->o of the rows from the branches; gate[t,h,3] on the device, or NULL: the
 * data's when the options take them from there, else 1/3 each. */
enum sps_status nsa_combine(struct sps_call *call, const struct nsa_work *work,
                            const float *gate, struct sps_rows rows);

/* struct sps_method's hooks. */
bool nsa_fits(const void *options);
enum sps_status nsa_fit(struct sps_call *call, const int64_t *rows, int64_t count,
                        const float *o_full, char *note, size_t size);
enum sps_status nsa_need_backward(const struct sps_plan *plan);
enum sps_status nsa_backward(struct sps_call *call, struct sps_rows rows);
enum sps_status nsa_backward_end(struct sps_call *call);
bool nsa_peek(const struct sps_call *call, const char *name, struct sps_tensor *x);

#endif
