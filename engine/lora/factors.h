/* factors.h - the formats of a change to a matrix: their keys, their shapes, and any row of their value. */
#ifndef WEFT_LORA_FACTORS_H
#define WEFT_LORA_FACTORS_H

#include "engine/formats/weights.h"

/* What a tensor of a LoRA file is to the prefix before its suffix. */
typedef enum LoraRole {
    LORA_UP,
    LORA_DOWN,
    LORA_ALPHA,
    LORA_DORA,
    LORA_RESHAPE,
    LORA_HADA_1A,
    LORA_HADA_1B,
    LORA_HADA_2A,
    LORA_HADA_2B,
    LORA_KRON_1,
    LORA_KRON_1A,
    LORA_KRON_1B,
    LORA_KRON_2,
    LORA_KRON_2A,
    LORA_KRON_2B,
    LORA_DIFF,
    LORA_DIFF_BIAS,
    LORA_NORM,
    LORA_NORM_BIAS,
    LORA_SET,
    LORA_FOREIGN, /* a format that is known by its key and not computed here */
    LORA_ROLE_COUNT
} LoraRole;

/* The role of a key and the length of its prefix; LORA_ROLE_COUNT when no suffix is known. */
LoraRole lora_role_of(const char *key, size_t *prefix);

typedef enum LoraKind { LORA_PRODUCT, LORA_HADAMARD, LORA_KRONECKER, LORA_FULL } LoraKind;

/* The tensors of one change; names are borrowed from the file's table, NULL where absent. */
typedef struct LoraKeys {
    const char *of[LORA_ROLE_COUNT];
} LoraKeys;

/* Rows and columns of the change that the keys give, whose factors are checked against each other.
 * full = the key of a LORA_FULL change. Errors: E_MISSING (half of a pair), E_SHAPE. */
Status lora_delta_shape(const Weights *file, LoraKind kind, const LoraKeys *keys,
                        const char *full, int64_t *rows, int64_t *cols, Error *err);

typedef struct LoraMatrix {
    float *data; /* [rows, cols], owned */
    int64_t rows, cols;
} LoraMatrix;

/* The factors of one change in float32. */
typedef struct LoraFactors {
    LoraKind kind;
    LoraMatrix m[4]; /* up, down; w1a, w1b, w2a, w2b; w1, w2; the change itself */
    LoraMatrix dora; /* magnitudes; data is NULL without DoRA */
    float *scratch;  /* cols values */
    int64_t cols;    /* of the change */
    float scale;     /* alpha / rank, 1 without alpha */
} LoraFactors;

/* Reads and widens the factors. Errors: E_SHAPE, E_TYPE, E_NOMEM; nothing is held after one. */
Status lora_factors_load(const Weights *file, LoraKind kind, const LoraKeys *keys,
                         const char *full, LoraFactors *out, Error *err);
void lora_factors_fini(LoraFactors *f);

/* Row i of the change, without its scale, into out [cols].
 *   product     sum over r of up[i,r] * down[r,:]
 *   Hadamard    (w1a w1b)[i,:] * (w2a w2b)[i,:]         (LoHa)
 *   Kronecker   w1[i / n, j] * w2[i % n, :] for block j (LoKr; n = rows of w2) */
void lora_factors_row(const LoraFactors *f, int64_t i, float *out);

#endif
