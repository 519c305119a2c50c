/* kv.c - the store of references' keys and values. */
#include "engine/models/kv.h"

#include <string.h>

#include "engine/base/mem.h"

Status room_make(Room *r, Host *h, size_t size, Error *err)
{
    if (size <= r->size) return OK;
    room_fini(r, h);
    if (!host_dummy(h) && !(r->memory = mem_aligned(64, size)))
        return error_set(err, E_NOMEM, "no memory for %zu MiB that a run keeps", size >> 20);
    host_hold(h, (int64_t)size);
    r->size = size;
    return OK;
}

void room_fini(Room *r, Host *h)
{
    mem_free(r->memory);
    if (r->size) host_hold(h, -(int64_t)r->size);
    *r = (Room){ 0 };
}

void kv_fini(KvStore *s, Host *h)
{
    for (int i = 0; i < KV_ENTRIES; i++)
        room_fini(&s->entries[i].room, h);
    memset(s, 0, sizeof *s);
}

/* Where the layout of references depends on the target. */
static PosSize target_of(const Model *m, const ForwardCall *f)
{
    RefMethod method = f->method == REF_DEFAULT ? model_dims(m)->references : f->method;
    return method == REF_UXO ? f->size : (PosSize){ 0 };
}

static bool is_of(const KvEntry *e, const Model *m, const CondEntry *cond, const ForwardCall *f)
{
    const ModelDims *d = model_dims(m);
    PosSize target = target_of(m, f);

    if (!e->used || e->count != cond->reference_count || e->method != f->method ||
        e->target.h != target.h || e->target.w != target.w)
        return false;
    if (d->guidance && (e->guided != f->guided || (f->guided && e->guidance != f->guidance)))
        return false;
    if (d->pooled && e->pooled != cond->pooled) return false;
    return memcmp(e->references, cond->references, (size_t)e->count * sizeof *e->references) ==
           0;
}

static void describe(KvEntry *e, const Model *m, const CondEntry *cond, const ForwardCall *f)
{
    e->count = cond->reference_count;
    for (int k = 0; k < e->count; k++)
        e->references[k] = cond->references[k];
    e->method = f->method;
    e->target = target_of(m, f);
    e->guided = f->guided;
    e->guidance = f->guidance;
    e->pooled = cond->pooled;
}

/* Memory for every block, [2, rows, D] each. */
static Status make_places(KvEntry *e, const Model *m, Host *h, const ForwardCall *f, Error *err)
{
    const ModelDims *d = model_dims(m);
    int64_t rows = 0;
    int blocks = d->double_blocks + d->single_blocks;

    for (int k = 0; k < f->n_refs; k++)
        rows += pos_tokens(&d->positions, f->ref_sizes[k]);
    size_t each = (size_t)(2 * rows * d->width) * (model_act(m) == K_F32 ? 4 : 2);
    TRY(room_make(&e->room, h, each * (size_t)blocks, err));
    for (int i = 0; i < blocks; i++)
        e->places[i] = e->room.memory ? (char *)e->room.memory + each * (size_t)i : NULL;
    return OK;
}

/* One pass over the references. */
static Status compute(KvEntry *e, const Model *m, Host *h, const CondEntry *cond,
                      const ForwardCall *f, Error *err)
{
    ForwardCall refs = *f;

    e->used = 0;
    TRY(make_places(e, m, h, f, err));
    refs.kv = KV_REFS;
    refs.kv_memory = e->places;
    refs.sigma = 0;
    refs.skip = NULL;
    refs.style = refs.bias = NULL;
    refs.n_controls = 0;
    TRY(model_forward(m, &refs, err));
    describe(e, m, cond, f);
    return OK;
}

Status kv_use(KvStore *s, const Model *m, Host *h, const CondEntry *cond, ForwardCall *f,
              Error *err)
{
    KvEntry *e = &s->entries[0];

    for (int i = 0; i < KV_ENTRIES; i++) {
        if (is_of(&s->entries[i], m, cond, f)) {
            e = &s->entries[i];
            break;
        }
        if (s->entries[i].used < e->used) e = &s->entries[i];
    }
    if (!is_of(e, m, cond, f)) TRY(compute(e, m, h, cond, f, err));
    e->used = ++s->clock;
    f->kv = KV_CACHED;
    f->kv_memory = e->places;
    return OK;
}
