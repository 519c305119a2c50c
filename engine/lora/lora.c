/* lora.c - a LoRA file resolved against one model. */
#include "engine/lora/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/lora/merge.h"
#include "engine/lora/rewrite.h"
#include "engine/lora/side.h"
#include "engine/lora/targets.h"
#include "engine/lora/text_targets.h"

enum { NAME_SIZE = 256 };

/* One change of one tensor. */
typedef struct Change {
    const char *tensor; /* owned by the arena */
    LoraKind kind;
    const char *full; /* key of a LORA_FULL change; borrowed from the file */
    LoraKeys keys;
    LoraPlace place;
    int64_t pad_rows, pad_cols; /* the matrix grows to this size first; 0 = it does not */
    int order;                  /* of two for the same rows the higher one counts */
} Change;

/* A matrix that was merged, kept for the next program that asks. */
typedef struct Merged {
    struct Merged *next;
    const char *name; /* owned by the arena */
    const void *source;
    double strength;
    KWeight w;
    void *data; /* owned; NULL where the change stays beside the matrix */
    LoraSide side;
} Merged;

struct Lora {
    Weights *file, *base;
    Arena *arena;
    Change *changes; /* owned; sorted by tensor, then by order */
    size_t count, capacity;
    Merged *merged;
    const LoraTextPart *text; /* borrowed while opening; NULL = a transformer */
    LoraReport report;
    bool exact, dummy, control;
};

/* ---- opening: keys to groups ------------------------------------------------------------------------------ */

static void remember(char out[128], const char *key)
{
    if (!out[0]) snprintf(out, 128, "%s", key);
}

static void count_unknown(Lora *l, const char *key)
{
    if (!l->text && lora_is_text_key(key)) {
        l->report.text_keys++;
        return;
    }
    l->report.unmatched++;
    remember(l->report.unmatched_key, key);
}

/* Puts one key into the group of its prefix. */
static Status sort_key(Lora *l, const LoraTargets *targets, Map *groups, const char *key,
                       Error *err)
{
    size_t n;
    LoraRole role = lora_role_of(key, &n);
    char *prefix = arena_strndup(l->arena, key, n);

    if (!prefix) return error_set(err, E_NOMEM, "out of memory");
    if (role == LORA_ROLE_COUNT || !lora_targets_find(targets, prefix)) {
        count_unknown(l, key);
        return OK;
    }
    if (role == LORA_FOREIGN)
        return error_set(err, E_UNSUPPORTED,
                         "%s belongs to a weight format that is not computed here", key);
    LoraKeys *keys = map_get(groups, prefix);
    if (!keys) {
        keys = arena_alloc(l->arena, sizeof *keys);
        if (!keys || !map_put(groups, prefix, keys))
            return error_set(err, E_NOMEM, "out of memory");
    }
    keys->of[role] = key;
    l->report.matched++;
    return OK;
}

static Status sort_keys(Lora *l, const LoraTargets *targets, Map *groups, Error *err)
{
    for (size_t i = 0; i < weights_count(l->file); i++)
        TRY(sort_key(l, targets, groups, weights_name(l->file, i), err));
    return OK;
}

/* ---- opening: groups to changes --------------------------------------------------------------------------- */

/* Whether the change has the shape of the rows it lands on; when not, it is counted. */
static Status check_fit(Lora *l, const Change *c, const char *prefix, bool *fits, Error *err)
{
    int64_t rows, cols, have_rows, have_cols;

    TRY(lora_delta_shape(l->file, c->kind, &c->keys, c->full, &rows, &cols, err));
    lora_base_shape(l->base, c->tensor, &have_rows, &have_cols);
    if (c->pad_rows > have_rows) have_rows = c->pad_rows;
    if (c->pad_cols > have_cols) have_cols = c->pad_cols;
    *fits = rows == (c->place.rows ? c->place.rows : have_rows) && cols == have_cols;
    if (*fits) return OK;
    l->report.misfits++;
    if (!l->report.misfit_key[0])
        snprintf(l->report.misfit_key, sizeof l->report.misfit_key,
                 "%.70s [%lld, %lld] on [%lld, %lld]", prefix, (long long)rows, (long long)cols,
                 (long long)have_rows, (long long)have_cols);
    return OK;
}

static Status add_change(Lora *l, const Change *c, const char *prefix, Error *err)
{
    bool fits = false;
    int64_t rows, cols;

    if (!lora_base_shape(l->base, c->tensor, &rows, &cols)) {
        count_unknown(l, prefix);
        return OK;
    }
    TRY(check_fit(l, c, prefix, &fits, err));
    if (!fits) return OK;
    if (l->count == l->capacity) {
        size_t more = l->capacity ? 2 * l->capacity : 64;
        Change *grown = mem_realloc(l->changes, more * sizeof *grown);
        if (!grown) return error_set(err, E_NOMEM, "out of memory");
        l->changes = grown;
        l->capacity = more;
    }
    l->changes[l->count++] = *c;
    return OK;
}

/* A matrix that the file makes larger first: said by the file, or for BFL's control LoRAs by the factors. */
static Status read_padding(Lora *l, const char *prefix, Change *c, Error *err)
{
    const char *key = c->keys.of[LORA_RESHAPE];
    float size[2] = { 0 };

    if (l->control && strcmp(prefix, "diffusion_model.img_in") == 0) {
        return lora_delta_shape(l->file, LORA_PRODUCT, &c->keys, NULL, &c->pad_rows,
                                &c->pad_cols, err);
    }
    if (!key || l->dummy) return OK;
    TRY(weights_f32_into(l->file, key, size, 2, err));
    if (!(size[0] >= 1 && size[0] < 1e6f && size[1] >= 1 && size[1] < 1e6f))
        return error_set(err, E_SHAPE, "%s asks for a matrix [%g, %g]", key, (double)size[0],
                         (double)size[1]);
    c->pad_rows = (int64_t)size[0];
    c->pad_cols = (int64_t)size[1];
    return OK;
}

/* Formats in which a change of a matrix may come; the last one that a prefix has counts. */
/* clang-format off */
static const struct {
    LoraRole any[4];
    LoraKind kind;
    bool bias, replace;
} formats[] = {
    { { LORA_UP, LORA_DOWN, LORA_UP, LORA_DOWN }, LORA_PRODUCT, false, false },
    { { LORA_HADA_1A, LORA_HADA_1B, LORA_HADA_2A, LORA_HADA_2B }, LORA_HADAMARD, false, false },
    { { LORA_KRON_1, LORA_KRON_2, LORA_KRON_1A, LORA_KRON_2A }, LORA_KRONECKER, false, false },
    { { LORA_NORM, LORA_NORM, LORA_NORM, LORA_NORM }, LORA_FULL, false, false },
    { { LORA_NORM_BIAS, LORA_NORM_BIAS, LORA_NORM_BIAS, LORA_NORM_BIAS }, LORA_FULL, true, false },
    { { LORA_DIFF, LORA_DIFF, LORA_DIFF, LORA_DIFF }, LORA_FULL, false, false },
    { { LORA_DIFF_BIAS, LORA_DIFF_BIAS, LORA_DIFF_BIAS, LORA_DIFF_BIAS }, LORA_FULL, true, false },
    { { LORA_SET, LORA_SET, LORA_SET, LORA_SET }, LORA_FULL, false, true },
};
/* clang-format on */
enum { FORMAT_COUNT = sizeof formats / sizeof *formats };

static bool has_format(const LoraKeys *keys, int format)
{
    for (int i = 0; i < 4; i++)
        if (keys->of[formats[format].any[i]]) return true;
    return false;
}

/* The bias beside NAME.weight; rows of a bias are never meant alone. */
static Status bias_of(Lora *l, Change *c, Error *err)
{
    size_t n = strlen(c->tensor);
    size_t stem = str_ends_with(c->tensor, ".weight") ? n - strlen(".weight") : n;

    c->tensor = arena_printf(l->arena, "%.*s.bias", (int)stem, c->tensor);
    c->place.first = c->place.rows = 0;
    c->pad_rows = c->pad_cols = 0;
    return c->tensor ? OK : error_set(err, E_NOMEM, "out of memory");
}

/* Rows of a head where the base has the matrix in llama.cpp's order, else 0. */
static int64_t paired_head(const Lora *l, const char *tensor)
{
    static const char *const permuted[] = { ".self_attn.q_proj.weight",
                                            ".self_attn.q_proj.bias",
                                            ".self_attn.k_proj.weight",
                                            ".self_attn.k_proj.bias" };

    for (size_t i = 0; l->text && i < sizeof permuted / sizeof *permuted; i++)
        if (str_ends_with(tensor, permuted[i])) return l->text->head;
    return 0;
}

static Status add_format(Lora *l, const char *prefix, const LoraTarget *t, const LoraKeys *keys,
                         int format, Error *err)
{
    Change c = { .kind = formats[format].kind, .keys = *keys };

    c.tensor = arena_strndup(l->arena, t->tensor, strlen(t->tensor));
    if (!c.tensor) return error_set(err, E_NOMEM, "out of memory");
    c.place = (LoraPlace){ .first = t->first,
                           .rows = t->rows,
                           .swap = t->swap,
                           .replace = formats[format].replace,
                           .head = paired_head(l, t->tensor) };
    c.order = t->order * FORMAT_COUNT + format;
    if (c.kind == LORA_FULL) c.full = keys->of[formats[format].any[0]];
    if (c.kind == LORA_PRODUCT) TRY(read_padding(l, prefix, &c, err));
    if (formats[format].bias) TRY(bias_of(l, &c, err));
    return add_change(l, &c, prefix, err);
}

static Status add_group(Lora *l, const char *prefix, const LoraTarget *t, const LoraKeys *keys,
                        Error *err)
{
    for (int i = 0; i < FORMAT_COUNT; i++)
        if (has_format(keys, i)) TRY(add_format(l, prefix, t, keys, i, err));
    return OK;
}

static int compare_changes(const void *a, const void *b)
{
    const Change *x = a, *y = b;
    int names = strcmp(x->tensor, y->tensor);
    return names ? names : (x->order > y->order) - (x->order < y->order);
}

static bool same_rows(const Change *a, const Change *b)
{
    return strcmp(a->tensor, b->tensor) == 0 && a->place.first == b->place.first &&
           a->place.rows == b->place.rows;
}

/* Sorts, and of several changes of the same rows keeps the last. */
static void settle(Lora *l)
{
    size_t kept = 0;

    if (l->count) qsort(l->changes, l->count, sizeof *l->changes, compare_changes);
    for (size_t i = 0; i < l->count; i++) {
        bool lost = false;
        for (size_t k = i + 1; k < l->count && !lost; k++) {
            if (strcmp(l->changes[i].tensor, l->changes[k].tensor) != 0) break;
            lost = same_rows(&l->changes[i], &l->changes[k]);
        }
        if (!lost) l->changes[kept++] = l->changes[i];
    }
    l->count = kept;
    l->report.changes = (int)kept;
}

static Status resolve(Lora *l, Error *err)
{
    LoraTargets targets = { 0 };
    Map groups = { 0 };
    Status status = OK;

    if (l->text)
        TRY_DONE(lora_text_targets_init(&targets, l->base, l->text, err));
    else
        TRY_DONE(lora_targets_init(&targets, l->base, err));
    TRY_DONE(sort_keys(l, &targets, &groups, err));
    for (size_t i = 0; i < groups.count; i++) {
        const char *prefix = groups.entries[i].key;
        TRY_DONE(add_group(l, prefix, lora_targets_find(&targets, prefix),
                           groups.entries[i].value, err));
    }
    settle(l);
done:
    map_fini(&groups);
    lora_targets_fini(&targets);
    return status;
}

static Status open_any(const Weights *file, const Weights *base, const LoraTextPart *part,
                       bool exact, Lora **out, Error *err)
{
    Status status = OK;
    Lora *l = mem_calloc(1, sizeof *l);

    if (!l) return error_set(err, E_NOMEM, "out of memory");
    l->exact = exact;
    l->text = part;
    l->dummy = weights_is_dummy(file) || weights_is_dummy(base);
    l->base = weights_ref(base);
    l->arena = arena_new();
    if (!l->arena) TRY_DONE(error_set(err, E_NOMEM, "out of memory"));
    if (part)
        l->file = weights_ref(file);
    else
        TRY_DONE(lora_rewrite(file, &l->file, &l->control, err));
    TRY_DONE(resolve(l, err));
    l->text = NULL;
    *out = l;
    return OK;
done:
    lora_free(l);
    return status;
}

Status lora_open(const Weights *file, const Weights *base, bool exact, Lora **out, Error *err)
{
    return open_any(file, base, NULL, exact, out, err);
}

Status lora_open_text(const Weights *file, const Weights *base, const LoraTextPart *part,
                      bool exact, Lora **out, Error *err)
{
    return open_any(file, base, part, exact, out, err);
}

int64_t lora_held(const Lora *l)
{
    int64_t bytes = 0;

    for (const Merged *m = l->merged; m; m = m->next)
        bytes += m->w.row_bytes * m->w.n;
    return bytes;
}

void lora_forget(Lora *l)
{
    for (Merged *m = l->merged, *next; m; m = next) {
        next = m->next;
        mem_free(m->data);
        lora_side_fini(&m->side);
        mem_free(m);
    }
    l->merged = NULL;
}

void lora_free(Lora *l)
{
    if (!l) return;
    lora_forget(l);
    mem_free(l->changes);
    weights_unref(l->file);
    weights_unref(l->base);
    arena_free(l->arena);
    mem_free(l);
}

const LoraReport *lora_report(const Lora *l)
{
    return &l->report;
}

const Weights *lora_file(const Lora *l)
{
    return l->file;
}

/* ---- merging ---------------------------------------------------------------------------------------------- */

/* The changes of a tensor: a run of l->changes. */
static const Change *changes_of(const Lora *l, const char *tensor, size_t *count)
{
    size_t lo = 0, hi = l->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(l->changes[mid].tensor, tensor) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (hi = lo; hi < l->count && strcmp(l->changes[hi].tensor, tensor) == 0; hi++)
        ;
    *count = hi - lo;
    return l->changes + lo;
}

/* The part of the whole tensor that w is. */
static void place_window(const Lora *l, const char *tensor, int part, const KWeight *w,
                         LoraWindow *out)
{
    char name[NAME_SIZE + 16];
    int64_t cols;
    bool vector = w->n == 1 && !str_ends_with(tensor, ".weight");

    *out = (LoraWindow){ .rows = vector ? w->k : w->n, .cols = vector ? 1 : w->k };
    lora_base_shape(l->base, tensor, &out->total, &cols);
    for (int i = 0; i < part; i++) {
        snprintf(name, sizeof name, "%s.%d", tensor, i);
        out->first += weights_dim(l->base, name, 0);
    }
    snprintf(name, sizeof name, "%s.1", tensor);
    out->swapped = part == 0 && !weights_has(l->base, name);
    if (out->total < out->rows) out->total = out->rows;
}

/* Decodes w into the upper left of a zeroed window. */
static Status decode(const KWeight *w, LoraWindow *out, int64_t stride, Error *err)
{
    for (int64_t i = 0; i < w->n; i++)
        if (k_weight_row(w, i, 0, w->k, out->data + i * stride) != K_OK)
            return error_set(err, E_UNSUPPORTED, "weights of dtype %s cannot be changed",
                             k_dtype_name(w->dtype));
    return OK;
}

static void grow_window(const Change *changes, size_t count, LoraWindow *w)
{
    for (size_t i = 0; i < count; i++) {
        if (changes[i].pad_rows > w->rows) w->rows = w->total = changes[i].pad_rows;
        if (changes[i].pad_cols > w->cols) w->cols = changes[i].pad_cols;
    }
}

static Status merge_all(const Lora *l, const Change *changes, size_t count, double strength,
                        LoraWindow *w, Error *err)
{
    for (size_t i = 0; i < count; i++) {
        const Change *c = &changes[i];
        LoraFactors f;
        TRY(lora_factors_load(l->file, c->kind, &c->keys, c->full, &f, err));
        Status status = lora_merge(w, &c->place, &f, strength, err);
        lora_factors_fini(&f);
        if (status != OK) return status;
    }
    return OK;
}

/* What a merged matrix is kept in: float32, or the 16 bits that the file or its dequantised values have. */
static KDtype kept_dtype(const Lora *l, const KWeight *w)
{
    if (l->exact || w->dtype == K_F32 || w->dtype == K_F64) return K_F32;
    return w->dtype == K_F16 ? K_F16 : K_BF16;
}

/* Rounds in place: 16-bit values never overtake the float32 ones they come from. */
static void narrow(float *data, int64_t count, KDtype type)
{
    uint8_t *out = (uint8_t *)data;
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits = type == K_F16 ? k_f16_from_f32(data[i]) : k_bf16_from_f32(data[i]);
        memcpy(out + 2 * i, &bits, sizeof bits);
    }
}

static Status merge_matrix(const Lora *l, const char *tensor, int part, double strength,
                           const KWeight *w, Merged *m, Error *err)
{
    size_t count;
    LoraWindow window;
    const Change *changes = changes_of(l, tensor, &count);
    KDtype type = kept_dtype(l, w);

    place_window(l, tensor, part, w, &window);
    grow_window(changes, count, &window);
    bool vector = window.cols == 1 && w->n == 1 && w->k > 1;
    m->w = (KWeight){ .dtype = type,
                      .n = vector ? 1 : window.rows,
                      .k = vector ? window.rows : window.cols };
    m->w.row_bytes = m->w.k * (type == K_F32 ? 4 : 2);
    if (l->dummy) return OK;
    window.data = mem_calloc((size_t)window.rows, (size_t)window.cols * sizeof *window.data);
    m->data = window.data;
    m->w.data = window.data;
    if (!window.data) return error_set(err, E_NOMEM, "out of memory for a merged matrix");
    TRY(decode(w, &window, vector ? w->k : window.cols, err));
    TRY(merge_all(l, changes, count, strength, &window, err));
    if (type == K_F32) return OK;
    int64_t values = window.rows * window.cols;
    narrow(window.data, values, type);
    void *smaller = mem_realloc(m->data, (size_t)values * sizeof(uint16_t));
    if (smaller) m->data = smaller;
    m->w.data = m->data;
    return OK;
}

/* Rows of the factors that the changes add; -1 when one of them needs the whole matrix. */
static int64_t rank_of(const Lora *l, const Change *changes, size_t count)
{
    int64_t rank = 0;

    for (size_t i = 0; i < count; i++) {
        const Change *c = &changes[i];
        if (c->kind != LORA_PRODUCT || c->keys.of[LORA_DORA] || c->place.replace) return -1;
        rank += weights_dim(l->file, c->keys.of[LORA_DOWN], 0);
    }
    return rank;
}

/* Keeps the changes beside the matrix; *done is false when they have to go into it. */
static Status keep_beside(const Lora *l, const char *tensor, int part, double strength,
                          const KWeight *w, Merged *m, bool *done, Error *err)
{
    size_t count;
    LoraWindow window, grown;
    const Change *changes = changes_of(l, tensor, &count);
    int64_t rank = lora_side_suits(w) ? rank_of(l, changes, count) : -1;

    place_window(l, tensor, part, w, &window);
    grown = window;
    grow_window(changes, count, &grown);
    *done = rank > 0 && window.rows == w->n && window.cols == w->k && grown.rows == w->n &&
            grown.cols == w->k;
    if (!*done) return OK;
    TRY(lora_side_init(&m->side, w, rank, l->dummy, err));
    m->w = *w;
    m->w.side = &m->side.side;
    for (size_t i = 0; i < count && !l->dummy; i++) {
        LoraFactors f;
        TRY(lora_factors_load(l->file, changes[i].kind, &changes[i].keys, NULL, &f, err));
        Status status = lora_side_add(&m->side, &window, &changes[i].place, &f, strength, err);
        lora_factors_fini(&f);
        if (status != OK) return status;
    }
    return OK;
}

static Status make_change(const Lora *l, const char *tensor, int part, double strength,
                          const KWeight *w, Merged *m, Error *err)
{
    bool done = false;

    TRY(keep_beside(l, tensor, part, strength, w, m, &done, err));
    if (done) return OK;
    if (w->side) TRY(lora_side_init(&m->side, w, 0, l->dummy, err)); /* to know it again */
    return merge_matrix(l, tensor, part, strength, w, m, err);
}

static const Merged *find_merged(const Lora *l, const char *name, double strength,
                                 const KWeight *w)
{
    for (const Merged *m = l->merged; m; m = m->next)
        if (m->strength == strength && m->source == w->data && strcmp(m->name, name) == 0 &&
            lora_side_continues(&m->side, w))
            return m;
    return NULL;
}

Status lora_apply(Lora *l, const char *name, double strength, KWeight *w, Error *err)
{
    char tensor[NAME_SIZE];
    size_t stem, count;
    int part = lora_part_of(name, &stem);

    if (stem >= sizeof tensor) return OK;
    snprintf(tensor, sizeof tensor, "%.*s", (int)stem, name);
    changes_of(l, tensor, &count);
    if (count == 0) return OK;
    const Merged *known = find_merged(l, name, strength, w);
    if (!known) {
        Merged *m = mem_calloc(1, sizeof *m);
        if (!m) return error_set(err, E_NOMEM, "out of memory");
        m->next = l->merged;
        l->merged = m;
        m->source = w->data;
        m->strength = strength;
        m->name = "";
        TRY(make_change(l, tensor, part, strength, w, m, err));
        m->name = arena_strndup(l->arena, name, strlen(name));
        if (!m->name) {
            m->name = "";
            return error_set(err, E_NOMEM, "out of memory");
        }
        known = m;
    }
    *w = known->w;
    return OK;
}
