/* latent_edit.c - node types that combine, cut and turn latents. */
#include "nodes/latent_edit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/imaging/arrange.h"
#include "engine/imaging/cells.h"
#include "engine/imaging/compose.h"
#include "engine/sampling/latent.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* A copy of `l` with other samples (reference taken over when status is OK). */
static Status with_samples(Status status, const Latent *l, Tensor *samples, Latent **out,
                           Error *err)
{
    return status == OK ? latent_with_samples(l, samples, out, err) : status;
}

/* ---- LatentAdd --------------------------------------------------------------------------- */

typedef struct AddIn {
    const Latent *samples1, *samples2;
} AddIn;

/* clang-format off */
static const Socket add_in[] = {
    { ROW(AddIn, samples1, SOCK_LATENT), .doc = "First latent; it gives the size." },
    { ROW(AddIn, samples2, SOCK_LATENT), .doc = "Second latent; it is fitted to the first." },
    END_ROWS
};
/* clang-format on */

static Status add_run(NodeCall *call)
{
    const AddIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    Status status =
        planes_mix(in->samples1->samples, 1, in->samples2->samples, 1, &samples, call->err);

    return with_samples(status, in->samples1, samples, &out->latent, call->err);
}

static const NodeDef add_node = {
    .class_type = "LatentAdd",
    .category = "latent/advanced",
    .doc = "Adds two latents.",
    .inputs = add_in,
    .outputs = latent_out,
    .in_size = sizeof(AddIn),
    .out_size = sizeof(LatentOut),
    .run = add_run,
};

/* ---- LatentSubtract ---------------------------------------------------------------------- */

static Status subtract_run(NodeCall *call)
{
    const AddIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    Status status =
        planes_mix(in->samples1->samples, 1, in->samples2->samples, -1, &samples, call->err);

    return with_samples(status, in->samples1, samples, &out->latent, call->err);
}

static const NodeDef subtract_node = {
    .class_type = "LatentSubtract",
    .category = "latent/advanced",
    .doc = "The difference of two latents.",
    .inputs = add_in,
    .outputs = latent_out,
    .in_size = sizeof(AddIn),
    .out_size = sizeof(LatentOut),
    .run = subtract_run,
};

/* ---- LatentInterpolate ------------------------------------------------------------------- */

typedef struct InterpolateIn {
    const Latent *samples1, *samples2;
    double ratio;
} InterpolateIn;

/* clang-format off */
static const Socket interpolate_in[] = {
    { ROW(InterpolateIn, samples1, SOCK_LATENT), .doc = "First latent; it gives the size." },
    { ROW(InterpolateIn, samples2, SOCK_LATENT), .doc = "Second latent; it is fitted to the first." },
    { ROW(InterpolateIn, ratio, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the first." },
    END_ROWS
};
/* clang-format on */

static Status interpolate_run(NodeCall *call)
{
    const InterpolateIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    Status status = planes_interpolate(in->samples1->samples, in->samples2->samples, in->ratio,
                                       &samples, call->err);

    return with_samples(status, in->samples1, samples, &out->latent, call->err);
}

static const NodeDef interpolate_node = {
    .class_type = "LatentInterpolate",
    .category = "latent/advanced",
    .doc = "Mixes two latents: directions of the channel vectors, and their lengths.",
    .inputs = interpolate_in,
    .outputs = latent_out,
    .in_size = sizeof(InterpolateIn),
    .out_size = sizeof(LatentOut),
    .run = interpolate_run,
};

/* ---- LatentBlend ------------------------------------------------------------------------- */

typedef struct LatentBlendIn {
    const Latent *samples1, *samples2;
    double blend_factor;
} LatentBlendIn;

/* clang-format off */
static const Socket latent_blend_in[] = {
    { ROW(LatentBlendIn, samples1, SOCK_LATENT), .doc = "First latent; it gives the size." },
    { ROW(LatentBlendIn, samples2, SOCK_LATENT), .doc = "Second latent; it is fitted to the first." },
    { ROW(LatentBlendIn, blend_factor, SOCK_FLOAT), .def = 0.5, .max = 1, .step = 0.01, .doc = "Share of the first." },
    END_ROWS
};
/* clang-format on */

static Status latent_blend_run(NodeCall *call)
{
    const LatentBlendIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    Status status = planes_blend(in->samples1->samples, in->samples2->samples, in->blend_factor,
                                 &samples, call->err);

    return with_samples(status, in->samples1, samples, &out->latent, call->err);
}

static const NodeDef latent_blend_node = {
    .class_type = "LatentBlend",
    .display = "Latent Blend",
    .category = "_for_testing",
    .doc = "Mixes two latents.",
    .inputs = latent_blend_in,
    .outputs = latent_out,
    .in_size = sizeof(LatentBlendIn),
    .out_size = sizeof(LatentOut),
    .run = latent_blend_run,
};

/* ---- LatentMultiply ---------------------------------------------------------------------- */

typedef struct MultiplyIn {
    const Latent *samples;
    double multiplier;
} MultiplyIn;

/* clang-format off */
static const Socket multiply_in[] = {
    { ROW(MultiplyIn, samples, SOCK_LATENT), .doc = "Latent to change; it is copied." },
    { ROW(MultiplyIn, multiplier, SOCK_FLOAT), .def = 1, .min = -10, .max = 10, .step = 0.01, .doc = "Factor." },
    END_ROWS
};
/* clang-format on */

static Status multiply_run(NodeCall *call)
{
    const MultiplyIn *in = call->in;
    LatentOut *out = call->out;
    float factor = (float)in->multiplier;
    Tensor *samples = NULL;
    Status status = tensor_clone(in->samples->samples, &samples, call->err);

    for (int64_t i = 0; status == OK && i < tensor_count(samples); i++)
        tensor_f32(samples)[i] *= factor;
    return with_samples(status, in->samples, samples, &out->latent, call->err);
}

static const NodeDef multiply_node = {
    .class_type = "LatentMultiply",
    .category = "latent/advanced",
    .doc = "Multiplies a latent.",
    .inputs = multiply_in,
    .outputs = latent_out,
    .in_size = sizeof(MultiplyIn),
    .out_size = sizeof(LatentOut),
    .run = multiply_run,
};

/* ---- LatentConcat ------------------------------------------------------------------------ */

static const char *const concat_dims[] = { "x", "-x", "y", "-y", "t", "-t", NULL };

typedef struct ConcatIn {
    const Latent *samples1, *samples2;
    const char *dim;
} ConcatIn;

/* clang-format off */
static const Socket concat_in[] = {
    { ROW(ConcatIn, samples1, SOCK_LATENT), .doc = "First latent." },
    { ROW(ConcatIn, samples2, SOCK_LATENT), .doc = "Second latent; it is repeated over the batch." },
    { ROW(ConcatIn, dim, SOCK_COMBO), .options = concat_dims, .doc = "Axis; with a minus the second one comes first. On picture latents t means the channels." },
    END_ROWS
};
/* clang-format on */

/* Dimension of an axis of [B,C,h,w]; the t of films is the channels here. */
static int dim_of(const char *name)
{
    return strchr(name, 'x') ? 3 : strchr(name, 'y') ? 2 : 1;
}

static Status concat_run(NodeCall *call)
{
    const ConcatIn *in = call->in;
    LatentOut *out = call->out;
    const Tensor *a = in->samples1->samples;
    bool first = in->dim[0] != '-';
    Tensor *b = NULL, *samples = NULL;

    TRY(tensor_to_batch(in->samples2->samples, a->shape[0], &b, call->err));
    const Tensor *parts[] = { first ? a : b, first ? b : a };
    Status status = tensor_concat(parts, 2, dim_of(in->dim), &samples, call->err);
    tensor_unref(b);
    return with_samples(status, in->samples1, samples, &out->latent, call->err);
}

static const NodeDef concat_node = {
    .class_type = "LatentConcat",
    .category = "latent/advanced",
    .doc = "Puts two latents side by side.",
    .inputs = concat_in,
    .outputs = latent_out,
    .in_size = sizeof(ConcatIn),
    .out_size = sizeof(LatentOut),
    .run = concat_run,
};

/* ---- LatentCut --------------------------------------------------------------------------- */

static const char *const cut_dims[] = { "x", "y", "t", NULL };

typedef struct CutIn {
    const Latent *samples;
    const char *dim;
    int64_t index, amount;
} CutIn;

/* clang-format off */
static const Socket cut_in[] = {
    { ROW(CutIn, samples, SOCK_LATENT), .doc = "Latent to change; it is copied." },
    { ROW(CutIn, dim, SOCK_COMBO), .options = cut_dims, .doc = "Axis; on picture latents t means the channels." },
    { ROW(CutIn, index, SOCK_INT), .min = -16384, .max = 16384, .step = 1, .doc = "First cell; negative ones count from the end." },
    { ROW(CutIn, amount, SOCK_INT), .def = 1, .min = 1, .max = 16384, .step = 1, .doc = "Number of cells." },
    END_ROWS
};
/* clang-format on */

static Status cut_run(NodeCall *call)
{
    const CutIn *in = call->in;
    LatentOut *out = call->out;
    int dim = dim_of(in->dim);
    int64_t n = in->samples->samples->shape[dim], from = in->index, count = in->amount;
    Tensor *samples = NULL;

    if (from >= 0) {
        from = from < n ? from : n - 1;
        count = count < n - from ? count : n - from;
    } else {
        from = from > -n ? from : -n;
        count = count < -from ? count : -from;
        from += n;
    }
    Status status = tensor_narrow(in->samples->samples, dim, from, count, &samples, call->err);
    return with_samples(status, in->samples, samples, &out->latent, call->err);
}

static const NodeDef cut_node = {
    .class_type = "LatentCut",
    .category = "latent/advanced",
    .doc = "Cuts a strip out of a latent.",
    .inputs = cut_in,
    .outputs = latent_out,
    .in_size = sizeof(CutIn),
    .out_size = sizeof(LatentOut),
    .run = cut_run,
};

/* ---- LatentCutToBatch -------------------------------------------------------------------- */

static const char *const slice_dims[] = { "t", "x", "y", NULL };

typedef struct SliceIn {
    const Latent *samples;
    const char *dim;
    int64_t slice_size;
} SliceIn;

/* clang-format off */
static const Socket slice_in[] = {
    { ROW(SliceIn, samples, SOCK_LATENT), .doc = "Latent to change; it is copied." },
    { ROW(SliceIn, dim, SOCK_COMBO), .options = slice_dims, .doc = "Axis; t leaves a picture latent as it is." },
    { ROW(SliceIn, slice_size, SOCK_INT), .def = 1, .min = 1, .max = 16384, .step = 1, .doc = "Cells per strip; a rest is dropped." },
    END_ROWS
};
/* clang-format on */

static Status slice_run(NodeCall *call)
{
    const SliceIn *in = call->in;
    LatentOut *out = call->out;
    int dim = dim_of(in->dim);
    Tensor *samples = NULL;

    if (dim < 2) {
        out->latent = latent_ref(in->samples);
        return OK;
    }
    Status status =
        planes_slice_to_batch(in->samples->samples, dim, in->slice_size, &samples, call->err);
    return with_samples(status, in->samples, samples, &out->latent, call->err);
}

static const NodeDef slice_node = {
    .class_type = "LatentCutToBatch",
    .category = "latent/advanced",
    .doc = "Cuts a latent into strips that become a batch.",
    .inputs = slice_in,
    .outputs = latent_out,
    .in_size = sizeof(SliceIn),
    .out_size = sizeof(LatentOut),
    .run = slice_run,
};

/* ---- LatentCrop -------------------------------------------------------------------------- */

typedef struct LatentCropIn {
    const Latent *samples;
    int64_t width, height, x, y;
} LatentCropIn;

/* clang-format off */
static const Socket latent_crop_in[] = {
    { ROW(LatentCropIn, samples, SOCK_LATENT), .doc = "Latent to cut." },
    { ROW(LatentCropIn, width, SOCK_INT), .def = 512, .min = 64, .max = 16384, .step = 8, .doc = "Width in pixels." },
    { ROW(LatentCropIn, height, SOCK_INT), .def = 512, .min = 64, .max = 16384, .step = 8, .doc = "Height in pixels." },
    { ROW(LatentCropIn, x, SOCK_INT), .max = 16384, .step = 8, .doc = "Left edge in pixels." },
    { ROW(LatentCropIn, y, SOCK_INT), .max = 16384, .step = 8, .doc = "Top edge in pixels." },
    END_ROWS
};
/* clang-format on */

/* Cells [from, to) along one dimension; a negative end counts from the far side, as slices do in Python. */
static Status window(const Tensor *x, int dim, int64_t from, int64_t to, Tensor **out,
                     Error *err)
{
    int64_t n = x->shape[dim];

    from = from < 0 ? (from + n > 0 ? from + n : 0) : from;
    to = to < 0 ? to + n : to < n ? to : n;
    if (to <= from)
        return error_set(err, E_RANGE, "nothing is left of %lld cells", (long long)n);
    return tensor_narrow(x, dim, from, to - from, out, err);
}

static Status latent_crop_run(NodeCall *call)
{
    const LatentCropIn *in = call->in;
    LatentOut *out = call->out;
    const int64_t *s = in->samples->samples->shape;
    int64_t x = in->x / 8, y = in->y / 8;
    Tensor *rows = NULL, *samples = NULL;

    x = x < s[3] - 8 ? x : s[3] - 8;
    y = y < s[2] - 8 ? y : s[2] - 8;
    TRY(window(in->samples->samples, 2, y, y + in->height / 8, &rows, call->err));
    Status status = window(rows, 3, x, x + in->width / 8, &samples, call->err);
    tensor_unref(rows);
    return with_samples(status, in->samples, samples, &out->latent, call->err);
}

static const NodeDef latent_crop_node = {
    .class_type = "LatentCrop",
    .display = "Crop Latent",
    .category = "latent/transform",
    .doc = "Cuts a rectangle out of a latent; sizes count 8 pixels a cell.",
    .inputs = latent_crop_in,
    .outputs = latent_out,
    .in_size = sizeof(LatentCropIn),
    .out_size = sizeof(LatentOut),
    .run = latent_crop_run,
};

/* ---- LatentFlip -------------------------------------------------------------------------- */

static const char *const latent_flip_flip_methods[] = { "x-axis: vertically",
                                                        "y-axis: horizontally", NULL };

typedef struct LatentFlipIn {
    const Latent *samples;
    const char *flip_method;
} LatentFlipIn;

/* clang-format off */
static const Socket latent_flip_in[] = {
    { ROW(LatentFlipIn, samples, SOCK_LATENT), .doc = "Latent to change; it is copied." },
    { ROW(LatentFlipIn, flip_method, SOCK_COMBO), .options = latent_flip_flip_methods, .doc = "Which way round." },
    END_ROWS
};
/* clang-format on */

static Status latent_flip_run(NodeCall *call)
{
    const LatentFlipIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    int dim = in->flip_method[0] == 'x' ? 2 : 3;
    Status status = tensor_flip(in->samples->samples, dim, &samples, call->err);

    return with_samples(status, in->samples, samples, &out->latent, call->err);
}

static const NodeDef latent_flip_node = {
    .class_type = "LatentFlip",
    .display = "Flip Latent",
    .category = "latent/transform",
    .doc = "Mirrors a latent.",
    .inputs = latent_flip_in,
    .outputs = latent_out,
    .in_size = sizeof(LatentFlipIn),
    .out_size = sizeof(LatentOut),
    .run = latent_flip_run,
};

/* ---- LatentRotate ------------------------------------------------------------------------ */

static const char *const latent_rotate_rotations[] = { "none", "90 degrees", "180 degrees",
                                                       "270 degrees", NULL };

typedef struct LatentRotateIn {
    const Latent *samples;
    const char *rotation;
} LatentRotateIn;

/* clang-format off */
static const Socket latent_rotate_in[] = {
    { ROW(LatentRotateIn, samples, SOCK_LATENT), .doc = "Latent to change; it is copied." },
    { ROW(LatentRotateIn, rotation, SOCK_COMBO), .options = latent_rotate_rotations, .doc = "Angle, clockwise." },
    END_ROWS
};
/* clang-format on */

static Status latent_rotate_run(NodeCall *call)
{
    const LatentRotateIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    int quarters = in->rotation[0] == 'n' ? 0 : atoi(in->rotation) / 90;
    Status status = tensor_turn(in->samples->samples, 2, quarters, &samples, call->err);

    return with_samples(status, in->samples, samples, &out->latent, call->err);
}

static const NodeDef latent_rotate_node = {
    .class_type = "LatentRotate",
    .display = "Rotate Latent",
    .category = "latent/transform",
    .doc = "Turns a latent clockwise.",
    .inputs = latent_rotate_in,
    .outputs = latent_out,
    .in_size = sizeof(LatentRotateIn),
    .out_size = sizeof(LatentOut),
    .run = latent_rotate_run,
};

/* ---- LatentComposite --------------------------------------------------------------------- */

typedef struct LatentPasteIn {
    const Latent *samples_to, *samples_from;
    int64_t x, y, feather;
} LatentPasteIn;

/* clang-format off */
static const Socket latent_paste_in[] = {
    { ROW(LatentPasteIn, samples_to, SOCK_LATENT), .doc = "Latent that is pasted onto." },
    { ROW(LatentPasteIn, samples_from, SOCK_LATENT), .doc = "Latent that is pasted." },
    { ROW(LatentPasteIn, x, SOCK_INT), .max = 16384, .step = 8, .doc = "Left edge in pixels." },
    { ROW(LatentPasteIn, y, SOCK_INT), .max = 16384, .step = 8, .doc = "Top edge in pixels." },
    { ROW(LatentPasteIn, feather, SOCK_INT), .max = 16384, .step = 8, .doc = "Width of the soft edge in pixels." },
    END_ROWS
};
/* clang-format on */

static Status latent_paste_run(NodeCall *call)
{
    const LatentPasteIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    Status status = planes_paste(in->samples_to->samples, in->samples_from->samples, in->x / 8,
                                 in->y / 8, in->feather / 8, &samples, call->err);

    return with_samples(status, in->samples_to, samples, &out->latent, call->err);
}

static const NodeDef latent_paste_node = {
    .class_type = "LatentComposite",
    .display = "Latent Composite",
    .category = "latent",
    .doc = "Pastes a latent onto another with soft edges; places count 8 pixels a cell.",
    .inputs = latent_paste_in,
    .outputs = latent_out,
    .in_size = sizeof(LatentPasteIn),
    .out_size = sizeof(LatentOut),
    .run = latent_paste_run,
};

/* ---- LatentCompositeMasked --------------------------------------------------------------- */

typedef struct LatentPasteMaskIn {
    const Latent *destination, *source;
    int64_t x, y;
    bool resize_source;
    const Tensor *mask;
} LatentPasteMaskIn;

/* clang-format off */
static const Socket latent_paste_mask_in[] = {
    { ROW(LatentPasteMaskIn, destination, SOCK_LATENT), .doc = "Latent that is pasted onto." },
    { ROW(LatentPasteMaskIn, source, SOCK_LATENT), .doc = "Latent that is pasted." },
    { ROW(LatentPasteMaskIn, x, SOCK_INT), .max = 16384, .step = 8, .doc = "Left edge in pixels." },
    { ROW(LatentPasteMaskIn, y, SOCK_INT), .max = 16384, .step = 8, .doc = "Top edge in pixels." },
    { ROW(LatentPasteMaskIn, resize_source, SOCK_BOOLEAN), .doc = "Stretch the source to the destination first." },
    { ROW(LatentPasteMaskIn, mask, SOCK_MASK), .flags = SOCK_F_OPTIONAL, .doc = "1 where the source shows; without it everywhere." },
    END_ROWS
};
/* clang-format on */

static Status latent_paste_mask_run(NodeCall *call)
{
    const LatentPasteMaskIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    Status status = compose_masked(in->destination->samples, in->source->samples, in->x, in->y,
                                   in->mask, 8, in->resize_source, &samples, call->err);

    return with_samples(status, in->destination, samples, &out->latent, call->err);
}

static const NodeDef latent_paste_mask_node = {
    .class_type = "LatentCompositeMasked",
    .category = "latent",
    .doc = "Pastes a latent onto another through a mask; places count 8 pixels a cell.",
    .inputs = latent_paste_mask_in,
    .outputs = latent_out,
    .in_size = sizeof(LatentPasteMaskIn),
    .out_size = sizeof(LatentOut),
    .run = latent_paste_mask_run,
};

/* ---- batches -------------------------------------------------------------------------------------------- */

enum { GROW_MAX = 50 };

/* Places of all items in the noise: their own, or 0, 1, 2 ... of each latent. */
static Status join_places(const Latent *const *list, int n, Latent *to, Error *err)
{
    int64_t count = 0, at = 0, *index;

    for (int i = 0; i < n; i++)
        count += list[i]->batch_index ? list[i]->batch_count : list[i]->samples->shape[0];
    index = mem_alloc_array((size_t)count + 1, sizeof *index);
    if (!index) return error_set(err, E_NOMEM, "no memory for a batch index");
    for (int i = 0; i < n; i++) {
        const Latent *l = list[i];
        int64_t items = l->batch_index ? l->batch_count : l->samples->shape[0];
        for (int64_t k = 0; k < items; k++)
            index[at++] = l->batch_index ? l->batch_index[k] : k;
    }
    Status status = latent_set_batch_index(to, index, count, err);
    mem_free(index);
    return status;
}

static Status same_channels(const Latent *const *list, int n, Error *err)
{
    for (int i = 1; i < n; i++)
        if (list[i]->samples->shape[1] != list[0]->samples->shape[1])
            return error_set(err, E_SHAPE, "the latents have %lld and %lld channels",
                             (long long)list[0]->samples->shape[1],
                             (long long)list[i]->samples->shape[1]);
    return OK;
}

static Status join_latents(const Latent *const *list, int n, Latent **out, Error *err)
{
    const Tensor *parts[GROW_MAX];
    Tensor *samples = NULL;

    TRY(same_channels(list, n, err));
    for (int i = 0; i < n; i++)
        parts[i] = list[i]->samples;
    TRY(planes_join(parts, n, &samples, err));
    TRY(latent_with_samples(list[0], samples, out, err));
    Status status = join_places(list, n, *out, err);
    if (status != OK) {
        latent_unref(*out);
        *out = NULL;
    }
    return status;
}

/* ---- LatentBatch ------------------------------------------------------------------------- */

static Status batch_run(NodeCall *call)
{
    const AddIn *in = call->in;
    LatentOut *out = call->out;
    return join_latents((const Latent *const[]){ in->samples1, in->samples2 }, 2, &out->latent,
                        call->err);
}

static const NodeDef batch_node = {
    .class_type = "LatentBatch",
    .category = "latent/batch",
    .doc = "Puts two latents behind one another.",
    .inputs = add_in,
    .outputs = latent_out,
    .in_size = sizeof(AddIn),
    .out_size = sizeof(LatentOut),
    .flags = NODE_F_DEPRECATED,
    .run = batch_run,
};

typedef struct GrowIn {
    const Latent *items[GROW_MAX]; /* NULL where none is linked */
} GrowIn;

static const SocketGrow latents_grow = { .prefix = "latent", .type = SOCK_LATENT, .min = 2, .max = GROW_MAX };
/* clang-format off */
static const Socket batch_latents_in[] = {
    { .name = "latents", .type = SOCK_OTHER, .type_name = "COMFY_AUTOGROW_V3", .at = offsetof(GrowIn, items), .grow = &latents_grow, .doc = "Latents; the first one gives the size." },
    END_ROWS
};
/* clang-format on */

static Status batch_latents_run(NodeCall *call)
{
    const GrowIn *in = call->in;
    LatentOut *out = call->out;
    const Latent *list[GROW_MAX];
    int n = 0;

    for (int i = 0; i < GROW_MAX; i++)
        if (in->items[i]) list[n++] = in->items[i];
    return join_latents(list, n, &out->latent, call->err);
}

static const NodeDef batch_latents_node = {
    .class_type = "BatchLatentsNode",
    .display = "Batch Latents",
    .category = "latent",
    .doc = "Puts latents behind one another.",
    .inputs = batch_latents_in,
    .outputs = latent_out,
    .in_size = sizeof(GrowIn),
    .out_size = sizeof(LatentOut),
    .run = batch_latents_run,
};

/* ---- LatentBatchSeedBehavior ------------------------------------------------------------- */

static const char *const seeds_seed_behaviors[] = { "random", "fixed", NULL };

typedef struct SeedsIn {
    const Latent *samples;
    const char *seed_behavior;
} SeedsIn;

/* clang-format off */
static const Socket seeds_in[] = {
    { ROW(SeedsIn, samples, SOCK_LATENT), .doc = "Latent to change; it is copied." },
    { ROW(SeedsIn, seed_behavior, SOCK_COMBO), .options = seeds_seed_behaviors, .sdef = "fixed", .doc = "fixed: all items get the noise of the first; random: each its own." },
    END_ROWS
};
/* clang-format on */

static Status seeds_run(NodeCall *call)
{
    const SeedsIn *in = call->in;
    LatentOut *out = call->out;
    int64_t n = in->samples->samples->shape[0], *index = NULL;

    TRY(latent_copy(in->samples, &out->latent, call->err));
    if (strcmp(in->seed_behavior, "random") == 0)
        return latent_set_batch_index(out->latent, NULL, 0, call->err);
    index = mem_alloc_array((size_t)n, sizeof *index);
    if (!index) return error_set(call->err, E_NOMEM, "no memory for a batch index");
    for (int64_t i = 0; i < n; i++)
        index[i] = in->samples->batch_index ? in->samples->batch_index[0] : 0;
    Status status = latent_set_batch_index(out->latent, index, n, call->err);
    mem_free(index);
    return status;
}

static const NodeDef seeds_node = {
    .class_type = "LatentBatchSeedBehavior",
    .category = "latent/advanced",
    .doc = "Says whether the items of a batch get noise of their own.",
    .inputs = seeds_in,
    .outputs = latent_out,
    .in_size = sizeof(SeedsIn),
    .out_size = sizeof(LatentOut),
    .run = seeds_run,
};

/* clang-format off */
const NodeDef *const latent_edit_nodes[] = {
    &add_node,
    &subtract_node,
    &interpolate_node,
    &latent_blend_node,
    &multiply_node,
    &concat_node,
    &cut_node,
    &slice_node,
    &latent_crop_node,
    &latent_flip_node,
    &latent_rotate_node,
    &latent_paste_node,
    &latent_paste_mask_node,
    &batch_node,
    &batch_latents_node,
    &seeds_node,
    NULL,
};
/* clang-format on */
