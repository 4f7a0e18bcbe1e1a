/* pass.h - one method over all rows of a problem: memory, chunks, output. */
#ifndef SPS_SIM_RUN_PASS_H
#define SPS_SIM_RUN_PASS_H

#include "sim/method/method.h"

/* A planned method with the memory to run it again and again. */
struct sps_pass {
    struct sps_plan plan;
    struct sps_call call;
    int64_t chunk; /* rows a select/attend step takes */
};

/* Device bytes of a pass of this plan, and the chunk of rows it would use. */
size_t sps_pass_bytes(const struct sps_plan *plan, int64_t *chunk);

/* Plan, allocate and, for a decode step, have the method prepare what it keeps of the
 * tokens before (the problem's inputs must be there); sps_pass_close() ends *pass, also
 * after a failure. SPS_ENOTSUP: the device or data cannot run it; SPS_ENOMEM: it does not
 * fit, both figures in the message. */
enum sps_status sps_pass_open(const struct sps_method *method, const void *options,
                              const struct sps_problem *problem, struct sps_device *dev,
                              struct sps_pass *pass);
void sps_pass_close(struct sps_pass *pass);

/* Read the tensors of `problem` from now on: the pass's own, or equal ones elsewhere. */
void sps_pass_use(struct sps_pass *pass, const struct sps_problem *problem);

/* Run all rows once.  trace: per-stage seconds are added up there, or NULL. */
enum sps_status sps_pass_run(struct sps_pass *pass, struct sps_trace *trace);

/* Attend again after sps_pass_run(), over what call.index holds by now: lists of all
 * rows, of the planned block and heads, whose memory may be the caller's for that while.
 */
enum sps_status sps_pass_attend(struct sps_pass *pass);

/* The gradients of call.o's inputs, given call.d_o, after sps_pass_run() of a problem
 * with `backward` set: call.dq, dk, dv and what the method's peek() names.  Again and
 * again.  Packed lists are selected again, chunk by chunk. */
enum sps_status sps_pass_backward(struct sps_pass *pass, struct sps_trace *trace);

/* Copy the output [t,h,dv] and the index of a finished pass to host memory;
 * sps_pass_index_free() ends *index.  heads 0: the method has none.  Packed lists were
 * overwritten chunk by chunk, so they are selected again; all of them may be large. */
enum sps_status sps_pass_output(struct sps_pass *pass, float *o);
enum sps_status sps_pass_index(struct sps_pass *pass, struct sps_index *index);
void sps_pass_index_free(struct sps_index *index);

/* As sps_pass_index, but a packed index holds lists of rows[count] (ascending) only, and
 * nothing for other rows. */
enum sps_status sps_pass_index_rows(struct sps_pass *pass, const int64_t *rows,
                                    int64_t count, struct sps_index *index);

/* Packed lists of rows [begin, end), whose row 0 is `begin`. */
enum sps_status sps_pass_lists(struct sps_pass *pass, struct sps_rows rows,
                               struct sps_index *index);

/* Ask the pass under way to stop at its next chunk (async-signal-safe). */
void sps_interrupt(void);
bool sps_interrupted(void);

#endif
