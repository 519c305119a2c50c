/* merge.c - weighted sums of the matrices of two models. */
#include "engine/models/merge.h"

#include <string.h>

#include "engine/base/mem.h"

enum { SHARES_MAX = 96, RELEASE_EVERY = 256 << 20 };

/* A matrix that was merged, kept for the next program that asks. */
typedef struct Merged {
    struct Merged *next;
    char *name; /* owned */
    const void *source;
    KWeight w;
    void *data; /* owned; NULL in a dummy run */
} Merged;

typedef struct MergePatch {
    WeightPatch base;
    const Model *other; /* one reference owned */
    Merge merge;
    MergeShare shares[SHARES_MAX];
    Merged *merged; /* owned list */
    int64_t read;   /* bytes of the other model since its pages were let go */
    bool exact;
} MergePatch;

static void patch_destroy(void *object)
{
    MergePatch *p = object;
    for (Merged *m = p->merged, *next; m; m = next) {
        next = m->next;
        mem_free(m->name);
        mem_free(m->data);
        mem_free(m);
    }
    model_unref(p->other);
    mem_free(p);
}

static double share_of(const MergePatch *p, const char *name)
{
    double share = p->shares[0].share;
    size_t longest = 0;
    for (int i = 0; i < p->merge.count; i++) {
        size_t n = strlen(p->shares[i].prefix);
        if (n <= longest || strncmp(name, p->shares[i].prefix, n) != 0) continue;
        longest = n;
        share = p->shares[i].share;
    }
    return share;
}

/* What the two matrices are multiplied by. */
static void factors(const MergePatch *p, const char *name, float *a, float *b)
{
    double share = p->merge.mode == MERGE_MIX ? share_of(p, name) : 0;
    switch (p->merge.mode) {
    case MERGE_MIX:
        *a = (float)share;
        *b = (float)(1 - share);
        break;
    case MERGE_ADD:
        *a = *b = 1;
        break;
    case MERGE_SUBTRACT:
        *a = (float)p->merge.factor;
        *b = -*a;
        break;
    }
}

static Status decode_failed(const KWeight *w, Error *err)
{
    return error_set(err, E_UNSUPPORTED, "weights of dtype %s cannot be merged",
                     k_dtype_name(w->dtype));
}

static void store(Merged *m, int64_t row, const float *values)
{
    uint8_t *out = (uint8_t *)m->data + row * m->w.row_bytes;
    if (m->w.dtype == K_F32) {
        memcpy(out, values, (size_t)m->w.row_bytes);
        return;
    }
    for (int64_t i = 0; i < m->w.k; i++) {
        uint16_t bits =
            m->w.dtype == K_F16 ? k_f16_from_f32(values[i]) : k_bf16_from_f32(values[i]);
        memcpy(out + 2 * i, &bits, sizeof bits);
    }
}

/* Row by row, so that no float32 copy of a whole matrix is needed. */
static Status sum_rows(Merged *m, const KWeight *a, float fa, const KWeight *b, float fb,
                       Error *err)
{
    float *rows = mem_alloc_array((size_t)a->k * 2, sizeof *rows);
    Status status = OK;
    if (!rows) return error_set(err, E_NOMEM, "no memory to merge a matrix");
    for (int64_t r = 0; r < a->n && status == OK; r++) {
        float *x = rows, *y = rows + a->k;
        if (k_weight_row(a, r, 0, a->k, x) != K_OK)
            status = decode_failed(a, err);
        else if (k_weight_row(b, r, 0, b->k, y) != K_OK)
            status = decode_failed(b, err);
        for (int64_t i = 0; status == OK && i < a->k; i++)
            x[i] = x[i] * fa + y[i] * fb;
        if (status == OK) store(m, r, x);
    }
    mem_free(rows);
    return status;
}

static KDtype kept_type(const MergePatch *p, const KWeight *w)
{
    if (p->exact || w->dtype == K_F32 || w->dtype == K_F64) return K_F32;
    return w->dtype == K_F16 ? K_F16 : K_BF16;
}

/* The other model's pages go when many were read. */
static void let_go(MergePatch *p, const KWeight *b)
{
    p->read += b->n * b->row_bytes;
    if (p->read < RELEASE_EVERY) return;
    weights_release(model_weights(p->other));
    p->read = 0;
}

static Status make_merged(MergePatch *p, const char *name, const KWeight *a, Merged *m,
                          Error *err)
{
    KWeight b;
    float fa, fb;
    KDtype type = kept_type(p, a);
    TRY(model_matrix(p->other, name, &b, err));
    if (a->n != b.n || a->k != b.k)
        return error_set(err, E_SHAPE,
                         "%.80s is %lldx%lld in one model and %lldx%lld in the other", name,
                         (long long)a->n, (long long)a->k, (long long)b.n, (long long)b.k);
    m->w = (KWeight){
        .dtype = type, .n = a->n, .k = a->k, .row_bytes = a->k * (type == K_F32 ? 4 : 2)
    };
    if (weights_is_dummy(model_weights(p->other))) return OK;
    m->data = mem_alloc_array((size_t)m->w.n, (size_t)m->w.row_bytes);
    if (!m->data) return error_set(err, E_NOMEM, "no memory for a merged matrix");
    m->w.data = m->data;
    factors(p, name, &fa, &fb);
    TRY(sum_rows(m, a, fa, &b, fb, err));
    let_go(p, &b);
    return OK;
}

static Status merge_apply(WeightPatch *self, const char *name, double strength, KWeight *w,
                          Error *err)
{
    MergePatch *p = (MergePatch *)(void *)self;
    float fa, fb;
    (void)strength;
    factors(p, name, &fa, &fb);
    if ((fa == 1 && fb == 0) || !weights_has(model_weights(p->other), name)) return OK;
    for (const Merged *m = p->merged; m; m = m->next) {
        if (m->source != w->data || strcmp(m->name, name) != 0) continue;
        *w = m->w;
        return OK;
    }
    Merged *m = mem_calloc(1, sizeof *m);
    if (!m) return error_set(err, E_NOMEM, "out of memory");
    m->source = w->data;
    m->name = mem_strdup(name);
    Status status =
        m->name ? make_merged(p, name, w, m, err) : error_set(err, E_NOMEM, "out of memory");
    if (status != OK) {
        mem_free(m->name);
        mem_free(m->data);
        mem_free(m);
        return status;
    }
    m->next = p->merged;
    p->merged = m;
    *w = m->w;
    return OK;
}

static Status same_family(const Model *a, const Model *b, Error *err)
{
    if (model_family(a) == model_family(b) && model_dims(a)->width == model_dims(b)->width)
        return OK;
    error_set(err, E_SHAPE, "the two models are of different families or sizes");
    error_fix(err, "merge models of one family and size");
    return E_SHAPE;
}

Status model_merge(const Model *a, const Model *b, const Merge *merge, bool exact, Model **out,
                   Error *err)
{
    TRY(same_family(a, b, err));
    if (merge->count > SHARES_MAX) return error_set(err, E_LIMIT, "too many shares");
    MergePatch *p = mem_calloc(1, sizeof *p);
    if (!p) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&p->base.ref, patch_destroy);
    p->base.apply = merge_apply;
    p->other = model_ref(b);
    p->merge = *merge;
    p->exact = exact;
    memcpy(p->shares, merge->shares, (size_t)merge->count * sizeof *p->shares);
    Patch patch = {
        .kind = PATCH_WEIGHTS, .object = &p->base.ref, .text = "model merge", .strength = 1
    };
    Status status = model_with_patch(a, &patch, out, err);
    ref_drop(p);
    return status;
}
