/* blocks.h - the transformer blocks that FLUX.1 and FLUX.2 share, as pieces of a program.
 *
 * The joint sequence is one value [text + image, width]: text rows first, then target, then references.
 * The residual stream is float32; what goes into products, and q, k, v, are of dtype `act`.
 *
 * Tensor names are BFL's without prefix. A matrix that a file keeps in several parts (diffusers' to_q,
 * to_k, to_v) is known to the weights as NAME.0, NAME.1, ... in row order (names.h); every part is
 * then a product of its own into columns of the same result.
 */
#ifndef WEFT_MODELS_BLOCKS_H
#define WEFT_MODELS_BLOCKS_H

#include "engine/formats/weights.h"
#include "engine/program/ops.h"

/* Where matrices come from: a file's table, with patched ones in front. */
typedef struct WeightSource {
    const Weights *weights;
    /* Replaces or leaves *w, which is the file's matrix `name`; NULL = nothing is patched. */
    Status (*patch)(void *user, const char *name, KWeight *w, Error *err);
    void *user;
} WeightSource;

/* Keys and values of reference tokens, which depend on the references alone: computed in a pass of their own
 * (KV_REFS: the stream is the references, outputs "kv.double.i", "kv.single.i" [2, rows, D] of dtype act) and
 * read by passes without them (KV_CACHED: the same names are inputs). */
typedef enum KvUse { KV_NONE, KV_REFS, KV_CACHED } KvUse;

enum { BLOCKS_CONTROLS = 8, CONTROL_DOUBLES = 19, CONTROL_SINGLES = 38 };

typedef struct Blocks {
    Program *p;
    WeightSource source;
    KDtype act;
    int64_t width, heads, head_dim; /* D, H, d: D = H*d */
    int64_t hidden;                 /* of the MLP */
    bool gated; /* silu(gate)*value of 2*hidden rows; else GELU (tanh) of hidden rows */
    int64_t text, image; /* rows of each kind */
    ProgValue rope;      /* [text + image, d/2, 2] */
    ProgValue x;         /* the residual stream [text + image, D] F32 */
    ProgValue bias;      /* [heads, text + image, text + image] added to scores; 0 = none */
    KvUse kv;
    int64_t kv_rows; /* reference rows that keys and values are kept of */
    int64_t target;  /* image rows that ControlNets change: the first ones */
    ProgValue residuals[BLOCKS_CONTROLS][CONTROL_DOUBLES + CONTROL_SINGLES]; /* inputs so far */
} Blocks;

/* Which rows of the matrix, and what happens around the product. */
typedef struct LinearUse {
    int64_t first, rows, k; /* rows 0 = all of them; k columns are expected (0 = any) */
    KAct act;
    bool glu;
    ProgValue gate; /* [rows] that multiplies the result; absent: nothing does */
    ProgValue y;    /* absent: made */
    KDtype out;
} LinearUse;

/* A tensor of the file as a vector of F32. */
ProgValue blocks_param(Blocks *b, const char *name);
/* x times NAME.weight, plus NAME.bias when the file has one. */
ProgValue blocks_linear(Blocks *b, const char *name, ProgValue x, const LinearUse *use);
/* out_layer(silu(in_layer(e))): time, guidance and vector embeddings; F32 [1, D]. */
ProgValue blocks_embedder(Blocks *b, const char *name, ProgValue e);
/* time_in(e(t)), t already times 1000; value [1] F32. */
ProgValue blocks_timestep(Blocks *b, const char *name, ProgValue value);
/* lin(silu(vec)) for NAME of n*D rows, [1, n*D]; silu_vec is silu(vec). */
ProgValue blocks_modulation(Blocks *b, const char *name, ProgValue silu_vec, int n);

/* The streams. Modulations are [1, 6D] (shift, scale, gate twice) and [1, 3D]. */
void blocks_double(Blocks *b, int index, ProgValue text_mod, ProgValue image_mod);
void blocks_single(Blocks *b, int index, ProgValue mod);
/* LN(x)*(1+scale)+shift of rows [first, first+rows) of the stream through final_layer.linear; F32.
 * swapped: the file keeps (scale, shift) instead of (shift, scale). */
ProgValue blocks_final(Blocks *b, ProgValue silu_vec, int64_t first, int64_t rows,
                       bool swapped);

#endif
