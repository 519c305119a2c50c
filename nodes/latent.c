/* latent.c - node types that make and change latents, and their files. */
#include "nodes/latent.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/imaging/resize.h"
#include "engine/residency/host.h"
#include "engine/sampling/latent.h"
#include "nodes/latent_file.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

enum { SIDE_MAX = 16384, BATCH_MAX = 4096 };

typedef struct LatentIn {
    const Latent *samples;
} LatentIn;

/* ---- empty latents -------------------------------------------------------------------------------- */

typedef struct EmptyIn {
    int64_t width, height, batch_size;
} EmptyIn;

/* clang-format off */
#define EMPTY_ROWS(default_side, multiple)                                                                                  \
    { ROW(EmptyIn, width, SOCK_INT), .def = default_side, .min = 16, .max = SIDE_MAX, .step = multiple, .doc = "Width in pixels." },   \
    { ROW(EmptyIn, height, SOCK_INT), .def = default_side, .min = 16, .max = SIDE_MAX, .step = multiple, .doc = "Height in pixels." }, \
    { ROW(EmptyIn, batch_size, SOCK_INT), .def = 1, .min = 1, .max = BATCH_MAX, .doc = "Pictures made at once." },             \
    END_ROWS
static const Socket empty_in[] = { EMPTY_ROWS(512, 8) };
static const Socket empty16_in[] = { EMPTY_ROWS(1024, 16) };
/* clang-format on */

static Status empty_run(NodeCall *call)
{
    const EmptyIn *in = call->in;
    LatentOut *out = call->out;
    return latent_new_empty(in->batch_size, 4, in->height, in->width, 8, &out->latent,
                            call->err);
}

static const NodeDef empty_latent = {
    .class_type = "EmptyLatentImage",
    .display = "Empty Latent Image",
    .category = "latent",
    .doc = "An empty latent of 4 channels at 8 pixels a cell; a sampler fits it to its model.",
    .inputs = empty_in,
    .outputs = latent_out,
    .in_size = sizeof(EmptyIn),
    .out_size = sizeof(LatentOut),
    .run = empty_run,
};

static Status empty_sd3_run(NodeCall *call)
{
    const EmptyIn *in = call->in;
    LatentOut *out = call->out;
    return latent_new_empty(in->batch_size, 16, in->height, in->width, 8, &out->latent,
                            call->err);
}

static const NodeDef empty_sd3_latent = {
    .class_type = "EmptySD3LatentImage",
    .category = "latent/sd3",
    .doc = "An empty latent of 16 channels at 8 pixels a cell (FLUX.1).",
    .inputs = empty16_in,
    .outputs = latent_out,
    .in_size = sizeof(EmptyIn),
    .out_size = sizeof(LatentOut),
    .run = empty_sd3_run,
};

static Status empty_flux2_run(NodeCall *call)
{
    const EmptyIn *in = call->in;
    LatentOut *out = call->out;
    return latent_new_empty(in->batch_size, 128, in->height, in->width, 16, &out->latent,
                            call->err);
}

static const NodeDef empty_flux2_latent = {
    .class_type = "EmptyFlux2LatentImage",
    .display = "Empty Flux 2 Latent",
    .category = "latent",
    .doc = "An empty latent of 128 channels at 16 pixels a cell (FLUX.2).",
    .inputs = empty16_in,
    .outputs = latent_out,
    .in_size = sizeof(EmptyIn),
    .out_size = sizeof(LatentOut),
    .run = empty_flux2_run,
};

/* ---- SetLatentNoiseMask ------------------------------------------------------------------------------ */

typedef struct NoiseMaskIn {
    const Latent *samples;
    const Tensor *mask;
} NoiseMaskIn;

/* clang-format off */
static const Socket noise_mask_in[] = {
    { ROW(NoiseMaskIn, samples, SOCK_LATENT), .doc = "Latent to annotate; it is copied, not changed." },
    { ROW(NoiseMaskIn, mask, SOCK_MASK), .doc = "1 where it is repainted." },
    END_ROWS
};
/* clang-format on */

static Status noise_mask_run(NodeCall *call)
{
    const NoiseMaskIn *in = call->in;
    LatentOut *out = call->out;
    TRY(latent_copy(in->samples, &out->latent, call->err));
    latent_set_mask(out->latent, tensor_ref(in->mask));
    return OK;
}

static const NodeDef set_noise_mask = {
    .class_type = "SetLatentNoiseMask",
    .display = "Set Latent Noise Mask",
    .category = "latent/inpaint",
    .doc = "Limits sampling to a mask; the rest is kept.",
    .inputs = noise_mask_in,
    .outputs = latent_out,
    .in_size = sizeof(NoiseMaskIn),
    .out_size = sizeof(LatentOut),
    .run = noise_mask_run,
};

/* ---- batches ---------------------------------------------------------------------------------------- */

/* Items of the noise mask that belong to batch items [first, first+count) of `batch`, repeated when the
 * mask has fewer items than the batch. NULL mask or one item: shared as it is. */
static Status mask_items(const Tensor *mask, int64_t batch, int64_t first, int64_t count,
                         Tensor **out, Error *err)
{
    if (!mask || mask->shape[0] == 1) {
        *out = tensor_ref(mask);
        return OK;
    }
    if (mask->shape[0] >= batch) return tensor_slice(mask, first, count, out, err);
    const Tensor *parts[BATCH_MAX];
    Tensor *all = NULL;
    int n = (int)((batch + mask->shape[0] - 1) / mask->shape[0]);
    if (n > BATCH_MAX)
        return error_set(err, E_RANGE, "a batch of %lld is too large", (long long)batch);
    for (int i = 0; i < n; i++)
        parts[i] = mask;
    TRY(tensor_concat(parts, n, 0, &all, err));
    Status status = tensor_slice(all, first, count, out, err);
    tensor_unref(all);
    return status;
}

/* A new latent with `samples` (reference taken over), a mask and a batch index. */
static Status assemble(Tensor *samples, Tensor *mask, const int64_t *index, int64_t count,
                       Latent **out, Error *err)
{
    Status status = latent_new(samples, out, err);
    if (status != OK) {
        tensor_unref(mask);
        return status;
    }
    if (mask) latent_set_mask(*out, mask);
    return index ? latent_set_batch_index(*out, index, count, err) : OK;
}

typedef struct FromBatchIn {
    const Latent *samples;
    int64_t batch_index, length;
} FromBatchIn;

/* clang-format off */
static const Socket from_batch_in[] = {
    { ROW(FromBatchIn, samples, SOCK_LATENT), .doc = "Batch to take from." },
    { ROW(FromBatchIn, batch_index, SOCK_INT), .max = 63, .doc = "First item, from 0." },
    { ROW(FromBatchIn, length, SOCK_INT), .def = 1, .min = 1, .max = 64, .doc = "Number of items." },
    END_ROWS
};
/* clang-format on */

static Status from_batch_run(NodeCall *call)
{
    const FromBatchIn *in = call->in;
    LatentOut *out = call->out;
    const Latent *l = in->samples;
    int64_t batch = l->samples->shape[0], index[64];
    int64_t first = in->batch_index < batch - 1 ? in->batch_index : batch - 1;
    int64_t count = in->length < batch - first ? in->length : batch - first;
    Tensor *samples = NULL, *mask = NULL;
    for (int64_t i = 0; i < count; i++)
        index[i] = l->batch_index && first + i < l->batch_count ? l->batch_index[first + i]
                                                                : first + i;
    TRY(mask_items(l->noise_mask, batch, first, count, &mask, call->err));
    Status status = tensor_slice(l->samples, first, count, &samples, call->err);
    if (status != OK) {
        tensor_unref(mask);
        return status;
    }
    return assemble(samples, mask, index, count, &out->latent, call->err);
}

static const NodeDef latent_from_batch = {
    .class_type = "LatentFromBatch",
    .display = "Latent From Batch",
    .category = "latent/batch",
    .doc = "Takes items out of a batch; each keeps the noise of its place.",
    .inputs = from_batch_in,
    .outputs = latent_out,
    .in_size = sizeof(FromBatchIn),
    .out_size = sizeof(LatentOut),
    .run = from_batch_run,
};

typedef struct RepeatIn {
    const Latent *samples;
    int64_t amount;
} RepeatIn;

/* clang-format off */
static const Socket repeat_in[] = {
    { ROW(RepeatIn, samples, SOCK_LATENT), .doc = "Latent to repeat." },
    { ROW(RepeatIn, amount, SOCK_INT), .def = 1, .min = 1, .max = 64, .doc = "How many times it is there afterwards." },
    END_ROWS
};
/* clang-format on */

static Status repeat_tensor(const Tensor *t, int64_t amount, Tensor **out, Error *err)
{
    const Tensor *parts[64];
    for (int64_t i = 0; i < amount; i++)
        parts[i] = t;
    return tensor_concat(parts, (int)amount, 0, out, err);
}

/* Places of the repeated items: every repetition moves on by the span of the old ones. */
static void repeat_index(const int64_t *old, int64_t count, int64_t amount, int64_t *out)
{
    int64_t low = old[0], high = old[0];
    for (int64_t i = 1; i < count; i++) {
        low = old[i] < low ? old[i] : low;
        high = old[i] > high ? old[i] : high;
    }
    for (int64_t r = 0; r < amount; r++)
        for (int64_t i = 0; i < count; i++)
            out[r * count + i] = old[i] + r * (high - low + 1);
}

static Status repeat_run(NodeCall *call)
{
    const RepeatIn *in = call->in;
    LatentOut *out = call->out;
    const Latent *l = in->samples;
    int64_t n = in->amount, batch = l->samples->shape[0], *index = NULL;
    Status status = OK;
    Tensor *samples = NULL, *mask = NULL, *items = NULL;
    TRY_DONE(mask_items(l->noise_mask, batch, 0, batch, &items, call->err));
    if (items && items->shape[0] > 1)
        TRY_DONE(repeat_tensor(items, n, &mask, call->err));
    else
        mask = tensor_ref(items);
    if (l->batch_index) {
        index = mem_alloc_array((size_t)(l->batch_count * n), sizeof *index);
        if (!index) {
            status = error_set(call->err, E_NOMEM, "no memory for a batch index");
            goto done;
        }
        repeat_index(l->batch_index, l->batch_count, n, index);
    }
    TRY_DONE(repeat_tensor(l->samples, n, &samples, call->err));
    status = assemble(tensor_ref(samples), tensor_ref(mask), index, l->batch_count * n,
                      &out->latent, call->err);
done:
    tensor_unref(samples);
    tensor_unref(mask);
    tensor_unref(items);
    mem_free(index);
    return status;
}

static const NodeDef repeat_latent = {
    .class_type = "RepeatLatentBatch",
    .display = "Repeat Latent Batch",
    .category = "latent/batch",
    .doc = "Repeats a latent along the batch.",
    .inputs = repeat_in,
    .outputs = latent_out,
    .in_size = sizeof(RepeatIn),
    .out_size = sizeof(LatentOut),
    .run = repeat_run,
};

/* ---- resizing --------------------------------------------------------------------------------------- */

static const char *const latent_methods[] = { "nearest-exact", "bilinear", "area",
                                              "bicubic",       "bislerp",  NULL };
static const char *const crops[] = { "disabled", "center", NULL };

static Status resize_latent(const Latent *l, Size2 size, const char *method, bool center,
                            Latent **out, Error *err)
{
    ResizeMethod m = RESIZE_NEAREST_EXACT;
    Tensor *samples = NULL;
    resize_method_from_name(method, &m);
    TRY(resize_nchw(l->samples, size.width, size.height, m, center, &samples, err));
    return latent_with_samples(l, samples, out, err);
}

static Size2 latent_size(const Latent *l)
{
    return (Size2){ l->samples->shape[3], l->samples->shape[2] };
}

typedef struct UpscaleIn {
    const Latent *samples;
    const char *upscale_method;
    int64_t width, height;
    const char *crop;
} UpscaleIn;

/* clang-format off */
static const Socket upscale_in[] = {
    { ROW(UpscaleIn, samples, SOCK_LATENT), .doc = "Latent to resize." },
    { ROW(UpscaleIn, upscale_method, SOCK_COMBO), .options = latent_methods, .doc = "How cells between are found." },
    { ROW(UpscaleIn, width, SOCK_INT), .def = 512, .max = SIDE_MAX, .step = 8, .doc = "Width in pixels of an 8-pixel latent; 0 follows the ratio." },
    { ROW(UpscaleIn, height, SOCK_INT), .def = 512, .max = SIDE_MAX, .step = 8, .doc = "Height in pixels of an 8-pixel latent; 0 follows the ratio." },
    { ROW(UpscaleIn, crop, SOCK_COMBO), .options = crops, .doc = "Cut to the new aspect first." },
    END_ROWS
};
/* clang-format on */

static Status upscale_run(NodeCall *call)
{
    const UpscaleIn *in = call->in;
    LatentOut *out = call->out;
    if (in->width == 0 && in->height == 0) {
        out->latent = latent_ref(in->samples);
        return OK;
    }
    return resize_latent(
        in->samples, size_latent_upscale(latent_size(in->samples), in->width, in->height),
        in->upscale_method, strcmp(in->crop, "center") == 0, &out->latent, call->err);
}

static const NodeDef latent_upscale = {
    .class_type = "LatentUpscale",
    .display = "Upscale Latent",
    .category = "latent",
    .doc = "Resizes a latent; sizes count 8 pixels a cell, so FLUX.2 pictures become twice as "
           "large.",
    .inputs = upscale_in,
    .outputs = latent_out,
    .in_size = sizeof(UpscaleIn),
    .out_size = sizeof(LatentOut),
    .run = upscale_run,
};

typedef struct UpscaleByIn {
    const Latent *samples;
    const char *upscale_method;
    double scale_by;
} UpscaleByIn;

/* clang-format off */
static const Socket upscale_by_in[] = {
    { ROW(UpscaleByIn, samples, SOCK_LATENT), .doc = "Latent to resize." },
    { ROW(UpscaleByIn, upscale_method, SOCK_COMBO), .options = latent_methods, .doc = "How cells between are found." },
    { ROW(UpscaleByIn, scale_by, SOCK_FLOAT), .def = 1.5, .min = 0.01, .max = 8, .step = 0.01, .doc = "Factor on both sides." },
    END_ROWS
};
/* clang-format on */

static Status upscale_by_run(NodeCall *call)
{
    const UpscaleByIn *in = call->in;
    LatentOut *out = call->out;
    return resize_latent(in->samples, size_scale_by(latent_size(in->samples), in->scale_by),
                         in->upscale_method, false, &out->latent, call->err);
}

static const NodeDef latent_upscale_by = {
    .class_type = "LatentUpscaleBy",
    .display = "Upscale Latent By",
    .category = "latent",
    .doc = "Resizes a latent by a factor.",
    .inputs = upscale_by_in,
    .outputs = latent_out,
    .in_size = sizeof(UpscaleByIn),
    .out_size = sizeof(LatentOut),
    .run = upscale_by_run,
};

/* ---- files ------------------------------------------------------------------------------------------ */

typedef struct SaveIn {
    const Latent *samples;
    const char *filename_prefix, *prompt, *extra_pnginfo;
} SaveIn;

/* clang-format off */
static const Socket save_in[] = {
    { ROW(SaveIn, samples, SOCK_LATENT), .doc = "Latent to write." },
    { ROW(SaveIn, filename_prefix, SOCK_STRING), .sdef = "latents/ComfyUI", .doc = "Folder and start of the file name." },
    { ROW(SaveIn, prompt, SOCK_STRING), .flags = SOCK_F_HIDDEN_PROMPT, .doc = "The workflow, for the file's metadata." },
    { ROW(SaveIn, extra_pnginfo, SOCK_STRING), .flags = SOCK_F_HIDDEN_PNGINFO, .doc = "The editor's file, for the metadata." },
    END_ROWS
};
/* clang-format on */

static Status save_run(NodeCall *call)
{
    const SaveIn *in = call->in;
    Metadata meta = { 0 };
    Status status = metadata_init(&meta, call, in->prompt, in->extra_pnginfo);
    if (status == OK) status = latent_file_save(call, in->samples, in->filename_prefix, &meta);
    metadata_fini(&meta);
    return status;
}

static const NodeDef save_latent = {
    .class_type = "SaveLatent",
    .category = "_for_testing",
    .doc = "Writes a latent as a .latent file (safetensors).",
    .inputs = save_in,
    .outputs = no_out,
    .in_size = sizeof(SaveIn),
    .flags = NODE_F_OUTPUT,
    .run = save_run,
};

typedef struct LoadIn {
    const char *latent;
} LoadIn;

/* clang-format off */
static const Socket load_in[] = {
    { ROW(LoadIn, latent, SOCK_COMBO), .options_fn = latent_file_options, .folder = "input", .doc = ".latent file of the input folder." },
    END_ROWS
};
/* clang-format on */

static Status load_run(NodeCall *call)
{
    const LoadIn *in = call->in;
    LatentOut *out = call->out;
    return latent_file_load(call->host, in->latent, &out->latent, call->err);
}

static Status load_check(struct Host *host, const void *data, Error *err)
{
    const LoadIn *in = data;
    const char *path = NULL;
    return host_find_input(host, in->latent, &path, err);
}

static Status load_changed(struct Host *host, const void *data, char token[65], Error *err)
{
    const LoadIn *in = data;
    return input_file_token(host, in->latent, token, err);
}

static const NodeDef load_latent = {
    .class_type = "LoadLatent",
    .category = "_for_testing",
    .doc = "Reads a .latent file of the input folder.",
    .inputs = load_in,
    .outputs = latent_out,
    .in_size = sizeof(LoadIn),
    .out_size = sizeof(LatentOut),
    .run = load_run,
    .check = load_check,
    .changed = load_changed,
};

const NodeDef *const latent_nodes[] = {
    &empty_latent,  &empty_sd3_latent, &empty_flux2_latent, &set_noise_mask, &latent_from_batch,
    &repeat_latent, &latent_upscale,   &latent_upscale_by,  &save_latent,    &load_latent,
    NULL,
};
