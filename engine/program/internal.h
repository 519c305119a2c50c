/* internal.h - the inside of a Program, shared by the builder, the passes, the layout and the runner. */
#ifndef WEFT_PROGRAM_INTERNAL_H
#define WEFT_PROGRAM_INTERNAL_H

#include "engine/program/ops.h"

enum { OP_MAX_FIELDS = 8, PROG_ALIGN = 64 };
enum { LINEAR_NORM_SCALE = 4 }; /* place among the fields of a linear, ops.c */

typedef enum OpKind {
#define OP_ENUM(op, Desc) OP_##op,
    K_OP_MAP(OP_ENUM)
#undef OP_ENUM
        OP_COUNT
} OpKind;

/* Any descriptor. */
typedef union OpDesc {
#define OP_MEMBER(op, Desc) Desc op;
    K_OP_MAP(OP_MEMBER)
#undef OP_MEMBER
} OpDesc;

/* One view field of a descriptor. */
typedef enum OpFieldFlags {
    FIELD_IN = 1 << 0,
    FIELD_OUT = 1 << 1,
    FIELD_OPTIONAL = 1 << 2
} OpFieldFlags;

typedef struct OpField {
    const char *name; /* NULL ends the list */
    size_t at;        /* offset of the KView in the descriptor */
    unsigned flags;
} OpField;

/* What the program knows of an operation: the one row per operation. */
typedef struct OpDef {
    const char *name;
    OpField fields[OP_MAX_FIELDS + 1];
    ptrdiff_t weight_at;                    /* offset of the KWeight, or -1 */
    bool matmul;                            /* counts as matrix product for EV_FIRST_MATMUL */
    const char *(*check)(const void *desc); /* NULL, or why the shapes do not fit */
    double (*flops)(const void *desc);
    KResult (*call)(const KBackend *b, KContext *ctx, const void *desc);
    size_t (*scratch)(const KBackend *b, const KContext *ctx, const void *desc);
} OpDef;

const OpDef *op_def(OpKind kind);

typedef struct Op {
    OpKind kind;
    bool dead;   /* removed by a pass */
    OpDesc desc; /* scalars and weight; views are bound from args */
    ProgValue args[OP_MAX_FIELDS];
    size_t scratch_offset, scratch_size;
} Op;

typedef enum ValKind { VAL_INPUT, VAL_TEMP, VAL_CONSTANT, VAL_PARAM, VAL_WINDOW } ValKind;

typedef struct Val {
    ValKind kind;
    KView view;       /* shape and strides; data: constants and parameters only */
    ProgValue root;   /* itself, or the value whose memory a window shows */
    int64_t offset;   /* elements from the root's start */
    const char *name; /* inputs and outputs; owned by the arena */
    bool is_output;
    bool
        borrowed; /* an input that is read where the caller has it; view.data is set by each run */
    size_t bytes;        /* of a root */
    size_t arena_offset; /* of a root, after planning */
    int first,
        last;       /* operations that touch it; -1 before the first, op count after the last */
    KWeight weight; /* parameters */
} Val;

struct Program {
    const char *name;
    struct Arena *memory; /* names, parameter vectors */
    Val *vals;            /* owned; index 0 is unused */
    int n_vals, cap_vals;
    Op *ops; /* owned */
    int n_ops, cap_ops;
    ProgValue *outputs; /* owned */
    int n_outputs, cap_outputs;
    Status status; /* first failure */
    Error error;
    bool planned;
    size_t arena_bytes, weight_bytes;
    double flops;
    bool *params_read; /* one flag in `memory`: parameters are decoded by the first real run */
};

static inline bool value_is(ProgValue v)
{
    return v > 0;
}
static inline ProgValue prog_root(const Program *p, ProgValue v)
{
    return p->vals[v].root;
}

ProgValue prog_add_val(Program *p, const Val *v);
/* Appends after checking shapes; false after a failure. */
bool prog_add_op(Program *p, OpKind kind, const OpDesc *desc, const ProgValue *args);
Status prog_error(Program *p, Status s, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes views into a copy of op's descriptor. base: address of the arena; NULL: present views get a
 * non-null mark, so that "absent" can still be told. */
void op_bind(const Program *p, const Op *op, void *base, OpDesc *out);
/* "linear(x [4, 8] F32, w [16, 8] BF16, y [4, 16] F32)" */
void op_describe(const Program *p, const Op *op, char *buf, size_t size);
const KWeight *op_weight(const Op *op); /* NULL when the operation has none */
size_t weight_bytes(const KWeight *w);
size_t view_bytes(const KView *v);

Status prog_layout(Program *p, const KBackend *backend, const KContext *ctx, Error *err);

/* For passes: the only live operation that writes / number of live fields that read memory of v's root. */
int prog_only_writer(const Program *p, ProgValue v);
int prog_count_readers(const Program *p, ProgValue v);
int prog_first_reader(const Program *p, ProgValue v);
bool prog_is_written_between(const Program *p, ProgValue v, int after, int before);
bool prog_is_touched_between(const Program *p, ProgValue v, int after, int before);

/* passes/, one file each; return how many operations they removed. */
int pass_norm_linear(Program *p);
int pass_glu_linear(Program *p);
int pass_gate_residual(Program *p);

#endif
