/* method.h - an attention method: decide what to read, then read only that.
 *
 *   plan    host, once per problem: reject what this device cannot run, say how
 *           much memory it needs, predict the cost.  What plan accepts must run.
 *   prepare device: once, before the passes of a decode step: what the method keeps of
 *           earlier tokens (compressed keys).  In no pass's time or cost.  NULL: nothing.
 *   begin   device: once per pass, work that all rows share (compressed keys; in a
 *           decode step those that the new tokens complete).
 *   select  device: which units rows [begin, end) will read.  NULL: no index.
 *   attend  device: their output, from what was selected and no more.
 *   backward  device: after a whole pass, what these rows add to the gradients of q, k, v
 *           given that of the output.  Selection carries none; packed lists of these rows
 *           are selected again before it.  NULL: no backward pass.
 *   backward_end  device: once after all rows, what the shared work passes on.
 *
 * To add one: write sim/method/NAME.c and its line in sim/method/method.c
 * (docs/adding-a-method.md).
 */
#ifndef SPS_SIM_METHOD_METHOD_H
#define SPS_SIM_METHOD_METHOD_H

#include "base/option.h"
#include "kernels/backend.h"

enum sps_stage {
    SPS_STAGE_COMPRESS,
    SPS_STAGE_SCORE,
    SPS_STAGE_SELECT,
    SPS_STAGE_INVERT,
    SPS_STAGE_ATTEND,
    SPS_STAGE_WINDOW,
    SPS_STAGE_COMBINE,
    SPS_STAGE_COUNT
};

const char *sps_stage_name(enum sps_stage stage);

/* Tensors that some methods take beside q, k, v; absent ones have data NULL. */
struct sps_extras {
    struct sps_tensor gate;         /* [t,h,3] float32: compressed, selected, window */
    struct sps_tensor w_k, w_v;     /* [g, l*dk, dk], [g, l*dv, dv] */
    struct sps_tensor pe_k;         /* [g,l,dk] */
    struct sps_tensor q_idx, k_idx; /* [t,x,di], [s,1,di] of `dtype`: an indexer's */
    struct sps_tensor w_idx;        /* [t,1,x] float32 */
    struct sps_tensor d_o;          /* [t,h,dv] float32: gradient of the output */
    struct sps_index given;         /* list NULL: absent; host memory */
};

struct sps_problem {
    struct sps_shape shape;
    struct sps_qkv in;       /* on the device, of `dtype` */
    struct sps_extras extra; /* on the device, but for `given` */
    enum sps_dtype dtype;
    uint64_t seed;
    bool backward; /* a backward pass is wanted: plan workspace for it, and its cost */
    bool decode;   /* the t_n rows of each sequence are its new tokens: one decode step */
    bool keep;     /* all that peek() may name is wanted: fuse nothing that loses some */
};

/* Work of one stage by arithmetic: multiply-add is 2, softmax is not counted; bytes
 * cross memory once per use. */
struct sps_cost {
    double flops, bytes;
};

/* (query head, key) pairs that a pass read: index and band together, index alone. */
struct sps_pairs {
    double both, index;
};

struct sps_plan {
    const struct sps_method *method;   /* in */
    const void *options;               /* in: the method's own struct, checked */
    const struct sps_problem *problem; /* in */
    struct sps_device *dev;            /* in */

    /* out: what is read beside the index, and the index's form (heads 0: none) */
    struct sps_band band;
    int64_t index_heads, index_block, index_width;
    bool packed;          /* lists of index_width at most, packed, one chunk at a time */
    int64_t unit;         /* tokens per unit for recall_set; 0: none */
    int64_t tile;         /* rows that choose together (sps_shape_tile): no range that
                             select is given parts them, unless lists are packed; 0 or 1:
                             each for itself */
    struct sps_rule rule; /* count and forced set, for the oracle of the same kind */
    struct sps_compression by;   /* compressed keys or block means; cu owned, or NULL */
    struct sps_compression kept; /* decode: what prepare() makes of them; `by` the rest */
    int64_t compressed, made;    /* how many, all sequences; how many begin() makes */
    size_t fixed_bytes;          /* device workspace for the whole pass */
    size_t row_bytes;            /* device workspace per row of a chunk */
    size_t gradient_bytes;       /* the method's own gradients, zeroed before backward */
    double density_requested;    /* min(1, k B / s) */
    struct sps_pairs pairs;      /* predicted, all heads */
    char note[64]; /* for the `gate` column: where free parameters came from */
    struct sps_cost
        cost[SPS_STAGE_COUNT]; /* predicted; of backward where that is wanted */
};

/* One pass over the rows.  The caller allocates everything here. */
struct sps_call {
    const struct sps_plan *plan;
    struct sps_device *dev;
    struct sps_index index;  /* on the device; as planned, all t rows, or when packed the
                                lists of the chunk under way and offsets for all t rows */
    void *fixed;             /* plan->fixed_bytes */
    void *scratch;           /* plan->row_bytes * chunk rows */
    float *o;                /* [t,h,dv] */
    float *lse;              /* [t,h] */
    const float *d_o;        /* [t,h,dv]; this and what follows: for backward only */
    float *dq, *dk, *dv;     /* as q, k, v */
    void *gradients;         /* plan->gradient_bytes */
    struct sps_trace *trace; /* NULL: stages are not timed */
};

/* Seconds and kernel of each stage of one traced pass. */
struct sps_trace {
    double seconds[SPS_STAGE_COUNT];
    const char *impl[SPS_STAGE_COUNT];
};

/* Run `kernel` as part of `stage`, timing it when the call is traced. */
#define SPS_RUN(call, stage, kernel)                                                     \
    do {                                                                                 \
        SPS_TRY(sps_stage_begin((call), (stage)));                                       \
        SPS_TRY(kernel);                                                                 \
        SPS_TRY(sps_stage_end((call), (stage)));                                         \
    } while (0)
enum sps_status sps_stage_begin(struct sps_call *call, enum sps_stage stage);
enum sps_status sps_stage_end(struct sps_call *call, enum sps_stage stage);

/* What a selection score is, and so how far correct rounding may move it
 * (docs/methods.md, precision). */
enum sps_score {
    SPS_SCORE_NONE,
    SPS_SCORE_MASS,  /* a sum of probabilities: relative to itself times the largest logit
                      */
    SPS_SCORE_LOGIT, /* q . compressed key: relative to sum |q||k|; peek "k_cmp" */
    SPS_SCORE_KEY,   /* q . key: relative to sum |q||k| */
    SPS_SCORE_BOUND, /* relative to sum |q| max(|largest|, |smallest|); peek "k_range" */
    SPS_SCORE_INDEXER /* relative to sum |w||q_idx||k_idx| */
};

struct sps_method {
    const char *name; /* in YAML and CSV: "full", "nsa", "moba" */
    const char *summary;
    const char *source;               /* paper, section */
    const struct sps_option *options; /* ends with a zero entry, or NULL */
    size_t options_size;
    enum sps_score score;
    bool oracle; /* reads the answer: flagged, and never competes on time */
    bool idle;   /* computes nothing worth comparing (null) */
    enum sps_status (*plan)(struct sps_plan *plan);
    enum sps_status (*prepare)(struct sps_call *call);                      /* or NULL */
    enum sps_status (*begin)(struct sps_call *call);                        /* or NULL */
    enum sps_status (*select)(struct sps_call *call, struct sps_rows rows); /* or NULL */
    enum sps_status (*attend)(struct sps_call *call, struct sps_rows rows);
    enum sps_status (*backward)(struct sps_call *call,
                                struct sps_rows rows);      /* or NULL */
    enum sps_status (*backward_end)(struct sps_call *call); /* or NULL */
    /* The cost of each stage of a pass that read `pairs`: of its backward part when the
     * problem wants one. */
    void (*cost)(const struct sps_plan *plan, struct sps_pairs pairs,
                 struct sps_cost *cost);
    /* Whether rows choose together under these options, so that a row's neighbours must
     * run though they are not measured; NULL: never. */
    bool (*shares)(const void *options);
    /* Whether these options want constants fitted to the full output; NULL: never. */
    bool (*fits)(const void *options);
    /* Fit them after a pass, from o_full[count,h,dv] (host) at rows[count], redo the
     * output and describe the constants in note.  Those rows must not be reported. */
    enum sps_status (*fit)(struct sps_call *call, const int64_t *rows, int64_t count,
                           const float *o_full, char *note, size_t size);
    /* A named intermediate of a finished pass ("o_cmp"), on the device; false: no such,
     * or lost in a fused kernel (problem->keep). */
    bool (*peek)(const struct sps_call *call, const char *name, struct sps_tensor *x);
};

/* Plan `problem`; sps_plan_free() ends *plan, also after a failure. */
enum sps_status sps_plan_make(const struct sps_method *method, const void *options,
                              const struct sps_problem *problem, struct sps_device *dev,
                              struct sps_plan *plan);
void sps_plan_free(struct sps_plan *plan);

extern const struct sps_method *const sps_methods[]; /* ends with NULL */
const struct sps_method *sps_method_find(const char *name);

/* Cut `bytes` from an arena whose base may be NULL (then only *used grows). */
void *sps_arena_take(void *base, size_t *used, size_t bytes);

#endif
