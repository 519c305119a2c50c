/* attention_mask.c - growing masks by style tokens, and spreading them over a call's rows. */
#include "engine/models/attention_mask.h"

#include <math.h>

#include "engine/base/mem.h"

/* What a hidden key's score gets: finite, so that no difference of two infinities appears. */
static const float HIDDEN = -1e30f;

static void mask_destroy(void *object)
{
    AttentionMask *m = object;
    tensor_unref(m->bias);
    mem_free(m);
}

static float half(double v)
{
    return k_f32_from_f16(k_f16_from_f32((float)v));
}

/* Value at (i, j) of a mask grown from old: text rows, `added` new ones, the picture. */
static float grown_at(const AttentionMask *old, int64_t text, int64_t added, float value,
                      int64_t i, int64_t j)
{
    bool new_row = i >= text && i < text + added, new_column = j >= text && j < text + added;

    if (new_row) return 0;
    if (new_column) return value;
    if (!old) return 0;
    int64_t row = i < text ? i : text, column = j < text ? j : text;
    return tensor_f32(old->bias)[row * (text + 1) + column];
}

Status attention_mask_grow(const AttentionMask *old, int64_t text, int64_t added, double value,
                           AttentionMask **out, Error *err)
{
    int64_t n = text + added + 1;
    float v = half(value);

    if (old && old->text != text)
        return error_set(err, E_SHAPE,
                         "the conditioning has %lld text tokens, its attention mask is of %lld",
                         (long long)text, (long long)old->text);
    AttentionMask *m = mem_calloc(1, sizeof *m);
    if (!m) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&m->ref, mask_destroy);
    m->text = text + added;
    Status s = tensor_new(K_F32, 2, (int64_t[]){ n, n }, &m->bias, err);
    if (s != OK) {
        ref_drop(m);
        return s;
    }
    for (int64_t i = 0; i < n * n; i++)
        tensor_f32(m->bias)[i] = grown_at(old, text, added, v, i / n, i % n);
    *out = m;
    return OK;
}

/* Row of the mask for row i of the call, -1 where it has none. */
static int64_t row_of(const AttentionMask *m, int64_t before, int64_t text, int64_t i)
{
    if (i >= before + text) return m->text;
    i -= before;
    return i >= 0 && i < m->text ? i : -1;
}

void attention_mask_fill(const AttentionMask *m, int64_t before, int64_t text, int64_t target,
                         int64_t references, float *out)
{
    int64_t n = before + text + target + references, side = m->text + 1;

    for (int64_t i = 0; i < n; i++) {
        int64_t row = row_of(m, before, text, i);
        for (int64_t j = 0; j < n; j++) {
            int64_t column = row_of(m, before, text, j);
            float v = row < 0 || column < 0 ? 0 : tensor_f32(m->bias)[row * side + column];
            out[i * n + j] = v > HIDDEN ? v : HIDDEN;
        }
    }
}
