/* encode.h - matrices in the quantised forms that model files have, row by row.
 *
 * A form says which tensors a layer gets in the file and how one row of the matrix becomes a row of each. What
 * was written can be read back at once through the kernels' own decoder, which is how its error is told.
 */
#ifndef WEFT_FORMATS_ENCODE_H
#define WEFT_FORMATS_ENCODE_H

#include "kernels/kernels.h"

enum { ENCODE_MAX_PARTS = 5, ENCODE_MAX_CONSTANT = 160 };

typedef struct EncodeForm EncodeForm;

/* The form of a name as --type takes it ("fp8_e4m3fn", "Q4_K"; case does not count), NULL when unknown. */
const EncodeForm *encode_find(const char *name);
/* The i-th form's name, NULL past the end. */
const char *encode_name(size_t i);
const char *encode_form_name(const EncodeForm *f);
/* Whether it is a GGUF type: one tensor of this dtype in a .gguf file. */
bool encode_is_gguf(const EncodeForm *f);
KDtype encode_dtype(const EncodeForm *f);
/* The form that stands in where rows of k do not fill blocks; f itself when they do, NULL when the matrix has to
 * stay as it is. */
const EncodeForm *encode_fitting(const EncodeForm *f, int64_t k);

/* One tensor of a layer. */
typedef struct EncodePart {
    const char *suffix; /* behind the layer's name: ".weight" */
    KDtype type;
    int ndim;
    int64_t shape[2];
    size_t row_bytes; /* what each row adds; 0 = constant */
    size_t constant_size;
    _Alignas(float) char constant[ENCODE_MAX_CONSTANT];
} EncodePart;

/* The parts of a matrix [n, k]; gives their number. scale: largest magnitude of the matrix, for forms with one
 * scale (encode_needs_max). The first part holds the codes. */
int encode_parts(const EncodeForm *f, int64_t n, int64_t k, float max, EncodePart *parts);
bool encode_needs_max(const EncodeForm *f);

/* The matrix whose parts lie in `at`, as kernels take it: w->n and w->k are given, the rest is filled. */
void encode_weight(const EncodeForm *f, const EncodePart *parts,
                   uint8_t *const at[ENCODE_MAX_PARTS], KWeight *w, KQuant *q);

/* Encodes one row of k values, which it may change, into the parts' rows (rows[i] for part i), and reads it back
 * into `back`. work has k floats. False when the form cannot be read back. */
bool encode_row(const EncodeForm *f, const EncodePart *parts, float *row, int64_t k,
                uint8_t *const rows[ENCODE_MAX_PARTS], float *back);

#endif
