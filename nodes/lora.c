/* lora.c - node types that apply LoRA files. */
#include "nodes/lora.h"

#include "engine/base/mem.h"
#include "engine/lora/lora.h"
#include "engine/models/model.h"
#include "engine/residency/host.h"
#include "engine/text/encoder.h"
#include "nodes/menus.h"
#include "nodes/rows.h"

/* ---- the patch -------------------------------------------------------------------------------------------- */

/* A LoRA as the object of a weight patch. */
typedef struct LoraPatch {
    WeightPatch base;
    Lora *lora;
} LoraPatch;

static void patch_destroy(void *object)
{
    LoraPatch *p = object;
    lora_free(p->lora);
    mem_free(p);
}

static Status patch_apply(WeightPatch *self, const char *name, double strength, KWeight *w,
                          Error *err)
{
    return lora_apply(((LoraPatch *)(void *)self)->lora, name, strength, w, err);
}

/* Takes lora over. */
static Status patch_new(Lora *lora, LoraPatch **out, Error *err)
{
    LoraPatch *p = mem_calloc(1, sizeof *p);
    if (!p) {
        lora_free(lora);
        return error_set(err, E_NOMEM, "out of memory");
    }
    ref_init(&p->base.ref, patch_destroy);
    p->base.apply = patch_apply;
    p->lora = lora;
    *out = p;
    return OK;
}

/* ---- what the user should know ------------------------------------------------------------------------------ */

static void note(NodeCall *call, const char *path, const char *text, const char *detail,
                 int64_t count)
{
    events_emit(call->events, &(Event){ .kind = EV_NOTE,
                                        .node = call->id,
                                        .path = path,
                                        .text = text,
                                        .detail = detail,
                                        .count = count });
}

static void note_model(NodeCall *call, const char *path, const LoraReport *r)
{
    if (r->misfits)
        note(call, path, "changes of other shapes than the model's tensors are left out",
             r->misfit_key, r->misfits);
    if (r->unmatched)
        note(call, path, "keys that name no tensor of the model are left out", r->unmatched_key,
             r->unmatched);
    if (!r->changes && !r->text_keys)
        note(call, path, "the LoRA changes nothing in this model",
             r->misfits ? r->misfit_key : r->unmatched_key, r->unmatched + r->misfits);
}

static void note_text(NodeCall *call, const char *path, const LoraReport *model,
                      const TextLoraReport *r)
{
    int left = model->text_keys - r->matched;
    if (r->misfits)
        note(call, path, "changes of other shapes than the text encoder's tensors are left out",
             r->misfit_key, r->misfits);
    if (left > 0)
        note(call, path, "keys for text encoders that name no tensor of this one are left out",
             NULL, left);
}

/* ---- both nodes ------------------------------------------------------------------------------------------- */

/* What goes in and comes out; the encoder may be NULL. */
typedef struct Pair {
    const Model *model;
    const TextEncoder *clip;
    double strength_model, strength_clip;
    Model *new_model;
    TextEncoder *new_clip;
} Pair;

static Status patch_model(NodeCall *call, const Weights *file, const char *path, Pair *p,
                          LoraReport *report)
{
    Lora *lora = NULL;
    LoraPatch *object = NULL;

    TRY(lora_open(file, model_weights(p->model), host_exact(call->host), &lora, call->err));
    *report = *lora_report(lora);
    note_model(call, path, report);
    if (p->strength_model == 0 || report->changes == 0) {
        lora_free(lora);
        p->new_model = model_ref(p->model);
        return OK;
    }
    TRY(patch_new(lora, &object, call->err));
    Patch patch = { .kind = PATCH_WEIGHTS,
                    .object = &object->base.ref,
                    .text = call->def->class_type,
                    .strength = p->strength_model };
    Status status = model_with_patch(p->model, &patch, &p->new_model, call->err);
    ref_drop(object);
    return status;
}

static Status patch_clip(NodeCall *call, const Weights *file, const char *path, Pair *p,
                         const LoraReport *model)
{
    TextLoraReport report;

    if (!p->clip || p->strength_clip == 0) {
        p->new_clip = ref_take(p->clip);
        return OK;
    }
    TRY(text_encoder_with_lora(p->clip, call->host, file, p->strength_clip, &p->new_clip,
                               &report, call->err));
    note_text(call, path, model, &report);
    return OK;
}

static Status apply_file(NodeCall *call, const char *path, Pair *p)
{
    WeightsOptions options = { .dummy = host_dummy(call->host) };
    LoraReport report = { 0 };
    Weights *file = NULL;
    Status status = OK;

    TRY_DONE(weights_open(path, &options, &file, call->err));
    TRY_DONE(patch_model(call, file, path, p, &report));
    TRY_DONE(patch_clip(call, file, path, p, &report));
done:
    if (status != OK) {
        error_at_file(call->err, path, -1);
        model_unref(p->new_model);
        p->new_model = NULL;
    }
    weights_unref(file);
    return status;
}

static void hand_on(Pair *p)
{
    p->new_model = model_ref(p->model);
    p->new_clip = ref_take(p->clip);
}

/* The pair under the LoRA; strength 0 for both hands it on. */
static Status apply_lora(NodeCall *call, const char *name, Pair *p)
{
    const char *path = NULL;

    if (p->strength_model == 0 && p->strength_clip == 0) {
        hand_on(p);
        return OK;
    }
    Status status = host_find_model(call->host, "loras", name, &path, call->err);
    if (status == OK) return apply_file(call, path, p);
    if (status != E_MISSING || !host_dummy(call->host)) return status;
    error_clear(call->err);
    note(call, name, "LoRA file is missing; the model is taken without it", NULL, 0);
    hand_on(p);
    return OK;
}

/* ---- LoraLoader ------------------------------------------------------------------------------------------- */

typedef struct LoraIn {
    const Model *model;
    const TextEncoder *clip;
    const char *lora_name;
    double strength_model, strength_clip;
} LoraIn;

typedef struct LoraOut {
    Model *model;
    TextEncoder *clip;
} LoraOut;

/* clang-format off */
static const Socket lora_in[] = {
    { ROW(LoraIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(LoraIn, clip, SOCK_CLIP), .doc = "Text encoder that belongs to it." },
    { ROW(LoraIn, lora_name, SOCK_COMBO), .options_fn = lora_options, .folder = "loras", .doc = "File in models/loras." },
    { ROW(LoraIn, strength_model, SOCK_FLOAT), .def = 1, .min = -100, .max = 100, .step = 0.01, .doc = "Factor of the change of the model; may be negative." },
    { ROW(LoraIn, strength_clip, SOCK_FLOAT), .def = 1, .min = -100, .max = 100, .step = 0.01, .doc = "Factor of the change of the text encoder." },
    END_ROWS
};
static const Socket lora_out[] = {
    OUT(LoraOut, model, "MODEL", SOCK_MODEL), OUT(LoraOut, clip, "CLIP", SOCK_CLIP), END_ROWS
};
/* clang-format on */

static Status lora_run(NodeCall *call)
{
    const LoraIn *in = call->in;
    LoraOut *out = call->out;
    Pair p = { .model = in->model,
               .clip = in->clip,
               .strength_model = in->strength_model,
               .strength_clip = in->strength_clip };
    TRY(apply_lora(call, in->lora_name, &p));
    out->model = p.new_model;
    out->clip = p.new_clip;
    return OK;
}

static const NodeDef lora_loader = {
    .class_type = "LoraLoader",
    .display = "Load LoRA (Model and CLIP)",
    .category = "loaders",
    .doc = "Adds a LoRA's changes to the matrices of a model and its text encoders.",
    .engine_note =
        "Low-rank products, LoHa, LoKr, DoRA, full differences and replaced tensors, "
        "merged in float32. Keys that fit nothing are counted in a note.",
    .stage = STAGE_LORA,
    NODE_PARTS(lora, LoraIn, LoraOut),
};

/* ---- LoraLoaderModelOnly ------------------------------------------------------------------------------------ */

typedef struct OnlyIn {
    const Model *model;
    const char *lora_name;
    double strength_model;
} OnlyIn;

typedef struct OnlyOut {
    Model *model;
} OnlyOut;

/* clang-format off */
static const Socket only_in[] = {
    { ROW(OnlyIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(OnlyIn, lora_name, SOCK_COMBO), .options_fn = lora_options, .folder = "loras", .doc = "File in models/loras." },
    { ROW(OnlyIn, strength_model, SOCK_FLOAT), .def = 1, .min = -100, .max = 100, .step = 0.01, .doc = "Factor of the change; may be negative." },
    END_ROWS
};
static const Socket only_out[] = { OUT(OnlyOut, model, "MODEL", SOCK_MODEL), END_ROWS };
/* clang-format on */

static Status only_run(NodeCall *call)
{
    const OnlyIn *in = call->in;
    OnlyOut *out = call->out;
    Pair p = { .model = in->model, .strength_model = in->strength_model };
    TRY(apply_lora(call, in->lora_name, &p));
    out->model = p.new_model;
    return OK;
}

static const NodeDef lora_model_only = {
    .class_type = "LoraLoaderModelOnly",
    .display = "Load LoRA",
    .category = "loaders",
    .doc = "Adds a LoRA's changes to the matrices of a model; text encoders stay as they are.",
    .stage = STAGE_LORA,
    NODE_PARTS(only, OnlyIn, OnlyOut),
};

const NodeDef *const lora_nodes[] = { &lora_loader, &lora_model_only, NULL };
