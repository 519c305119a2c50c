/* upscale_net.c - enlarging networks: recognised in a file, written as programs. */
#include "engine/models/upscale_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_LENGTH = 96, GROWTH = 32, DENSE = 5, BLOCKS_MAX = 1000, UPS_MAX = 6 };
static const float SLOPE = 0.2f; /* of the leaky activation */
static const float SHARE = 0.2f; /* of a dense block, and of a block of three */

/* ---- names ------------------------------------------------------------------------------------------ */

/* How a publisher writes the layers. %d: block, block of the block, convolution, or number of the enlargement. */
typedef struct Spelling {
    const char *first, *dense, *trunk, *up, *hr, *last;
    bool indexed; /* trunk, up, hr and last have numbers that depend on the size */
} Spelling;

static const Spelling spellings[] = {
    { "model.0", "model.1.sub.%d.RDB%d.conv%d.0", "model.1.sub.%d", "model.%d", "model.%d",
      "model.%d", true },
    { "conv_first", "body.%d.rdb%d.conv%d", "conv_body", "conv_up%d", "conv_hr", "conv_last",
      false },
    { "conv_first", "RRDB_trunk.%d.RDB%d.conv%d", "trunk_conv", "upconv%d", "HRconv",
      "conv_last", false },
};
enum { SPELLINGS = sizeof spellings / sizeof *spellings };

typedef struct Net {
    Program *p;
    const Weights *w;
    const UpscaleDims *d;
    const Spelling *s;
} Net;

/* A number after every name of the old spelling; the others have none. */
static void numbered(char out[NAME_LENGTH], const char *format, int64_t number)
{
    const char *at = strstr(format, "%d");
    if (at)
        snprintf(out, NAME_LENGTH, "%.*s%lld%s", (int)(at - format), format, (long long)number,
                 at + 2);
    else
        snprintf(out, NAME_LENGTH, "%s", format);
}

static void dense_name(char out[NAME_LENGTH], const Spelling *s, int64_t block, int rdb,
                       int conv)
{
    char one[NAME_LENGTH], two[NAME_LENGTH];
    numbered(one, s->dense, block);
    numbered(two, one, rdb);
    numbered(out, two, conv);
}

static bool has_weight(const Weights *w, const char *layer)
{
    char name[NAME_LENGTH + 8];
    snprintf(name, sizeof name, "%s.weight", layer);
    return weights_has(w, name);
}

static int64_t dim_of(const Weights *w, const char *layer, int dim)
{
    char name[NAME_LENGTH + 8];
    snprintf(name, sizeof name, "%s.weight", layer);
    return weights_dim(w, name, dim);
}

/* ---- recognising ------------------------------------------------------------------------------------- */

/* 1 + the largest number that follows a prefix in any name. */
static int64_t count_numbers(const Weights *w, const char *prefix)
{
    int64_t most = 0;
    size_t n = strlen(prefix);
    for (size_t i = 0; i < weights_count(w); i++) {
        const char *name = weights_name(w, i);
        if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9') continue;
        int64_t v = strtoll(name + n, NULL, 10);
        if (v >= most) most = v + 1;
    }
    return most;
}

static const Spelling *find_spelling(const Weights *w)
{
    char dense[NAME_LENGTH];
    for (int i = 0; i < SPELLINGS; i++) {
        dense_name(dense, &spellings[i], 0, 1, 1);
        bool last = spellings[i].indexed || has_weight(w, spellings[i].last);
        bool trunk = spellings[i].indexed || has_weight(w, spellings[i].trunk);
        if (has_weight(w, spellings[i].first) && has_weight(w, dense) && last && trunk)
            return &spellings[i];
    }
    return NULL;
}

/* Networks that people have, by a piece of a tensor's name. */
static const struct Look {
    const char *piece, *name;
} looks[] = {
    { "conv1x1.", "ESRGAN+" },
    { "residual_group.blocks.0.attn.relative_position_bias_table", "SwinIR" },
    { "overlap_attn", "HAT" },
    { "layers.0.blocks.0.attn.attns", "DAT" },
    { "residual_layer.0.residual_layer", "OmniSR" },
    { "block_1.c1_r", "SPAN" },
    { "f_HR_conv", "SPSR" },
    { "unet1.conv1", "RealCUGAN" },
    { "feats.0.", "PLKSR" },
    { "to_feat.", "SAFMN" },
    { "m_head.0.", "SCUNet" },
    { "stylegan_decoder", "GFPGAN" },
    { "downsample_conv.weight", "LaMa or FeMaSR" },
    { "double_blocks.", "a FLUX transformer" },
};

static const char *looks_like(const Weights *w)
{
    for (size_t k = 0; k < sizeof looks / sizeof *looks; k++)
        for (size_t i = 0; i < weights_count(w); i++)
            if (strstr(weights_name(w, i), looks[k].piece)) return looks[k].name;
    return NULL;
}

static Status refuse(const Weights *w, Error *err)
{
    const char *name = looks_like(w);
    if (name)
        error_set(err, E_UNSUPPORTED, "the file looks like %s, which is not supported", name);
    else
        error_set(err, E_UNSUPPORTED, "the file holds no enlarging network that is known here");
    error_fix(err, "use an ESRGAN, Real-ESRGAN, BSRGAN or compact (SRVGG) model");
    return E_UNSUPPORTED;
}

static int64_t count_blocks(const Weights *w, const Spelling *s)
{
    char layer[NAME_LENGTH];
    int64_t n = 0;
    do
        dense_name(layer, s, n++, 1, 1);
    while (has_weight(w, layer) && n < BLOCKS_MAX);
    return n - 1;
}

static int64_t count_ups(const Weights *w, const Spelling *s)
{
    char layer[NAME_LENGTH];
    int64_t n = 0;
    if (s->indexed) return (count_numbers(w, "model.") - 5) / 3;
    do
        numbered(layer, s->up, ++n);
    while (has_weight(w, layer) && n < UPS_MAX + 1);
    return n - 1;
}

static void last_name(char out[NAME_LENGTH], const UpscaleDims *d, const Spelling *s)
{
    numbered(out, s->last, 3 * d->ups + 4);
}

static Status bad_channels(int64_t in, int64_t out, Error *err)
{
    return error_set(err, E_SHAPE,
                     "a network of %lld channels in and %lld out is not supported",
                     (long long)in, (long long)out);
}

static Status read_rrdb(const Weights *w, const Spelling *s, UpscaleDims *d, Error *err)
{
    char last[NAME_LENGTH];
    d->spelling = s - spellings;
    d->filters = dim_of(w, s->first, 0);
    d->blocks = count_blocks(w, s);
    d->ups = count_ups(w, s);
    if (d->ups < 0 || d->ups > UPS_MAX) return refuse(w, err);
    last_name(last, d, s);
    int64_t in = dim_of(w, s->first, 1);
    d->out = dim_of(w, last, 0);
    d->unshuffle = d->out && in == d->out * 16 ? 4 : d->out && in == d->out * 4 ? 2 : 1;
    d->in = in / (d->unshuffle * d->unshuffle);
    d->scale = (1LL << d->ups) / d->unshuffle;
    if (d->scale < 1 || (d->in != 1 && d->in != 3) || (d->out != 1 && d->out != 3))
        return bad_channels(in, d->out, err);
    return OK;
}

static Status read_compact(const Weights *w, UpscaleDims *d, Error *err)
{
    char last[NAME_LENGTH];
    int64_t layers = count_numbers(w, "body."), s = 1;
    snprintf(last, sizeof last, "body.%lld", (long long)(layers - 1));
    d->compact = true;
    d->blocks = layers;
    d->in = d->out = dim_of(w, "body.0", 1);
    d->filters = dim_of(w, "body.0", 0);
    d->unshuffle = 1;
    int64_t rows = dim_of(w, last, 0);
    if ((d->in != 1 && d->in != 3) || layers % 2 == 0) return bad_channels(d->in, rows, err);
    while (s * s * d->in < rows)
        s++;
    d->scale = s;
    return s * s * d->in == rows && s <= 16 ? OK : bad_channels(d->in, rows, err);
}

static bool is_compact(const Weights *w)
{
    int64_t shape[K_MAX_DIMS];
    return weights_shape(w, "body.0.weight", shape) == 4 &&
           weights_shape(w, "body.1.weight", shape) == 1 &&
           weights_shape(w, "body.2.weight", shape) == 4;
}

Status upscale_read_dims(const Weights *w, UpscaleDims *out, Error *err)
{
    UpscaleDims d = { 0 };
    const Spelling *s = find_spelling(w);
    const char *other = looks_like(w);
    if (s && !(other && strcmp(other, "ESRGAN+") == 0))
        TRY(read_rrdb(w, s, &d, err));
    else if (!s && is_compact(w))
        TRY(read_compact(w, &d, err));
    else
        return refuse(w, err);
    *out = d;
    return OK;
}

/* ---- pieces of programs ------------------------------------------------------------------------------- */

static ProgValue bias_of(const Net *n, const char *layer)
{
    char name[NAME_LENGTH + 8];
    Error err = { 0 };
    const float *values = NULL;
    snprintf(name, sizeof name, "%s.bias", layer);
    int64_t count = weights_elements(n->w, name);
    if (weights_f32(n->w, name, count, &values, &err) == OK)
        return prog_param(
            n->p,
            &(KWeight){
                .data = values, .dtype = K_F32, .n = 1, .k = count, .row_bytes = count * 4 });
    prog_fail(n->p, &err);
    return PROG_NONE;
}

/* 3x3 convolution with a border of zeros. y absent: made. */
static ProgValue conv(const Net *n, const char *layer, ProgValue x, int up, ProgValue residual,
                      ProgValue y)
{
    char name[NAME_LENGTH + 8];
    Error err = { 0 };
    KWeight w;
    if (prog_failed(n->p)) return PROG_NONE;
    snprintf(name, sizeof name, "%s.weight", layer);
    if (weights_matrix(n->w, name, 0, prog_view_of(n->p, x).shape[2] * 9, &w, &err) != OK) {
        prog_fail(n->p, &err);
        return PROG_NONE;
    }
    return prog_conv(n->p, &(PConv){ .x = x,
                                     .w = w,
                                     .bias = bias_of(n, layer),
                                     .kh = 3,
                                     .kw = 3,
                                     .up = up,
                                     .pad_top = 1,
                                     .pad_left = 1,
                                     .pad_bottom = 1,
                                     .pad_right = 1,
                                     .residual = residual,
                                     .y = y });
}

static ProgValue constant(const Net *n, int64_t count, float value)
{
    float *data = NULL;
    ProgValue v = prog_table(n->p, 1, &count, &data);
    for (int64_t i = 0; data && i < count; i++)
        data[i] = value;
    return v;
}

/* y = slope x + (1 - slope) relu(x) in place on x [h,w,c], strip by strip, so that relu(x) takes little room. */
static void activate(const Net *n, ProgValue x, ProgValue slope, ProgValue rest)
{
    enum { STRIP = 1 << 22 };
    KView s = prog_view_of(n->p, x);
    int64_t rows = s.shape[0] * s.shape[1], c = s.shape[2];
    ProgValue flat = prog_reshape(n->p, x, 2, (int64_t[]){ rows, c });
    int64_t step = STRIP / c < rows ? STRIP / c : rows;
    for (int64_t at = 0; !prog_failed(n->p) && at < rows; at += step) {
        ProgValue part = prog_rows(n->p, flat, at, step < rows - at ? step : rows - at);
        ProgValue positive = prog_unary(n->p, &(PUnary){ .x = part, .act = K_ACT_RELU });
        prog_affine(n->p, &(PAffine){ .x = part, .mul = slope, .y = part });
        prog_add(n->p, &(PAdd){ .a = part, .gate = rest, .b = positive, .y = part });
    }
}

static void leaky(const Net *n, ProgValue x)
{
    int64_t c = prog_failed(n->p) ? 1 : prog_view_of(n->p, x).shape[2];
    activate(n, x, constant(n, c, SLOPE), constant(n, c, 1 - SLOPE));
}

/* Channels [first, first+count) of [h,w,C]. */
static ProgValue channels(const Net *n, ProgValue x, int64_t first, int64_t count)
{
    KView s = prog_view_of(n->p, x);
    return prog_window(n->p, x, first, 3, (int64_t[]){ s.shape[0], s.shape[1], count },
                       s.stride);
}

/* a + share * b over [h,w,c], in a new value. */
static ProgValue add_share(const Net *n, ProgValue a, ProgValue b)
{
    KView s = prog_view_of(n->p, b);
    const int64_t flat[2] = { s.shape[0] * s.shape[1], s.shape[2] };
    if (prog_failed(n->p)) return PROG_NONE;
    ProgValue y = prog_temp(n->p, K_F32, 3, s.shape);
    prog_add(n->p, &(PAdd){ .a = prog_reshape(n->p, a, 2, flat),
                            .gate = constant(n, flat[1], SHARE),
                            .b = prog_reshape(n->p, b, 2, flat),
                            .y = prog_reshape(n->p, y, 2, flat) });
    return y;
}

/* Every convolution reads all that the ones before it wrote: one buffer, growing windows. */
static ProgValue dense_block(const Net *n, int64_t block, int rdb, ProgValue x)
{
    char layer[NAME_LENGTH];
    KView s = prog_view_of(n->p, x);
    int64_t nf = n->d->filters, all = nf + (DENSE - 1) * GROWTH;
    if (prog_failed(n->p)) return PROG_NONE;
    ProgValue buffer = prog_temp(n->p, K_F32, 3, (int64_t[]){ s.shape[0], s.shape[1], all });
    prog_copy(n->p, &(PCopy){ .x = x, .y = channels(n, buffer, 0, nf) });
    for (int c = 1; c < DENSE; c++) {
        int64_t known = nf + (c - 1) * GROWTH;
        dense_name(layer, n->s, block, rdb, c);
        ProgValue y = conv(n, layer, channels(n, buffer, 0, known), 1, PROG_NONE, PROG_NONE);
        leaky(n, y);
        prog_copy(n->p, &(PCopy){ .x = y, .y = channels(n, buffer, known, GROWTH) });
    }
    dense_name(layer, n->s, block, rdb, DENSE);
    return add_share(n, x, conv(n, layer, buffer, 1, PROG_NONE, PROG_NONE));
}

static ProgValue rrdb(const Net *n, int64_t block, ProgValue x)
{
    ProgValue y = x;
    for (int k = 1; k <= 3; k++)
        y = dense_block(n, block, k, y);
    return add_share(n, x, y);
}

/* ---- the networks --------------------------------------------------------------------------------------- */

/* [c, h*w] seen as [h*w, c]. */
static ProgValue turned(const Net *n, ProgValue v, int64_t c, int64_t count)
{
    return prog_window(n->p, v, 0, 2, (int64_t[]){ count, c }, (int64_t[]){ 1, count });
}

static ProgValue picture_in(const Net *n, int64_t c, int64_t h, int64_t w)
{
    ProgValue in = prog_input(n->p, "image", K_F32, 2, (int64_t[]){ c, h * w });
    ProgValue x = prog_copy(n->p, &(PCopy){ .x = turned(n, in, c, h * w) });
    return prog_reshape(n->p, x, 3, (int64_t[]){ h, w, c });
}

static void picture_out(const Net *n, ProgValue x)
{
    KView s = prog_view_of(n->p, x);
    int64_t count = s.shape[0] * s.shape[1], c = s.shape[2];
    if (prog_failed(n->p)) return;
    ProgValue out = prog_temp(n->p, K_F32, 2, (int64_t[]){ c, count });
    prog_copy(n->p, &(PCopy){ .x = prog_reshape(n->p, x, 2, (int64_t[]){ count, c }),
                              .y = turned(n, out, c, count) });
    prog_output(n->p, "image", out);
}

static void build_rrdb(const Net *n, int64_t h, int64_t w)
{
    const UpscaleDims *d = n->d;
    char layer[NAME_LENGTH];
    ProgValue first =
        conv(n, n->s->first, picture_in(n, d->in * d->unshuffle * d->unshuffle, h, w), 1,
             PROG_NONE, PROG_NONE);
    ProgValue x = first;
    for (int64_t b = 0; b < d->blocks; b++)
        x = rrdb(n, b, x);
    numbered(layer, n->s->trunk, d->blocks);
    x = conv(n, layer, x, 1, first, PROG_NONE);
    for (int64_t u = 1; u <= d->ups; u++) {
        numbered(layer, n->s->up, n->s->indexed ? 3 * u : u);
        x = conv(n, layer, x, 2, PROG_NONE, PROG_NONE);
        leaky(n, x);
    }
    numbered(layer, n->s->hr, 3 * d->ups + 2);
    x = conv(n, layer, x, 1, PROG_NONE, PROG_NONE);
    leaky(n, x);
    last_name(layer, d, n->s);
    picture_out(n, conv(n, layer, x, 1, PROG_NONE, PROG_NONE));
}

/* The slopes of PReLU layer `layer` and what they leave to 1. */
static void slopes(const Net *n, const char *layer, ProgValue *slope, ProgValue *rest)
{
    char name[NAME_LENGTH + 8];
    Error err = { 0 };
    const float *values = NULL;
    float *left = NULL, *kept = NULL;
    int64_t c = n->d->filters;
    snprintf(name, sizeof name, "%s.weight", layer);
    if (weights_f32(n->w, name, c, &values, &err) != OK) {
        prog_fail(n->p, &err);
        return;
    }
    *slope = prog_table(n->p, 1, &c, &kept);
    *rest = prog_table(n->p, 1, &c, &left);
    for (int64_t i = 0; kept && left && i < c; i++) {
        kept[i] = values[i];
        left[i] = 1 - values[i];
    }
}

static void build_compact(const Net *n, int64_t h, int64_t w)
{
    char layer[NAME_LENGTH];
    ProgValue x = picture_in(n, n->d->in, h, w);
    for (int64_t i = 0; i < n->d->blocks && !prog_failed(n->p); i++) {
        ProgValue slope = PROG_NONE, rest = PROG_NONE;
        snprintf(layer, sizeof layer, "body.%lld", (long long)i);
        if (i % 2 == 0) {
            x = conv(n, layer, x, 1, PROG_NONE, PROG_NONE);
            continue;
        }
        slopes(n, layer, &slope, &rest);
        activate(n, x, slope, rest);
    }
    picture_out(n, x);
}

void upscale_build(const UpscaleDims *d, const Weights *w, int64_t h, int64_t width, Program *p)
{
    Net n = { p, w, d, &spellings[d->spelling] };
    if (d->compact)
        build_compact(&n, h, width);
    else
        build_rrdb(&n, h, width);
}
