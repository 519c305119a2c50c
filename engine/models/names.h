/* names.h - tensor names of other publishers, as BFL names.
 *
 * A matrix that diffusers keeps in parts becomes NAME.weight.0, NAME.weight.1, ... in row order, which
 * blocks.h joins. diffusers stores the final modulation as (scale, shift): it becomes a matrix of the one
 * part .0, which BFL's names never give, and so tells the model to swap the chunks.
 */
#ifndef WEFT_MODELS_NAMES_H
#define WEFT_MODELS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* One rule: `from` may hold one '*', which stands for a block index that `to` repeats. Rules match whole
 * names without their last part (.weight, .bias, .scale ...), which is kept; part >= 0 appends ".part". */
typedef struct NameRule {
    const char *from, *to;
    int part;
    const char *leaf; /* replaces the last part of the name; NULL = keep it */
} NameRule;

/* Applies the first rule that fits; false when none does or buf is too small. */
bool names_apply(const NameRule *rules, const char *name, char *buf, size_t size);

/* FluxTransformer2DModel. */
bool names_flux1_from_diffusers(const char *name, char *buf, size_t size);
/* Flux2Transformer2DModel. */
bool names_flux2_from_diffusers(const char *name, char *buf, size_t size);

/* Present where the halves of the final modulation are swapped. */
#define NAMES_SWAPPED_FINAL "final_layer.adaLN_modulation.1.weight.0"

#endif
