/* sizes.c - what values weigh in memory. */
#include "nodes/sizes.h"

#include <string.h>

#include "engine/sampling/cond.h"
#include "engine/sampling/latent.h"

static int64_t tensor_bytes(const Tensor *t)
{
    return t ? (int64_t)k_row_bytes(t->dtype, tensor_count(t)) : 0;
}

static int64_t cond_bytes(const Cond *c)
{
    int64_t bytes = 0;

    for (int i = 0; i < c->count; i++) {
        const CondEntry *e = &c->entries[i];
        bytes += tensor_bytes(e->embed) + tensor_bytes(e->pooled) + tensor_bytes(e->mask) +
                 tensor_bytes(e->concat_latent) + tensor_bytes(e->concat_mask);
        for (int k = 0; k < e->reference_count; k++)
            bytes += tensor_bytes(e->references[k]);
    }
    return bytes;
}

int64_t nodes_value_bytes(const Value *v)
{
    const void *object = v->object;

    switch (v->type) {
    case SOCK_STRING:
    case SOCK_COMBO:
        return v->s ? (int64_t)strlen(v->s) : 0;
    case SOCK_IMAGE:
    case SOCK_MASK:
    case SOCK_SIGMAS:
        return tensor_bytes(object);
    case SOCK_LATENT: {
        const Latent *l = object;
        return l ? tensor_bytes(l->samples) + tensor_bytes(l->noise_mask) : 0;
    }
    case SOCK_COND:
        return object ? cond_bytes(object) : 0;
    default:
        return 0;
    }
}
