/* family.h - what a family of diffusion transformers tells the model room: how to recognise it, its
 * sizes, and the program of one call.
 *
 * A new family is a file with one ModelFamily and a row in model.c's list.
 */
#ifndef WEFT_MODELS_FAMILY_H
#define WEFT_MODELS_FAMILY_H

#include "engine/models/blocks.h"
#include "engine/models/positions.h"
#include "engine/sampling/denoiser.h"

/* Sizes of one checkpoint, read from its tensors. */
typedef struct ModelDims {
    int64_t width, heads, head_dim, hidden; /* D, H, d, MLP */
    int double_blocks, single_blocks;
    int64_t context;     /* columns of text states */
    int64_t channels;    /* of the latent that is sampled */
    int64_t in_channels; /* channels + those concatenated by inpaint and control models */
    int64_t pooled;      /* width of the pooled text vector; 0 = none is read */
    bool guidance;       /* reads a guidance value */
    int64_t context_pad; /* contexts are padded on the left to this many rows; 0 = never */
    bool swapped_final;  /* the file keeps the final modulation as (scale, shift) */
    PosLayout positions;
    RefMethod references; /* the default layout */
} ModelDims;

enum { MODEL_MAX_REFS = 32, MODEL_MAX_SKIPS = 64, MODEL_MAX_CONTROLS = BLOCKS_CONTROLS };

/* How the residuals of one ControlNet are spread over 19 double and 38 single blocks, whatever the base
 * has: repeated one by one (0,0,1,1), or the whole list again and again (0,1,0,1). */
typedef struct ControlShape {
    int doubles, singles; /* residuals of each kind; 0 = none */
    bool cycle;
} ControlShape;
/* Which residual block i gets; -1 = none. */
int control_spread(const ControlShape *c, bool single, int i);

/* How much of the forward pass a program holds (parts.h). */
typedef enum ForwardPart {
    PART_WHOLE,
    PART_PROBE, /* up to the modulated input of the first double block */
    PART_KEEP,  /* the whole, and what its blocks added to the image rows */
    PART_REUSE  /* that sum in place of the blocks */
} ForwardPart;

/* What a program depends on; compared as bytes, so build it from zeroed memory. */
typedef struct ForwardShape {
    PosSize size;   /* of the latent */
    int64_t tokens; /* rows of context that are given */
    int64_t pad;    /* zero rows put before them */
    int64_t concat; /* channels of the extra input "concat" */
    int n_refs;
    PosSize refs[MODEL_MAX_REFS];
    RefMethod method; /* never REF_DEFAULT */
    int64_t style;    /* rows of the input "style", before the text */
    bool bias;        /* input "bias" */
    KvUse kv;         /* see blocks.h */
    ForwardPart part;
    int n_controls;
    ControlShape controls[MODEL_MAX_CONTROLS];
    bool guided;                       /* input "guidance" */
    bool stages;                       /* for tests: intermediate results are outputs too */
    uint64_t skip_double, skip_single; /* bit i: block i is left out */
} ForwardShape;

/*
 * Inputs, all F32: "x" [channels,h,w], "context" [tokens, dims.context], "timestep" [1] (1000 sigma),
 * "guidance" [1] (1000 times its value) when guided, "pooled" [1, dims.pooled] when the model reads one,
 * "concat" [concat,h,w], "ref.0".. [channels,h,w]; "style" [style, D], rows put before the text as they are;
 * "bias" [n, n], added to the scores of all n rows (style, padding, text, target, references). Of the model's
 * activation dtype: "control.c.double.j", "control.c.single.j" [target tokens, D], the residuals of net c;
 * "kv.*". Output "out" [channels,h,w] F32, the velocity; none under KV_REFS, where text and target are away.
 * Parts: parts.h tells what PROBE, KEEP and REUSE add or leave out.
 */
typedef struct ModelFamily {
    const char *name;                 /* "flux2" */
    bool (*detect)(const Weights *w); /* w is already without prefix, in its own names */
    /* Renames tensors of other publishers to BFL's; false: the name stays as it is. NULL = none. */
    bool (*rename)(const char *name, char *buf, size_t size);
    Status (*read_dims)(const Weights *w, ModelDims *out, Error *err);
    Status (*sampling)(const ModelDims *d, ModelSampling **out, Error *err);
    LatentFormat (*format)(const ModelDims *d);
    /* Builds into p, errors are kept there. exact: float32 everywhere. */
    void (*build)(const ModelDims *d, const WeightSource *w, const ForwardShape *s, bool exact,
                  Program *p);
} ModelFamily;

/* Heads, head width and rotary axes: what d holds is the published family's; a `config` entry of the
 * file's metadata (num_heads, axes_dim, theta, ...) goes before it. d->width must be set. Errors: E_FORMAT
 * for sizes that do not fit. */
Status family_read_heads(const Weights *w, ModelDims *d, Error *err);
/* Rows of the context that a file asks for ("weft.context_length" in its metadata), else `usual`. */
int64_t family_context_pad(const Weights *w, int64_t usual);
/* A dimension of a tensor, with a message when the tensor is not there. */
Status family_dim(const Weights *w, const char *name, int dim, int64_t *out, Error *err);
/* Adds a copy of v under an output name when the shape asks for stages. */
void family_stage(Program *p, const ForwardShape *s, ProgValue v, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
