/* ref.h - the reference count that shared objects carry as their first member. */
#ifndef WEFT_BASE_REF_H
#define WEFT_BASE_REF_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct Ref {
    atomic_int count;
    void (*destroy)(void *object); /* called with the object when the last reference goes */
} Ref;

static inline void ref_init(Ref *r, void (*destroy)(void *))
{
    atomic_init(&r->count, 1);
    r->destroy = destroy;
}

/* Take and give back a reference; the object's Ref must be its first member. NULL is allowed. */
static inline void *ref_take(const void *object)
{
    Ref *r = (Ref *)(uintptr_t)object;
    if (r) atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
    return r;
}

static inline void ref_drop(const void *object)
{
    Ref *r = (Ref *)(uintptr_t)object;
    if (r && atomic_fetch_sub_explicit(&r->count, 1, memory_order_acq_rel) == 1) r->destroy(r);
}

#endif
