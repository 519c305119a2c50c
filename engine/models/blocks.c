/* blocks.c - linear layers by name, modulation, double and single blocks, the final layer. */
#include "engine/models/blocks.h"

#include <math.h>
#include <stdio.h>

enum { NAME_MAX_LENGTH = 160, PARTS_MAX = 8 };
static const float NORM_EPS = 1e-6f;

/* ---- linear layers by name ----------------------------------------------------------------------- */

/* Rows of a matrix as products: each a weight and the columns of the result that it gives. */
typedef struct Part {
    KWeight w;
    int64_t at;                 /* first column of the result */
    int64_t row;                /* first row within the part's own matrix */
    char bias[NAME_MAX_LENGTH]; /* its bias tensor, or "" */
} Part;

static bool get_matrix(Blocks *b, const char *name, KWeight *out)
{
    Error err = { 0 };
    Status s = weights_matrix(b->source.weights, name, 0, 0, out, &err);
    if (s == OK && b->source.patch) s = b->source.patch(b->source.user, name, out, &err);
    if (s != OK) prog_fail(b->p, &err);
    return s == OK;
}

/* A vector (bias, norm scale) as a matrix of one row. */
static bool get_vector(Blocks *b, const char *name, KWeight *out)
{
    Error err = { 0 };
    const float *values = NULL;
    int64_t count = weights_elements(b->source.weights, name);
    Status s = weights_f32(b->source.weights, name, count, &values, &err);

    *out =
        (KWeight){ .data = values, .dtype = K_F32, .n = 1, .k = count, .row_bytes = count * 4 };
    if (s == OK && b->source.patch) s = b->source.patch(b->source.user, name, out, &err);
    if (s != OK) prog_fail(b->p, &err);
    return s == OK;
}

/* Adds what rows [first, first+rows) have in common with the matrix `name` at rows [start, start+n). */
static bool add_part(Blocks *b, const KWeight *w, const char *bias, int64_t start,
                     int64_t first, int64_t rows, Part *parts, int *n)
{
    int64_t lo = first > start ? first : start;
    int64_t hi = first + rows < start + w->n ? first + rows : start + w->n;
    bool ok = true;

    if (lo >= hi) return true;
    Part *part = &parts[*n];
    *part = (Part){ .at = lo - first, .row = lo - start };
    part->w = prog_weight_rows(w, lo - start, hi - lo, &ok);
    if (weights_has(b->source.weights, bias))
        snprintf(part->bias, sizeof part->bias, "%s", bias);
    if (ok) ++*n;
    return ok;
}

/* Splits the wanted rows into products; 0 when the file's layout forbids it. *total: the matrix' rows. */
static int find_parts(Blocks *b, const char *name, const LinearUse *use, Part parts[PARTS_MAX],
                      int64_t *total)
{
    char weight[NAME_MAX_LENGTH], bias[NAME_MAX_LENGTH];
    KWeight w[PARTS_MAX];
    int count = 0, n = 0;
    bool whole;

    snprintf(weight, sizeof weight, "%s.weight", name);
    whole = weights_has(b->source.weights, weight);
    *total = 0;
    do {
        if (!whole) snprintf(weight, sizeof weight, "%s.weight.%d", name, count);
        if (count > 0 && !weights_has(b->source.weights, weight)) break;
        if (!get_matrix(b, weight, &w[count])) return 0;
        *total += w[count++].n;
    } while (!whole && count < PARTS_MAX);
    int64_t rows = use->rows ? use->rows : *total, start = 0;
    for (int i = 0; i < count; i++) {
        if (whole)
            snprintf(bias, sizeof bias, "%s.bias", name);
        else
            snprintf(bias, sizeof bias, "%s.bias.%d", name, i);
        if (!add_part(b, &w[i], bias, start, use->first, rows, parts, &n)) return 0;
        start += w[i].n;
    }
    return n;
}

ProgValue blocks_param(Blocks *b, const char *name)
{
    const float *values = NULL;
    Error err = { 0 };
    int64_t n = weights_elements(b->source.weights, name);

    if (prog_failed(b->p)) return PROG_NONE;
    if (weights_f32(b->source.weights, name, n, &values, &err) != OK) {
        prog_fail(b->p, &err);
        return PROG_NONE;
    }
    KWeight w = { .data = values, .dtype = K_F32, .n = 1, .k = n, .row_bytes = n * 4 };
    return prog_param(b->p, &w);
}

static ProgValue part_bias(Blocks *b, const Part *part)
{
    KWeight w;
    if (!part->bias[0] || !get_vector(b, part->bias, &w)) return PROG_NONE;
    return prog_rows(b->p, prog_param(b->p, &w), part->row, part->w.n);
}

static void wrong_shape(Blocks *b, const char *name, int64_t rows, int64_t k,
                        const LinearUse *use)
{
    Error err = { 0 };
    error_set(&err, E_SHAPE, "%s.weight is [%lld, %lld]; [%lld, %lld] was expected", name,
              (long long)rows, (long long)k, (long long)(use->first + use->rows),
              (long long)use->k);
    prog_fail(b->p, &err);
}

ProgValue blocks_linear(Blocks *b, const char *name, ProgValue x, const LinearUse *use)
{
    Part parts[PARTS_MAX];
    int64_t total = 0;

    if (prog_failed(b->p)) return PROG_NONE;
    int n = find_parts(b, name, use, parts, &total);
    if (prog_failed(b->p)) return PROG_NONE;
    if (n == 0 || use->first + use->rows > total || (use->k && parts[0].w.k != use->k)) {
        wrong_shape(b, name, total, n ? parts[0].w.k : 0, use);
        return PROG_NONE;
    }
    if (n == 1)
        return prog_linear(b->p, &(PLinear){ .x = x,
                                             .w = parts[0].w,
                                             .bias = part_bias(b, &parts[0]),
                                             .act = use->act,
                                             .glu = use->glu,
                                             .gate = use->gate,
                                             .y = use->y,
                                             .out = use->out });
    ProgValue y = use->y;
    int64_t rows = use->rows ? use->rows : total;
    KView xv = prog_view_of(b->p, x);
    if (y <= 0) y = prog_temp(b->p, use->out, 2, (int64_t[]){ xv.shape[0], rows });
    for (int i = 0; i < n; i++)
        prog_linear(b->p, &(PLinear){ .x = x,
                                      .w = parts[i].w,
                                      .bias = part_bias(b, &parts[i]),
                                      .act = use->act,
                                      .gate = use->gate ? prog_rows(b->p, use->gate,
                                                                    parts[i].at, parts[i].w.n)
                                                        : 0,
                                      .y = prog_cols(b->p, y, parts[i].at, parts[i].w.n) });
    return y;
}

/* ---- conditioning vector and modulation ------------------------------------------------------------ */

ProgValue blocks_embedder(Blocks *b, const char *name, ProgValue e)
{
    char layer[NAME_MAX_LENGTH];

    snprintf(layer, sizeof layer, "%s.in_layer", name);
    ProgValue h = blocks_linear(b, layer, e, &(LinearUse){ .act = K_ACT_SILU });
    snprintf(layer, sizeof layer, "%s.out_layer", name);
    return blocks_linear(b, layer, h, &(LinearUse){ .out = K_F32 });
}

ProgValue blocks_timestep(Blocks *b, const char *name, ProgValue value)
{
    return blocks_embedder(b, name,
                           prog_timestep(b->p, &(PTimestep){ .value = value, .dim = 256 }));
}

ProgValue blocks_modulation(Blocks *b, const char *name, ProgValue silu_vec, int n)
{
    return blocks_linear(b, name, silu_vec,
                         &(LinearUse){ .rows = n * b->width, .k = b->width });
}

/* LN(x)*(1+scale)+shift with chunks `first` (shift) and first+1 (scale) of a modulation. */
static ProgValue modulated(Blocks *b, ProgValue x, ProgValue mod, int first)
{
    return prog_norm_mod(b->p, &(PNormMod){ .x = x,
                                            .shift = prog_chunk(b->p, mod, first, b->width),
                                            .scale = prog_chunk(b->p, mod, first + 1, b->width),
                                            .eps = NORM_EPS,
                                            .out = b->act });
}

/* x += gate * y, gate a chunk of a modulation. */
static void add_gated(Blocks *b, ProgValue x, ProgValue mod, int chunk, ProgValue y)
{
    prog_add(b->p, &(PAdd){ .a = x, .gate = prog_chunk(b->p, mod, chunk, b->width), .b = y });
}

/* ---- attention --------------------------------------------------------------------------------------- */

/* RMS norm and rotation of q and k, in place. qkv [rows, at least 3D]: rows [first, first+rows) of the
 * joint sequence, whose norms are NAME.query_norm.scale and NAME.key_norm.scale. */
static void norm_and_rotate(Blocks *b, const char *name, ProgValue qkv, int64_t first,
                            int64_t rows)
{
    static const char *const which[2] = { "query", "key" };
    char scale[NAME_MAX_LENGTH];
    ProgValue part = prog_rows(b->p, qkv, first, rows);

    for (int i = 0; i < 2; i++) {
        KWeight w;
        snprintf(scale, sizeof scale, "%s.%s_norm.scale", name, which[i]);
        if (prog_failed(b->p) || !get_vector(b, scale, &w)) return;
        ProgValue x = prog_heads(b->p, prog_cols(b->p, part, i * b->width, b->width), b->heads,
                                 b->head_dim);
        prog_rope(b->p, &(PRope){ .x = x,
                                  .weight = prog_param(b->p, &w),
                                  .cs = prog_rows(b->p, b->rope, first, rows),
                                  .eps = NORM_EPS });
    }
}

/* The product's room for q, k and v: [rows, 3D] and, below, the keys and values that are only read. */
static ProgValue qkv_room(Blocks *b)
{
    int64_t below = b->kv == KV_CACHED ? b->kv_rows : 0;
    return prog_temp(b->p, b->act, 2, (int64_t[]){ b->text + b->image + below, 3 * b->width });
}

/* Hands keys and values of the references out, or takes them in. qkv as from qkv_room. */
static void keep_keys(Blocks *b, const char *kind, int index, ProgValue qkv)
{
    char name[32];
    int64_t first = b->kv == KV_CACHED ? b->text + b->image : 0, d = b->width;
    int64_t shape[3] = { 2, b->kv_rows, d };

    if (b->kv == KV_NONE || prog_failed(b->p)) return;
    snprintf(name, sizeof name, "kv.%s.%d", kind, index);
    ProgValue seen =
        prog_window(b->p, qkv, first * 3 * d + d, 3, shape, (int64_t[]){ d, 3 * d, 1 });
    if (b->kv == KV_CACHED)
        prog_copy(b->p,
                  &(PCopy){ .x = prog_borrowed(b->p, name, b->act, 3, shape), .y = seen });
    else
        prog_output(b->p, name, prog_copy(b->p, &(PCopy){ .x = seen, .out = b->act }));
}

/* Attention over the whole sequence into the columns that y shows, [rows, D]. */
static void attend(Blocks *b, ProgValue qkv, ProgValue y)
{
    ProgValue part[3];
    for (int i = 0; i < 3; i++)
        part[i] = prog_heads(b->p, prog_cols(b->p, qkv, i * b->width, b->width), b->heads,
                             b->head_dim);
    prog_attention(b->p, &(PAttention){ .q = prog_rows(b->p, part[0], 0, b->text + b->image),
                                        .k = part[1],
                                        .v = part[2],
                                        .bias = b->bias,
                                        .y = prog_heads(b->p, y, b->heads, b->head_dim),
                                        .scale = (float)(1.0 / sqrt((double)b->head_dim)) });
}

/* ---- the gated or plain hidden layer -------------------------------------------------------------------- */

/* y [rows, hidden] = activation of rows [first, ...) of NAME times u. */
static void hidden_layer(Blocks *b, const char *name, ProgValue u, int64_t first, ProgValue y)
{
    if (!b->gated) {
        blocks_linear(b, name, u,
                      &(LinearUse){ .first = first,
                                    .rows = b->hidden,
                                    .k = b->width,
                                    .act = K_ACT_GELU_TANH,
                                    .y = y });
        return;
    }
    ProgValue z = blocks_linear(
        b, name, u,
        &(LinearUse){ .first = first, .rows = 2 * b->hidden, .k = b->width, .out = b->act });
    prog_glu(b->p, &(PGlu){ .gate = prog_cols(b->p, z, 0, b->hidden),
                            .value = prog_cols(b->p, z, b->hidden, b->hidden),
                            .act = K_ACT_SILU,
                            .y = y });
}

/* ---- double block ------------------------------------------------------------------------------------- */

/* One stream of a double block. */
typedef struct Stream {
    const char *kind; /* "txt", "img" */
    int64_t first, rows;
    ProgValue x, mod;
} Stream;

static void stream_qkv(Blocks *b, int index, const Stream *s, ProgValue qkv)
{
    char name[NAME_MAX_LENGTH];
    ProgValue a = modulated(b, s->x, s->mod, 0);

    snprintf(name, sizeof name, "double_blocks.%d.%s_attn.qkv", index, s->kind);
    blocks_linear(b, name, a,
                  &(LinearUse){ .rows = 3 * b->width,
                                .k = b->width,
                                .y = prog_rows(b->p, qkv, s->first, s->rows) });
    snprintf(name, sizeof name, "double_blocks.%d.%s_attn.norm", index, s->kind);
    norm_and_rotate(b, name, qkv, s->first, s->rows);
}

static void stream_rest(Blocks *b, int index, const Stream *s, ProgValue attended)
{
    char name[NAME_MAX_LENGTH];

    snprintf(name, sizeof name, "double_blocks.%d.%s_attn.proj", index, s->kind);
    ProgValue o = blocks_linear(b, name, prog_rows(b->p, attended, s->first, s->rows),
                                &(LinearUse){ .rows = b->width, .k = b->width });
    add_gated(b, s->x, s->mod, 2, o);
    ProgValue u = modulated(b, s->x, s->mod, 3);
    ProgValue g = prog_temp(b->p, b->act, 2, (int64_t[]){ s->rows, b->hidden });
    snprintf(name, sizeof name, "double_blocks.%d.%s_mlp.0", index, s->kind);
    hidden_layer(b, name, u, 0, g);
    snprintf(name, sizeof name, "double_blocks.%d.%s_mlp.2", index, s->kind);
    o = blocks_linear(b, name, g, &(LinearUse){ .rows = b->width, .k = b->hidden });
    add_gated(b, s->x, s->mod, 5, o);
}

void blocks_double(Blocks *b, int index, ProgValue text_mod, ProgValue image_mod)
{
    int64_t rows = b->text + b->image;
    const Stream streams[2] = {
        { "img", b->text, b->image, prog_rows(b->p, b->x, b->text, b->image), image_mod },
        { "txt", 0, b->text, b->text ? prog_rows(b->p, b->x, 0, b->text) : 0, text_mod },
    };
    int count = b->text ? 2 : 1;
    ProgValue qkv = qkv_room(b);
    ProgValue o = prog_temp(b->p, b->act, 2, (int64_t[]){ rows, b->width });

    for (int s = count; s-- > 0;)
        stream_qkv(b, index, &streams[s], qkv);
    keep_keys(b, "double", index, qkv);
    attend(b, qkv, o);
    for (int s = count; s-- > 0;)
        stream_rest(b, index, &streams[s], o);
}

/* ---- single block ------------------------------------------------------------------------------------- */

/* linear1 in two products: q, k, v; and the hidden layer straight into its columns of `cat`. */
static ProgValue single_in(Blocks *b, const char *name, ProgValue a, ProgValue cat)
{
    ProgValue g = prog_cols(b->p, cat, b->width, b->hidden);
    ProgValue qkv = qkv_room(b);

    blocks_linear(b, name, a,
                  &(LinearUse){ .rows = 3 * b->width,
                                .k = b->width,
                                .y = prog_rows(b->p, qkv, 0, b->text + b->image) });
    hidden_layer(b, name, a, 3 * b->width, g);
    return qkv;
}

void blocks_single(Blocks *b, int index, ProgValue mod)
{
    char name[NAME_MAX_LENGTH];
    int64_t rows = b->text + b->image;
    ProgValue a = modulated(b, b->x, mod, 0);
    ProgValue cat = prog_temp(b->p, b->act, 2, (int64_t[]){ rows, b->width + b->hidden });

    snprintf(name, sizeof name, "single_blocks.%d.linear1", index);
    ProgValue qkv = single_in(b, name, a, cat);
    snprintf(name, sizeof name, "single_blocks.%d.norm", index);
    norm_and_rotate(b, name, qkv, 0, rows);
    keep_keys(b, "single", index, qkv);
    attend(b, qkv, prog_cols(b->p, cat, 0, b->width));
    snprintf(name, sizeof name, "single_blocks.%d.linear2", index);
    ProgValue o = blocks_linear(b, name, cat,
                                &(LinearUse){ .rows = b->width, .k = b->width + b->hidden });
    add_gated(b, b->x, mod, 2, o);
}

/* ---- output -------------------------------------------------------------------------------------------- */

ProgValue blocks_final(Blocks *b, ProgValue silu_vec, int64_t first, int64_t rows, bool swapped)
{
    ProgValue mod = blocks_modulation(b, "final_layer.adaLN_modulation.1", silu_vec, 2);
    ProgValue u = prog_norm_mod(
        b->p, &(PNormMod){ .x = prog_rows(b->p, b->x, first, rows),
                           .shift = prog_chunk(b->p, mod, swapped ? 1 : 0, b->width),
                           .scale = prog_chunk(b->p, mod, swapped ? 0 : 1, b->width),
                           .eps = NORM_EPS,
                           .out = b->act });
    return blocks_linear(b, "final_layer.linear", u, &(LinearUse){ .k = b->width });
}
