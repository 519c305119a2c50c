/* published.c - tables of published sizes, and the tensors that follow from them. */
#include "engine/models/published.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/formats/file_name.h"

/* One published transformer. A name matches when it holds all of the (lower-case) words. */
typedef struct Published {
    const char *what;
    const char *words[3];
    int64_t width, context, columns; /* D, of the text states, of img_in */
    int doubles, singles;
    bool guidance;
    bool flux1; /* biases, a modulation per block, a pooled vector; else FLUX.2 */
    /* A ControlNet instead of a model: what it is, columns for the hint, rows of the table of types. */
    ControlKind kind;
    int64_t hint, modes;
} Published;

/* clang-format off */
static const Published table[] = {
    { "FLUX.2 klein 9B", { "klein", "9b", NULL },    4096, 12288, 128,  8, 24, false, false, CONTROL_XLABS, 0, 0 },
    { "FLUX.2 klein 4B", { "klein", NULL, NULL },    3072,  7680, 128,  5, 20, false, false, CONTROL_XLABS, 0, 0 },
    { "FLUX.2 dev",      { "flux2", "dev", NULL },   6144, 15360, 128,  8, 48, true,  false, CONTROL_XLABS, 0, 0 },
    { "FLUX.2 dev",      { "flux.2", "dev", NULL },  6144, 15360, 128,  8, 48, true,  false, CONTROL_XLABS, 0, 0 },
    { "FLUX.2 dev",      { "flux-2", "dev", NULL },  6144, 15360, 128,  8, 48, true,  false, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 schnell",  { "schnell", NULL, NULL },  3072,  4096,  64, 19, 38, false, true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 Fill dev", { "flux", "fill", NULL },   3072,  4096, 384, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 Canny dev", { "flux", "canny", NULL }, 3072,  4096, 128, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 Depth dev", { "flux", "depth", NULL }, 3072,  4096, 128, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 dev",      { "flux1", NULL, NULL },    3072,  4096,  64, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 dev",      { "flux.1", NULL, NULL },   3072,  4096,  64, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 dev",      { "flux-1", NULL, NULL },   3072,  4096,  64, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 dev",      { "flux", "kontext", NULL }, 3072, 4096,  64, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 dev",      { "flux", "krea", NULL },   3072,  4096,  64, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
    { "FLUX.1 dev",      { "flux", "dev", NULL },    3072,  4096,  64, 19, 38, true,  true, CONTROL_XLABS, 0, 0 },
};
/* clang-format on */
enum { KLEIN_4B = 1, FLUX1_DEV = 9 };

/* clang-format off */
static const Published controlnets[] = {
    { "a XLabs ControlNet v3",        { "xlabs", NULL, NULL },      3072, 4096, 64, 2, 0, true, true, CONTROL_XLABS, 64, 0 },
    { "a XLabs ControlNet v3",        { "-v3", NULL, NULL },        3072, 4096, 64, 2, 0, true, true, CONTROL_XLABS, 64, 0 },
    { "the AliMama inpainting ControlNet", { "inpaint", NULL, NULL }, 3072, 4096, 64, 6, 0, true, true, CONTROL_LATENT, 68, 0 },
    { "the Union ControlNet Pro 2.0", { "union", "pro", "2" },      3072, 4096, 64, 6, 0, true, true, CONTROL_LATENT, 64, 0 },
    { "the Union ControlNet Pro",     { "union", NULL, NULL },      3072, 4096, 64, 5, 10, true, true, CONTROL_LATENT, 64, 10 },
    { "the InstantX Canny ControlNet", { "canny", NULL, NULL },     3072, 4096, 64, 5, 0, true, true, CONTROL_LATENT, 64, 0 },
    { "the Union ControlNet Pro",     { NULL, NULL, NULL },         3072, 4096, 64, 5, 10, true, true, CONTROL_LATENT, 64, 10 },
};
/* clang-format on */

static bool holds(const char *name, const char *word)
{
    size_t n = strlen(word);
    for (; *name; name++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)name[i]) == word[i])
            i++;
        if (i == n) return true;
    }
    return false;
}

/* The first row whose words the name holds; NULL = none. */
static const Published *find(const Published *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        int w = 0;
        while (w < 3 && rows[i].words[w] && holds(name, rows[i].words[w]))
            w++;
        if (w == 3 || !rows[i].words[w]) return &rows[i];
    }
    return NULL;
}

/* Tensors as they are listed. */
typedef struct List {
    WeightsShape *rows; /* owned */
    size_t count, capacity;
    bool failed;
} List;

/* columns 0: a vector. */
static void add(List *l, int64_t rows, int64_t columns, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void add(List *l, int64_t rows, int64_t columns, const char *format, ...)
{
    va_list args;

    if (l->count == l->capacity) {
        size_t more = l->capacity ? l->capacity * 2 : 64;
        WeightsShape *moved = mem_realloc(l->rows, more * sizeof *moved);
        if (!moved) l->failed = true;
        if (l->failed) return;
        l->rows = moved;
        l->capacity = more;
    }
    WeightsShape *s = &l->rows[l->count++];
    *s = (WeightsShape){ .ndim = columns ? 2 : 1, .shape = { rows, columns } };
    va_start(args, format);
    vsnprintf(s->name, sizeof s->name, format, args);
    va_end(args);
}

/* Convolution i of a network, weight and bias. */
static void add_conv(List *l, int64_t out, int64_t in, int64_t side, const char *net, int i)
{
    add(l, out, in, "%s.%d.weight", net, i);
    if (l->failed) return;
    WeightsShape *s = &l->rows[l->count - 1];
    s->ndim = 4;
    s->shape[2] = s->shape[3] = side;
    add(l, out, 0, "%s.%d.bias", net, i);
}

/* A matrix, and its bias in FLUX.1. */
static void add_linear(List *l, const Published *m, int64_t rows, int64_t columns,
                       const char *name)
{
    add(l, rows, columns, "%s.weight", name);
    if (m->flux1) add(l, rows, 0, "%s.bias", name);
}

/* The same inside block i of a kind ("double_blocks"). */
static void add_layer(List *l, const Published *m, int64_t rows, int64_t columns,
                      const char *kind, int i, const char *layer)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%d.%s", kind, i, layer);
    add_linear(l, m, rows, columns, name);
}

static void add_norms(List *l, const char *kind, int i, const char *layer)
{
    add(l, 128, 0, "%s.%d.%s.query_norm.scale", kind, i, layer);
    add(l, 128, 0, "%s.%d.%s.key_norm.scale", kind, i, layer);
}

/* Matrices of a double block per stream: rows and columns in units of D, for FLUX.2 and FLUX.1. */
static const struct {
    const char *img, *txt;
    int rows[2], columns[2]; /* 0 rows: not there */
} double_layers[] = {
    { "img_mod.lin", "txt_mod.lin", { 0, 6 }, { 1, 1 } },
    { "img_attn.qkv", "txt_attn.qkv", { 3, 3 }, { 1, 1 } },
    { "img_attn.proj", "txt_attn.proj", { 1, 1 }, { 1, 1 } },
    { "img_mlp.0", "txt_mlp.0", { 6, 4 }, { 1, 1 } },
    { "img_mlp.2", "txt_mlp.2", { 1, 1 }, { 3, 4 } },
};

static void add_double(List *l, const Published *m, int i)
{
    const int64_t d = m->width;

    for (size_t k = 0; k < sizeof double_layers / sizeof *double_layers; k++) {
        int64_t rows = double_layers[k].rows[m->flux1] * d,
                columns = double_layers[k].columns[m->flux1] * d;
        if (rows == 0) continue;
        add_layer(l, m, rows, columns, "double_blocks", i, double_layers[k].img);
        add_layer(l, m, rows, columns, "double_blocks", i, double_layers[k].txt);
    }
    add_norms(l, "double_blocks", i, "img_attn.norm");
    add_norms(l, "double_blocks", i, "txt_attn.norm");
}

static void add_single(List *l, const Published *m, int i)
{
    const int64_t d = m->width;

    if (m->flux1) add_layer(l, m, 3 * d, d, "single_blocks", i, "modulation.lin");
    add_layer(l, m, (m->flux1 ? 7 : 9) * d, d, "single_blocks", i, "linear1");
    add_layer(l, m, d, (m->flux1 ? 5 : 4) * d, "single_blocks", i, "linear2");
    add_norms(l, "single_blocks", i, "norm");
}

static void add_embedder(List *l, const Published *m, const char *name, int64_t columns)
{
    char layer[64];

    snprintf(layer, sizeof layer, "%s.in_layer", name);
    add_linear(l, m, m->width, columns, layer);
    snprintf(layer, sizeof layer, "%s.out_layer", name);
    add_linear(l, m, m->width, m->width, layer);
}

/* What a ControlNet has instead of a final layer. */
static void add_control(List *l, const Published *m)
{
    const int64_t d = m->width;

    add_linear(l, m, d, m->hint, "pos_embed_input");
    for (int i = 0; i < m->doubles; i++) {
        add(l, d, d, "controlnet_blocks.%d.weight", i);
        add(l, d, 0, "controlnet_blocks.%d.bias", i);
    }
    for (int i = 0; i < m->singles; i++) {
        add(l, d, d, "controlnet_single_blocks.%d.weight", i);
        add(l, d, 0, "controlnet_single_blocks.%d.bias", i);
    }
    if (m->modes) add(l, m->modes, d, "controlnet_mode_embedder.weight");
    for (int i = 0; m->kind == CONTROL_XLABS && i < 16; i += 2)
        add_conv(l, 16, i ? 16 : 3, 3, "input_hint_block", i);
}

static void list_tensors(const Published *m, List *l)
{
    const int64_t d = m->width;

    add_linear(l, m, d, m->columns, "img_in");
    add_linear(l, m, d, m->context, "txt_in");
    add_embedder(l, m, "time_in", 256);
    if (m->guidance) add_embedder(l, m, "guidance_in", 256);
    if (m->flux1) {
        add_embedder(l, m, "vector_in", 768);
    } else {
        add_linear(l, m, 6 * d, d, "double_stream_modulation_img.lin");
        add_linear(l, m, 6 * d, d, "double_stream_modulation_txt.lin");
        add_linear(l, m, 3 * d, d, "single_stream_modulation.lin");
    }
    for (int i = 0; i < m->doubles; i++)
        add_double(l, m, i);
    for (int i = 0; i < m->singles; i++)
        add_single(l, m, i);
    if (m->hint) {
        add_control(l, m);
        return;
    }
    add_linear(l, m, 2 * d, d, "final_layer.adaLN_modulation.1");
    add_linear(l, m, m->flux1 ? 64 : 128, d, "final_layer.linear");
}

static Status published_weights(const Published *m, const char *name, Weights **out, Error *err)
{
    List l = { 0 };
    Status status = OK;

    list_tensors(m, &l);
    if (l.failed)
        status = error_set(err, E_NOMEM, "out of memory");
    else
        status = weights_from_shapes(name, file_name_dtype(name), l.rows, l.count, out, err);
    mem_free(l.rows);
    return status;
}

Status model_open_published(Host *h, const char *name, const char *family, Model **out,
                            const char **what, Error *err)
{
    const Published *m = find(table, sizeof table / sizeof *table, name);
    Weights *w = NULL;

    if (!m) m = &table[family && strcmp(family, "flux1") == 0 ? FLUX1_DEV : KLEIN_4B];
    TRY(published_weights(m, name, &w, err));
    Status status = model_open(h, w, name, out, err);
    if (status == OK) *what = m->what;
    weights_unref(w);
    return status;
}

Status controlnet_open_published(Host *h, const char *name, ControlNet **out, const char **what,
                                 Error *err)
{
    const Published *m = find(controlnets, sizeof controlnets / sizeof *controlnets, name);
    Weights *w = NULL;

    TRY(published_weights(m, name, &w, err));
    Status status = controlnet_open_as(h, w, name, m->kind, out, err);
    if (status == OK) *what = m->what;
    weights_unref(w);
    return status;
}
