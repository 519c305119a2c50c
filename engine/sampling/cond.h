/* cond.h - the CONDITIONING value: a list of embedded prompts with what was attached to each. */
#ifndef WEFT_SAMPLING_COND_H
#define WEFT_SAMPLING_COND_H

#include "engine/tensor/tensor.h"

/* How positions of reference latents are laid out. Default is the model's own. */
typedef enum RefMethod { REF_DEFAULT, REF_INDEX, REF_OFFSET, REF_UXO } RefMethod;
RefMethod ref_method_from_name(const char *name); /* an unknown name behaves as "offset" */

/* Model: the default value where the model reads guidance. Off: the guidance term is left out. */
typedef enum GuidanceUse { GUIDANCE_MODEL, GUIDANCE_VALUE, GUIDANCE_OFF } GuidanceUse;

typedef enum AreaKind { AREA_NONE, AREA_CELLS, AREA_PERCENT } AreaKind;
/* Rectangle of the latent: whole cells, or fractions 0..1 of the sides. */
typedef struct CondArea {
    AreaKind kind;
    double h, w, y, x;
} CondArea;

/* One prompt. Every pointer is one owned reference or NULL. */
typedef struct CondEntry {
    Tensor *embed;  /* [1,T,C] F32 */
    Tensor *pooled; /* [1,P] F32 */
    GuidanceUse guidance_use;
    double guidance;
    Tensor **references; /* owned array; latents [1,C,h,w] as the VAE gave them, in order */
    int reference_count;
    RefMethod method;
    CondArea area;
    Tensor *mask; /* [M,H,W] F32 */
    double mask_strength;
    bool mask_bounds; /* evaluate only the mask's bounding box */
    double strength;
    bool has_range; /* used while sigma(start_percent) >= sigma >= sigma(end_percent) */
    double start_percent, end_percent;
    Tensor *
        concat_latent; /* [1,C,h,w]: extra input channels of inpaint models, as the VAE gave it */
    Tensor *concat_mask; /* [1,H,W] F32, pixels */
    const Ref **
        controls; /* owned array; control objects in the order they act; engine/models knows them */
    int control_count;
    bool control_to_uncond; /* the controls also act on the negative that has none */
    const Ref *extra;       /* what a model family alone understands */
} CondEntry;

/* Immutable once it has left the function that made it. */
typedef struct Cond {
    Ref ref;
    CondEntry *entries; /* owned */
    int count;
} Cond;

/* One entry from an embedding and a pooled vector (may be NULL); both references are taken over, also on
 * failure. */
Status cond_new(Tensor *embed, Tensor *pooled, Cond **out, Error *err);
Status cond_copy(const Cond *c, Cond **out, Error *err); /* shares all tensors */

static inline Cond *cond_ref(const Cond *c)
{
    return ref_take(c);
}
static inline void cond_unref(const Cond *c)
{
    ref_drop(c);
}

/* Entries are values with references inside: copy takes references, fini gives them back. */
Status cond_entry_copy(const CondEntry *e, CondEntry *out, Error *err);
void cond_entry_fini(CondEntry *e);

/* New values from old ones (ConditioningCombine, Concat, Average, ZeroOut). */
Status cond_combine(const Cond *a, const Cond *b, Cond **out, Error *err);
/* Tokens of from's first entry after those of every entry of `to`. */
Status cond_concat(const Cond *to, const Cond *from, Cond **out, Error *err);
/* to * weight + from * (1 - weight); from's first entry is cut or zero-padded to to's token count. */
Status cond_average(const Cond *to, const Cond *from, double weight, Cond **out, Error *err);
/* Embedding and pooled become zeros, the rest stays. */
Status cond_zero_out(const Cond *c, Cond **out, Error *err);

/* Edits in place of every entry, on a copy that nobody else holds yet. */
void cond_set_guidance(Cond *c, double guidance);
void cond_disable_guidance(Cond *c);
void cond_set_area(Cond *c, const CondArea *area, double strength);
void cond_set_area_strength(Cond *c, double strength);
void cond_set_mask(Cond *c, const Tensor *mask, double strength, bool bounds);
void cond_set_range(Cond *c, double start_percent, double end_percent);
void cond_set_method(Cond *c, RefMethod method);
void cond_set_concat(Cond *c, const Tensor *latent, const Tensor *mask); /* NULL = leave out */
Status cond_append_reference(Cond *c, const Tensor *latent, Error *err);
Status cond_append_control(Cond *c, const Ref *control, bool to_uncond, Error *err);
/* Tokens of one more embedding [1,N,C] after those of every entry (style models). */
Status cond_append_tokens(Cond *c, const Tensor *tokens, Error *err);

#endif
