/* model.h - one encoder network: from token ids to hidden states. It never sees a string. */
#ifndef WEFT_TEXT_MODEL_H
#define WEFT_TEXT_MODEL_H

#include "engine/formats/weights.h"
#include "engine/residency/host.h"
#include "engine/tensor/tensor.h"
#include "engine/text/net.h"

/* The tokens of one section. An id of -1 stands for a row of a learned embedding. */
typedef struct TextTokens {
    const int32_t *ids; /* [count] */
    const float *const
        *rows; /* [count], width floats where ids is -1; NULL when there are none */
    int64_t count;
} TextTokens;

typedef struct TextModel TextModel;

/* What a kind of network does; one static table per file. */
typedef struct TextModelKind {
    const char *name;      /* "Qwen3", "T5", ...; for messages */
    const char *embedding; /* name of the table of token embeddings [vocab, width] */
    const char *positions; /* name of a table [max, width] that is added, or NULL */
    /* Adds the network to the program: x [T, width] F32 are the embedded tokens; returns [T,
     * out_width] F32. */
    ProgValue (*build)(const TextModel *m, Net *n, ProgValue x, const TextTokens *tokens);
    /* The row of the states that is the pooled output, or -1; NULL when there is none. */
    int64_t (*pooled_row)(const TextModel *m, const TextTokens *tokens);
} TextModelKind;

/* First member of every network. Immutable and shared by reference. */
struct TextModel {
    Component base;
    const TextModelKind *kind;
    Weights *weights; /* owned reference; NULL in a dummy run of a missing file */
    KDtype missing;   /* without weights: type of the matrices, which base.file tells */
    int64_t vocab, width, out_width;
    int64_t max_tokens; /* 0 = no limit */
    float eps;
};

/* Fills the common part of a network that was allocated with mem_calloc; takes a reference on
 * weights. */
void text_model_init(TextModel *m, const TextModelKind *kind, const Weights *weights);
/* Counts the bytes of weights that a run touches; file names the component in events, tells the type of weights
 * that are missing (formats/file_name.h), and may be NULL. Errors: what building the program gives (E_MISSING, E_SHAPE, ...), E_NOMEM. */
Status text_model_ready(TextModel *m, Host *h, const char *file, Error *err);

/* FLOPs of encoding a section of `count` tokens; builds, does not run. */
Status text_model_flops(const TextModel *m, Host *h, int64_t count, double *out, Error *err);

static inline void text_model_unref(const TextModel *m)
{
    ref_drop(m);
}

/*
 * Encodes one section with the patches (may be NULL) on the weights. *states is [1, T, out_width] F32. *pooled is [1, out_width], or NULL
 * when the network has none; pooled may be NULL. In a dummy run the program is planned and its
 * memory counted, and the states are zero. Errors: E_RANGE (an id outside the vocabulary, too
 * many tokens), E_CANCELLED, E_NOMEM, device errors.
 */
Status text_model_run(const TextModel *m, Host *h, const TextPatches *patches,
                      const TextTokens *tokens, Tensor **states, Tensor **pooled, Error *err);

#endif
