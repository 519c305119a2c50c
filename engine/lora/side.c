/* side.c - changes of low rank kept beside a quantised matrix. */
#include "engine/lora/side.h"

#include <string.h>

#include "engine/base/mem.h"

bool lora_side_suits(const KWeight *w)
{
    bool wide =
        w->dtype == K_F32 || w->dtype == K_F64 || w->dtype == K_F16 || w->dtype == K_BF16;
    return w->row0 == 0 && (w->side || w->quant || !wide);
}

static int64_t rank_of(const KWeight *w)
{
    return w->side ? w->side->rank : 0;
}

Status lora_side_init(LoraSide *s, const KWeight *w, int64_t rank, bool dummy, Error *err)
{
    int64_t before = rank_of(w), all = before + rank;

    *s = (LoraSide){
        .side = { .rank = all }, .rows = w->n, .k = w->k, .before = before, .filled = before
    };
    if (dummy || all == 0) return OK;
    s->data = mem_calloc((size_t)(w->n + w->k), (size_t)all * sizeof *s->data);
    if (!s->data) return error_set(err, E_NOMEM, "out of memory for a LoRA's factors");
    s->up = s->data;
    s->down = s->data + w->n * all;
    s->side.up = s->up;
    s->side.down = s->down;
    if (before == 0) return OK;
    memcpy(s->down, w->side->down, (size_t)(before * w->k) * sizeof *s->down);
    for (int64_t i = 0; i < w->n; i++)
        memcpy(s->up + i * all, w->side->up + i * before, (size_t)before * sizeof *s->up);
    return OK;
}

void lora_side_fini(LoraSide *s)
{
    mem_free(s->data);
    *s = (LoraSide){ 0 };
}

Status lora_side_add(LoraSide *s, const LoraWindow *w, const LoraPlace *place,
                     const LoraFactors *f, double strength, Error *err)
{
    const LoraMatrix *up = &f->m[0], *down = &f->m[1];
    float factor = (float)(strength * (double)f->scale);
    LoraSpan span;

    if (!lora_span(w, place, &span)) return OK;
    if (f->cols != s->k || s->filled + down->rows > s->side.rank)
        return error_set(err, E_SHAPE, "a change has %lld columns, the matrix %lld",
                         (long long)f->cols, (long long)s->k);
    memcpy(s->down + s->filled * s->k, down->data,
           (size_t)(down->rows * down->cols) * sizeof *s->down);
    for (int64_t i = span.lo; i < span.hi; i++) {
        const float *from = up->data + lora_span_row(&span, span.swap, i) * up->cols;
        float *to = s->up + (i - w->first) * s->side.rank + s->filled;
        for (int64_t r = 0; r < up->cols; r++)
            to[r] = factor * from[r];
    }
    s->filled += down->rows;
    return OK;
}

bool lora_side_continues(const LoraSide *s, const KWeight *w)
{
    int64_t before = rank_of(w), all = s->side.rank;

    if (before != s->before) return false;
    if (!s->data || before == 0) return true;
    if (memcmp(s->down, w->side->down, (size_t)(before * w->k) * sizeof *s->down) != 0)
        return false;
    for (int64_t i = 0; i < w->n; i++)
        if (memcmp(s->up + i * all, w->side->up + i * before, (size_t)before * sizeof *s->up))
            return false;
    return true;
}
