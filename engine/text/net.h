/* net.h - what the encoders build their programs with. */
#ifndef WEFT_TEXT_NET_H
#define WEFT_TEXT_NET_H

#include "engine/formats/weights.h"
#include "engine/program/ops.h"
#include "engine/text/patch.h"

enum { NET_NAME = 192 };

/* A program under construction. Without weights (dummy runs of a file that is missing) every
 * matrix is one of the type that the file's name tells, which nobody reads; vectors are BF16. */
typedef struct Net {
    Program *p;
    const Weights *w;           /* borrowed, or NULL */
    const TextPatches *patches; /* borrowed, or NULL */
    Events *events;             /* its cancel flag is read between matrices that are merged */
    KDtype act;            /* what goes into matrix products: F32 when exact, BF16 when fast */
    float eps;             /* of norms */
    KDtype missing;        /* without weights: type of the matrices */
    size_t stand_in;       /* without weights: bytes of those asked for so far */
    char prefix[NET_NAME]; /* put before every name; ends in '.', or is empty */
} Net;

void net_prefix(Net *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* y = act(x w^T + bias) + residual; x [T, in] in the run's precision. The result is F32 with a
 * residual or when `wide`, else in the run's precision. name: without ".weight". */
typedef struct NetLinear {
    const char *name;
    ProgValue x;
    int64_t in, out;
    bool bias, wide;
    KAct act;
    ProgValue residual;
} NetLinear;
ProgValue net_linear(Net *n, const NetLinear *a);

/* A vector [count] by its full name behind the prefix. */
ProgValue net_vector(Net *n, const char *name, int64_t count);
/* RMS norm of x [T, d] F32 with name.weight; F32 when wide, else in the run's precision. */
ProgValue net_rms(Net *n, const char *name, ProgValue x, int64_t d, bool wide);
/* Layer norm with name.weight and name.bias. */
ProgValue net_layer_norm(Net *n, const char *name, ProgValue x, int64_t d, bool wide);

#endif
