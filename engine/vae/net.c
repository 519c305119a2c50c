/* net.c - encoder and decoder as programs. */
#include "engine/vae/net.h"

#include <math.h>
#include <stdio.h>

enum { PATH_MAX_LENGTH = 96, GROUPS = 32 };
static const float NORM_EPS = 1e-6f;
static const float PACK_EPS = 1e-4f;

/* What every builder here needs. */
typedef struct Net {
    Program *p;
    const Weights *w;
    KDtype act; /* of features */
    bool stages;
    bool serial_stats; /* float32 sums as the reference has them when it encodes */
} Net;

Status vae_read_dims(const Weights *w, VaeDims *out, Error *err)
{
    VaeDims d = { .pack = 1 };

    d.levels = weights_blocks(w, "decoder.up.");
    d.z = weights_dim(w, "decoder.conv_in.weight", 1);
    if (d.z < 1 || d.levels < 1 || d.levels > 8)
        return error_set(err, E_FORMAT,
                         "this is no FLUX VAE: decoder.conv_in or decoder.up is missing");
    d.ratio = 1LL << (d.levels - 1);
    if (weights_has(w, "bn.running_mean")) {
        d.pack = 2;
        d.ratio *= 2;
    }
    d.channels = d.z * d.pack * d.pack;
    if (d.pack > 1) {
        TRY(weights_f32(w, "bn.running_mean", d.channels, &d.mean, err));
        TRY(weights_f32(w, "bn.running_var", d.channels, &d.var, err));
    }
    *out = d;
    return OK;
}

/* ---- pieces ------------------------------------------------------------------------------------------- */

static void stage(const Net *n, ProgValue v, const char *name)
{
    if (n->stages) prog_output(n->p, name, prog_copy(n->p, &(PCopy){ .x = v }));
}

static ProgValue param(const Net *n, const char *path, const char *leaf)
{
    char name[PATH_MAX_LENGTH + 16];
    Error err = { 0 };
    const float *values = NULL;

    if (prog_failed(n->p)) return PROG_NONE;
    snprintf(name, sizeof name, "%s.%s", path, leaf);
    int64_t count = weights_elements(n->w, name);
    if (weights_f32(n->w, name, count, &values, &err) != OK) {
        prog_fail(n->p, &err);
        return PROG_NONE;
    }
    return prog_param(
        n->p, &(KWeight){
                  .data = values, .dtype = K_F32, .n = 1, .k = count, .row_bytes = count * 4 });
}

/* How a convolution reads and writes. */
typedef struct ConvUse {
    int size, stride, up; /* 0: 3, 1, 1 */
    bool pad_end_only;    /* one row and column of zeros at the end only, as before a halving */
    ProgValue mul, add;   /* group norm of x */
    bool silu;
    ProgValue residual;
    KDtype out;
} ConvUse;

static ProgValue conv(const Net *n, const char *path, ProgValue x, const ConvUse *use)
{
    char name[PATH_MAX_LENGTH + 16];
    Error err = { 0 };
    KWeight w;
    int size = use->size ? use->size : 3, pad = size / 2;

    if (prog_failed(n->p)) return PROG_NONE;
    snprintf(name, sizeof name, "%s.weight", path);
    if (weights_matrix(n->w, name, 0, prog_view_of(n->p, x).shape[2] * size * size, &w, &err) !=
        OK) {
        prog_fail(n->p, &err);
        return PROG_NONE;
    }
    return prog_conv(n->p, &(PConv){ .x = x,
                                     .w = w,
                                     .bias = param(n, path, "bias"),
                                     .kh = size,
                                     .kw = size,
                                     .stride = use->stride,
                                     .up = use->up,
                                     .pad_top = use->pad_end_only ? 0 : pad,
                                     .pad_left = use->pad_end_only ? 0 : pad,
                                     .pad_bottom = pad,
                                     .pad_right = pad,
                                     .in_mul = use->mul,
                                     .in_add = use->add,
                                     .in_silu = use->silu,
                                     .residual = use->residual,
                                     .out = use->out });
}

/* The group norm `path` of x as two vectors. */
static void group_norm(const Net *n, const char *path, ProgValue x, ProgValue *mul,
                       ProgValue *add)
{
    prog_group_stats(n->p,
                     &(PGroupStats){ .x = x,
                                     .weight = param(n, path, "weight"),
                                     .bias = param(n, path, "bias"),
                                     .groups = GROUPS,
                                     .eps = NORM_EPS,
                                     .serial = n->serial_stats },
                     mul, add);
}

/* conv(silu(norm(x))) + residual. */
static ProgValue norm_conv(const Net *n, const char *norm, const char *path, ProgValue x,
                           ProgValue residual, KDtype out)
{
    ConvUse use = { .silu = true, .residual = residual, .out = out };
    group_norm(n, norm, x, &use.mul, &use.add);
    return conv(n, path, x, &use);
}

/* path.name; an empty name, which no file has, when it would be too long. */
static const char *join(char *buf, const char *path, const char *name)
{
    int n = snprintf(buf, PATH_MAX_LENGTH, "%s.%s", path, name);
    if (n < 0 || n >= PATH_MAX_LENGTH) buf[0] = '\0';
    return buf;
}

/* x' + conv2(silu(norm2(conv1(silu(norm1(x)))))), x' = nin_shortcut(x) where channels change. */
static ProgValue residual_block(const Net *n, const char *path, ProgValue x)
{
    char norm[PATH_MAX_LENGTH], layer[PATH_MAX_LENGTH], shortcut[PATH_MAX_LENGTH + 16];
    ProgValue same = x;

    ProgValue h = norm_conv(n, join(norm, path, "norm1"), join(layer, path, "conv1"), x,
                            PROG_NONE, n->act);
    snprintf(shortcut, sizeof shortcut, "%s.nin_shortcut.weight", path);
    if (weights_has(n->w, shortcut))
        same = conv(n, join(layer, path, "nin_shortcut"), x,
                    &(ConvUse){ .size = 1, .out = n->act });
    h = norm_conv(n, join(norm, path, "norm2"), join(layer, path, "conv2"), h, same, n->act);
    stage(n, h, path);
    return h;
}

/* One head over all positions, as wide as the channels. */
static ProgValue attention_block(const Net *n, const char *path, ProgValue x)
{
    static const char *const names[3] = { "q", "k", "v" };
    char layer[PATH_MAX_LENGTH];
    ProgValue mul, add, part[3];
    KView s = prog_view_of(n->p, x);
    int64_t positions = s.shape[0] * s.shape[1], c = s.shape[2];

    group_norm(n, join(layer, path, "norm"), x, &mul, &add);
    ProgValue flat = prog_reshape(n->p, x, 2, (int64_t[]){ positions, c });
    ProgValue h =
        prog_affine(n->p, &(PAffine){ .x = flat, .mul = mul, .add = add, .out = n->act });
    h = prog_reshape(n->p, h, 3, s.shape);
    for (int i = 0; i < 3; i++) {
        part[i] =
            conv(n, join(layer, path, names[i]), h, &(ConvUse){ .size = 1, .out = n->act });
        part[i] = prog_reshape(n->p, part[i], 3, (int64_t[]){ positions, 1, c });
    }
    ProgValue o =
        prog_attention(n->p, &(PAttention){ .q = part[0],
                                            .k = part[1],
                                            .v = part[2],
                                            .scale = (float)(1.0 / sqrt((double)c)) });
    o = prog_reshape(n->p, o, 3, s.shape);
    o = conv(n, join(layer, path, "proj_out"), o,
             &(ConvUse){ .size = 1, .residual = x, .out = n->act });
    stage(n, o, path);
    return o;
}

static ProgValue middle(const Net *n, const char *net, ProgValue x)
{
    char path[PATH_MAX_LENGTH];

    x = residual_block(n, join(path, net, "mid.block_1"), x);
    x = attention_block(n, join(path, net, "mid.attn_1"), x);
    return residual_block(n, join(path, net, "mid.block_2"), x);
}

/* All residual blocks of one level, then its resampling convolution if there is one. */
static ProgValue level(const Net *n, const char *path, const char *resample, const ConvUse *use,
                       ProgValue x)
{
    char prefix[PATH_MAX_LENGTH], block[PATH_MAX_LENGTH], weight[PATH_MAX_LENGTH + 24];

    snprintf(prefix, sizeof prefix, "%s.block.", path);
    int blocks = weights_blocks(n->w, prefix);
    for (int j = 0; j < blocks; j++) {
        snprintf(block, sizeof block, "%s.block.%d", path, j);
        x = residual_block(n, block, x);
    }
    snprintf(weight, sizeof weight, "%s.%s.conv.weight", path, resample);
    if (!weights_has(n->w, weight)) return x;
    snprintf(block, sizeof block, "%s.%s.conv", path, resample);
    x = conv(n, block, x, use);
    stage(n, x, join(block, path, resample));
    return x;
}

/* The 1x1 convolution between latents and network: at the top or inside the network; absent: x. */
static ProgValue quant_conv(const Net *n, const char *net, const char *name, ProgValue x,
                            KDtype out)
{
    char path[PATH_MAX_LENGTH], weight[PATH_MAX_LENGTH];

    snprintf(path, sizeof path, "%s.%s", net, name);
    snprintf(weight, sizeof weight, "%s.weight", name);
    if (weights_has(n->w, weight))
        snprintf(path, sizeof path, "%s", name);
    else if (!weights_has(n->w, join(weight, path, "weight")))
        return x;
    x = conv(n, path, x, &(ConvUse){ .size = 1, .out = out });
    stage(n, x, name);
    return x;
}

/* ---- latents ---------------------------------------------------------------------------------------------- */

/* mul and add of x*mul + add per channel: with the statistics (decode) or against them (encode). */
static ProgValue normalise(const Net *n, const VaeDims *d, ProgValue x, bool inverse)
{
    float *mul = NULL, *add = NULL;
    ProgValue m = prog_table(n->p, 1, &d->channels, &mul),
              a = prog_table(n->p, 1, &d->channels, &add);

    if (!mul || !add) return PROG_NONE;
    for (int64_t c = 0; c < d->channels; c++) {
        float deviation = sqrtf(d->var[c] + PACK_EPS);
        mul[c] = inverse ? deviation : 1.0f / deviation;
        add[c] = inverse ? d->mean[c] : -d->mean[c] / deviation;
    }
    return prog_affine(n->p, &(PAffine){ .x = x, .mul = m, .add = a, .y = x });
}

/* Packed [h*w, z*4] against [2h, 2w, z]: both seen as [h, dy, w, dx, z]. */
static ProgValue packed_view(Program *p, ProgValue v, int64_t h, int64_t w, int64_t z)
{
    return prog_window(p, v, 0, 5, (int64_t[]){ h, 2, w, 2, z },
                       (int64_t[]){ w * z * 4, 2, z * 4, 1, 4 });
}
static ProgValue spread_view(Program *p, ProgValue v, int64_t h, int64_t w, int64_t z)
{
    return prog_window(p, v, 0, 5, (int64_t[]){ h, 2, w, 2, z },
                       (int64_t[]){ 4 * w * z, 2 * w * z, 2 * z, z, 1 });
}

/* [c, n] seen as [n, c]. */
static ProgValue turned(Program *p, ProgValue v, int64_t c, int64_t count)
{
    return prog_window(p, v, 0, 2, (int64_t[]){ count, c }, (int64_t[]){ 1, count });
}

/* Latent [channels,h,w] to features [h*pack, w*pack, z]. */
static ProgValue latent_in(const Net *n, const VaeDims *d, int64_t h, int64_t w)
{
    ProgValue in = prog_input(n->p, "latent", K_F32, 2, (int64_t[]){ d->channels, h * w });
    ProgValue x = prog_copy(n->p, &(PCopy){ .x = turned(n->p, in, d->channels, h * w),
                                            .out = d->pack > 1 ? K_F32 : n->act });

    if (d->pack == 1) return prog_reshape(n->p, x, 3, (int64_t[]){ h, w, d->z });
    x = normalise(n, d, x, true);
    ProgValue y = prog_temp(n->p, n->act, 3, (int64_t[]){ 2 * h, 2 * w, d->z });
    prog_copy(n->p, &(PCopy){ .x = packed_view(n->p, x, h, w, d->z),
                              .y = spread_view(n->p, y, h, w, d->z) });
    return y;
}

/* The first z channels of moments [h*pack, w*pack, 2z] F32 to the latent [channels,h,w]. */
static void latent_out(const Net *n, const VaeDims *d, ProgValue moments, int64_t h, int64_t w)
{
    KView s = prog_view_of(n->p, moments);
    ProgValue out = prog_temp(n->p, K_F32, 2, (int64_t[]){ d->channels, h * w });
    ProgValue seen = turned(n->p, out, d->channels, h * w);
    ProgValue mean = prog_cols(n->p, moments, 0, d->z);

    if (d->pack == 1) {
        ProgValue flat = prog_window(n->p, mean, 0, 2, (int64_t[]){ h * w, d->z },
                                     (int64_t[]){ s.shape[2], 1 });
        prog_copy(n->p, &(PCopy){ .x = flat, .y = seen });
    } else {
        int64_t row = s.stride[0], column = s.stride[1];
        ProgValue spread = prog_window(n->p, mean, 0, 5, (int64_t[]){ h, 2, w, 2, d->z },
                                       (int64_t[]){ 2 * row, row, 2 * column, column, 1 });
        ProgValue x = prog_temp(n->p, K_F32, 2, (int64_t[]){ h * w, d->channels });
        prog_copy(n->p, &(PCopy){ .x = spread, .y = packed_view(n->p, x, h, w, d->z) });
        prog_copy(n->p, &(PCopy){ .x = normalise(n, d, x, false), .y = seen });
    }
    prog_output(n->p, "latent", out);
}

/* ---- the networks ------------------------------------------------------------------------------------------ */

void vae_build_decoder(const VaeDims *d, const Weights *w, int64_t h, int64_t width, bool exact,
                       bool stages, Program *p)
{
    const Net n = { p, w, exact ? K_F32 : K_BF16, stages, false };
    char path[PATH_MAX_LENGTH];
    int64_t pixels = h * width * d->ratio * d->ratio;

    ProgValue x = latent_in(&n, d, h, width);
    x = quant_conv(&n, "decoder", "post_quant_conv", x, n.act);
    x = conv(&n, "decoder.conv_in", x, &(ConvUse){ .out = n.act });
    stage(&n, x, "decoder.conv_in");
    x = middle(&n, "decoder", x);
    for (int l = d->levels - 1; l >= 0; l--) {
        snprintf(path, sizeof path, "decoder.up.%d", l);
        x = level(&n, path, "upsample", &(ConvUse){ .up = 2, .out = n.act }, x);
    }
    x = norm_conv(&n, "decoder.norm_out", "decoder.conv_out", x, PROG_NONE, K_F32);
    stage(&n, x, "decoder.conv_out");
    ProgValue out = prog_temp(p, K_F32, 2, (int64_t[]){ 3, pixels });
    prog_copy(p, &(PCopy){ .x = prog_reshape(p, x, 2, (int64_t[]){ pixels, 3 }),
                           .y = turned(p, out, 3, pixels) });
    prog_output(p, "image", out);
}

void vae_build_encoder(const VaeDims *d, const Weights *w, int64_t height, int64_t width,
                       bool exact, bool stages, Program *p)
{
    /* The reference hands pictures over in channels-last order, which its group norm sums in its own way;
     * decoding starts from a latent that is not. */
    const Net n = { p, w, exact ? K_F32 : K_BF16, stages, exact };
    char path[PATH_MAX_LENGTH];
    int64_t pixels = height * width;

    ProgValue in = prog_input(p, "image", K_F32, 2, (int64_t[]){ 3, pixels });
    ProgValue x = prog_copy(p, &(PCopy){ .x = turned(p, in, 3, pixels), .out = n.act });
    x = prog_reshape(p, x, 3, (int64_t[]){ height, width, 3 });
    x = conv(&n, "encoder.conv_in", x, &(ConvUse){ .out = n.act });
    stage(&n, x, "encoder.conv_in");
    for (int l = 0; l < d->levels; l++) {
        snprintf(path, sizeof path, "encoder.down.%d", l);
        x = level(&n, path, "downsample",
                  &(ConvUse){ .stride = 2, .pad_end_only = true, .out = n.act }, x);
    }
    x = middle(&n, "encoder", x);
    x = norm_conv(&n, "encoder.norm_out", "encoder.conv_out", x, PROG_NONE, K_F32);
    stage(&n, x, "encoder.conv_out");
    x = quant_conv(&n, "encoder", "quant_conv", x, K_F32);
    latent_out(&n, d, x, height / d->ratio, width / d->ratio);
}
