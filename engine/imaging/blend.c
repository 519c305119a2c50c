/* blend.c - mixing two pictures. */
#include "engine/imaging/blend.h"

#include <math.h>
#include <string.h>

#include "engine/imaging/arrange.h"
#include "engine/imaging/compose.h"

static float clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* ---- blend modes ---------------------------------------------------------------------------------- */

static float mode_normal(float a, float b)
{
    (void)a;
    return b;
}

static float mode_multiply(float a, float b)
{
    return a * b;
}

static float mode_screen(float a, float b)
{
    return 1 - (1 - a) * (1 - b);
}

static float mode_overlay(float a, float b)
{
    return a <= 0.5f ? 2 * a * b : 1 - 2 * (1 - a) * (1 - b);
}

static float mode_soft_light(float a, float b)
{
    float g = a <= 0.25f ? ((16 * a - 12) * a + 4) * a : sqrtf(a);
    return b <= 0.5f ? a - (1 - 2 * b) * a * (1 - a) : a + (2 * b - 1) * (g - a);
}

static float mode_difference(float a, float b)
{
    return a - b;
}

static const struct BlendMode {
    const char *name;
    float (*mix)(float a, float b);
} blend_modes[] = {
    { "normal", mode_normal },         { "multiply", mode_multiply },
    { "screen", mode_screen },         { "overlay", mode_overlay },
    { "soft_light", mode_soft_light }, { "difference", mode_difference },
};

static Status find_mode(const char *name, float (**out)(float, float), Error *err)
{
    for (size_t i = 0; i < sizeof blend_modes / sizeof *blend_modes; i++) {
        if (strcmp(blend_modes[i].name, name) != 0) continue;
        *out = blend_modes[i].mix;
        return OK;
    }
    return error_set(err, E_RANGE, "there is no blend mode '%s'", name);
}

/* The second picture in the first one's size. */
static Status fit(const Tensor *x, const Tensor *to, Tensor **out, Error *err)
{
    if (x->shape[1] != to->shape[1] || x->shape[2] != to->shape[2])
        return resize_nhwc(x, to->shape[2], to->shape[1], RESIZE_BICUBIC, true, out, err);
    *out = tensor_ref(x);
    return OK;
}

static Status one_batch(const Tensor *a, const Tensor *b, int64_t *batch, Error *err)
{
    int64_t na = a->shape[0], nb = b->shape[0];
    *batch = na > nb ? na : nb;
    if (na == nb || na == 1 || nb == 1) return OK;
    return error_set(err, E_SHAPE, "batches of %lld and %lld pictures do not go together",
                     (long long)na, (long long)nb);
}

Status image_blend(const Tensor *a, const Tensor *b, double factor, const char *mode,
                   Tensor **out, Error *err)
{
    float (*mix)(float, float) = NULL, f = (float)factor, rest = (float)(1 - factor);
    const int64_t *s = a->shape;
    Tensor *second = NULL, *fitted = NULL;
    Status status = OK;
    int64_t batch = 0, item = s[1] * s[2] * s[3];
    TRY(find_mode(mode, &mix, err));
    TRY(one_batch(a, b, &batch, err));
    TRY_DONE(image_with_channels(b, s[3], &second, err));
    TRY_DONE(fit(second, a, &fitted, err));
    TRY_DONE(tensor_new(K_F32, 4, (int64_t[]){ batch, s[1], s[2], s[3] }, out, err));
    for (int64_t i = 0; i < batch * item; i++) {
        float x = tensor_f32(a)[i % (s[0] * item)];
        float y = tensor_f32(fitted)[i % (fitted->shape[0] * item)];
        tensor_f32(*out)[i] = clamp01(x * rest + mix(x, y) * f);
    }
done:
    tensor_unref(second);
    tensor_unref(fitted);
    return status;
}

/* ---- Porter and Duff ------------------------------------------------------------------------------- */

/* Source and destination, premultiplied, with their alphas. */
typedef struct Layers {
    float s, sa, d, da;
} Layers;

static float cross(Layers l)
{
    return (1 - l.da) * l.s + (1 - l.sa) * l.d;
}

static float both(Layers l)
{
    return l.sa + l.da - l.sa * l.da;
}

static float pd_overlay(Layers l)
{
    return 2 * l.d < l.da ? 2 * l.s * l.d : l.sa * l.da - 2 * (l.da - l.s) * (l.sa - l.d);
}

/* clang-format off */
#define PORTER_DUFF(X)                                                                                     \
    X(ADD, clamp01(l.sa + l.da), clamp01(l.s + l.d))                                                       \
    X(CLEAR, 0, 0)                                                                                         \
    X(DARKEN, both(l), cross(l) + fminf(l.s, l.d))                                                         \
    X(DST, l.da, l.d)                                                                                      \
    X(DST_ATOP, l.sa, l.sa * l.d + (1 - l.da) * l.s)                                                       \
    X(DST_IN, l.sa * l.da, l.d * l.sa)                                                                     \
    X(DST_OUT, (1 - l.sa) * l.da, (1 - l.sa) * l.d)                                                        \
    X(DST_OVER, l.da + (1 - l.da) * l.sa, l.d + (1 - l.da) * l.s)                                          \
    X(LIGHTEN, both(l), cross(l) + fmaxf(l.s, l.d))                                                        \
    X(MULTIPLY, l.sa * l.da, l.s * l.d)                                                                    \
    X(OVERLAY, both(l), pd_overlay(l))                                                                     \
    X(SCREEN, both(l), l.s + l.d - l.s * l.d)                                                              \
    X(SRC, l.sa, l.s)                                                                                      \
    X(SRC_ATOP, l.da, l.da * l.s + (1 - l.sa) * l.d)                                                       \
    X(SRC_IN, l.sa * l.da, l.s * l.da)                                                                     \
    X(SRC_OUT, (1 - l.da) * l.sa, (1 - l.da) * l.s)                                                        \
    X(SRC_OVER, l.sa + (1 - l.sa) * l.da, l.s + (1 - l.sa) * l.d)                                          \
    X(XOR, (1 - l.da) * l.sa + (1 - l.sa) * l.da, cross(l))

#define PD_NAME(name, alpha, color) #name,
const char *const porter_duff_modes[] = { PORTER_DUFF(PD_NAME) NULL };
#define PD_FN(name, alpha, color)                                                                          \
    static float pd_alpha_##name(Layers l) { (void)l; return alpha; }                                      \
    static float pd_color_##name(Layers l) { (void)l; return color; }
PORTER_DUFF(PD_FN)
#define PD_ROW(name, alpha, color) { pd_alpha_##name, pd_color_##name },
static const struct PorterDuffFns {
    float (*alpha)(Layers l), (*color)(Layers l);
} porter_duff[] = { PORTER_DUFF(PD_ROW) };
/* clang-format on */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static Status fit_mask(const Tensor *x, const Tensor *to, Tensor **out, Error *err)
{
    if (x->shape[1] != to->shape[1] || x->shape[2] != to->shape[2])
        return resize_mask(x, to->shape[2], to->shape[1], RESIZE_BICUBIC, true, out, err);
    *out = tensor_ref(x);
    return OK;
}

/* All of one size by now; writes colour [n,H,W,C] and mask [n,H,W]. */
static void porter_duff_pixels(const PorterDuff *p, const struct PorterDuffFns *fns,
                               Tensor *out, Tensor *mask)
{
    int64_t c = out->shape[3];
    for (int64_t i = 0; i < tensor_count(mask); i++) {
        Layers l = { .sa = 1 - tensor_f32(p->source_mask)[i],
                     .da = 1 - tensor_f32(p->destination_mask)[i] };
        float alpha = fns->alpha(l);
        for (int64_t k = i * c; k < i * c + c; k++) {
            l.s = tensor_f32(p->source)[k] * l.sa;
            l.d = tensor_f32(p->destination)[k] * l.da;
            tensor_f32(out)[k] = alpha > 1e-5f ? clamp01(fns->color(l) / alpha) : 0;
        }
        tensor_f32(mask)[i] = 1 - alpha;
    }
}

Status image_porter_duff(const PorterDuff *p, Tensor **out, Tensor **mask, Error *err)
{
    const int64_t *s = p->destination->shape;
    int64_t n = least(least(s[0], p->source->shape[0]),
                      least(p->source_mask->shape[0], p->destination_mask->shape[0]));
    Tensor *source = NULL, *source_mask = NULL, *mask_to = NULL, *color = NULL, *alpha = NULL;
    Status status = OK;
    int mode = 0;
    while (porter_duff_modes[mode] && strcmp(porter_duff_modes[mode], p->mode) != 0)
        mode++;
    if (!porter_duff_modes[mode])
        return error_set(err, E_RANGE, "there is no mode '%s'", p->mode);
    if (p->source->shape[3] != s[3]) {
        error_set(err, E_SHAPE, "the source has %lld channels, the destination %lld",
                  (long long)p->source->shape[3], (long long)s[3]);
        error_fix(err, "take the alpha channel off with SplitImageWithAlpha");
        return E_SHAPE;
    }
    TRY_DONE(fit(p->source, p->destination, &source, err));
    TRY_DONE(fit_mask(p->source_mask, p->destination, &source_mask, err));
    TRY_DONE(fit_mask(p->destination_mask, p->destination, &mask_to, err));
    TRY_DONE(tensor_new(K_F32, 4, (int64_t[]){ n, s[1], s[2], s[3] }, &color, err));
    TRY_DONE(tensor_new(K_F32, 3, (int64_t[]){ n, s[1], s[2] }, &alpha, err));
    porter_duff_pixels(&(PorterDuff){ .source = source,
                                      .source_mask = source_mask,
                                      .destination = p->destination,
                                      .destination_mask = mask_to },
                       &porter_duff[mode], color, alpha);
    *out = tensor_ref(color);
    *mask = tensor_ref(alpha);
done:
    tensor_unref(source);
    tensor_unref(source_mask);
    tensor_unref(mask_to);
    tensor_unref(color);
    tensor_unref(alpha);
    return status;
}

/* ---- alpha and colour channels ----------------------------------------------------------------------- */

Status image_join_alpha(const Tensor *image, const Tensor *mask, Tensor **out, Error *err)
{
    const int64_t *s = image->shape;
    int64_t batch = s[0] > mask->shape[0] ? s[0] : mask->shape[0], area = s[1] * s[2];
    Tensor *fitted = NULL;
    if (s[3] < 3) return error_set(err, E_SHAPE, "the picture needs 3 channels");
    TRY(resize_mask(mask, s[2], s[1], RESIZE_BILINEAR, false, &fitted, err));
    Status status = tensor_new(K_F32, 4, (int64_t[]){ batch, s[1], s[2], 4 }, out, err);
    for (int64_t i = 0; status == OK && i < batch * area; i++) {
        const float *pixel = tensor_f32(image) + i % (s[0] * area) * s[3];
        memcpy(tensor_f32(*out) + i * 4, pixel, 3 * sizeof(float));
        tensor_f32(*out)[i * 4 + 3] = 1 - tensor_f32(fitted)[i % (mask->shape[0] * area)];
    }
    tensor_unref(fitted);
    return status;
}

Status image_split_alpha(const Tensor *image, Tensor **out, Tensor **mask, Error *err)
{
    const int64_t *s = image->shape;
    TRY(tensor_narrow(image, 3, 0, least(s[3], 3), out, err));
    Status status = tensor_new(K_F32, 3, s, mask, err);
    if (status != OK) {
        tensor_unref(*out);
        *out = NULL;
        return status;
    }
    for (int64_t i = 0; i < tensor_count(*mask); i++)
        tensor_f32(*mask)[i] = s[3] > 3 ? 1 - tensor_f32(image)[i * s[3] + 3] : 0;
    return OK;
}

Status image_paste(const Paste *p, Tensor **out, Error *err)
{
    Tensor *s = NULL, *to = NULL, *from = NULL, *result = NULL;
    Status status = OK;
    TRY_DONE(image_with_channels(p->source, p->destination->shape[3], &s, err));
    TRY_DONE(image_to_nchw(p->destination, &to, err));
    TRY_DONE(image_to_nchw(s, &from, err));
    TRY_DONE(compose_masked(to, from, p->x, p->y, p->mask, 1, p->resize_source, &result, err));
    status = image_to_nhwc(result, out, err);
done:
    tensor_unref(s);
    tensor_unref(to);
    tensor_unref(from);
    tensor_unref(result);
    return status;
}

Status image_to_yuv(const Tensor *image, Tensor *out[3], Error *err)
{
    const int64_t *s = image->shape;
    if (s[3] != 3)
        return error_set(err, E_SHAPE, "the picture has %lld channels, not 3", (long long)s[3]);
    for (int k = 0; k < 3; k++) {
        Status status = tensor_new(K_F32, 4, s, &out[k], err);
        while (status != OK && k-- > 0) {
            tensor_unref(out[k]);
            out[k] = NULL;
        }
        TRY(status);
    }
    for (int64_t i = 0; i < s[0] * s[1] * s[2]; i++) {
        const float *p = tensor_f32(image) + i * 3;
        float y = 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
        float v[3] = { y, (p[2] - y) * 0.564f + 0.5f, (p[0] - y) * 0.713f + 0.5f };
        for (int k = 0; k < 9; k++)
            tensor_f32(out[k / 3])[i * 3 + k % 3] = v[k / 3];
    }
    return OK;
}

static float pixel_mean(const Tensor *x, int64_t pixel)
{
    float sum = 0;
    for (int64_t k = 0; k < x->shape[3]; k++)
        sum += tensor_f32(x)[pixel * x->shape[3] + k];
    return sum / (float)x->shape[3];
}

Status image_from_yuv(const Tensor *const in[3], Tensor **out, Error *err)
{
    const int64_t *s = in[0]->shape;
    for (int k = 1; k < 3; k++)
        if (memcmp(in[k]->shape, s, 3 * sizeof *s) != 0)
            return error_set(err, E_SHAPE, "Y, U and V differ in size");
    TRY(tensor_new(K_F32, 4, (int64_t[]){ s[0], s[1], s[2], 3 }, out, err));
    for (int64_t i = 0; i < s[0] * s[1] * s[2]; i++) {
        float y = pixel_mean(in[0], i), cb = pixel_mean(in[1], i) - 0.5f,
              cr = pixel_mean(in[2], i) - 0.5f;
        float *p = tensor_f32(*out) + i * 3;
        p[0] = y + 1.403f * cr;
        p[1] = y - 0.714f * cr - 0.344f * cb;
        p[2] = y + 1.773f * cb;
    }
    return OK;
}
