/* program.h - how a model computes: operations over values whose shapes are known when it is built.
 *
 * A model writes a function that adds values and operations to a Program. prog_plan then gives every
 * temporary an offset in one arena (lifetimes from the order of operations), so that the peak is known
 * before anything runs; prog_run executes the operations in order on a backend and allocates nothing.
 * Values are 2-D and more; programs have no batch dimension. A value may be a window of another
 * (prog_window), which is how concatenation and splitting cost nothing.
 *
 * Room for what comes: a pass is a function Program -> Program (passes/); a device backend maps the same
 * descriptors (KMemory moves inputs, weights and arena); a captured graph is keyed by the program.
 */
#ifndef WEFT_PROGRAM_PROGRAM_H
#define WEFT_PROGRAM_PROGRAM_H

#include "engine/base/events.h"
#include "engine/base/status.h"
#include "engine/base/str.h"
#include "kernels/kernels.h"

typedef struct Program Program;
typedef int ProgValue; /* index of a value; PROG_NONE = absent */
enum { PROG_NONE = -1 };

Status prog_new(const char *name, Program **out, Error *err);
void prog_free(Program *p);

/* Builders never fail one by one: the first failure is remembered and returned by prog_plan, so that a
 * model reads as its formula. A shape error names the operation and the operands' shapes. */
ProgValue prog_input(Program *p, const char *name, KDtype t, int ndim, const int64_t *shape);
/* The same, read where the caller's memory lies and never written: no room in the arena, no copy. For what is
 * large and kept between runs. A backend with memory of its own copies it like any input. */
ProgValue prog_borrowed(Program *p, const char *name, KDtype t, int ndim, const int64_t *shape);
ProgValue prog_temp(Program *p, KDtype t, int ndim, const int64_t *shape);
/* A window of `base`: same memory, own shape, strides and offset (elements). */
ProgValue prog_window(Program *p, ProgValue base, int64_t offset, int ndim,
                      const int64_t *shape, const int64_t *stride);
/* Rows [first, first+count) of the first dimension. */
ProgValue prog_rows(Program *p, ProgValue v, int64_t first, int64_t count);
/* Columns [first, first+count) of the last dimension of a 2-D value. */
ProgValue prog_cols(Program *p, ProgValue v, int64_t first, int64_t count);
/* The value seen as [tokens, heads, d]. */
ProgValue prog_heads(Program *p, ProgValue v, int64_t heads, int64_t d);
void prog_output(Program *p, const char *name, ProgValue v);
KView prog_view_of(const Program *p,
                   ProgValue v); /* shape and dtype; data NULL before planning */

/* Operation arguments: the kernels' descriptors with value indices in place of views. The op table in
 * ops.c (one row per operation) knows how to bind, check, count FLOPs and call each. */
/* <op>(Program *, descriptor with ProgValue fields) declared in ops.h. */

/* Gives offsets to all temporaries. After it the numbers below are exact. */
Status prog_plan(Program *p, const KBackend *backend, const KContext *ctx, Error *err);
size_t prog_arena_bytes(const Program *p);  /* temporaries, inputs and outputs, and scratch */
size_t prog_weight_bytes(const Program *p); /* bytes of distinct weights that it touches */
double prog_flops(const Program *p);
int prog_op_count(const Program *p);

typedef struct ProgArg {
    const char *name;
    void *data; /* host memory, contiguous, of the declared shape and dtype */
} ProgArg;

/* Runs it. `arena` has prog_arena_bytes bytes, 64-byte aligned. Reads ev->cancel between operations
 * (E_CANCELLED). dummy: checks arguments, touches nothing. The first linear, conv or attention of the
 * process emits EV_FIRST_MATMUL. */
typedef struct ProgRun {
    const KBackend *backend;
    KContext *ctx;
    void *arena;
    Events *events;
    bool dummy;
} ProgRun;
Status prog_run(const Program *p, const ProgRun *run, const ProgArg *in, int n_in,
                const ProgArg *out, int n_out, Error *err);

/* One line per operation: name, shapes, dtypes, offsets. */
void prog_print(const Program *p, Str *out);

#endif
