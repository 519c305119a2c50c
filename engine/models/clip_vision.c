/* clip_vision.c - SigLIP: recognition, the encoder as a program, and its output value. */
#include "engine/models/clip_vision.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/formats/file_name.h"
#include "engine/formats/recognise.h"
#include "engine/imaging/antialias.h"
#include "engine/models/blocks.h"

enum { HEAD = 72, LAYERS_MAX = 64 };
static const float NORM_EPS = 1e-5f;
const int vision_levels[VISION_LEVELS] = { 2, 11, 20 };

struct ClipVision {
    Component component; /* first */
    Host *host;          /* borrowed */
    Weights *weights;    /* one reference owned */
    ClipVisionDims dims;
};

#define EMBEDDINGS "vision_model.embeddings."
#define LAYER "vision_model.encoder.layers."

/* ---- recognition -------------------------------------------------------------------------------------- */

static Status unsupported(const char *what, Error *err)
{
    error_set(err, E_UNSUPPORTED, "this is %s", what);
    error_fix(err, "FLUX workflows use SigLIP so400m (sigclip_vision_patch14_384)");
    return E_UNSUPPORTED;
}

static Status check_kind(const Weights *w, Error *err)
{
    if (!weights_has(w, EMBEDDINGS "patch_embedding.weight"))
        return recognise_refuse(w, "SigLIP vision model", err);
    if (weights_has(w, EMBEDDINGS "class_embedding"))
        return unsupported("a CLIP vision model with a class token (ViT)", err);
    if (weights_dim(w, EMBEDDINGS "patch_embedding.weight", 3) == 0)
        return unsupported("SigLIP 2 for pictures of any size", err);
    return OK;
}

/* Heads of a `config` entry, 0 where the file has none. */
static int64_t configured_heads(const Weights *w)
{
    const char *text = weights_metadata(w, "config");
    JsonDoc *doc = NULL;
    int64_t heads = 0;

    if (!text || json_parse(text, strlen(text), &doc, NULL) != OK) return 0;
    const Json *n = json_get(json_root(doc), "num_attention_heads");
    if (!n || !json_int64(n, &heads) || heads < 0) heads = 0;
    json_free(doc);
    return heads;
}

static Status read_dims(const Weights *w, ClipVisionDims *d, Error *err)
{
    static const char patches[] = EMBEDDINGS "patch_embedding.weight";

    d->width = weights_dim(w, patches, 0);
    d->patch = weights_dim(w, patches, 2);
    d->tokens = weights_dim(w, EMBEDDINGS "position_embedding.weight", 0);
    d->hidden = weights_dim(w, LAYER "0.mlp.fc1.weight", 0);
    d->layers = weights_blocks(w, LAYER);
    d->heads = configured_heads(w);
    if (d->heads == 0) d->heads = d->width / HEAD;
    int64_t grid = (int64_t)rint(sqrt((double)d->tokens));
    /* so400m-patch14-384 reads 384 pixels, of which its patches take 27 * 14. */
    d->side = grid == 27 && d->patch == 14 ? 384 : grid * d->patch;
    if (d->width < 1 || d->heads < 1 || d->width % d->heads || d->patch < 1 || d->patch > 64 ||
        d->hidden < 1 || d->layers < 1 || d->layers > LAYERS_MAX || d->tokens < 1 ||
        d->tokens > 65536 || grid * grid != d->tokens || weights_dim(w, patches, 1) != 3)
        return error_set(
            err, E_FORMAT,
            "a vision model of width %lld with patches of %lld, %lld positions, %d "
            "layers and %lld heads is not known",
            (long long)d->width, (long long)d->patch, (long long)d->tokens, d->layers,
            (long long)d->heads);
    return OK;
}

/* ---- the program ---------------------------------------------------------------------------------------- */

static ProgValue norm(Blocks *b, const char *layer, ProgValue x, KDtype out)
{
    char name[112];
    snprintf(name, sizeof name, "%s.weight", layer);
    ProgValue weight = blocks_param(b, name);
    snprintf(name, sizeof name, "%s.bias", layer);
    return prog_layer_norm(b->p, &(PLayerNorm){ .x = x,
                                                .weight = weight,
                                                .bias = blocks_param(b, name),
                                                .eps = NORM_EPS,
                                                .out = out });
}

static ProgValue linear(Blocks *b, int i, const char *layer, ProgValue x, const LinearUse *use)
{
    char name[96];
    snprintf(name, sizeof name, LAYER "%d.%s", i, layer);
    return blocks_linear(b, name, x, use);
}

/* Pixels [3, side, side] as patches through the embedding, with positions: b->x. */
static void embed(Blocks *b, const ClipVisionDims *d)
{
    int64_t grid = d->side / d->patch, area = d->patch * d->patch, cells = 3 * area;
    int64_t shape[5] = { grid, grid, 3, d->patch, d->patch };
    ProgValue in = prog_input(b->p, "pixels", K_F32, 3, (int64_t[]){ 3, d->side, d->side });
    ProgValue seen =
        prog_window(b->p, in, 0, 5, shape,
                    (int64_t[]){ d->patch * d->side, d->patch, d->side * d->side, d->side, 1 });
    ProgValue rows = prog_temp(b->p, b->act, 2, (int64_t[]){ d->tokens, cells });

    prog_copy(b->p, &(PCopy){ .x = seen,
                              .y = prog_window(
                                  b->p, rows, 0, 5, shape,
                                  (int64_t[]){ grid * cells, cells, area, d->patch, 1 }) });
    b->x = blocks_linear(b, EMBEDDINGS "patch_embedding", rows,
                         &(LinearUse){ .rows = d->width, .k = cells });
    ProgValue positions = blocks_param(b, EMBEDDINGS "position_embedding.weight");
    prog_add(b->p, &(PAdd){ .a = b->x,
                            .b = prog_reshape(b->p, positions, 2,
                                              (int64_t[]){ d->tokens, d->width }) });
}

static void attention(Blocks *b, const ClipVisionDims *d, int i)
{
    static const char *const names[3] = { "self_attn.q_proj", "self_attn.k_proj",
                                          "self_attn.v_proj" };
    char layer[96];
    ProgValue part[3], y = prog_temp(b->p, b->act, 2, (int64_t[]){ d->tokens, d->width });
    int64_t head = d->width / d->heads;

    snprintf(layer, sizeof layer, LAYER "%d.layer_norm1", i);
    ProgValue u = norm(b, layer, b->x, b->act);
    for (int k = 0; k < 3; k++)
        part[k] =
            prog_heads(b->p,
                       linear(b, i, names[k], u,
                              &(LinearUse){ .rows = d->width, .k = d->width, .out = b->act }),
                       d->heads, head);
    prog_attention(b->p, &(PAttention){ .q = part[0],
                                        .k = part[1],
                                        .v = part[2],
                                        .y = prog_heads(b->p, y, d->heads, head),
                                        .scale = (float)(1.0 / sqrt((double)head)) });
    prog_add(b->p, &(PAdd){ .a = b->x,
                            .b = linear(b, i, "self_attn.out_proj", y,
                                        &(LinearUse){ .rows = d->width, .k = d->width }) });
}

static void mlp(Blocks *b, const ClipVisionDims *d, int i)
{
    char layer[96];

    snprintf(layer, sizeof layer, LAYER "%d.layer_norm2", i);
    ProgValue u = norm(b, layer, b->x, b->act);
    ProgValue g =
        linear(b, i, "mlp.fc1", u,
               &(LinearUse){
                   .rows = d->hidden, .k = d->width, .act = K_ACT_GELU_TANH, .out = b->act });
    prog_add(b->p, &(PAdd){ .a = b->x,
                            .b = linear(b, i, "mlp.fc2", g,
                                        &(LinearUse){ .rows = d->width, .k = d->hidden }) });
}

/* Outputs "last" and, for bits of `keep`, "hidden.i". */
static void build(const ClipVision *v, uint64_t keep, Program *p)
{
    const ClipVisionDims *d = &v->dims;
    Blocks b = { .p = p,
                 .source = { .weights = v->weights },
                 .act = host_exact(v->host) ? K_F32 : K_BF16,
                 .width = d->width };
    char name[32];

    embed(&b, d);
    for (int i = 0; i < d->layers; i++) {
        attention(&b, d, i);
        mlp(&b, d, i);
        if (!(keep >> i & 1)) continue;
        snprintf(name, sizeof name, "hidden.%d", i);
        prog_output(p, name, prog_copy(p, &(PCopy){ .x = b.x }));
    }
    prog_output(p, "last", norm(&b, "vision_model.post_layernorm", b.x, K_F32));
}

static Status plan(const ClipVision *v, uint64_t keep, Program **out, Error *err)
{
    Program *p = NULL;
    Status status = OK;

    TRY(prog_new("vision", &p, err));
    build(v, keep, p);
    TRY_DONE(prog_compile(p, PASS_ALL, err));
    TRY_DONE(prog_plan(p, host_backend(v->host), host_context(v->host), err));
    *out = p;
    return OK;
done:
    error_at_file(err, v->component.file, -1);
    prog_free(p);
    return status;
}

/* ---- the value ---------------------------------------------------------------------------------------------- */

static void vision_destroy(void *object)
{
    ClipVision *v = object;
    weights_unref(v->weights);
    mem_free((char *)(uintptr_t)v->component.file);
    mem_free(v);
}

static void vision_release(Component *c)
{
    weights_release(((ClipVision *)(void *)c)->weights);
}

/* Every tensor is looked for now; the text half of a file with both is not counted. */
static Status make_ready(ClipVision *v, const char *file, Error *err)
{
    Program *p = NULL;

    v->component.file = mem_strdup(file ? file : "");
    if (!v->component.file) return error_set(err, E_NOMEM, "out of memory");
    TRY(plan(v, 0, &p, err));
    v->component.bytes = (int64_t)prog_weight_bytes(p);
    prog_free(p);
    return OK;
}

Status clip_vision_open(Host *h, const Weights *w, const char *file, ClipVision **out,
                        Error *err)
{
    Status status = OK;
    ClipVision *v = mem_calloc(1, sizeof *v);

    if (!v) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&v->component.ref, vision_destroy);
    v->component.name = "vision encoder";
    v->component.release = vision_release;
    v->host = h;
    v->weights = weights_ref(w);
    TRY_DONE(check_kind(w, err));
    TRY_DONE(read_dims(w, &v->dims, err));
    TRY_DONE(make_ready(v, file, err));
    *out = v;
    return OK;
done:
    error_at_file(err, file, -1);
    clip_vision_unref(v);
    return status;
}

const ClipVisionDims *clip_vision_dims(const ClipVision *v)
{
    return &v->dims;
}

/* ---- encoding -------------------------------------------------------------------------------------------------- */

static void output_destroy(void *object)
{
    ClipVisionOutput *o = object;
    tensor_unref(o->last);
    for (int i = 0; i < VISION_LEVELS; i++)
        tensor_unref(o->levels[i]);
    mem_free(o);
}

/* Runs p for every picture; out arguments point to picture 0 and go on by their own size. */
static Status run_all(const ClipVision *v, const Program *p, const Tensor *pixels, ProgArg *out,
                      const int64_t *steps, int n_out, Error *err)
{
    void *arena = NULL;
    int64_t picture = tensor_count(pixels) / pixels->shape[0];

    TRY(host_enter(v->host, &((ClipVision *)(uintptr_t)v)->component, err));
    TRY(host_arena(v->host, prog_arena_bytes(p), &arena, err));
    ProgRun run = { .backend = host_backend(v->host),
                    .ctx = host_context(v->host),
                    .arena = arena,
                    .events = host_events(v->host),
                    .dummy = host_dummy(v->host) };
    for (int64_t i = 0; i < pixels->shape[0]; i++) {
        ProgArg in = { "pixels", tensor_f32(pixels) + i * picture };
        TRY(prog_run(p, &run, &in, 1, out, n_out, err));
        for (int k = 0; k < n_out; k++)
            out[k].data = (float *)out[k].data + steps[k];
    }
    return OK;
}

static Status check_pixels(const ClipVision *v, const Tensor *pixels, Error *err)
{
    char text[96];
    const ClipVisionDims *d = &v->dims;

    if (pixels->ndim == 4 && pixels->dtype == K_F32 && pixels->shape[1] == 3 &&
        pixels->shape[2] == d->side && pixels->shape[3] == d->side)
        return OK;
    tensor_describe(pixels, text, sizeof text);
    return error_set(err, E_SHAPE, "pixels are %s; [B, 3, %lld, %lld] is needed", text,
                     (long long)d->side, (long long)d->side);
}

Status clip_vision_hidden(const ClipVision *v, const Tensor *pixels, Tensor **out, Error *err)
{
    const ClipVisionDims *d = &v->dims;
    Program *p = NULL;
    ProgArg args[LAYERS_MAX];
    char names[LAYERS_MAX][32];
    int64_t steps[LAYERS_MAX], one = d->tokens * d->width;
    Status status = OK;

    TRY(check_pixels(v, pixels, err));
    TRY(tensor_zeros(K_F32, 4, (int64_t[]){ pixels->shape[0], d->layers, d->tokens, d->width },
                     out, err));
    TRY_DONE(plan(v, d->layers == 64 ? ~0ULL : (1ULL << d->layers) - 1, &p, err));
    for (int i = 0; i < d->layers; i++) {
        snprintf(names[i], sizeof names[i], "hidden.%d", i);
        args[i] = (ProgArg){ names[i], tensor_f32(*out) + i * one };
        steps[i] = d->layers * one;
    }
    TRY_DONE(run_all(v, p, pixels, args, steps, d->layers, err));
done:
    prog_free(p);
    if (status != OK) {
        tensor_unref(*out);
        *out = NULL;
    }
    return status;
}

static Status output_new(const ClipVision *v, int64_t batch, ClipVisionOutput **out, Error *err)
{
    const ClipVisionDims *d = &v->dims;
    int64_t shape[3] = { batch, d->tokens, d->width };
    Status status = OK;
    ClipVisionOutput *o = mem_calloc(1, sizeof *o);

    if (!o) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&o->ref, output_destroy);
    TRY_DONE(tensor_zeros(K_F32, 3, shape, &o->last, err));
    for (int i = 0; i < VISION_LEVELS; i++)
        if (d->layers >= vision_levels[i])
            TRY_DONE(tensor_zeros(K_F32, 3, shape, &o->levels[i], err));
    *out = o;
    return OK;
done:
    ref_drop(o);
    return status;
}

static Status encode_pixels(const ClipVision *v, const Tensor *pixels, ClipVisionOutput *o,
                            Error *err)
{
    Program *p = NULL;
    char names[VISION_LEVELS][32];
    ProgArg args[1 + VISION_LEVELS] = { { "last", tensor_f32(o->last) } };
    int64_t one = v->dims.tokens * v->dims.width,
            steps[1 + VISION_LEVELS] = { one, one, one, one };
    uint64_t keep = 0;
    int n = 1;

    for (int i = 0; i < VISION_LEVELS; i++) {
        if (!o->levels[i]) continue;
        int layer = v->dims.layers - vision_levels[i];
        keep |= 1ULL << layer;
        snprintf(names[i], sizeof names[i], "hidden.%d", layer);
        args[n++] = (ProgArg){ names[i], tensor_f32(o->levels[i]) };
    }
    TRY(plan(v, keep, &p, err));
    Status s = run_all(v, p, pixels, args, steps, n, err);
    prog_free(p);
    return s;
}

Status clip_vision_encode(const ClipVision *v, const Tensor *image, bool crop,
                          ClipVisionOutput **out, Error *err)
{
    static const float half[3] = { 0.5f, 0.5f, 0.5f };
    Tensor *pixels = NULL;
    ClipVisionOutput *o = NULL;
    Status status = OK;

    TRY_DONE(image_for_vision(image, v->dims.side, crop, half, half, &pixels, err));
    TRY_DONE(output_new(v, pixels->shape[0], &o, err));
    TRY_DONE(encode_pixels(v, pixels, o, err));
    *out = ref_take(o);
done:
    ref_drop(o);
    tensor_unref(pixels);
    return status;
}

/* ---- published sizes ---------------------------------------------------------------------------------------- */

/* Tensors of so400m-patch14-384; rows with a star are in every layer. */
static const struct {
    const char *name;
    int ndim;
    int64_t shape[4];
} published[] = {
    { EMBEDDINGS "patch_embedding.weight", 4, { 1152, 3, 14, 14 } },
    { EMBEDDINGS "patch_embedding.bias", 1, { 1152 } },
    { EMBEDDINGS "position_embedding.weight", 2, { 729, 1152 } },
    { "vision_model.post_layernorm.weight", 1, { 1152 } },
    { "vision_model.post_layernorm.bias", 1, { 1152 } },
    { "*layer_norm1.weight", 1, { 1152 } },
    { "*layer_norm1.bias", 1, { 1152 } },
    { "*layer_norm2.weight", 1, { 1152 } },
    { "*layer_norm2.bias", 1, { 1152 } },
    { "*self_attn.q_proj.weight", 2, { 1152, 1152 } },
    { "*self_attn.q_proj.bias", 1, { 1152 } },
    { "*self_attn.k_proj.weight", 2, { 1152, 1152 } },
    { "*self_attn.k_proj.bias", 1, { 1152 } },
    { "*self_attn.v_proj.weight", 2, { 1152, 1152 } },
    { "*self_attn.v_proj.bias", 1, { 1152 } },
    { "*self_attn.out_proj.weight", 2, { 1152, 1152 } },
    { "*self_attn.out_proj.bias", 1, { 1152 } },
    { "*mlp.fc1.weight", 2, { 4304, 1152 } },
    { "*mlp.fc1.bias", 1, { 4304 } },
    { "*mlp.fc2.weight", 2, { 1152, 4304 } },
    { "*mlp.fc2.bias", 1, { 1152 } },
};
enum { PUBLISHED_LAYERS = 27, PUBLISHED_ROWS = sizeof published / sizeof *published };

Status clip_vision_open_published(Host *h, const char *name, ClipVision **out, Error *err)
{
    WeightsShape *rows = mem_calloc(PUBLISHED_ROWS * PUBLISHED_LAYERS, sizeof *rows);
    Weights *w = NULL;
    size_t n = 0;

    if (!rows) return error_set(err, E_NOMEM, "out of memory");
    for (int i = 0; i < PUBLISHED_ROWS; i++) {
        bool every = published[i].name[0] == '*';
        for (int k = 0; k < (every ? PUBLISHED_LAYERS : 1); k++, n++) {
            rows[n].ndim = published[i].ndim;
            memcpy(rows[n].shape, published[i].shape, sizeof rows[n].shape);
            if (every)
                snprintf(rows[n].name, sizeof rows[n].name, LAYER "%d.%s", k,
                         published[i].name + 1);
            else
                snprintf(rows[n].name, sizeof rows[n].name, "%s", published[i].name);
        }
    }
    Status status = weights_from_shapes(name, file_name_dtype(name), rows, n, &w, err);
    if (status == OK) status = clip_vision_open(h, w, name, out, err);
    weights_unref(w);
    mem_free(rows);
    return status;
}
