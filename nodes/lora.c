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

static void note_report(NodeCall *call, const char *path, const LoraReport *r,
                        double strength_clip)
{
    if (r->misfits)
        note(call, path, "changes of other shapes than the model's tensors are left out",
             r->misfit_key, r->misfits);
    if (r->unmatched)
        note(call, path, "keys that name no tensor of the model are left out", r->unmatched_key,
             r->unmatched);
    if (r->text_keys && strength_clip != 0)
        note(call, path,
             "the LoRA holds keys for text encoders, which are not applied: the CLIP is "
             "handed on as it came",
             NULL, r->text_keys);
}

/* ---- both nodes ------------------------------------------------------------------------------------------- */

/* The model under the LoRA; strength 0 for both hands it on. */
static Status apply_file(NodeCall *call, const Model *model, const char *path, double strength,
                         double strength_clip, Model **out)
{
    WeightsOptions options = { .dummy = host_dummy(call->host) };
    Weights *file = NULL;
    Lora *lora = NULL;
    LoraPatch *object = NULL;
    Status status = OK;

    TRY_DONE(weights_open(path, &options, &file, call->err));
    TRY_DONE(lora_open(file, model_weights(model), host_exact(call->host), &lora, call->err));
    note_report(call, path, lora_report(lora), strength_clip);
    TRY_DONE(patch_new(lora, &object, call->err));
    Patch patch = { .kind = PATCH_WEIGHTS,
                    .object = &object->base.ref,
                    .text = call->def->class_type,
                    .strength = strength };
    if (strength != 0)
        TRY_DONE(model_with_patch(model, &patch, out, call->err));
    else
        *out = model_ref(model);
done:
    if (status != OK) error_at_file(call->err, path, -1);
    ref_drop(object);
    weights_unref(file);
    return status;
}

static Status apply_lora(NodeCall *call, const Model *model, const char *name, double strength,
                         double strength_clip, Model **out)
{
    const char *path = NULL;

    if (strength == 0 && strength_clip == 0) {
        *out = model_ref(model);
        return OK;
    }
    Status status = host_find_model(call->host, "loras", name, &path, call->err);
    if (status == OK) return apply_file(call, model, path, strength, strength_clip, out);
    if (status != E_MISSING || !host_dummy(call->host)) return status;
    error_clear(call->err);
    note(call, name, "LoRA file is missing; the model is taken without it", NULL, 0);
    *out = model_ref(model);
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
    TRY(apply_lora(call, in->model, in->lora_name, in->strength_model, in->strength_clip,
                   &out->model));
    out->clip = ref_take(in->clip);
    return OK;
}

static const NodeDef lora_loader = {
    .class_type = "LoraLoader",
    .display = "Load LoRA (Model and CLIP)",
    .category = "loaders",
    .doc = "Adds a LoRA's changes to the matrices of a model.",
    .engine_note =
        "Low-rank products, LoHa, LoKr, DoRA, full differences and replaced tensors, "
        "merged in float32. "
        "Keys for text encoders are reported and not applied.",
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
    return apply_lora(call, in->model, in->lora_name, in->strength_model, 0, &out->model);
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
