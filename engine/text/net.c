/* net.c - what the encoders build their programs with. */
#include "engine/text/net.h"

#include <stdarg.h>
#include <stdio.h>

void net_prefix(Net *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(n->prefix, sizeof n->prefix, format, args);
    va_end(args);
}

/* Without a file a weight is a size and a place of its own. */
static void stand_in(Net *n, KWeight *w)
{
    w->data = weights_stand_in(n->stand_in);
    n->stand_in += (size_t)(w->n * w->row_bytes);
}

/* The matrix of a name; a failure is remembered by the program. */
static KWeight find_matrix(Net *n, const char *name, const char *ending, int64_t rows,
                           int64_t cols)
{
    char full[2 * NET_NAME];
    KWeight w = { .dtype = K_BF16, .n = rows, .k = cols, .row_bytes = 2 * cols };
    Error err = { 0 };
    if (!n->w) {
        size_t bytes = k_row_bytes(n->missing, cols);
        if (bytes > 0) w.dtype = n->missing, w.row_bytes = (int64_t)bytes;
        stand_in(n, &w);
        return w;
    }
    snprintf(full, sizeof full, "%s%s%s", n->prefix, name, ending);
    Status status = weights_matrix(n->w, full, rows, cols, &w, &err);
    if (n->patches && atomic_load(&n->events->cancel))
        status = error_set(&err, E_CANCELLED, "interrupted");
    if (status == OK) status = text_patches_apply(n->patches, full, &w, &err);
    if (status != OK) prog_fail(n->p, &err);
    w.int8_x =
        false; /* prompts are encoded with activations as they are, whatever the file says */
    return w;
}

/* A vector as a matrix of one row, read when the program first runs. */
static ProgValue find_vector(Net *n, const char *name, const char *ending, int64_t count)
{
    char full[2 * NET_NAME];
    KWeight w = { .dtype = K_BF16, .n = 1, .k = count, .row_bytes = 2 * count };
    KView view;
    Error err = { 0 };

    snprintf(full, sizeof full, "%s%s%s", n->prefix, name, ending);
    if (n->w) {
        Status status = weights_view(n->w, full, &view, &err);
        if (status == OK && k_view_count(&view) != count)
            status = error_set(&err, E_SHAPE, "tensor %s has %lld elements, %lld are needed",
                               full, (long long)k_view_count(&view), (long long)count);
        if (status != OK) {
            prog_fail(n->p, &err);
            return PROG_NONE;
        }
        w.data = view.data;
        w.dtype = view.dtype;
        w.row_bytes = (int64_t)k_row_bytes(view.dtype, count);
        if (text_patches_apply(n->patches, full, &w, &err) != OK) {
            prog_fail(n->p, &err);
            return PROG_NONE;
        }
    } else {
        stand_in(n, &w);
    }
    return prog_failed(n->p) ? PROG_NONE : prog_param(n->p, &w);
}

ProgValue net_vector(Net *n, const char *name, int64_t count)
{
    return find_vector(n, name, "", count);
}

ProgValue net_linear(Net *n, const NetLinear *a)
{
    KWeight w = find_matrix(n, a->name, ".weight", a->out, a->in);
    ProgValue bias = a->bias ? find_vector(n, a->name, ".bias", a->out) : 0;
    if (prog_failed(n->p)) return PROG_NONE;
    return prog_linear(n->p, &(PLinear){ .x = a->x,
                                         .w = w,
                                         .bias = bias,
                                         .act = a->act,
                                         .residual = a->residual,
                                         .out = a->residual || a->wide ? K_F32 : n->act });
}

ProgValue net_rms(Net *n, const char *name, ProgValue x, int64_t d, bool wide)
{
    ProgValue weight = find_vector(n, name, ".weight", d);
    if (prog_failed(n->p)) return PROG_NONE;
    return prog_rms_norm(
        n->p,
        &(PRmsNorm){ .x = x, .weight = weight, .eps = n->eps, .out = wide ? K_F32 : n->act });
}

ProgValue net_layer_norm(Net *n, const char *name, ProgValue x, int64_t d, bool wide)
{
    ProgValue weight = find_vector(n, name, ".weight", d),
              bias = find_vector(n, name, ".bias", d);
    if (prog_failed(n->p)) return PROG_NONE;
    return prog_layer_norm(n->p, &(PLayerNorm){ .x = x,
                                                .weight = weight,
                                                .bias = bias,
                                                .eps = n->eps,
                                                .out = wide ? K_F32 : n->act });
}
