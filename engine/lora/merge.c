/* merge.c - adds one change to the rows of a matrix that a window holds. */
#include "engine/lora/merge.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"

bool lora_span(const LoraWindow *w, const LoraPlace *place, LoraSpan *out)
{
    LoraSpan s = { .first = place->first,
                   .rows = place->rows ? place->rows : w->total,
                   .head = place->head };

    s.lo = s.first > w->first ? s.first : w->first;
    s.hi = s.first + s.rows < w->first + w->rows ? s.first + s.rows : w->first + w->rows;
    s.swap = place->swap != w->swapped;
    *out = s;
    return s.lo < s.hi;
}

int64_t lora_span_row(const LoraSpan *s, bool swap, int64_t i)
{
    int64_t row = i - s->first, in_head = s->head ? row % s->head : 0;
    if (s->head) return row - in_head + in_head % 2 * (s->head / 2) + in_head / 2;
    return swap ? (row + s->rows / 2) % s->rows : row;
}

static float *window_row(const LoraWindow *w, int64_t i)
{
    return w->data + (i - w->first) * w->cols;
}

static void add_rows(LoraWindow *w, const LoraSpan *s, const LoraFactors *f, float factor,
                     float *delta)
{
    for (int64_t i = s->lo; i < s->hi; i++) {
        float *row = window_row(w, i);
        lora_factors_row(f, lora_span_row(s, s->swap, i), delta);
        for (int64_t j = 0; j < w->cols; j++)
            row[j] += factor * delta[j];
    }
}

static void replace_rows(LoraWindow *w, const LoraSpan *s, const LoraFactors *f)
{
    for (int64_t i = s->lo; i < s->hi; i++)
        lora_factors_row(f, lora_span_row(s, s->swap, i), window_row(w, i));
}

/* w becomes c at strength 1, else it goes that share of the way. */
static void blend(float *w, const float *c, int64_t n, float strength)
{
    for (int64_t j = 0; j < n; j++)
        w[j] = strength == 1.0f ? c[j] : w[j] + strength * (c[j] - w[j]);
}

static float norm_of(const float *v, int64_t n)
{
    double sum = 0;
    for (int64_t j = 0; j < n; j++)
        sum += (double)v[j] * (double)v[j];
    return (float)sqrt(sum) + FLT_EPSILON;
}

static void dora_by_rows(LoraWindow *w, const LoraSpan *s, const LoraFactors *f, float strength,
                         float *delta)
{
    for (int64_t i = s->lo; i < s->hi; i++) {
        float *row = window_row(w, i);
        float m = f->dora.data[lora_span_row(s, w->swapped, i)] / norm_of(row, w->cols);
        lora_factors_row(f, lora_span_row(s, s->swap, i), delta);
        for (int64_t j = 0; j < w->cols; j++)
            delta[j] = (row[j] + f->scale * delta[j]) * m;
        blend(row, delta, w->cols, strength);
    }
}

/* The sum of squares of each column of C = W + scale * delta, then its factor m / n. */
static void column_factors(LoraWindow *w, const LoraSpan *s, const LoraFactors *f, float *delta,
                           double *out)
{
    memset(out, 0, (size_t)w->cols * sizeof *out);
    for (int64_t i = s->lo; i < s->hi; i++) {
        const float *row = window_row(w, i);
        lora_factors_row(f, lora_span_row(s, s->swap, i), delta);
        for (int64_t j = 0; j < w->cols; j++) {
            float c = row[j] + f->scale * delta[j];
            out[j] += (double)c * (double)c;
        }
    }
    for (int64_t j = 0; j < w->cols; j++)
        out[j] = (double)f->dora.data[j] / (sqrt(out[j]) + (double)FLT_EPSILON);
}

static Status dora_by_columns(LoraWindow *w, const LoraSpan *s, const LoraFactors *f,
                              float strength, float *delta, Error *err)
{
    if (s->hi - s->lo != s->rows)
        return error_set(err, E_UNSUPPORTED,
                         "DoRA by columns needs the whole matrix, the model keeps it in parts");
    double *factors = mem_alloc_array((size_t)w->cols, sizeof *factors);
    if (!factors) return error_set(err, E_NOMEM, "out of memory");
    column_factors(w, s, f, delta, factors);
    for (int64_t i = s->lo; i < s->hi; i++) {
        float *row = window_row(w, i);
        lora_factors_row(f, lora_span_row(s, s->swap, i), delta);
        for (int64_t j = 0; j < w->cols; j++)
            delta[j] = (row[j] + f->scale * delta[j]) * (float)factors[j];
        blend(row, delta, w->cols, strength);
    }
    mem_free(factors);
    return OK;
}

static Status merge_dora(LoraWindow *w, const LoraSpan *s, const LoraFactors *f, float strength,
                         float *delta, Error *err)
{
    int64_t magnitudes = f->dora.rows * f->dora.cols;

    if (f->dora.rows == s->rows && magnitudes == s->rows) {
        dora_by_rows(w, s, f, strength, delta);
        return OK;
    }
    if (magnitudes == w->cols) return dora_by_columns(w, s, f, strength, delta, err);
    return error_set(err, E_SHAPE, "%lld DoRA magnitudes for a matrix [%lld, %lld]",
                     (long long)magnitudes, (long long)s->rows, (long long)w->cols);
}

Status lora_merge(LoraWindow *w, const LoraPlace *place, const LoraFactors *f, double strength,
                  Error *err)
{
    Status status = OK;
    LoraSpan s;

    if (!lora_span(w, place, &s)) return OK;
    if (f->cols != w->cols)
        return error_set(err, E_SHAPE, "a change has %lld columns, the matrix %lld",
                         (long long)f->cols, (long long)w->cols);
    float *delta = mem_alloc_array((size_t)w->cols, sizeof *delta);
    if (!delta) return error_set(err, E_NOMEM, "out of memory");
    if (place->replace)
        replace_rows(w, &s, f);
    else if (f->dora.data)
        status = merge_dora(w, &s, f, (float)strength, delta, err);
    else
        add_rows(w, &s, f, (float)(strength * (double)f->scale), delta);
    mem_free(delta);
    return status;
}
