/*
 * encode.c - matrices in the quantised forms that model files have, row by row.
 *
 * FP8 with one scale, rotated int8 and w4a8 carry ComfyUI's records; NF4 is laid out as bitsandbytes does. The
 * rules are the producers': scale = largest magnitude over the largest code, codes to nearest even.
 */
#include "engine/formats/encode.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/formats/encode_gguf.h"

enum { NF4_BLOCK = 64, W4_GROUP = 16, MAX_ROTATE = 256, MIN_ROTATE = 16 };

typedef int PartsFn(const EncodeForm *f, int64_t n, int64_t k, float max, EncodePart *parts);
typedef void RowFn(const EncodeForm *f, const EncodePart *parts, float *row, int64_t k,
                   uint8_t *const *rows);
typedef void ViewFn(const EncodeForm *f, const EncodePart *parts, uint8_t *const *rows,
                    int64_t k, KWeight *w, KQuant *q);

struct EncodeForm {
    const char *name;
    KDtype dtype;
    bool gguf, needs_max;
    int64_t multiple; /* of elements in a row */
    KDtype instead;   /* GGUF: the type of rows that fill no blocks */
    const char *record;
    PartsFn *parts;
    RowFn *row;
    ViewFn *view; /* the encoded row as a weight; NULL = the dtype says all */
};

static float load_f32(const void *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void set_record(EncodePart *p, const char *suffix, const char *text)
{
    *p = (EncodePart){ .suffix = suffix, .type = K_U8, .ndim = 1 };
    p->constant_size = strlen(text);
    p->shape[0] = (int64_t)p->constant_size;
    memcpy(p->constant, text, p->constant_size);
}

static void set_constant(EncodePart *p, const char *suffix, int ndim, const float *values,
                         int n)
{
    *p = (EncodePart){ .suffix = suffix, .type = K_F32, .ndim = ndim, .shape = { n } };
    p->constant_size = (size_t)n * sizeof *values;
    memcpy(p->constant, values, p->constant_size);
}

/* Features of a rotated group: the largest power of 4 up to 256 that divides the row, 0 below 16. */
static int64_t rotation_for(int64_t k)
{
    int64_t group = MAX_ROTATE;

    while (group >= MIN_ROTATE && k % group)
        group /= 4;
    return group >= MIN_ROTATE ? group : 0;
}

static float row_max(const float *row, int64_t k)
{
    float max = 0;

    for (int64_t i = 0; i < k; i++)
        if (fabsf(row[i]) > max) max = fabsf(row[i]);
    return max;
}

/* ---- GGUF ---------------------------------------------------------------------------------------------- */

static int gguf_parts(const EncodeForm *f, int64_t n, int64_t k, float max, EncodePart *parts)
{
    (void)max;
    parts[0] = (EncodePart){ .suffix = ".weight",
                             .type = f->dtype,
                             .ndim = 2,
                             .shape = { n, k },
                             .row_bytes = k_row_bytes(f->dtype, k) };
    return 1;
}

static void gguf_row(const EncodeForm *f, const EncodePart *parts, float *row, int64_t k,
                     uint8_t *const *rows)
{
    (void)parts;
    gguf_encode(f->dtype, row, k, rows[0]);
}

/* ---- FP8 with one scale --------------------------------------------------------------------------------- */

static int fp8_parts(const EncodeForm *f, int64_t n, int64_t k, float max, EncodePart *parts)
{
    float scale = max / (f->dtype == K_F8_E4M3 ? 448.0f : 57344.0f);
    char record[64];

    if (!(scale > 0)) scale = 1;
    parts[0] = (EncodePart){ ".weight", f->dtype, 2, { n, k }, (size_t)k, 0, "" };
    set_constant(&parts[1], ".weight_scale", 0, &scale, 1);
    snprintf(record, sizeof record, "{\"format\": \"%s\"}", f->record);
    set_record(&parts[2], ".comfy_quant", record);
    return 3;
}

static void fp8_row(const EncodeForm *f, const EncodePart *parts, float *row, int64_t k,
                    uint8_t *const *rows)
{
    float scale = load_f32(parts[1].constant);

    for (int64_t i = 0; i < k; i++)
        rows[0][i] = f->dtype == K_F8_E4M3 ? k_e4m3_from_f32(row[i] / scale, true)
                                           : k_e5m2_from_f32(row[i] / scale, true);
}

static void fp8_view(const EncodeForm *f, const EncodePart *parts, uint8_t *const *rows,
                     int64_t k, KWeight *w, KQuant *q)
{
    (void)f, (void)rows, (void)k, (void)q;
    w->scale = (const float *)(const void *)parts[1].constant;
}

/* ---- int8, rotated --------------------------------------------------------------------------------------- */

static int int8_parts(const EncodeForm *f, int64_t n, int64_t k, float max, EncodePart *parts)
{
    char record[128];
    long long group = rotation_for(k);

    (void)f, (void)max;
    parts[0] = (EncodePart){ ".weight", K_I8, 2, { n, k }, (size_t)k, 0, "" };
    parts[1] = (EncodePart){ ".weight_scale", K_F32, 2, { n, 1 }, sizeof(float), 0, "" };
    if (group)
        snprintf(record, sizeof record,
                 "{\"format\": \"int8_tensorwise\", \"convrot\": true, "
                 "\"convrot_groupsize\": %lld}",
                 group);
    else
        snprintf(record, sizeof record, "{\"format\": \"int8_tensorwise\"}");
    set_record(&parts[2], ".comfy_quant", record);
    return 3;
}

static void int8_row(const EncodeForm *f, const EncodePart *parts, float *row, int64_t k,
                     uint8_t *const *rows)
{
    int64_t group = rotation_for(k);

    (void)f, (void)parts;
    if (group) k_rotate(row, k, group);
    float scale = fmaxf(row_max(row, k) / 127.0f, 1e-30f);
    for (int64_t i = 0; i < k; i++) {
        float v = rintf(row[i] / scale);
        rows[0][i] = (uint8_t)(int8_t)(v > 127 ? 127 : v < -127 ? -127 : v == v ? v : 0);
    }
    memcpy(rows[1], &scale, sizeof scale);
}

static void int8_view(const EncodeForm *f, const EncodePart *parts, uint8_t *const *rows,
                      int64_t k, KWeight *w, KQuant *q)
{
    (void)f, (void)parts;
    q->scales = rows[1];
    q->rotate = rotation_for(k);
    w->quant = q;
}

/* ---- w4a8 --------------------------------------------------------------------------------------------------- */

/* The producing package's own codebook. */
static const float codebook[16] = { -0.980602f, -0.794529f, -0.638165f, -0.500986f,
                                    -0.377321f, -0.263187f, -0.15521f,  -0.05072f,
                                    0.052541f,  0.156985f,  0.265284f,  0.379533f,
                                    0.502636f,  0.638953f,  0.794876f,  0.980671f };

static int w4a8_parts(const EncodeForm *f, int64_t n, int64_t k, float max, EncodePart *parts)
{
    char record[128];
    size_t groups = (size_t)(k / W4_GROUP);

    (void)f, (void)max;
    parts[0] = (EncodePart){ ".weight", K_I8, 2, { n, k / 2 }, (size_t)k / 2, 0, "" };
    parts[1] =
        (EncodePart){ ".weight_s_rel", K_F8_E4M3, 2, { n, k / W4_GROUP }, groups, 0, "" };
    parts[2] = (EncodePart){ ".weight_s_channel", K_F32, 1, { n }, sizeof(float), 0, "" };
    set_constant(&parts[3], ".weight_codebook", 1, codebook, 16);
    snprintf(
        record, sizeof record,
        "{\"format\": \"asym_w4a8_int8\", \"group_size\": %d, \"convrot_groupsize\": %lld}",
        W4_GROUP, (long long)rotation_for(k));
    set_record(&parts[4], ".comfy_quant", record);
    return 5;
}

/* One group's codes: for each value the code whose int8 is nearest. v is in units of the row's scale. */
static void w4a8_group(const float *v, float rel, uint8_t *out)
{
    float level[16];
    int code[W4_GROUP];

    for (int c = 0; c < 16; c++)
        level[c] = fmaxf(-127, fminf(127, rintf(codebook[c] * rel)));
    for (int i = 0; i < W4_GROUP; i++) {
        code[i] = 0;
        for (int c = 1; c < 16; c++)
            if (fabsf(level[c] - v[i]) < fabsf(level[code[i]] - v[i])) code[i] = c;
    }
    for (int i = 0; i < W4_GROUP; i += 2)
        out[i / 2] = (uint8_t)(code[i] | code[i + 1] << 4);
}

static void w4a8_row(const EncodeForm *f, const EncodePart *parts, float *row, int64_t k,
                     uint8_t *const *rows)
{
    (void)f, (void)parts;
    k_rotate(row, k, rotation_for(k));
    float scale = fmaxf(row_max(row, k) / 127.0f, 1e-30f);
    for (int64_t i = 0; i < k; i++)
        row[i] /= scale;
    for (int64_t g = 0; g < k / W4_GROUP; g++) {
        const float *v = row + g * W4_GROUP;
        uint8_t rel = k_e4m3_from_f32(row_max(v, W4_GROUP) / codebook[15], true);
        rows[1][g] = rel;
        w4a8_group(v, k_f32_from_e4m3(rel), rows[0] + g * W4_GROUP / 2);
    }
    memcpy(rows[2], &scale, sizeof scale);
}

static void w4a8_view(const EncodeForm *f, const EncodePart *parts, uint8_t *const *rows,
                      int64_t k, KWeight *w, KQuant *q)
{
    (void)f;
    q->scales = rows[1];
    q->scale_type = K_F8_E4M3;
    q->block = W4_GROUP;
    q->channel = (const float *)(const void *)rows[2];
    q->levels = parts[3].constant;
    q->rotate = rotation_for(k);
    w->quant = q;
}

/* ---- NF4 ------------------------------------------------------------------------------------------------------ */

static const float nf4_map[16] = {
    -1.0f,        -0.6961928f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f,
    -0.09105004f, 0.0f,        0.0795803f,   0.1609302f,   0.2461123f,   0.33791524f,
    0.44070983f,  0.562617f,   0.72295684f,  1.0f,
};

static int nf4_parts(const EncodeForm *f, int64_t n, int64_t k, float max, EncodePart *parts)
{
    char state[ENCODE_MAX_CONSTANT];
    size_t blocks = (size_t)(k / NF4_BLOCK);

    (void)f, (void)max;
    parts[0] = (EncodePart){ ".weight", K_U8, 2, { n * k / 2, 1 }, (size_t)k / 2, 0, "" };
    parts[1] = (EncodePart){ ".weight.absmax",       K_F32, 1, { n * (int64_t)blocks },
                             blocks * sizeof(float), 0,     "" };
    set_constant(&parts[2], ".weight.quant_map", 1, nf4_map, 16);
    snprintf(state, sizeof state,
             "{\"quant_type\": \"nf4\", \"blocksize\": %d, \"dtype\": \"bfloat16\", "
             "\"shape\": [%lld, %lld]}",
             NF4_BLOCK, (long long)n, (long long)k);
    set_record(&parts[3], ".weight.quant_state.bitsandbytes__nf4", state);
    return 4;
}

static int nf4_code(float v)
{
    int best = 0;

    for (int c = 1; c < 16; c++)
        if (fabsf(nf4_map[c] - v) < fabsf(nf4_map[best] - v)) best = c;
    return best;
}

static void nf4_row(const EncodeForm *f, const EncodePart *parts, float *row, int64_t k,
                    uint8_t *const *rows)
{
    (void)f, (void)parts;
    for (int64_t b = 0; b < k / NF4_BLOCK; b++) {
        const float *v = row + b * NF4_BLOCK;
        float max = row_max(v, NF4_BLOCK), inverse = max > 0 ? 1.0f / max : 0.0f;
        for (int i = 0; i < NF4_BLOCK; i += 2)
            rows[0][(b * NF4_BLOCK + i) / 2] =
                (uint8_t)(nf4_code(v[i] * inverse) << 4 | nf4_code(v[i + 1] * inverse));
        memcpy(rows[1] + b * 4, &max, sizeof max);
    }
}

static void nf4_view(const EncodeForm *f, const EncodePart *parts, uint8_t *const *rows,
                     int64_t k, KWeight *w, KQuant *q)
{
    (void)f, (void)k;
    q->scales = rows[1];
    q->order = K_SCALES_FLAT;
    q->block = NF4_BLOCK;
    q->levels = parts[2].constant;
    w->quant = q;
}

/* ---- all forms --------------------------------------------------------------------------------------------------- */

/* clang-format off */
#define GGUF(name, type, multiple, instead) { name, type, true, false, multiple, instead, NULL, gguf_parts, gguf_row, NULL }
static const EncodeForm forms[] = {
    { "fp8_e4m3fn", K_F8_E4M3, false, true, 1, K_F32, "float8_e4m3fn", fp8_parts, fp8_row, fp8_view },
    { "fp8_e5m2", K_F8_E5M2, false, true, 1, K_F32, "float8_e5m2", fp8_parts, fp8_row, fp8_view },
    { "int8", K_I8, false, false, 1, K_F32, NULL, int8_parts, int8_row, int8_view },
    { "w4a8", K_W4A8, false, false, W4_GROUP, K_F32, NULL, w4a8_parts, w4a8_row, w4a8_view },
    { "nf4", K_NF4, false, false, NF4_BLOCK, K_F32, NULL, nf4_parts, nf4_row, nf4_view },
    GGUF("Q4_0", K_Q4_0, 32, K_F16),   GGUF("Q4_1", K_Q4_1, 32, K_F16),
    GGUF("Q5_0", K_Q5_0, 32, K_F16),   GGUF("Q5_1", K_Q5_1, 32, K_F16),
    GGUF("Q8_0", K_Q8_0, 32, K_F16),   GGUF("Q2_K", K_Q2_K, 256, K_Q4_0),
    GGUF("Q3_K", K_Q3_K, 256, K_Q4_0), GGUF("Q4_K", K_Q4_K, 256, K_Q5_0),
    GGUF("Q5_K", K_Q5_K, 256, K_Q5_1), GGUF("Q6_K", K_Q6_K, 256, K_Q8_0),
    GGUF("IQ4_NL", K_IQ4_NL, 32, K_F16), GGUF("IQ4_XS", K_IQ4_XS, 256, K_IQ4_NL),
    GGUF("F16", K_F16, 1, K_F16),      GGUF("BF16", K_BF16, 1, K_BF16),
};
/* clang-format on */

enum { FORMS = sizeof forms / sizeof *forms };

const EncodeForm *encode_find(const char *name)
{
    for (size_t i = 0; i < FORMS; i++)
        if (strcasecmp(forms[i].name, name) == 0) return &forms[i];
    return NULL;
}

const char *encode_name(size_t i)
{
    return i < FORMS ? forms[i].name : NULL;
}

const char *encode_form_name(const EncodeForm *f)
{
    return f->name;
}

bool encode_is_gguf(const EncodeForm *f)
{
    return f->gguf;
}

KDtype encode_dtype(const EncodeForm *f)
{
    return f->dtype;
}

static const EncodeForm *of_dtype(KDtype t)
{
    for (size_t i = 0; i < FORMS; i++)
        if (forms[i].gguf && forms[i].dtype == t) return &forms[i];
    return NULL;
}

const EncodeForm *encode_fitting(const EncodeForm *f, int64_t k)
{
    while (f && k % f->multiple)
        f = f->gguf ? of_dtype(f->instead) : NULL;
    return f;
}

bool encode_needs_max(const EncodeForm *f)
{
    return f->needs_max;
}

int encode_parts(const EncodeForm *f, int64_t n, int64_t k, float max, EncodePart *parts)
{
    return f->parts(f, n, k, max, parts);
}

void encode_weight(const EncodeForm *f, const EncodePart *parts,
                   uint8_t *const at[ENCODE_MAX_PARTS], KWeight *w, KQuant *q)
{
    *q = (KQuant){ .rows = w->n };
    w->data = at[0];
    w->dtype = f->dtype;
    w->row_bytes = (int64_t)k_row_bytes(f->dtype, w->k);
    if (f->view) f->view(f, parts, at, w->k, w, q);
}

bool encode_row(const EncodeForm *f, const EncodePart *parts, float *row, int64_t k,
                uint8_t *const rows[ENCODE_MAX_PARTS], float *back)
{
    KWeight w = { .n = 1, .k = k };
    KQuant q;

    f->row(f, parts, row, k, rows);
    encode_weight(f, parts, rows, &w, &q);
    return k_weight_row(&w, 0, 0, k, back) == K_OK;
}
