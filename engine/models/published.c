/* published.c - tables of published sizes, and the tensors that follow from them. */
#include "engine/models/published.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

/* One published FLUX.2 transformer. A name matches when it holds all of the (lower-case) words. */
typedef struct Published {
    const char *what;
    const char *words[3];
    int64_t width, context;
    int doubles, singles;
    bool guidance;
} Published;

/* clang-format off */
static const Published table[] = {
    { "FLUX.2 klein 9B", { "klein", "9b", NULL },   4096, 12288, 8, 24, false },
    { "FLUX.2 klein 4B", { "klein", NULL, NULL },   3072,  7680, 5, 20, false },
    { "FLUX.2 dev",      { "flux2", "dev", NULL },  6144, 15360, 8, 48, true  },
    { "FLUX.2 dev",      { "flux.2", "dev", NULL }, 6144, 15360, 8, 48, true  },
    { "FLUX.2 dev",      { "flux-2", "dev", NULL }, 6144, 15360, 8, 48, true  },
};
/* clang-format on */
enum { KLEIN_4B = 1 };

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

static const Published *find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int w = 0;
        while (w < 3 && table[i].words[w] && holds(name, table[i].words[w]))
            w++;
        if (w == 3 || !table[i].words[w]) return &table[i];
    }
    if (holds(name, "flux1") || holds(name, "flux.1") || holds(name, "schnell")) return NULL;
    return &table[KLEIN_4B];
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

static void add_norms(List *l, const char *path)
{
    add(l, 128, 0, "%s.query_norm.scale", path);
    add(l, 128, 0, "%s.key_norm.scale", path);
}

static void add_double(List *l, int i, int64_t d)
{
    static const char *const streams[2] = { "img", "txt" };
    char path[64];

    for (int s = 0; s < 2; s++) {
        snprintf(path, sizeof path, "double_blocks.%d.%s", i, streams[s]);
        add(l, 3 * d, d, "%s_attn.qkv.weight", path);
        add(l, d, d, "%s_attn.proj.weight", path);
        add(l, 6 * d, d, "%s_mlp.0.weight", path);
        add(l, d, 3 * d, "%s_mlp.2.weight", path);
        snprintf(path, sizeof path, "double_blocks.%d.%s_attn.norm", i, streams[s]);
        add_norms(l, path);
    }
}

static void add_single(List *l, int i, int64_t d)
{
    char path[64];

    add(l, 9 * d, d, "single_blocks.%d.linear1.weight", i);
    add(l, d, 4 * d, "single_blocks.%d.linear2.weight", i);
    snprintf(path, sizeof path, "single_blocks.%d.norm", i);
    add_norms(l, path);
}

static void add_embedder(List *l, const char *name, int64_t d)
{
    add(l, d, 256, "%s.in_layer.weight", name);
    add(l, d, d, "%s.out_layer.weight", name);
}

static void list_tensors(const Published *m, List *l)
{
    const int64_t d = m->width;

    add(l, d, 128, "img_in.weight");
    add(l, d, m->context, "txt_in.weight");
    add_embedder(l, "time_in", d);
    if (m->guidance) add_embedder(l, "guidance_in", d);
    add(l, 6 * d, d, "double_stream_modulation_img.lin.weight");
    add(l, 6 * d, d, "double_stream_modulation_txt.lin.weight");
    add(l, 3 * d, d, "single_stream_modulation.lin.weight");
    for (int i = 0; i < m->doubles; i++)
        add_double(l, i, d);
    for (int i = 0; i < m->singles; i++)
        add_single(l, i, d);
    add(l, 2 * d, d, "final_layer.adaLN_modulation.1.weight");
    add(l, 128, d, "final_layer.linear.weight");
}

Status model_open_published(Host *h, const char *name, Model **out, const char **what,
                            Error *err)
{
    Status status = OK;
    const Published *m = find(name);
    Weights *w = NULL;
    List l = { 0 };

    if (!m)
        return error_set(err, E_UNSUPPORTED, "the sizes of %s are not known without the file",
                         name);
    list_tensors(m, &l);
    if (l.failed) TRY_DONE(error_set(err, E_NOMEM, "out of memory"));
    TRY_DONE(weights_from_shapes(name, K_BF16, l.rows, l.count, &w, err));
    TRY_DONE(model_open(h, w, name, out, err));
    *what = m->what;
done:
    weights_unref(w);
    mem_free(l.rows);
    return status;
}
