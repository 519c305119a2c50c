/* linear.c - reference of KLinear: one weight row at a time against every row of x. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

/* How the call's scratch is cut. Two weight rows (the second for the value half of a GLU); mean and
 * 1/deviation of every row of x for the prologue; x down^T of a low-rank addition; where x is quantised, its
 * codes, the scale of each of its rows and one row on its way. */
typedef struct Room {
    float *w, *stats, *side, *scale, *row;
    int8_t *codes;
} Room;

static size_t cut_room(const KLinear *d, float *start, Room *r)
{
    int64_t m = d->x.shape[0], k = d->w.k, rank = d->w.side ? d->w.side->rank : 0;
    bool int8 = k_weight_int8(&d->w);
    size_t at = 0;

    r->w = start;
    at += (size_t)(2 * k);
    r->stats = start + at;
    at += (size_t)(2 * m);
    r->side = start + at;
    at += (size_t)(m * rank);
    r->scale = start + at;
    at += int8 ? (size_t)m : 0;
    r->row = start + at;
    at += int8 ? (size_t)k : 0;
    r->codes = (int8_t *)(start + at);
    return at * sizeof(float) + (int8 ? (size_t)(m * k) : 0);
}

size_t ref_linear_scratch(const KContext *ctx, const KLinear *d)
{
    static float mark; /* never read: only the distances count */
    Room r;
    (void)ctx;
    return cut_room(d, &mark, &r);
}

static void row_statistics(const KLinear *d, float *stats)
{
    for (int64_t i = 0; i < d->x.shape[0]; i++) {
        const float *x = (const float *)d->x.data + i * d->x.stride[0];
        double sum = 0.0, squares = 0.0;
        for (int64_t c = 0; c < d->w.k; c++)
            sum += (double)x[c];
        double mean = sum / (double)d->w.k;
        for (int64_t c = 0; c < d->w.k; c++)
            squares += ((double)x[c] - mean) * ((double)x[c] - mean);
        stats[2 * i] = (float)mean;
        stats[2 * i + 1] = (float)(1.0 / sqrt(squares / (double)d->w.k + (double)d->norm_eps));
    }
}

/* What the product takes at column c of row i: x, or its normalised and modulated form. */
static float input_at(const KLinear *d, const float *stats, int64_t i, int64_t c)
{
    float v = k_get(&d->x, i * d->x.stride[0] + c);

    if (!d->norm_scale.data) return v;
    v = (v - stats[2 * i]) * stats[2 * i + 1];
    v = v * (1.0f + k_get_or(&d->norm_scale, c, 0.0f)) + k_get_or(&d->norm_shift, c, 0.0f);
    return d->norm_bf16 ? k_f32_as_bf16(v) : v;
}

/* x down^T of every row. */
static void side_inputs(const KLinear *d, const Room *room)
{
    const KSide *side = d->w.side;

    for (int64_t i = 0; i < d->x.shape[0]; i++)
        for (int64_t r = 0; r < side->rank; r++) {
            double sum = 0.0;
            for (int64_t c = 0; c < d->w.k; c++)
                sum +=
                    (double)input_at(d, room->stats, i, c) * (double)side->down[r * d->w.k + c];
            room->side[i * side->rank + r] = (float)sum;
        }
}

/* Codes and scale of row i of x, after column scales and rotation. */
static void quantise_input(const KLinear *d, const Room *room, int64_t i)
{
    const KQuant *q = d->w.quant;
    const float *columns = q->column_scale;
    int8_t *codes = room->codes + i * d->w.k;
    float max = 0.0f, *row = room->row;

    for (int64_t c = 0; c < d->w.k; c++)
        row[c] = input_at(d, room->stats, i, c) * (columns ? columns[c] : 1.0f);
    if (q->rotate) k_rotate(row, d->w.k, q->rotate);
    for (int64_t c = 0; c < d->w.k; c++)
        max = fmaxf(max, fabsf(row[c]));
    float scale = fmaxf(max / 127.0f, 1e-30f);
    for (int64_t c = 0; c < d->w.k; c++) {
        float v = rintf(row[c] / scale);
        codes[c] = (int8_t)(v > 127 ? 127 : v < -128 ? -128 : v == v ? v : 0);
    }
    room->scale[i] = scale;
}

/* Row `row` of a weight, ready for products. */
typedef struct Row {
    const float *w; /* values, or codes where x is quantised */
    const float *up;
    float scale; /* of its codes */
    int64_t index;
} Row;

static float product(const KLinear *d, const Room *room, int64_t i, const Row *row)
{
    double sum = 0.0;

    if (k_weight_int8(&d->w)) {
        int32_t codes = 0;
        for (int64_t c = 0; c < d->w.k; c++)
            codes += (int32_t)room->codes[i * d->w.k + c] * (int32_t)row->w[c];
        sum = (double)((float)codes * (room->scale[i] * row->scale));
    } else {
        for (int64_t c = 0; c < d->w.k; c++)
            sum += (double)input_at(d, room->stats, i, c) * (double)row->w[c];
    }
    for (int64_t r = 0; row->up && r < d->w.side->rank; r++)
        sum += (double)room->side[i * d->w.side->rank + r] * (double)row->up[r];
    return (float)sum + k_get_or(&d->bias, row->index, 0.0f);
}

static KResult read_codes(const KWeight *w, int64_t row, float *out)
{
    enum { PIECE = 256 };
    int8_t codes[PIECE];

    for (int64_t at = 0; at < w->k; at += PIECE) {
        int64_t n = w->k - at < PIECE ? w->k - at : PIECE;
        K_TRY(k_weight_codes(w, row, at, n, codes));
        for (int64_t c = 0; c < n; c++)
            out[at + c] = (float)codes[c];
    }
    return K_OK;
}

/* Row `row` of the weight; rounded to BF16 where the products are BF16 products. */
static KResult weight_row(const KLinear *d, int64_t row, float *w, Row *out)
{
    bool bf16 = d->x.dtype == K_BF16 || (d->norm_scale.data && d->norm_bf16);
    KWeight bare = d->w;

    *out = (Row){ .w = w, .index = row };
    if (d->w.side) out->up = d->w.side->up + (d->w.row0 + row) * d->w.side->rank;
    if (k_weight_int8(&d->w)) {
        out->scale = k_weight_row_scale(&d->w, row);
        return read_codes(&d->w, row, w);
    }
    bare.side = NULL;
    K_TRY(k_weight_row(&bare, row, 0, d->w.k, w));
    for (int64_t c = 0; bf16 && c < d->w.k; c++)
        w[c] = k_f32_as_bf16(w[c]);
    return K_OK;
}

static void output_column(const KLinear *d, const Room *room, const Row rows[2])
{
    int64_t j = rows[0].index;

    for (int64_t i = 0; i < d->x.shape[0]; i++) {
        float v = k_activate(d->act, product(d, room, i, &rows[0]));
        if (d->glu) v *= product(d, room, i, &rows[1]);
        v *= k_get_or(&d->gate, j, 1.0f);
        if (d->residual.data) v += k_get(&d->residual, i * d->residual.stride[0] + j);
        k_put(&d->y, i * d->y.stride[0] + j, v);
    }
}

KResult ref_linear(KContext *ctx, const KLinear *d)
{
    K_TRY(k_check_linear(d));
    float *start = k_scratch(ctx, ref_linear_scratch(ctx, d));
    if (!start) return K_NO_SCRATCH;
    Room room;
    Row rows[2];

    /* The only failure of decoding is a dtype without decoder: met at the first row or never. */
    cut_room(d, start, &room);
    if (d->norm_scale.data) row_statistics(d, room.stats);
    if (d->w.side) side_inputs(d, &room);
    for (int64_t i = 0; k_weight_int8(&d->w) && i < d->x.shape[0]; i++)
        quantise_input(d, &room, i);
    for (int64_t j = 0; j < d->y.shape[1]; j++) {
        K_TRY(weight_row(d, j, room.w, &rows[0]));
        if (d->glu) K_TRY(weight_row(d, d->y.shape[1] + j, room.w + d->w.k, &rows[1]));
        output_column(d, &room, rows);
    }
    return K_OK;
}
