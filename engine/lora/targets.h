/* targets.h - which matrix, or rows of a matrix, the key prefix of a LoRA file means. */
#ifndef WEFT_LORA_TARGETS_H
#define WEFT_LORA_TARGETS_H

#include "engine/base/arena.h"
#include "engine/base/map.h"
#include "engine/formats/weights.h"

typedef struct LoraTarget {
    const char *tensor; /* BFL's name with its last part: double_blocks.0.img_attn.qkv.weight */
    int64_t first, rows; /* the rows meant; rows = 0: all of them */
    bool swap;           /* row halves of a change are exchanged before it is added */
    int order;           /* of two prefixes for the same rows the higher one counts */
} LoraTarget;

/* Zero-initialise. All prefixes that any trainer writes for the tensors of one model. */
typedef struct LoraTargets {
    Arena *arena; /* owns targets and names */
    Map map;      /* prefix -> LoraTarget */
} LoraTargets;

/* base holds a transformer in BFL's names, whole or in parts (NAME.weight.0, .1 ...). Errors: E_NOMEM;
 * fini is due after errors too. */
Status lora_targets_init(LoraTargets *t, const Weights *base, Error *err);
void lora_targets_fini(LoraTargets *t);
/* NULL when the prefix means nothing in this model. Borrowed. */
const LoraTarget *lora_targets_find(const LoraTargets *t, const char *prefix);

/* Rows and columns of a tensor of base, parts joined; a vector is [count, 1]. False when missing. */
bool lora_base_shape(const Weights *base, const char *tensor, int64_t *rows, int64_t *cols);
/* The number behind ".weight." or ".bias." at the end of a part's name, -1 for a whole tensor; *stem is
 * the length of the name without it. */
int lora_part_of(const char *name, size_t *stem);

#endif
