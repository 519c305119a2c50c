/* vae.c - the VAE value: programs by shape, pictures in and out, tiles. */
#include "engine/vae/vae.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/imaging/tiling.h"
#include "engine/tensor/ops.h"
#include "engine/vae/names.h"
#include "engine/vae/net.h"

enum { PROGRAMS_KEPT = 6 };

/* A program that was built. Sizes are of its input: latent cells or pixels. */
typedef struct Built {
    Program *program; /* owned; NULL = free place */
    bool decoder;
    int64_t h, w;
    uint64_t used;
} Built;

struct Vae {
    Component component; /* first: its Ref is the VAE's */
    Host *host;          /* borrowed */
    Weights *weights;    /* one reference owned; BFL's names */
    VaeDims dims;
    Built built[PROGRAMS_KEPT];
    uint64_t clock;
};

/* ---- opening ------------------------------------------------------------------------------------------------ */

static void vae_destroy(void *object)
{
    Vae *v = object;
    for (int i = 0; i < PROGRAMS_KEPT; i++)
        prog_free(v->built[i].program);
    weights_unref(v->weights);
    mem_free((char *)(uintptr_t)v->component.file);
    mem_free(v);
}

static void vae_release(Component *c)
{
    weights_release(((Vae *)(void *)c)->weights);
}

int64_t vae_ratio(const Vae *v)
{
    return v->dims.ratio;
}

int64_t vae_channels(const Vae *v)
{
    return v->dims.channels;
}

/* ---- programs -------------------------------------------------------------------------------------------------- */

static Status build(Vae *v, bool decoder, int64_t h, int64_t w, Program **out, Error *err)
{
    Status status = OK;
    Program *p = NULL;

    TRY(prog_new(decoder ? "vae decoder" : "vae encoder", &p, err));
    (decoder ? vae_build_decoder : vae_build_encoder)(&v->dims, v->weights, h, w,
                                                      host_exact(v->host), false, p);
    TRY_DONE(prog_compile(p, PASS_ALL, err));
    TRY_DONE(prog_plan(p, host_backend(v->host), host_context(v->host), err));
    *out = p;
    return OK;
done:
    error_at_file(err, v->component.file, -1);
    prog_free(p);
    return status;
}

/* Builds the smallest programs of the networks that the file has, so that a tensor that is missing or of
 * another size is told now. */
static Status check_tensors(Vae *v, Error *err)
{
    const char *const begins[2] = { "encoder.conv_in.weight", "decoder.conv_in.weight" };

    for (int decoder = 0; decoder < 2; decoder++) {
        Program *p = NULL;
        int64_t side = decoder ? 2 : 2 * v->dims.ratio;
        if (!weights_has(v->weights, begins[decoder])) continue;
        TRY(build(v, decoder, side, side, &p, err));
        prog_free(p);
    }
    return OK;
}

Status vae_open(Host *h, const Weights *w, const char *file, Vae **out, Error *err)
{
    Status status = OK;
    Vae *v = mem_calloc(1, sizeof *v);

    if (!v) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&v->component.ref, vae_destroy);
    v->component.name = "VAE";
    v->component.release = vae_release;
    v->host = h;
    TRY_DONE(vae_names(w, &v->weights, err));
    TRY_DONE(vae_read_dims(v->weights, &v->dims, err));
    v->component.bytes = weights_bytes(v->weights);
    v->component.file = mem_strdup(file ? file : "");
    if (!v->component.file) TRY_DONE(error_set(err, E_NOMEM, "out of memory"));
    TRY_DONE(check_tensors(v, err));
done:
    if (status != OK) {
        error_at_file(err, file, -1);
        vae_unref(v);
        return status;
    }
    *out = v;
    return OK;
}

static Status program_for(Vae *v, bool decoder, int64_t h, int64_t w, Program **out, Error *err)
{
    Built *place = &v->built[0];

    for (int i = 0; i < PROGRAMS_KEPT; i++) {
        Built *b = &v->built[i];
        if (b->program && b->decoder == decoder && b->h == h && b->w == w) {
            b->used = ++v->clock;
            *out = b->program;
            return OK;
        }
        if (b->used < place->used) place = b;
    }
    Program *p = NULL;
    TRY(build(v, decoder, h, w, &p, err));
    prog_free(place->program);
    *place = (Built){ .program = p, .decoder = decoder, .h = h, .w = w, .used = ++v->clock };
    *out = p;
    return OK;
}

/* One picture or latent of h x w through a network. */
static Status run_net(Vae *v, bool decoder, int64_t h, int64_t w, const float *in, float *out,
                      Error *err)
{
    Program *p = NULL;
    void *arena = NULL;

    TRY(program_for(v, decoder, h, w, &p, err));
    TRY(host_enter(v->host, &v->component, err));
    TRY(host_arena(v->host, prog_arena_bytes(p), &arena, err));
    ProgRun run = { .backend = host_backend(v->host),
                    .ctx = host_context(v->host),
                    .arena = arena,
                    .events = host_events(v->host),
                    .dummy = host_dummy(v->host) };
    ProgArg from = { decoder ? "latent" : "image", (void *)(uintptr_t)in };
    ProgArg to = { decoder ? "image" : "latent", out };
    return prog_run(p, &run, &from, 1, &to, 1, err);
}

/* Immutable for callers; the programs inside are a cache that one thread uses. */
static Vae *opened(const Vae *v)
{
    return (Vae *)(uintptr_t)v;
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

/* Centre crop of one [H,W,C] picture to out [3,h,w], mapped from 0..1 to -1..1. */
static void picture_in(const float *image, int64_t height, int64_t width, int64_t channels,
                       Tensor *out)
{
    int64_t h = out->shape[1], w = out->shape[2];
    int64_t top = (height - h) / 2, left = (width - w) / 2;
    float *o = tensor_f32(out);

    for (int64_t c = 0; c < 3; c++)
        for (int64_t r = 0; r < h; r++)
            for (int64_t i = 0; i < w; i++)
                *o++ = 2.0f * image[((top + r) * width + left + i) * channels + c] - 1.0f;
}

/* raw [3,h,w] in -1..1 to [h,w,3] in 0..1. */
static void picture_out(const float *raw, int64_t h, int64_t w, float *out)
{
    for (int64_t i = 0; i < h * w; i++) {
        for (int64_t c = 0; c < 3; c++) {
            float v = (raw[c * h * w + i] + 1.0f) / 2.0f;
            *out++ = v < 0 ? 0 : v > 1 ? 1 : v;
        }
    }
}

static Status check_image(const Vae *v, const Tensor *image, int64_t *h, int64_t *w, Error *err)
{
    char text[96];

    tensor_describe(image, text, sizeof text);
    if (image->ndim != 4 || image->dtype != K_F32 || image->shape[3] < 3)
        return error_set(err, E_SHAPE, "%s is no picture [B, H, W, 3]", text);
    *h = image->shape[1] / v->dims.ratio * v->dims.ratio;
    *w = image->shape[2] / v->dims.ratio * v->dims.ratio;
    if (*h == 0 || *w == 0)
        return error_set(
            err, E_SHAPE, "a picture of %lld x %lld is smaller than one latent cell (%lld)",
            (long long)image->shape[2], (long long)image->shape[1], (long long)v->dims.ratio);
    return OK;
}

static Status check_latent(const Vae *v, const Tensor *latent, Error *err)
{
    char text[96];

    tensor_describe(latent, text, sizeof text);
    if (latent->ndim != 4 || latent->dtype != K_F32 || latent->shape[2] < 1 ||
        latent->shape[3] < 1)
        return error_set(err, E_SHAPE, "%s is no latent [B, C, h, w]", text);
    if (latent->shape[1] == v->dims.channels) return OK;
    error_set(err, E_SHAPE, "the latent has %lld channels, the VAE takes %lld",
              (long long)latent->shape[1], (long long)v->dims.channels);
    error_fix(err, "use the VAE that belongs to the model");
    return E_SHAPE;
}

/* ---- whole or in tiles ------------------------------------------------------------------------------------------- */

/* What one item goes through. */
typedef struct Job {
    Vae *vae;
    bool decoder;
    const VaeTiles *tiles; /* NULL: whole */
} Job;

static Status net_tile(void *user, const Tensor *in, Tensor *out, Error *err)
{
    const Job *job = user;
    return run_net(job->vae, job->decoder, in->shape[1], in->shape[2], tensor_f32(in),
                   tensor_f32(out), err);
}

/* Tile shapes of the three passes, in the order of summation. */
static void tile_passes(const VaeTiles *t, bool decoder, int64_t shapes[3][2])
{
    const int64_t flat[2] = { t->tile_x * 2, t->tile_y / 2 },
                  tall[2] = { t->tile_x / 2, t->tile_y * 2 };
    const int64_t plain[2] = { t->tile_x, t->tile_y };

    memcpy(shapes[0], decoder ? tall : plain, sizeof plain);
    memcpy(shapes[1], flat, sizeof plain);
    memcpy(shapes[2], decoder ? plain : tall, sizeof plain);
}

/* The mean of three differently tiled passes. */
static Status tiled(Job *job, const Tensor *in, Tensor *out, Error *err)
{
    Status status = OK;
    Tensor *pass = NULL;
    int64_t shapes[3][2];
    double ratio = (double)job->vae->dims.ratio;

    tile_passes(job->tiles, job->decoder, shapes);
    TRY(tensor_new(K_F32, 3, out->shape, &pass, err));
    for (int i = 0; i < 3; i++) {
        Tiling t = { .tile_x = shapes[i][0],
                     .tile_y = shapes[i][1],
                     .overlap = job->tiles->overlap,
                     .scale = job->decoder ? ratio : 1.0 / ratio,
                     .fn = net_tile,
                     .user = job };
        TRY_DONE(tiling_run(&t, in, i ? pass : out, err));
        if (i) tensor_add(out, out, pass);
    }
    float *o = tensor_f32(out);
    for (int64_t i = 0; i < tensor_count(out); i++)
        o[i] /= 3.0f;
done:
    tensor_unref(pass);
    return status;
}

static Status run_item(Job *job, const Tensor *in, Tensor *out, Error *err)
{
    if (host_dummy(job->vae->host)) tensor_fill(out, 0);
    return job->tiles ? tiled(job, in, out, err) : net_tile(job, in, out, err);
}

static Status check_tiles(const VaeTiles *t, Error *err)
{
    if (!t || (t->overlap >= 0 && t->overlap < t->tile_x / 2 && t->overlap < t->tile_y / 2))
        return OK;
    error_set(err, E_RANGE, "an overlap of %lld is not smaller than half a tile of %lld x %lld",
              (long long)t->overlap, (long long)t->tile_x, (long long)t->tile_y);
    error_fix(err, "use larger tiles or a smaller overlap");
    return E_RANGE;
}

static Status encode(const Vae *v, const Tensor *image, const VaeTiles *tiles, Tensor **out,
                     Error *err)
{
    Status status = OK;
    Tensor *latent = NULL, *picture = NULL, *item = NULL;
    Job job = { opened(v), false, tiles };
    int64_t h = 0, w = 0, channels = image->shape[3], r = v->dims.ratio;

    TRY(check_image(v, image, &h, &w, err));
    TRY(check_tiles(tiles, err));
    int64_t size = image->shape[1] * image->shape[2] * channels;
    const int64_t shape[4] = { image->shape[0], v->dims.channels, h / r, w / r };
    TRY_DONE(tensor_new(K_F32, 4, shape, &latent, err));
    TRY_DONE(tensor_new(K_F32, 3, (int64_t[]){ 3, h, w }, &picture, err));
    for (int64_t b = 0; b < image->shape[0]; b++) {
        Tensor *one = NULL;
        picture_in(tensor_f32(image) + b * size, image->shape[1], image->shape[2], channels,
                   picture);
        TRY_DONE(tensor_slice(latent, b, 1, &item, err));
        TRY_DONE(tensor_reshape(item, 3, shape + 1, &one, err));
        tensor_unref(item);
        item = one;
        TRY_DONE(run_item(&job, picture, item, err));
        tensor_unref(item);
        item = NULL;
    }
    *out = tensor_ref(latent);
done:
    tensor_unref(item);
    tensor_unref(picture);
    tensor_unref(latent);
    return status;
}

static Status decode(const Vae *v, const Tensor *latent, const VaeTiles *tiles, Tensor **out,
                     Error *err)
{
    Status status = OK;
    Tensor *image = NULL, *raw = NULL, *item = NULL, *one = NULL;
    Job job = { opened(v), true, tiles };

    TRY(check_latent(v, latent, err));
    TRY(check_tiles(tiles, err));
    int64_t h = latent->shape[2] * v->dims.ratio, w = latent->shape[3] * v->dims.ratio;
    TRY_DONE(tensor_new(K_F32, 4, (int64_t[]){ latent->shape[0], h, w, 3 }, &image, err));
    TRY_DONE(tensor_new(K_F32, 3, (int64_t[]){ 3, h, w }, &raw, err));
    for (int64_t b = 0; b < latent->shape[0]; b++) {
        TRY_DONE(tensor_slice(latent, b, 1, &one, err));
        TRY_DONE(tensor_reshape(one, 3, latent->shape + 1, &item, err));
        TRY_DONE(run_item(&job, item, raw, err));
        picture_out(tensor_f32(raw), h, w, tensor_f32(image) + b * h * w * 3);
        tensor_unref(one);
        tensor_unref(item);
        one = item = NULL;
    }
    *out = tensor_ref(image);
done:
    tensor_unref(one);
    tensor_unref(item);
    tensor_unref(raw);
    tensor_unref(image);
    return status;
}

Status vae_encode(const Vae *v, const Tensor *image, Tensor **out, Error *err)
{
    return encode(v, image, NULL, out, err);
}

Status vae_decode(const Vae *v, const Tensor *latent, Tensor **out, Error *err)
{
    return decode(v, latent, NULL, out, err);
}

Status vae_encode_tiled(const Vae *v, const Tensor *image, const VaeTiles *t, Tensor **out,
                        Error *err)
{
    return encode(v, image, t, out, err);
}

Status vae_decode_tiled(const Vae *v, const Tensor *latent, const VaeTiles *t, Tensor **out,
                        Error *err)
{
    return decode(v, latent, t, out, err);
}

VaeTiles vae_tiles_from_pixels(const Vae *v, int64_t tile, int64_t overlap)
{
    if (tile < overlap * 4) overlap = tile / 4;
    return (VaeTiles){ tile / v->dims.ratio, tile / v->dims.ratio, overlap / v->dims.ratio };
}

/* ---- cost -------------------------------------------------------------------------------------------------------- */

Status vae_decode_cost(const Vae *v, int64_t height, int64_t width, VaeCost *out, Error *err)
{
    int64_t h = height / v->dims.ratio, w = width / v->dims.ratio;
    Program *p = NULL;

    if (h < 1 || w < 1)
        return error_set(err, E_SHAPE, "a picture smaller than one latent cell");
    TRY(program_for(opened(v), true, h, w, &p, err));
    *out = (VaeCost){ .arena_bytes = prog_arena_bytes(p),
                      .weight_bytes = prog_weight_bytes(p),
                      .flops = prog_flops(p),
                      .operations = prog_op_count(p) };
    return OK;
}
