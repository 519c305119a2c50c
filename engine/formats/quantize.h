/* quantize.h - writes a model file again with its matrices in a quantised form.
 *
 * Matrices are decoded, encoded and written row by row; the file appears whole or not at all. Layers that lose
 * most (embedders, modulation, the final layer, norms, biases, token tables) stay as they are.
 */
#ifndef WEFT_FORMATS_QUANTIZE_H
#define WEFT_FORMATS_QUANTIZE_H

#include "engine/base/events.h"
#include "engine/base/status.h"

typedef struct QuantizeOptions {
    const char *type; /* see encode.h */
    const char *const
        *keep; /* NULL-ended globs (* and ?) of tensors to leave as they are; NULL = none */
    bool overwrite;
    /* After each matrix; may be NULL. */
    void (*progress)(void *user, int done, int total);
    void *user;
    Events *events; /* its cancel flag is read between rows; may be NULL */
} QuantizeOptions;

/* What became of one matrix. */
typedef struct QuantizeLayer {
    char *name;            /* owned */
    const char *from, *to; /* dtype names; static */
    int64_t n, k;
    int64_t bytes_from, bytes_to;
    double relative;  /* L2 norm of the difference over that of the matrix */
    double max_error; /* largest difference */
} QuantizeLayer;

typedef struct QuantizeReport {
    QuantizeLayer *layers; /* owned */
    int count, capacity;
    int kept;                     /* tensors that stayed as they were */
    int64_t bytes_from, bytes_to; /* of the files' tensors */
    double relative;              /* over all quantised matrices */
} QuantizeReport;

void quantize_report_fini(QuantizeReport *r);

/* Reads `in` and writes `out`, a .gguf for GGUF types and a .safetensors else. Errors: E_USAGE (an unknown type,
 * with the list; an ending that does not fit the type; `out` exists; nothing to quantise), those of weights_open,
 * E_UNSUPPORTED (GGUF for a network whose names GGUF files do not have), E_CANCELLED, E_IO, E_NOMEM. */
Status quantize_file(const char *in, const char *out, const QuantizeOptions *options,
                     QuantizeReport *report, Error *err);

#endif
