/* patch.h - the set of patches on a MODEL: lists and slots by kind, not a sequence of side effects.
 *
 * A kind is a slot (the last one wins) or a list (all count, in order of arrival). Patches are kept sorted
 * by kind, and kinds in the one right order, so two files that chain the same patches differently give
 * equal sets. What a slot lost is remembered for `validate` and `why`.
 */
#ifndef WEFT_MODELS_PATCH_H
#define WEFT_MODELS_PATCH_H

#include "engine/base/ref.h"
#include "engine/base/status.h"

/* kind, whether it is a slot. In the golden order. */
#define PATCH_MAP(X)                                                                           \
    X(PATCH_WEIGHTS, false)  /* WeightPatch: changes matrices */                               \
    X(PATCH_ATTENTION, true) /* text: the kernel asked for */                                  \
    X(PATCH_SAMPLING, true)  /* ModelSampling */                                               \
    X(PATCH_BLOCK, false)    /* an object that a model family knows */                         \
    X(PATCH_TOKENS, false)   /* StyleTokens: rows before the text */                           \
    X(PATCH_KV, true)        /* text alone: keys of references are kept */                     \
    X(PATCH_COMPILE, true)   /* text: the options asked for */                                 \
    X(PATCH_GUIDE, false)    /* GuidanceHook */                                                \
    X(PATCH_CACHE, false)    /* an object that the denoise call asks */

typedef enum PatchKind {
#define PATCH_ENUM(kind, slot) kind,
    PATCH_MAP(PATCH_ENUM)
#undef PATCH_ENUM
        PATCH_KIND_COUNT
} PatchKind;

bool patch_kind_is_slot(PatchKind kind);

typedef struct Patch {
    PatchKind kind;
    const Ref *object; /* one reference owned; NULL where text says all */
    const char *text;  /* owned: what set it ("LoraLoaderModelOnly"), or what it asks for */
    double strength;
} Patch;

/* Zero-initialise. */
typedef struct PatchSet {
    Patch *items; /* owned; sorted by kind, stable */
    int count;
    Patch *lost; /* owned; overwritten slots, oldest first */
    int lost_count;
} PatchSet;

/* Adds a copy (text copied, object referenced). */
Status patch_set_add(PatchSet *set, const Patch *patch, Error *err);
Status patch_set_copy(const PatchSet *set, PatchSet *out, Error *err);
void patch_set_fini(PatchSet *set);
/* The i-th patch of a kind, NULL past the end. */
const Patch *patch_set_find(const PatchSet *set, PatchKind kind, int i);

#endif
