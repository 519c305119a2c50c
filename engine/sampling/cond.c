/* cond.c - making, copying and editing conditionings. */
#include "engine/sampling/cond.h"

#include <string.h>

#include "engine/base/mem.h"

RefMethod ref_method_from_name(const char *name)
{
    if (!strcmp(name, "index")) return REF_INDEX;
    if (strstr(name, "uxo") || strstr(name, "uso")) return REF_UXO; /* "uxo/uno" in menus */
    return REF_OFFSET;
}

/* ---- entries ----------------------------------------------------------------------------------- */

static Status out_of_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* A copy of an array of counted objects, each with one more reference. */
static void *refs_copy(const void *const *items, int count)
{
    const void **copy = mem_calloc((size_t)count, sizeof *copy);
    if (!copy) return NULL;
    for (int i = 0; i < count; i++)
        copy[i] = ref_take(items[i]);
    return copy;
}

Status cond_entry_copy(const CondEntry *e, CondEntry *out, Error *err)
{
    Tensor **refs = refs_copy((const void *const *)e->references, e->reference_count);
    const Ref **controls = refs_copy((const void *const *)e->controls, e->control_count);

    *out = *e;
    out->references = refs;
    out->controls = controls;
    if (!refs || !controls) {
        for (int i = 0; refs && i < e->reference_count; i++)
            ref_drop(refs[i]);
        for (int i = 0; controls && i < e->control_count; i++)
            ref_drop(controls[i]);
        mem_free(refs);
        mem_free(controls);
        memset(out, 0, sizeof *out);
        return out_of_memory(err);
    }
    tensor_ref(e->embed);
    tensor_ref(e->pooled);
    tensor_ref(e->mask);
    tensor_ref(e->concat_latent);
    tensor_ref(e->concat_mask);
    ref_take(e->extra);
    return OK;
}

void cond_entry_fini(CondEntry *e)
{
    tensor_unref(e->embed);
    tensor_unref(e->pooled);
    tensor_unref(e->mask);
    tensor_unref(e->concat_latent);
    tensor_unref(e->concat_mask);
    ref_drop(e->extra);
    for (int i = 0; i < e->reference_count; i++)
        tensor_unref(e->references[i]);
    for (int i = 0; i < e->control_count; i++)
        ref_drop(e->controls[i]);
    mem_free(e->references);
    mem_free(e->controls);
    memset(e, 0, sizeof *e);
}

/* ---- the value ----------------------------------------------------------------------------------- */

static void cond_destroy(void *object)
{
    Cond *c = object;
    for (int i = 0; i < c->count; i++)
        cond_entry_fini(&c->entries[i]);
    mem_free(c->entries);
    mem_free(c);
}

static Status new_empty(Cond **out, Error *err)
{
    Cond *c = mem_calloc(1, sizeof *c);
    if (!c) return out_of_memory(err);
    ref_init(&c->ref, cond_destroy);
    *out = c;
    return OK;
}

/* Adds a copy of the entry. */
static Status append(Cond *c, const CondEntry *e, Error *err)
{
    CondEntry *grown = mem_realloc(c->entries, ((size_t)c->count + 1) * sizeof *grown);
    if (!grown) return out_of_memory(err);
    c->entries = grown;
    TRY(cond_entry_copy(e, &grown[c->count], err));
    c->count++;
    return OK;
}

Status cond_new(Tensor *embed, Tensor *pooled, Cond **out, Error *err)
{
    CondEntry e = {
        .embed = embed, .pooled = pooled, .strength = 1, .mask_strength = 1, .end_percent = 1
    };
    Cond *c = NULL;
    Status status = OK;

    TRY_DONE(new_empty(&c, err));
    TRY_DONE(append(c, &e, err));
    *out = c;
    c = NULL;
done:
    cond_unref(c);
    tensor_unref(embed);
    tensor_unref(pooled);
    return status;
}

Status cond_combine(const Cond *a, const Cond *b, Cond **out, Error *err)
{
    Cond *c = NULL;
    Status status = OK;

    TRY(new_empty(&c, err));
    for (int i = 0; i < a->count; i++)
        TRY_DONE(append(c, &a->entries[i], err));
    for (int i = 0; b && i < b->count; i++)
        TRY_DONE(append(c, &b->entries[i], err));
    *out = c;
    return OK;
done:
    cond_unref(c);
    return status;
}

Status cond_copy(const Cond *c, Cond **out, Error *err)
{
    return cond_combine(c, NULL, out, err);
}

/* ---- new embeddings ------------------------------------------------------------------------------ */

static void replace(Tensor **slot, Tensor *owned)
{
    tensor_unref(*slot);
    *slot = owned;
}

Status cond_append_tokens(Cond *c, const Tensor *tokens, Error *err)
{
    for (int i = 0; i < c->count; i++) {
        CondEntry *e = &c->entries[i];
        const Tensor *parts[] = { e->embed, tokens };
        Tensor *joined;
        TRY(tensor_concat(parts, 2, 1, &joined, err));
        replace(&e->embed, joined);
    }
    return OK;
}

Status cond_concat(const Cond *to, const Cond *from, Cond **out, Error *err)
{
    Cond *c = NULL;
    Status status = OK;

    TRY(cond_copy(to, &c, err));
    if (from->count > 0) TRY_DONE(cond_append_tokens(c, from->entries[0].embed, err));
    *out = c;
    return OK;
done:
    cond_unref(c);
    return status;
}

/* to * w + from * (1 - w) in to's shape; `from` is cut or zero-padded along what is to's second-last
 * dimension (rows). Both F32 with the same last dimension. */
static Status blend(const Tensor *to, const Tensor *from, double weight, Tensor **out,
                    Error *err)
{
    char a[96], b[96];
    float wt = (float)weight, wf = (float)(1.0 - weight);
    int64_t cols = to->shape[to->ndim - 1];

    if (from->ndim != to->ndim || from->shape[from->ndim - 1] != cols || to->dtype != K_F32 ||
        from->dtype != K_F32) {
        tensor_describe(to, a, sizeof a);
        tensor_describe(from, b, sizeof b);
        return error_set(err, E_SHAPE, "conditionings %s and %s cannot be averaged", a, b);
    }
    TRY(tensor_new(K_F32, to->ndim, to->shape, out, err));
    int64_t n = tensor_count(to), have = tensor_count(from);
    const float *t = tensor_f32(to), *f = tensor_f32(from);
    for (int64_t i = 0; i < n; i++)
        tensor_f32(*out)[i] = t[i] * wt + (i < have ? f[i] : 0.0f) * wf;
    return OK;
}

static Status average_entry(CondEntry *e, const CondEntry *from, double weight, Error *err)
{
    Tensor *mixed;

    TRY(blend(e->embed, from->embed, weight, &mixed, err));
    replace(&e->embed, mixed);
    if (!from->pooled) return OK;
    if (!e->pooled) {
        e->pooled = tensor_ref(from->pooled);
        return OK;
    }
    TRY(blend(e->pooled, from->pooled, weight, &mixed, err));
    replace(&e->pooled, mixed);
    return OK;
}

Status cond_average(const Cond *to, const Cond *from, double weight, Cond **out, Error *err)
{
    Cond *c = NULL;
    Status status = OK;

    if (from->count < 1) return error_set(err, E_MISSING, "the second conditioning is empty");
    TRY(cond_copy(to, &c, err));
    for (int i = 0; i < c->count; i++)
        TRY_DONE(average_entry(&c->entries[i], &from->entries[0], weight, err));
    *out = c;
    return OK;
done:
    cond_unref(c);
    return status;
}

static Status zero_slot(Tensor **slot, Error *err)
{
    Tensor *zero;
    if (!*slot) return OK;
    TRY(tensor_zeros((*slot)->dtype, (*slot)->ndim, (*slot)->shape, &zero, err));
    replace(slot, zero);
    return OK;
}

Status cond_zero_out(const Cond *c, Cond **out, Error *err)
{
    Cond *z = NULL;
    Status status = OK;

    TRY(cond_copy(c, &z, err));
    for (int i = 0; i < z->count; i++) {
        TRY_DONE(zero_slot(&z->entries[i].embed, err));
        TRY_DONE(zero_slot(&z->entries[i].pooled, err));
    }
    *out = z;
    return OK;
done:
    cond_unref(z);
    return status;
}

/* ---- edits of every entry -------------------------------------------------------------------------- */

void cond_set_guidance(Cond *c, double guidance)
{
    for (int i = 0; i < c->count; i++) {
        c->entries[i].guidance_use = GUIDANCE_VALUE;
        c->entries[i].guidance = guidance;
    }
}

void cond_disable_guidance(Cond *c)
{
    for (int i = 0; i < c->count; i++)
        c->entries[i].guidance_use = GUIDANCE_OFF;
}

void cond_set_area(Cond *c, const CondArea *area, double strength)
{
    for (int i = 0; i < c->count; i++) {
        c->entries[i].area = *area;
        c->entries[i].strength = strength;
        c->entries[i].mask_bounds = false;
    }
}

void cond_set_area_strength(Cond *c, double strength)
{
    for (int i = 0; i < c->count; i++)
        c->entries[i].strength = strength;
}

void cond_set_mask(Cond *c, const Tensor *mask, double strength, bool bounds)
{
    for (int i = 0; i < c->count; i++) {
        replace(&c->entries[i].mask, tensor_ref(mask));
        c->entries[i].mask_strength = strength;
        c->entries[i].mask_bounds = bounds;
    }
}

void cond_set_range(Cond *c, double start_percent, double end_percent)
{
    for (int i = 0; i < c->count; i++) {
        c->entries[i].has_range = true;
        c->entries[i].start_percent = start_percent;
        c->entries[i].end_percent = end_percent;
    }
}

void cond_set_method(Cond *c, RefMethod method)
{
    for (int i = 0; i < c->count; i++)
        c->entries[i].method = method;
}

void cond_set_concat(Cond *c, const Tensor *latent, const Tensor *mask)
{
    for (int i = 0; i < c->count; i++) {
        replace(&c->entries[i].concat_latent, tensor_ref(latent));
        replace(&c->entries[i].concat_mask, tensor_ref(mask));
    }
}

Status cond_append_reference(Cond *c, const Tensor *latent, Error *err)
{
    for (int i = 0; i < c->count; i++) {
        CondEntry *e = &c->entries[i];
        size_t n = (size_t)e->reference_count;
        Tensor **grown = mem_realloc(e->references, (n + 1) * sizeof *grown);
        if (!grown) return out_of_memory(err);
        e->references = grown;
        grown[e->reference_count++] = tensor_ref(latent);
    }
    return OK;
}

Status cond_append_control(Cond *c, const Ref *control, bool to_uncond, Error *err)
{
    for (int i = 0; i < c->count; i++) {
        CondEntry *e = &c->entries[i];
        size_t n = (size_t)e->control_count;
        const Ref **grown = mem_realloc(e->controls, (n + 1) * sizeof *grown);
        if (!grown) return out_of_memory(err);
        e->controls = grown;
        grown[e->control_count++] = ref_take(control);
        e->control_to_uncond = to_uncond;
    }
    return OK;
}
