/* value.h - what travels on a link: a type, and a number, a text or a counted object.
 *
 * The graph knows an object only as a Ref (take, drop); what an IMAGE is, nodes and the rooms below know.
 */
#ifndef WEFT_GRAPH_VALUE_H
#define WEFT_GRAPH_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/ref.h"
#include "engine/base/status.h"

/* Socket types with a C meaning. name is the workflow's own; a type that is not listed is an opaque link
 * type carried by name (SOCK_OTHER). field: what the node's in/out struct holds. */
#define SOCK_MAP(X)                                                                            \
    X(SOCK_INT, "INT")           /* int64_t (uint64_t when SOCK_F_U64) */                      \
    X(SOCK_FLOAT, "FLOAT")       /* double */                                                  \
    X(SOCK_BOOLEAN, "BOOLEAN")   /* bool */                                                    \
    X(SOCK_STRING, "STRING")     /* const char * */                                            \
    X(SOCK_COMBO, "COMBO")       /* const char * */                                            \
    X(SOCK_MODEL, "MODEL")       /* engine/models/model.h Model */                             \
    X(SOCK_CLIP, "CLIP")         /* engine/text/encoder.h TextEncoder */                       \
    X(SOCK_VAE, "VAE")           /* engine/vae/vae.h Vae */                                    \
    X(SOCK_COND, "CONDITIONING") /* engine/sampling/cond.h Cond */                             \
    X(SOCK_LATENT, "LATENT")     /* engine/sampling/latent.h Latent */                         \
    X(SOCK_IMAGE, "IMAGE")       /* Tensor [B,H,W,C] F32 0..1 */                               \
    X(SOCK_MASK, "MASK")         /* Tensor [B,H,W] F32 */                                      \
    X(SOCK_SIGMAS, "SIGMAS")     /* Tensor [n] F32 */                                          \
    X(SOCK_NOISE, "NOISE")       /* engine/sampling/noise.h Noise */                           \
    X(SOCK_SAMPLER, "SAMPLER")   /* engine/sampling/samplers.h Sampler */                      \
    X(SOCK_GUIDER, "GUIDER")     /* engine/sampling/guider.h Guider */                         \
    X(SOCK_CONTROL_NET, "CONTROL_NET")                                                         \
    X(SOCK_CLIP_VISION, "CLIP_VISION")                                                         \
    X(SOCK_CLIP_VISION_OUTPUT, "CLIP_VISION_OUTPUT")                                           \
    X(SOCK_STYLE_MODEL, "STYLE_MODEL")                                                         \
    X(SOCK_UPSCALE_MODEL, "UPSCALE_MODEL")                                                     \
    X(SOCK_MODEL_PATCH, "MODEL_PATCH")                                                         \
    X(SOCK_ANY, "*") /* Value, whole: type and content */                                      \
    X(SOCK_OTHER, "")                                                                          \
    X(SOCK_BLOCKER, "") /* no socket's type: a value that stops what reads it; s = message */  \
    X(SOCK_PENDING, "") /* no socket's type: i = a result of an expansion to be filled in */

typedef enum SockType {
#define SOCK_ENUM(name, text) name,
    SOCK_MAP(SOCK_ENUM)
#undef SOCK_ENUM
} SockType;

const char *sock_name(SockType t);
SockType sock_from_name(const char *name); /* SOCK_OTHER when unknown */

typedef struct Value {
    SockType type;
    union {
        int64_t i; /* SOCK_INT: the bits of a uint64_t when the socket is SOCK_F_U64 */
        double f;
        bool b;
        char *s;           /* owned: STRING, COMBO, BLOCKER (NULL = it stops silently) */
        const Ref *object; /* one reference owned; NULL = absent */
    };
} Value;

/* Several values on one slot (SOCK_F_LIST): what such a socket's field holds in the in/out struct. An
 * output's items come from mem_alloc and are handed over with it; an input's are borrowed. */
typedef struct ValueList {
    Value *items;
    size_t count;
} ValueList;

void value_list_fini(ValueList *list);

Status value_copy(const Value *v, Value *out,
                  Error *err); /* text is copied, objects are shared */
void value_fini(Value *v);

#endif
