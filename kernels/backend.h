/* backend.h - what a place that can compute must offer.
 *
 * A backend opens devices.  A device is memory, a clock and a table of kernels.
 * Kernels are pure: they read and write the tensors given, allocate nothing
 * that outlives the call, print nothing, and run in issue order, as on one CUDA stream.
 * A NULL kernel means "not here"; a method's plan() asks SPS_NEED() first.
 *
 * Every kernel takes a row range [begin, end) of the packed t rows, so that
 * workspace, progress and Ctrl-C do not depend on t.  Buffers with a leading t
 * are whole and indexed by the packed row; buffers with a leading r hold the
 * rows of the range only.  A row that may read nothing gets output 0, lse -inf.
 * Inputs are finite; a NaN among them stays one on ref and cpu, while cuda's block-outer
 * attention may pass over it.
 *
 * Over 400 lines because the table of kernels is one contract, read in one place.
 */
#ifndef SPS_KERNELS_BACKEND_H
#define SPS_KERNELS_BACKEND_H

#include "base/tensor.h"

SPS_BEGIN_DECLS

/* ---- the problem: shapes and visibility (docs/methods, letters in tensor.h) ---- */

/* A paged cache: key j of sequence n is token j % tokens of page table[n, j / tokens].
 * k, v and an indexer's keys then lie in pages, [pages * tokens, heads, d] for [s, heads,
 * d], in any order; slots past a sequence's last key are never read. */
struct sps_pages {
    int64_t tokens;       /* a page */
    int64_t width;        /* pages of the longest sequence */
    const int32_t *table; /* [n,width], the block table; host memory */
};

struct sps_shape {
    int64_t h, g, t, s, dk, dv;
    int64_t n;                     /* sequences packed one after the other */
    const int64_t *cu_q;           /* [n+1] first row of each sequence; host memory */
    const int64_t *cu_k;           /* [n+1] first key of each sequence; host memory */
    const int64_t *pos;            /* [t] position of each row in its sequence, ascending
                                      within it, no two alike; host memory.  NULL: the
                                      last t_n of s_n */
    bool causal;                   /* key j visible to row i iff j <= pos(i); else all */
    double scale;                  /* c of softmax(c q.k) */
    const struct sps_pages *pages; /* NULL: keys lie one after the other, at cu_k */
};

struct sps_qkv {
    struct sps_tensor q; /* [t,h,dk] */
    struct sps_tensor k; /* [s,g,dk] */
    struct sps_tensor v; /* [s,g,dv] */
};

struct sps_rows {
    int64_t begin, end;
};

/* Sequence of packed row `row`; its position; how many keys it sees. */
int64_t sps_shape_sequence(const struct sps_shape *shape, int64_t row);
int64_t sps_shape_pos(const struct sps_shape *shape, int64_t sequence, int64_t row);
int64_t sps_shape_visible(const struct sps_shape *shape, int64_t sequence, int64_t row);

/* The rows of row's sequence whose positions / `tile`, rounded down, are its own: at most
 * `tile`, one after the other. */
struct sps_rows sps_shape_tile(const struct sps_shape *shape, int64_t tile, int64_t row);

/* Keys of sequence n; blocks of `block` keys of the longest sequence. */
int64_t sps_shape_keys(const struct sps_shape *shape, int64_t sequence);
int64_t sps_shape_blocks(const struct sps_shape *shape, int64_t block);

/* Where key j of a sequence lies in the tensors with a leading s. */
static inline int64_t sps_shape_key(const struct sps_shape *shape, int64_t sequence,
                                    int64_t j)
{
    const struct sps_pages *pages = shape->pages;

    if (!pages)
        return shape->cu_k[sequence] + j;
    return pages->table[sequence * pages->width + j / pages->tokens] * pages->tokens +
           j % pages->tokens;
}

/* (query, key) pairs that full attention reads, over all rows of one head. */
double sps_shape_pairs(const struct sps_shape *shape);

/* The tokens a row reads beside or instead of an index: j <= pos with
 * pos - j < window, or j < sink.  window 0: none.  `all`: every visible key. */
struct sps_band {
    bool all;
    int64_t window, sink;
};

/* True when row position `pos` reads key `j` through the band. */
static inline bool sps_band_has(const struct sps_band *band, int64_t pos, int64_t j)
{
    return band->all || (j <= pos && pos - j < band->window) || j < band->sink;
}

/* ---- compression: key m of a sequence covers tokens [m u, m u + l) ---- */

struct sps_compression {
    int64_t l, u;      /* block and stride, tokens */
    const int64_t *cu; /* [n+1] first compressed key of each sequence; host */
    /* What a compressing kernel makes, when some are there already: make[i+1] - make[i]
     * keys of sequence i from its first[i]-th on; the rest of `out` stays.  Host; make
     * NULL: all, first NULL: from 0. */
    const int64_t *first, *make;
    /* Type that compress_mean and compress_linear round each result to, once, to nearest
     * even; `out` stays float32.  SPS_F32 (0): not rounded. */
    enum sps_dtype rounded;
};

/* Compressed keys to make, of n sequences; the x-th of them: its sequence, its first
 * token there, and its place in `out`. */
struct sps_made {
    int64_t sequence, token, key;
};
int64_t sps_made_count(const struct sps_compression *by, int64_t n);
struct sps_made sps_made_at(const struct sps_compression *by, int64_t n, int64_t x);

/* Compressed keys of a sequence of s_n tokens: those with m u + l <= s_n. */
int64_t sps_compressed_count(int64_t s_n, int64_t l, int64_t u);

/* Fill cu[n+1]; returns the total. */
int64_t sps_compressed_offsets(const struct sps_shape *shape, int64_t l, int64_t u,
                               int64_t *cu);

/* Compressed keys of sequence position `pos` that are visible: last token <= pos. */
int64_t sps_compressed_visible(int64_t pos, int64_t l, int64_t u);

/* Scores of blocks below this count as 0.  Single probabilities below 2^-100 may be lost
 * before they are added up, which is less than 2^-24 of any score that counts. */
#define SPS_SCORE_LEAST 0x1p-64f

/* ---- selection ---- */

/* How top-k keeps blocks: min(count, visible) of them, the forced ones first
 * (blocks < init, the own block and its local-1 predecessors), then the best
 * scores, the more recent of equals first.  local 0: the own block competes. */
struct sps_rule {
    int64_t block, count, init, local;
};

/* Which units (runs of `block` keys, numbered from 0 in their sequence) each
 * row reads: ascending int32, one list per row and index head.
 * Bounded: list[t, heads, width], -1 after the last.  Packed: list[offset[i] ..
 * offset[i+1]), i = row * heads + head, and width 0. */
struct sps_index {
    int64_t t, heads; /* heads: h, g or 1 */
    int64_t block, width;
    int32_t *list;
    int64_t *offset;
};

/* Host view of one list: its start, and how many units stand there. */
const int32_t *sps_index_list(const struct sps_index *index, int64_t row, int64_t head,
                              int64_t *count);

/* The index head that query head `head` of h reads. */
static inline int64_t sps_index_head(const struct sps_index *index, int64_t h,
                                     int64_t head)
{
    return head * index->heads / h;
}

/* ---- gradients ---- */

/* What forward left, o[t,h,dv] and lse[t,h], and d_o[t,h,dv], the gradient of a scalar
 * loss with respect to o. */
struct sps_output {
    const float *o, *lse, *d_o;
};

/* Where gradients add up: dq[t,h,dk], dk[s,g,dk], dv[s,g,dv]. */
struct sps_gradients {
    float *dq, *dk, *dv;
};

/* ---- kernels ---- */

struct sps_device;

struct sps_kernels {
    /* o[t,h,dv], lse[t,h] (natural log, or NULL) over the band's tokens. */
    enum sps_status (*dense)(struct sps_device *dev, const struct sps_shape *shape,
                             const struct sps_qkv *in, const struct sps_band *band,
                             struct sps_rows rows, float *o, float *lse);

    /* out[m,g,d] = mean of the l keys of each compressed key to make; x[s,g,d]. */
    enum sps_status (*compress_mean)(struct sps_device *dev,
                                     const struct sps_shape *shape,
                                     const struct sps_tensor *x,
                                     const struct sps_compression *by, float *out);

    /* out[m,g,d] = flatten(x of the l keys + pe) w; w[g, l*d, d], pe[g,l,d] or
     * absent.  NSA eq. 7 with a linear map (arXiv 2502.11089 section 3.3.1). */
    enum sps_status (*compress_linear)(struct sps_device *dev,
                                       const struct sps_shape *shape,
                                       const struct sps_tensor *x,
                                       const struct sps_tensor *pe,
                                       const struct sps_tensor *w,
                                       const struct sps_compression *by, float *out);

    /* Attention over compressed keys, and the score of every selection block:
     * scores[r,g,nb] = sum over the group's heads and over compressed keys of
     * p * (strides of the block that the key's window covers), NSA eq. 8-10; 0 below
     * SPS_SCORE_LEAST.  nb = sps_shape_blocks(shape, block).  Blocks past the last are
     * 0. */
    enum sps_status (*compressed)(struct sps_device *dev, const struct sps_shape *shape,
                                  const struct sps_tensor *q, const float *k_cmp,
                                  const float *v_cmp, const struct sps_compression *by,
                                  int64_t block, struct sps_rows rows, float *o,
                                  float *lse, float *scores);

    /* scores[r,h,nb] = q . mean of each whole block (means[m,g,dk] of
     * compression l = u = block), unscaled; a short last block gets 0.  MoBA eq. 6. */
    enum sps_status (*gate)(struct sps_device *dev, const struct sps_shape *shape,
                            const struct sps_tensor *q, const float *means,
                            const struct sps_compression *by, struct sps_rows rows,
                            float *scores);

    /* scores[r,heads,nb] = true attention mass of each block, summed over the
     * query heads that share an index head (heads: h or g).  Exact, streaming. */
    enum sps_status (*mass)(struct sps_device *dev, const struct sps_shape *shape,
                            const struct sps_qkv *in, int64_t block, int64_t heads,
                            struct sps_rows rows, float *scores);

    /* out[m,g,2,dk] = per channel the largest and the smallest of the l keys of each
     * compressed key to make; x[s,g,dk]. */
    enum sps_status (*key_range)(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_tensor *x,
                                 const struct sps_compression *by, float *out);

    /* scores[r,h,nb] = sum over channels of max(q largest, q smallest) of each whole
     * block (ranges of compression l = u = block): no key of the block has a larger q.k.
     * Blocks seen in part get 0.  Quest, arXiv 2406.10774 section 3.3. */
    enum sps_status (*key_bound)(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_tensor *q, const float *ranges,
                                 const struct sps_compression *by, struct sps_rows rows,
                                 float *scores);

    /* scores[r,heads,nb] = the largest q.k, unscaled, of each block's visible keys and of
     * the query heads that share an index head (heads: h or g); blocks without any 0. */
    enum sps_status (*block_max)(struct sps_device *dev, const struct sps_shape *shape,
                                 const struct sps_qkv *in, int64_t block, int64_t heads,
                                 struct sps_rows rows, float *scores);

    /* scores[r,1,nb] = sum over index heads x of w[t,1,x] relu(q[t,x,di] . k[s,1,di]) of
     * each visible key, others 0; nb = keys of the longest sequence.  DeepSeek-V3.2's
     * lightning indexer, eq. 1. */
    enum sps_status (*indexer)(struct sps_device *dev, const struct sps_shape *shape,
                               const struct sps_tensor *q, const struct sps_tensor *k,
                               const struct sps_tensor *w, struct sps_rows rows,
                               float *scores);

    /* scores[r,heads,nb] = Philox uniforms keyed by (seed, head, position, block). */
    enum sps_status (*noise)(struct sps_device *dev, const struct sps_shape *shape,
                             uint64_t seed, int64_t block, int64_t heads,
                             struct sps_rows rows, float *scores);

    /* Write the lists of rows [begin, end) of a bounded index (its t, heads, block, width
     * and list are set; width >= count).  SPS_ENUMERIC on a NaN score, with its place;
     * a device that works ahead tells it at the next download, upload or elapsed. */
    enum sps_status (*topk)(struct sps_device *dev, const struct sps_shape *shape,
                            const float *scores, const struct sps_rule *rule,
                            struct sps_rows rows, struct sps_index *index);

    /* scores[r,heads,nb], as a choice between blocks of `block` takes them: rows that
     * share a tile (sps_shape_tile) get their sum, made in the rows' order; of a tile
     * that the range parts, its rows in the range do. */
    enum sps_status (*share)(struct sps_device *dev, const struct sps_shape *shape,
                             int64_t tile, int64_t block, int64_t heads,
                             struct sps_rows rows, float *scores);

    /* The fewest blocks that hold the share p of the sum of a row's scores, the rule's
     * forced ones first, the more recent of equals first (its count plays no part): lists
     * of rows [begin, end) of a packed index.  They start at index->list, which has room
     * for every block of every list; offsets of other rows stay as they are. */
    enum sps_status (*topp)(struct sps_device *dev, const struct sps_shape *shape,
                            const float *scores, const struct sps_rule *rule, double p,
                            struct sps_rows rows, struct sps_index *index);

    /* o, lse as dense, over the union of the index's tokens and the band's. */
    enum sps_status (*attend)(struct sps_device *dev, const struct sps_shape *shape,
                              const struct sps_qkv *in, const struct sps_index *index,
                              const struct sps_band *band, struct sps_rows rows, float *o,
                              float *lse);

    /* o[t,h,dv] = sum over b of gate[t,h,b] part[b][t,h,dv]; gate NULL: constants. */
    enum sps_status (*combine)(struct sps_device *dev, const struct sps_shape *shape,
                               int64_t parts, const float *const *part, const float *gate,
                               const float *constant, struct sps_rows rows, float *o);

    /* p[r,s_n] = causal softmax of query head `head`, 0 where not visible; the
     * range must lie in one sequence.  Rows of float32 for the metrics. */
    enum sps_status (*probs)(struct sps_device *dev, const struct sps_shape *shape,
                             const struct sps_qkv *in, int64_t head, struct sps_rows rows,
                             float *p);

    /* ---- fused; NULL where the backend gains nothing by it ---- */

    /* `compressed` and `topk` of its scores in one, no scores kept: o, lse (or NULL) and
     * the lists of rows [begin, end).  rule->block is the selection block. */
    enum sps_status (*compressed_select)(
        struct sps_device *dev, const struct sps_shape *shape, const struct sps_tensor *q,
        const float *k_cmp, const float *v_cmp, const struct sps_compression *by,
        const struct sps_rule *rule, struct sps_rows rows, float *o, float *lse,
        struct sps_index *index);

    /* `gate` and `topk` of its scores in one, no scores kept. */
    enum sps_status (*gate_select)(struct sps_device *dev, const struct sps_shape *shape,
                                   const struct sps_tensor *q, const float *means,
                                   const struct sps_compression *by,
                                   const struct sps_rule *rule, struct sps_rows rows,
                                   struct sps_index *index);

    /* `attend` over the index, `dense` over the latest `window` tokens (0: none) and
     * `combine` of three parts in one, neither output nor lse of the two kept:
     * o[t,h,dv] = gate[t,h,0] first[t,h,dv] + gate[t,h,1] selected + gate[t,h,2]
     * windowed; gate NULL: constant[3].  first stands apart from o, both on 16 bytes.
     * Call it only where attend_gated_suits() says true. */
    enum sps_status (*attend_gated)(struct sps_device *dev, const struct sps_shape *shape,
                                    const struct sps_qkv *in,
                                    const struct sps_index *index, int64_t window,
                                    const float *first, const float *gate,
                                    const float *constant, struct sps_rows rows,
                                    float *o);

    /* True when attend_gated takes this shape, input type and form of index, and gains by
     * it; set where attend_gated is.  Reads no list. */
    bool (*attend_gated_suits)(struct sps_device *dev, const struct sps_shape *shape,
                               enum sps_dtype dtype, const struct sps_index *index);

    /* ---- backward; NULL where not built ----
     * Each follows the forward kernel of its name, called with the same arguments.
     * Gradients are added to (+=) what is there, so that branches share k and v, and are
     * the same bits for any number of threads.  A row's dq depends on nothing that the
     * row does not read; a row that read nothing gives and gets nothing. */

    /* From rows [begin, end) to dq of these rows and to dk, dv. */
    enum sps_status (*dense_backward)(struct sps_device *dev,
                                      const struct sps_shape *shape,
                                      const struct sps_qkv *in,
                                      const struct sps_band *band, struct sps_rows rows,
                                      const struct sps_output *out,
                                      const struct sps_gradients *to);

    /* The same over the union of the index's tokens and the band's. */
    enum sps_status (*attend_backward)(
        struct sps_device *dev, const struct sps_shape *shape, const struct sps_qkv *in,
        const struct sps_index *index, const struct sps_band *band, struct sps_rows rows,
        const struct sps_output *out, const struct sps_gradients *to);

    /* The same through the compressed keys: to->dk[m,g,dk], to->dv[m,g,dv].  Scores carry
     * no gradient. */
    enum sps_status (*compressed_backward)(
        struct sps_device *dev, const struct sps_shape *shape, const struct sps_tensor *q,
        const float *k_cmp, const float *v_cmp, const struct sps_compression *by,
        struct sps_rows rows, const struct sps_output *out,
        const struct sps_gradients *to);

    /* dx[s,g,d] += from d_out[m,g,d]: each key passes 1/l to each of its l tokens. */
    enum sps_status (*compress_mean_backward)(struct sps_device *dev,
                                              const struct sps_shape *shape,
                                              const float *d_out,
                                              const struct sps_compression *by,
                                              const struct sps_tensor *dx);

    /* dx[s,g,d], dw[g, l*d, d] and dpe[g,l,d] (or NULL) += from d_out[m,g,d]. */
    enum sps_status (*compress_linear_backward)(
        struct sps_device *dev, const struct sps_shape *shape, const struct sps_tensor *x,
        const struct sps_tensor *pe, const struct sps_tensor *w, const float *d_out,
        const struct sps_compression *by, const struct sps_tensor *dx, float *dw,
        float *dpe);

    /* Written, not added to: d_part[b][t,h,dv] = gate[t,h,b] d_o (gate NULL: constants)
     * and dgate[t,h,b] = d_o . part[b]. */
    enum sps_status (*combine_backward)(struct sps_device *dev,
                                        const struct sps_shape *shape, int64_t parts,
                                        const float *const *part, const float *gate,
                                        const float *constant, struct sps_rows rows,
                                        const float *d_o, float *const *d_part,
                                        float *dgate);

    /* Zero bytes, before gradients are added up. */
    enum sps_status (*clear)(struct sps_device *dev, void *mem, size_t bytes);
};

/* Measured ceilings: matrix products of the usual input type, and memory. */
struct sps_roofs {
    double matrix_flops, read_bytes, copy_bytes; /* per second */
};

/* A look at the device's sensors; NaN: it does not tell. */
struct sps_health {
    double sm_mhz, memory_mhz, power_w, temperature_c;
    double energy_j;    /* since the driver was loaded */
    uint64_t held_back; /* set of enum sps_held_back */
};

/* Why clocks are lower than asked for.  The power cap is normal under load; the
 * last two are faults, and samples taken under them are dropped. */
enum sps_held_back {
    SPS_HELD_POWER_CAP = 1,
    SPS_HELD_THERMAL = 2,
    SPS_HELD_HARDWARE = 4
};

struct sps_backend {
    const char *name; /* in YAML and CSV: "ref", "cpu", "cuda" */
    const char *summary;
    /* The input type its kernels take for a wished one (ref and cpu: always float32). */
    enum sps_dtype (*accepts)(enum sps_dtype wish);
    enum sps_status (*open)(struct sps_device *dev, int threads); /* all or nothing */
    void (*close)(struct sps_device *dev);
    enum sps_status (*alloc)(struct sps_device *dev, size_t bytes,
                             void **mem); /* zeroed */
    void (*free)(struct sps_device *dev, void *mem);
    /* `from` is host memory or the device's own. */
    enum sps_status (*upload)(struct sps_device *dev, void *to, const void *from,
                              size_t bytes);
    enum sps_status (*download)(struct sps_device *dev, void *to, const void *from,
                                size_t bytes);
    /* A mark in issue order; seconds between two marks, waiting for the second. */
    enum sps_status (*mark)(struct sps_device *dev, int slot);
    enum sps_status (*elapsed)(struct sps_device *dev, int from, int to, double *seconds);
    /* Measure what this device can do at best, in about a second.  NULL: unknown. */
    enum sps_status (*roofs)(struct sps_device *dev, struct sps_roofs *roofs);
    /* Push the working set out of the last-level cache, outside any timing. */
    enum sps_status (*flush)(struct sps_device *dev);
    int64_t step_rows; /* rows between two looks for Ctrl-C; 0: all at once */
    /* Clocks, power and why they are held back, now.  NULL: unknown. */
    enum sps_status (*health)(struct sps_device *dev, struct sps_health *health);
    bool paged; /* its forward kernels read paged caches */
};

enum { SPS_MARKS = 64 };

struct sps_device {
    const struct sps_backend *backend;
    struct sps_kernels kernels;
    const char *impl; /* set by each kernel: the variant that ran last */
    char name[128];   /* "AMD EPYC, 2 threads, OpenBLAS Zen" */
    int threads;
    size_t memory_bytes; /* what a point may use */
    size_t cache_bytes;  /* of the last level; 0: unknown */
    void *state;         /* the backend's own */
};

/* Return SPS_ENOTSUP from this function unless the device has the kernel. */
#define SPS_NEED(dev, kernel)                                                            \
    do {                                                                                 \
        if (!(dev)->kernels.kernel)                                                      \
            return sps_fail(SPS_ENOTSUP, "backend %s has no kernel '%s'",                \
                            (dev)->backend->name, #kernel);                              \
    } while (0)

extern const struct sps_backend *const sps_backends[]; /* ends with NULL */
const struct sps_backend *sps_backend_find(const char *name);

/* Open by name with `threads` (0: all); close tolerates a zeroed device. */
enum sps_status sps_device_open(const char *name, int threads, struct sps_device *dev);
void sps_device_close(struct sps_device *dev);

SPS_END_DECLS

#endif
