/* factors.c - the formats of a change to a matrix: their keys, their shapes, and any row of their value. */
#include "engine/lora/factors.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"

/* ---- keys ------------------------------------------------------------------------------------------------ */

/* clang-format off */
static const struct {
    const char *suffix;
    LoraRole role;
} suffixes[] = {
    { ".lora_up.weight", LORA_UP },                  { ".lora_down.weight", LORA_DOWN },
    { "_lora.up.weight", LORA_UP },                  { "_lora.down.weight", LORA_DOWN },
    { ".lora_B.weight", LORA_UP },                   { ".lora_A.weight", LORA_DOWN },
    { ".lora.up.weight", LORA_UP },                  { ".lora.down.weight", LORA_DOWN },
    { ".lora_B", LORA_UP },                          { ".lora_A", LORA_DOWN },
    { ".lora_linear_layer.up.weight", LORA_UP },     { ".lora_linear_layer.down.weight", LORA_DOWN },
    { ".lora_B.default.weight", LORA_UP },           { ".lora_A.default.weight", LORA_DOWN },
    { ".alpha", LORA_ALPHA },                        { ".dora_scale", LORA_DORA },
    { ".reshape_weight", LORA_RESHAPE },
    { ".hada_w1_a", LORA_HADA_1A },                  { ".hada_w1_b", LORA_HADA_1B },
    { ".hada_w2_a", LORA_HADA_2A },                  { ".hada_w2_b", LORA_HADA_2B },
    { ".lokr_w1", LORA_KRON_1 },                     { ".lokr_w2", LORA_KRON_2 },
    { ".lokr_w1_a", LORA_KRON_1A },                  { ".lokr_w1_b", LORA_KRON_1B },
    { ".lokr_w2_a", LORA_KRON_2A },                  { ".lokr_w2_b", LORA_KRON_2B },
    { ".diff", LORA_DIFF },                          { ".diff_b", LORA_DIFF_BIAS },
    { ".w_norm", LORA_NORM },                        { ".b_norm", LORA_NORM_BIAS },
    { ".set_weight", LORA_SET },
    { ".lora_mid.weight", LORA_FOREIGN },            { ".hada_t1", LORA_FOREIGN },
    { ".hada_t2", LORA_FOREIGN },                    { ".lokr_t2", LORA_FOREIGN },
    { ".oft_blocks", LORA_FOREIGN },                 { ".oft_diag", LORA_FOREIGN },
    { ".a1.weight", LORA_FOREIGN },                  { ".a2.weight", LORA_FOREIGN },
    { ".b1.weight", LORA_FOREIGN },                  { ".b2.weight", LORA_FOREIGN },
};
/* clang-format on */

LoraRole lora_role_of(const char *key, size_t *prefix)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (!str_ends_with(key, suffixes[i].suffix)) continue;
        *prefix = strlen(key) - strlen(suffixes[i].suffix);
        return suffixes[i].role;
    }
    *prefix = strlen(key);
    return LORA_ROLE_COUNT;
}

/* ---- shapes ---------------------------------------------------------------------------------------------- */

/* Rows and columns of a factor: its first dimension, and the product of the others. */
static Status shape_of(const Weights *file, const char *key, LoraMatrix *out, Error *err)
{
    out->rows = weights_dim(file, key, 0);
    if (out->rows < 1) return error_set(err, E_SHAPE, "%s holds nothing", key);
    out->cols = weights_elements(file, key) / out->rows;
    return OK;
}

static Status pair_shape(const Weights *file, const char *a, const char *b, LoraMatrix *out,
                         Error *err)
{
    LoraMatrix left = { 0 }, right = { 0 };

    if (!a || !b)
        return error_set(err, E_MISSING, "%s comes without the other half of its pair",
                         a ? a : b);
    TRY(shape_of(file, a, &left, err));
    TRY(shape_of(file, b, &right, err));
    if (left.cols != right.rows)
        return error_set(err, E_SHAPE, "%s has %lld columns and %s %lld rows", a,
                         (long long)left.cols, b, (long long)right.rows);
    out->rows = left.rows;
    out->cols = right.cols;
    return OK;
}

/* One side of a Kronecker product: whole, or a pair of factors. */
static Status side_shape(const Weights *file, const char *whole, const char *a, const char *b,
                         LoraMatrix *out, Error *err)
{
    if (whole) return shape_of(file, whole, out, err);
    if (!a && !b) return error_set(err, E_MISSING, "one side of a Kronecker product is absent");
    return pair_shape(file, a, b, out, err);
}

static Status hadamard_shape(const Weights *file, const LoraKeys *k, LoraMatrix *out,
                             Error *err)
{
    LoraMatrix second = { 0 };

    if (!k->of[LORA_HADA_1A] || !k->of[LORA_HADA_2A])
        return error_set(err, E_MISSING, "one side of a Hadamard product is absent");
    TRY(pair_shape(file, k->of[LORA_HADA_1A], k->of[LORA_HADA_1B], out, err));
    TRY(pair_shape(file, k->of[LORA_HADA_2A], k->of[LORA_HADA_2B], &second, err));
    if (out->rows == second.rows && out->cols == second.cols) return OK;
    return error_set(err, E_SHAPE, "%s and %s give products of different shapes",
                     k->of[LORA_HADA_1A], k->of[LORA_HADA_2A]);
}

static Status kronecker_shape(const Weights *file, const LoraKeys *k, LoraMatrix *out,
                              Error *err)
{
    LoraMatrix a = { 0 }, b = { 0 };

    TRY(side_shape(file, k->of[LORA_KRON_1], k->of[LORA_KRON_1A], k->of[LORA_KRON_1B], &a,
                   err));
    TRY(side_shape(file, k->of[LORA_KRON_2], k->of[LORA_KRON_2A], k->of[LORA_KRON_2B], &b,
                   err));
    if (__builtin_mul_overflow(a.rows, b.rows, &out->rows) ||
        __builtin_mul_overflow(a.cols, b.cols, &out->cols))
        return error_set(err, E_SHAPE, "a Kronecker product is too large");
    return OK;
}

Status lora_delta_shape(const Weights *file, LoraKind kind, const LoraKeys *keys,
                        const char *full, int64_t *rows, int64_t *cols, Error *err)
{
    LoraMatrix shape = { 0 };

    if (kind == LORA_PRODUCT)
        TRY(pair_shape(file, keys->of[LORA_UP], keys->of[LORA_DOWN], &shape, err));
    else if (kind == LORA_HADAMARD)
        TRY(hadamard_shape(file, keys, &shape, err));
    else if (kind == LORA_KRONECKER)
        TRY(kronecker_shape(file, keys, &shape, err));
    else
        TRY(shape_of(file, full, &shape, err));
    *rows = shape.rows;
    *cols = shape.cols;
    return OK;
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static Status load(const Weights *file, const char *key, LoraMatrix *out, Error *err)
{
    TRY(shape_of(file, key, out, err));
    out->data = mem_alloc_array((size_t)(out->rows * out->cols), sizeof *out->data);
    if (!out->data) return error_set(err, E_NOMEM, "out of memory");
    return weights_f32_into(file, key, out->data, out->rows * out->cols, err);
}

/* out [cols of b] = row i of a b. */
static void product_row(const LoraMatrix *a, const LoraMatrix *b, int64_t i, float *out)
{
    const float *left = a->data + i * a->cols;

    memset(out, 0, (size_t)b->cols * sizeof *out);
    for (int64_t r = 0; r < a->cols; r++) {
        const float *right = b->data + r * b->cols;
        for (int64_t j = 0; j < b->cols; j++)
            out[j] += left[r] * right[j];
    }
}

static Status load_product(const Weights *file, const char *a, const char *b, LoraMatrix *out,
                           int64_t *rank, Error *err)
{
    LoraMatrix left = { 0 }, right = { 0 };
    Status status = OK;

    TRY_DONE(load(file, a, &left, err));
    TRY_DONE(load(file, b, &right, err));
    *out = (LoraMatrix){ .rows = left.rows, .cols = right.cols };
    *rank = right.rows;
    out->data = mem_alloc_array((size_t)out->rows, (size_t)out->cols * sizeof *out->data);
    if (!out->data) TRY_DONE(error_set(err, E_NOMEM, "out of memory"));
    for (int64_t i = 0; i < out->rows; i++)
        product_row(&left, &right, i, out->data + i * out->cols);
done:
    mem_free(left.data);
    mem_free(right.data);
    return status;
}

/* *rank is set when the side is factored. */
static Status load_side(const Weights *file, const char *whole, const char *a, const char *b,
                        LoraMatrix *out, int64_t *rank, Error *err)
{
    if (whole) return load(file, whole, out, err);
    return load_product(file, a, b, out, rank, err);
}

static Status load_four(const Weights *file, const LoraKeys *k, LoraFactors *f, Error *err)
{
    for (int i = 0; i < 4; i++)
        TRY(load(file, k->of[LORA_HADA_1A + i], &f->m[i], err));
    return OK;
}

/* *rank divides alpha; 0 = alpha does not count. */
static Status load_matrices(const Weights *file, const LoraKeys *k, const char *full,
                            LoraFactors *f, int64_t *rank, Error *err)
{
    if (f->kind == LORA_FULL) return load(file, full, &f->m[0], err);
    if (f->kind == LORA_KRONECKER) {
        TRY(load_side(file, k->of[LORA_KRON_1], k->of[LORA_KRON_1A], k->of[LORA_KRON_1B],
                      &f->m[0], rank, err));
        return load_side(file, k->of[LORA_KRON_2], k->of[LORA_KRON_2A], k->of[LORA_KRON_2B],
                         &f->m[1], rank, err);
    }
    if (f->kind == LORA_HADAMARD) {
        TRY(load_four(file, k, f, err));
    } else {
        TRY(load(file, k->of[LORA_UP], &f->m[0], err));
        TRY(load(file, k->of[LORA_DOWN], &f->m[1], err));
    }
    *rank = f->m[1].rows;
    return OK;
}

static Status load_scale(const Weights *file, const char *alpha, int64_t rank, float *out,
                         Error *err)
{
    *out = 1;
    if (!alpha || rank == 0) return OK;
    TRY(weights_f32_into(file, alpha, out, 1, err));
    *out /= (float)rank;
    return OK;
}

Status lora_factors_load(const Weights *file, LoraKind kind, const LoraKeys *keys,
                         const char *full, LoraFactors *out, Error *err)
{
    LoraFactors f = { .kind = kind };
    Status status = OK;
    int64_t rank = 0, rows;

    TRY_DONE(lora_delta_shape(file, kind, keys, full, &rows, &f.cols, err));
    TRY_DONE(load_matrices(file, keys, full, &f, &rank, err));
    TRY_DONE(load_scale(file, keys->of[LORA_ALPHA], rank, &f.scale, err));
    if (kind != LORA_FULL && keys->of[LORA_DORA])
        TRY_DONE(load(file, keys->of[LORA_DORA], &f.dora, err));
    f.scratch = mem_alloc_array((size_t)f.cols, sizeof *f.scratch);
    if (!f.scratch) TRY_DONE(error_set(err, E_NOMEM, "out of memory"));
    *out = f;
done:
    if (status != OK) lora_factors_fini(&f);
    return status;
}

void lora_factors_fini(LoraFactors *f)
{
    for (int i = 0; i < 4; i++)
        mem_free(f->m[i].data);
    mem_free(f->dora.data);
    mem_free(f->scratch);
    *f = (LoraFactors){ 0 };
}

static void hadamard_row(const LoraFactors *f, int64_t i, float *out)
{
    product_row(&f->m[0], &f->m[1], i, out);
    product_row(&f->m[2], &f->m[3], i, f->scratch);
    for (int64_t j = 0; j < f->cols; j++)
        out[j] *= f->scratch[j];
}

static void kronecker_row(const LoraMatrix *a, const LoraMatrix *b, int64_t i, float *out)
{
    const float *left = a->data + i / b->rows * a->cols;
    const float *right = b->data + i % b->rows * b->cols;

    for (int64_t block = 0; block < a->cols; block++)
        for (int64_t j = 0; j < b->cols; j++)
            out[block * b->cols + j] = left[block] * right[j];
}

void lora_factors_row(const LoraFactors *f, int64_t i, float *out)
{
    if (f->kind == LORA_PRODUCT)
        product_row(&f->m[0], &f->m[1], i, out);
    else if (f->kind == LORA_HADAMARD)
        hadamard_row(f, i, out);
    else if (f->kind == LORA_KRONECKER)
        kronecker_row(&f->m[0], &f->m[1], i, out);
    else
        memcpy(out, f->m[0].data + i * f->cols, (size_t)f->cols * sizeof *out);
}
