/* inputs.c - gathers what one call of the denoiser reads. */
#include "engine/models/inputs.h"

#include <string.h>

#include "engine/models/attention_mask.h"
#include "engine/models/concat.h"
#include "engine/models/style_tokens.h"

/* Stands for the bias in dummy runs, which keep none. */
static const float dummy_bias[1];

void run_state_fini(RunState *s, Host *h)
{
    tensor_unref(s->mask);
    for (int i = 0; i < MODEL_MAX_CONTROLS; i++)
        room_fini(&s->controls[i], h);
    room_fini(&s->bias, h);
    kv_fini(&s->kv, h);
    memset(s, 0, sizeof *s);
}

void inputs_fini(CallInputs *in)
{
    for (int k = 0; k < MODEL_MAX_REFS; k++)
        tensor_unref(in->refs[k]);
    tensor_unref(in->concat);
    tensor_unref(in->style);
}

static Status read_references(const InputSource *from, const CondEntry *cond, CallInputs *in,
                              Error *err)
{
    for (int k = 0; k < cond->reference_count; k++) {
        TRY(latent_process_in(&from->denoiser->format, cond->references[k], &in->refs[k], err));
        in->ref_data[k] = tensor_f32(in->refs[k]);
        in->ref_sizes[k] = (PosSize){ in->refs[k]->shape[2], in->refs[k]->shape[3] };
    }
    return OK;
}

/* The extra channels of the whole latent, and of those the area that the call is about. */
static Status read_concat(const InputSource *from, const DenoiseCall *call, CallInputs *in,
                          Error *err)
{
    const int64_t *x = call->x->shape;
    ConcatCall c = { .format = &from->denoiser->format,
                     .latent = call->cond->concat_latent,
                     .mask =
                         call->cond->concat_mask ? call->cond->concat_mask : from->state->mask,
                     .extra = from->dims->in_channels - from->dims->channels,
                     .batch = x[0],
                     .h = call->full_h ? call->full_h : x[2],
                     .w = call->full_w ? call->full_w : x[3] };
    Tensor *whole = NULL;

    if (c.extra == 0) return OK;
    TRY(concat_channels(&c, &whole, err));
    Status s = concat_crop(whole, call->y0, call->x0, x[2], x[3], &in->concat, err);
    tensor_unref(whole);
    return s;
}

/* ---- ControlNets ------------------------------------------------------------------------------------------ */

static Status not_for_model(const ControlNet *net, const char *what, int64_t nets,
                            int64_t models, Error *err)
{
    error_set(err, E_SHAPE, "the ControlNet has %s %lld, the model %lld", what, (long long)nets,
              (long long)models);
    error_at_file(err, controlnet_file(net), -1);
    error_fix(err, "use a ControlNet that was trained for this model");
    return E_SHAPE;
}

static Status check_control(const InputSource *from, const CondEntry *cond,
                            const ControlNet *net, Error *err)
{
    const ModelDims *c = controlnet_dims(net), *m = from->dims;

    if (strcmp(from->family->name, "flux1") != 0) {
        error_set(err, E_UNSUPPORTED,
                  "this ControlNet is for FLUX.1 and the model is %s, whose blocks are others",
                  from->family->name);
        error_at_file(err, controlnet_file(net), -1);
        error_fix(err, "use a FLUX.1 model, or take the ControlNet out");
        return E_UNSUPPORTED;
    }
    if (c->width != m->width) return not_for_model(net, "width", c->width, m->width, err);
    if (c->context != m->context)
        return not_for_model(net, "text states of width", c->context, m->context, err);
    if (c->channels != m->channels)
        return not_for_model(net, "latent channels", c->channels, m->channels, err);
    if (c->pooled && cond->pooled && tensor_count(cond->pooled) < c->pooled)
        return not_for_model(net, "pooled text vectors of", c->pooled,
                             tensor_count(cond->pooled), err);
    return OK;
}

/* Room for the residuals of net i, and where each lies. */
static Status make_room(const InputSource *from, CallInputs *in, int i, int64_t tokens,
                        Error *err)
{
    Room *room = &from->state->controls[i];
    const ControlNet *net = control_net(in->controls[i]);
    ControlShape shape = controlnet_shape(net);
    size_t size = controlnet_bytes(net, tokens);
    int count = shape.doubles + shape.singles;

    TRY(room_make(room, from->host, size, err));
    for (int k = 0; k < count; k++)
        in->places[i][k] =
            room->memory ? (char *)room->memory + size / (size_t)count * (size_t)k : NULL;
    in->residuals[i] = (ForwardControl){ .shape = shape,
                                         .doubles = in->places[i],
                                         .singles = in->places[i] + shape.doubles };
    return OK;
}

static Status read_controls(const InputSource *from, const DenoiseCall *call, CallInputs *in,
                            Error *err)
{
    const int64_t *x = call->x->shape;
    const Tensor *hint;

    for (int k = 0; k < call->cond->control_count; k++) {
        Control *c = (Control *)(uintptr_t)call->cond->controls[k];
        if (!control_is_active(c, from->denoiser->sampling, call->sigma)) continue;
        if (in->n_controls == MODEL_MAX_CONTROLS)
            return error_set(err, E_LIMIT, "more than %d ControlNets act at one time",
                             MODEL_MAX_CONTROLS);
        TRY(check_control(from, call->cond, control_net(c), err));
        TRY(control_hint(c, x[2], x[3], &hint, err));
        in->controls[in->n_controls++] = c;
    }
    for (int i = 0; i < in->n_controls; i++)
        TRY(make_room(from, in, i, pos_tokens(&from->dims->positions, (PosSize){ x[2], x[3] }),
                      err));
    return in->n_controls ? host_enter(from->host, from->component, err) : OK;
}

/* Item b of a batched tensor; batches of another size go round. */
static float *batch_item(const Tensor *t, int64_t b)
{
    return tensor_f32(t) + b % t->shape[0] * (tensor_count(t) / t->shape[0]);
}

static Status run_controls(CallInputs *in, int64_t b, ForwardCall *f, Error *err)
{
    for (int i = 0; i < in->n_controls; i++) {
        const Tensor *hint;
        Control *c = in->controls[i];
        TRY(control_hint(c, f->size.h, f->size.w, &hint, err));
        ControlCall call = { .forward = f,
                             .hint = batch_item(hint, b),
                             .strength = control_strength(c),
                             .doubles = in->residuals[i].doubles,
                             .singles = in->residuals[i].singles };
        TRY(controlnet_run(control_net(c), &call, err));
    }
    f->controls = in->residuals;
    f->n_controls = in->n_controls;
    return OK;
}

/* ---- style tokens, attention bias ------------------------------------------------------------------------- */

static Status check_tokens(const InputSource *from, const StyleTokens *t, Error *err)
{
    if (t->rows->shape[1] == from->dims->width && strcmp(from->family->name, "flux1") == 0)
        return OK;
    error_set(err, E_SHAPE,
              "the style reference gives tokens of width %lld, the model %s has %lld",
              (long long)t->rows->shape[1], from->family->name, (long long)from->dims->width);
    error_fix(err, "use a FLUX.1 model");
    return E_SHAPE;
}

/* All style tokens in one value, the last patch's first. */
static Status read_style(const InputSource *from, CallInputs *in, Error *err)
{
    const Patch *p;

    for (int i = 0; (p = patch_set_find(from->patches, PATCH_TOKENS, i)); i++) {
        const StyleTokens *t = (const StyleTokens *)(const void *)p->object;
        const Tensor *parts[2] = { t->rows, in->style };
        Tensor *joined = NULL;
        TRY(check_tokens(from, t, err));
        TRY(tensor_concat(parts, in->style ? 2 : 1, 0, &joined, err));
        tensor_unref(in->style);
        in->style = joined;
    }
    return OK;
}

static Status check_bias(const InputSource *from, const CondEntry *cond, const AttentionMask *m,
                         Error *err)
{
    if (m->text > cond->embed->shape[1])
        return error_set(err, E_SHAPE,
                         "a style model's attention mask is of %lld text tokens, the "
                         "conditioning has %lld",
                         (long long)m->text, (long long)cond->embed->shape[1]);
    if (!patch_set_find(from->patches, PATCH_KV, 0) || cond->reference_count == 0) return OK;
    error_set(err, E_UNSUPPORTED,
              "kept keys of references and a style model's attention bias do not go together");
    error_fix(err, "take FluxKVCache out, or set strength_type to multiply");
    return E_UNSUPPORTED;
}

/* The bias over all rows: style, padding, text, target, references. */
static Status read_bias(const InputSource *from, const DenoiseCall *call, CallInputs *in,
                        Error *err)
{
    const CondEntry *cond = call->cond;
    const AttentionMask *m = (const AttentionMask *)(const void *)cond->extra;
    const PosLayout *l = &from->dims->positions;
    int64_t text = cond->embed->shape[1], before = in->style ? in->style->shape[0] : 0,
            refs = 0;

    if (!m) return OK;
    TRY(check_bias(from, cond, m, err));
    if (text < from->dims->context_pad) before += from->dims->context_pad - text;
    int64_t target = pos_tokens(l, (PosSize){ call->x->shape[2], call->x->shape[3] });
    for (int k = 0; k < cond->reference_count; k++)
        refs += pos_tokens(l, in->ref_sizes[k]);
    size_t n = (size_t)(before + text + target + refs);
    TRY(room_make(&from->state->bias, from->host, n * n * sizeof(float), err));
    in->bias = from->state->bias.memory;
    if (in->bias)
        attention_mask_fill(m, before, text, target, refs, from->state->bias.memory);
    else
        in->bias = dummy_bias; /* says that there is one; never read */
    return OK;
}

/* ---- the call ----------------------------------------------------------------------------------------------- */

Status inputs_read(const InputSource *from, const DenoiseCall *call, CallInputs *in, Error *err)
{
    TRY(read_references(from, call->cond, in, err));
    TRY(read_concat(from, call, in, err));
    TRY(read_style(from, in, err));
    TRY(read_bias(from, call, in, err));
    return read_controls(from, call, in, err);
}

Status inputs_of_item(const InputSource *from, const DenoiseCall *call, CallInputs *in,
                      int64_t b, ForwardCall *f, Error *err)
{
    const CondEntry *cond = call->cond;

    *f = (ForwardCall){ .x = batch_item(call->x, b),
                        .size = { call->x->shape[2], call->x->shape[3] },
                        .sigma = call->sigma,
                        .context = tensor_f32(cond->embed),
                        .tokens = cond->embed->shape[1],
                        .pad = true,
                        .pooled = cond->pooled ? tensor_f32(cond->pooled) : NULL,
                        .guided = cond->guidance_use != GUIDANCE_OFF,
                        .guidance = cond->guidance_use == GUIDANCE_VALUE ? cond->guidance : 3.5,
                        .concat = in->concat ? batch_item(in->concat, b) : NULL,
                        .concat_channels = in->concat ? in->concat->shape[1] : 0,
                        .refs = in->ref_data,
                        .ref_sizes = in->ref_sizes,
                        .n_refs = cond->reference_count,
                        .method = cond->method,
                        .skip = call->skip,
                        .style = in->style ? tensor_f32(in->style) : NULL,
                        .style_rows = in->style ? in->style->shape[0] : 0,
                        .bias = in->bias,
                        .out = batch_item(call->out, b) };
    if (f->n_refs && patch_set_find(from->patches, PATCH_KV, 0))
        TRY(kv_use(&from->state->kv, from->model, from->host, cond, f, err));
    return run_controls(in, b, f, err);
}
