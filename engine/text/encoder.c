/* encoder.c - the CLIP value of a workflow: tokenizers and their networks. */
#include "engine/text/encoder.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/base/mem.h"
#include "engine/formats/recognise.h"
#include "engine/text/part.h"
#include "engine/text/store.h"

enum { MAX_PARTS = 2 };

/* One part for FLUX.2; for FLUX.1 CLIP-L (pooled) before T5 (states). */
struct TextEncoder {
    Ref ref;
    TextPart parts[MAX_PARTS];
    int count;
    char name[80];
};

static void encoder_destroy(void *object)
{
    TextEncoder *e = object;
    for (int i = 0; i < e->count; i++)
        text_part_fini(&e->parts[i]);
    mem_free(e);
}

static Status encoder_new(TextEncoder **out, Error *err)
{
    TextEncoder *e = mem_calloc(1, sizeof *e);
    if (!e) return error_set(err, E_NOMEM, "out of memory for a text encoder");
    ref_init(&e->ref, encoder_destroy);
    *out = e;
    return OK;
}

/* The part whose states become the embedding. */
static const TextPart *main_part(const TextEncoder *e)
{
    return &e->parts[e->count - 1];
}

/* ---- opening ----------------------------------------------------------------------------- */

/* What the name of a missing file tells, else the node's type and the place of the file. */
static TextNetwork guess_network(const char *name, const char *type, int index)
{
    static const struct {
        const char *word;
        TextNetwork network;
    } words[] = { { "qwen", TEXT_QWEN3 },
                  { "mistral", TEXT_MISTRAL3 },
                  { "t5", TEXT_T5 },
                  { "clip", TEXT_CLIP },
                  { "vit-l", TEXT_CLIP } };
    for (size_t i = 0; name && i < sizeof words / sizeof *words; i++)
        if (strcasestr(name, words[i].word)) return words[i].network;
    if (type && strcmp(type, "flux") == 0) return index == 0 ? TEXT_CLIP : TEXT_T5;
    return TEXT_QWEN3;
}

static Status unknown_network(const Weights *w, Error *err)
{
    char looks[256];

    recognise_refuse(w, "text encoder of FLUX", err);
    if (err && err->fix[0]) {
        snprintf(looks, sizeof looks, "%s", err->fix);
        error_fix(err,
                  "%s: Qwen3 (FLUX.2 klein), Mistral-3 (FLUX.2 dev), T5 or CLIP-L (FLUX.1)",
                  looks);
    }
    return E_FORMAT;
}

/* The first network that the table holds, in the order of TextNetwork. */
static Status open_table(Host *h, const Weights *w, const TextFile *file, TextPart *out,
                         Error *err)
{
    for (int i = 0; i < TEXT_NETWORKS; i++) {
        Weights *found = NULL;
        bool paired;
        TRY(text_find(w, (TextNetwork)i, &found, &paired, err));
        if (!found) continue;
        TextPartSource source = { .network = (TextNetwork)i,
                                  .weights = found,
                                  .paired = paired,
                                  .name = file->name,
                                  .path = file->path };
        Status status = text_part_open(h, &source, out, err);
        weights_unref(found);
        return status;
    }
    return unknown_network(w, err);
}

static Status open_file(Host *h, const TextFile *file, const char *type, int index,
                        TextPart *out, Error *err)
{
    WeightsOptions options = { .dummy = host_dummy(h) };
    Weights *w = NULL;
    if (!file->path) {
        TextPartSource source = { .network = guess_network(file->name, type, index),
                                  .name = file->name };
        return text_part_open(h, &source, out, err);
    }
    TRY(weights_open(file->path, &options, &w, err));
    Status status = open_table(h, w, file, out, err);
    if (status != OK) error_at_file(err, file->path, -1);
    weights_unref(w);
    return status;
}

/* Whether the networks go together and with the node's type; puts CLIP-L first. */
static Status arrange(TextEncoder *e, const char *type, Error *err)
{
    TextPart *p = e->parts;
    bool flux2 = p[0].network == TEXT_QWEN3 || p[0].network == TEXT_MISTRAL3;
    const char *wanted = flux2 ? "flux2" : "flux";

    if (e->count == 2) {
        if (p[0].network == TEXT_T5 && p[1].network == TEXT_CLIP) {
            TextPart first = p[0];
            p[0] = p[1];
            p[1] = first;
        }
        if (p[0].network != TEXT_CLIP || p[1].network != TEXT_T5)
            return error_set(err, E_UNSUPPORTED,
                             "%s and %s do not go together; FLUX.1 takes CLIP-L and T5",
                             p[0].model->kind->name, p[1].model->kind->name);
    }
    if (type && (flux2 || e->count == 2) && strcmp(type, wanted) != 0) {
        Status status =
            error_set(err, E_UNSUPPORTED, "a %s text encoder is not used as type %s here",
                      p[e->count - 1].model->kind->name, type);
        error_fix(err, "set type to %s", wanted);
        return status;
    }
    if (e->count == 2)
        snprintf(e->name, sizeof e->name, "%s + %s", p[0].name, p[1].name);
    else
        snprintf(e->name, sizeof e->name, "%s", p[0].name);
    return OK;
}

Status text_encoder_open(Host *h, const TextFile *files, int count, const char *type,
                         TextEncoder **out, Error *err)
{
    TextEncoder *e = NULL;
    Status status = OK;

    if (count < 1 || count > MAX_PARTS)
        return error_set(err, E_UNSUPPORTED, "%d text encoder files at once; use 1 or 2",
                         count);
    TRY(encoder_new(&e, err));
    for (int i = 0; i < count; i++) {
        TRY_DONE(open_file(h, &files[i], type, i, &e->parts[i], err));
        e->count++;
    }
    TRY_DONE(arrange(e, type, err));
    *out = e;
    return OK;

done:
    text_encoder_unref(e);
    return status;
}

/* Adds the part when the checkpoint holds the network. */
static Status add_found(Host *h, TextEncoder *e, const Weights *w, TextNetwork network,
                        const char *file, Error *err)
{
    TextPartSource source = { .network = network, .name = file, .path = file };
    if (e->count == MAX_PARTS) return OK;
    TRY(text_find(w, network, &source.weights, &source.paired, err));
    if (!source.weights) return OK;
    Status status = text_part_open(h, &source, &e->parts[e->count], err);
    weights_unref(source.weights);
    if (status == OK) e->count++;
    return status;
}

Status text_encoder_from_checkpoint(Host *h, const Weights *checkpoint, const char *file,
                                    TextEncoder **out, Error *err)
{
    static const TextNetwork order[] = { TEXT_CLIP, TEXT_T5, TEXT_QWEN3, TEXT_MISTRAL3 };
    TextEncoder *e = NULL;
    Status status = OK;

    TRY(encoder_new(&e, err));
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        TRY_DONE(add_found(h, e, checkpoint, order[i], file, err));
    if (e->count == 0) {
        status = error_set(err, E_MISSING,
                           "the checkpoint holds no text encoder that is known here");
        goto done;
    }
    TRY_DONE(arrange(e, NULL, err));
    *out = e;
    return OK;

done:
    text_encoder_unref(e);
    return status;
}

/* ---- LoRA -------------------------------------------------------------------------------- */

static void add_report(TextLoraReport *sum, const LoraReport *part)
{
    sum->matched += part->matched;
    sum->misfits += part->misfits;
    if (!sum->misfit_key[0])
        snprintf(sum->misfit_key, sizeof sum->misfit_key, "%s", part->misfit_key);
}

Status text_encoder_with_lora(const TextEncoder *e, Host *h, const Weights *file,
                              double strength, TextEncoder **out, TextLoraReport *report,
                              Error *err)
{
    TextEncoder *copy = NULL;
    LoraReport part;

    *report = (TextLoraReport){ 0 };
    TRY(encoder_new(&copy, err));
    snprintf(copy->name, sizeof copy->name, "%s", e->name);
    for (; copy->count < e->count; copy->count++) {
        int i = copy->count;
        bool alone = e->parts[0].network != TEXT_CLIP;
        Status status = text_part_with_lora(&e->parts[i], file, strength, alone, host_exact(h),
                                            &copy->parts[i], &part, err);
        if (status != OK) {
            text_encoder_unref(copy);
            return status;
        }
        add_report(report, &part);
    }
    *out = copy;
    return OK;
}

/* ---- the last block ------------------------------------------------------------------------ */

Status text_encoder_with_last(const TextEncoder *e, Host *h, int layer, TextEncoder **out,
                              Error *err)
{
    TextEncoder *copy = NULL;

    if (e->count == 1 && e->parts[0].network == TEXT_CLIP)
        return error_set(err, E_UNSUPPORTED, "CLIP-L alone serves no FLUX model");
    TRY(encoder_new(&copy, err));
    snprintf(copy->name, sizeof copy->name, "%s", e->name);
    for (; copy->count < e->count; copy->count++) {
        Status status = text_part_with_last(&e->parts[copy->count], h, layer,
                                            &copy->parts[copy->count], err);
        if (status == OK) continue;
        text_encoder_unref(copy);
        return status;
    }
    *out = copy;
    return OK;
}

/* ---- encoding ---------------------------------------------------------------------------- */

enum { NUMBERS = 1 }; /* one more with every change of an encoder's numbers */

static void add_text(Sha256 *h, const char *text)
{
    uint64_t n = strlen(text);

    sha256_add(h, &n, sizeof n);
    sha256_add(h, text, n);
}

/* The key of an embedding on disk. False when it is not kept there: no folder, no files behind the encoder,
 * or embeddings of other files in the text. */
static bool store_key(const TextEncoder *e, Host *h, const char *first, const char *second,
                      uint8_t key[32])
{
    int32_t facts[] = { NUMBERS, host_exact(h), e->count };
    Sha256 digest;

    if (!text_store_on(h) || strstr(first, "embedding:") || strstr(second, "embedding:"))
        return false;
    sha256_init(&digest);
    sha256_add(&digest, facts, sizeof facts);
    add_text(&digest, host_backend(h)->name);
    for (int i = 0; i < e->count; i++)
        if (text_part_digest(&e->parts[i], &digest, NULL) != OK) return false;
    add_text(&digest, first);
    add_text(&digest, second);
    sha256_end(&digest, key);
    return true;
}

static Status encode_single(const TextEncoder *e, Host *h, const char *text, Tensor **states,
                            Tensor **pooled, Error *err)
{
    return text_part_encode(&e->parts[0], h, text, states, pooled, err);
}

static Status encode_pair(const TextEncoder *e, Host *h, const char *clip_l, const char *t5xxl,
                          Tensor **states, Tensor **pooled, Error *err)
{
    TRY(text_part_pool(&e->parts[0], h, clip_l, pooled, err));
    Status status = text_part_encode(&e->parts[1], h, t5xxl, states, NULL, err);
    if (status == OK) return OK;
    tensor_unref(*pooled);
    *pooled = NULL;
    return status;
}

/* From disk when it is there: no network wakes. */
static Status encode(const TextEncoder *e, Host *h, const char *first, const char *second,
                     Cond **out, Error *err)
{
    Tensor *states = NULL, *pooled = NULL;
    uint8_t key[32];
    bool keep = store_key(e, h, first, second, key);

    if (keep && text_store_get(h, key, &states, &pooled)) {
        events_emit(
            host_events(h),
            &(Event){ .kind = EV_COMPONENT, .text = "text encoder", .detail = "prompt cache" });
        return cond_new(states, pooled, out, err);
    }
    if (e->count == 2)
        TRY(encode_pair(e, h, first, second, &states, &pooled, err));
    else
        TRY(encode_single(e, h, first, &states, &pooled, err));
    if (keep && !host_dummy(h)) text_store_put(h, key, states, pooled);
    return cond_new(states, pooled, out, err);
}

Status text_encode(const TextEncoder *e, Host *h, const char *text, Cond **out, Error *err)
{
    return encode(e, h, text, text, out, err);
}

Status text_encode_flux(const TextEncoder *e, Host *h, const char *clip_l, const char *t5xxl,
                        Cond **out, Error *err)
{
    if (e->count == 2) return encode(e, h, clip_l, t5xxl, out, err);
    Status status =
        error_set(err, E_UNSUPPORTED,
                  "separate texts need the two encoders of FLUX.1, this is %s", e->name);
    error_fix(err, "use CLIPTextEncode, or load CLIP-L and T5 with DualCLIPLoader");
    return status;
}

Status text_count_tokens(const TextEncoder *e, Host *h, const char *text, int64_t *out,
                         Error *err)
{
    return text_part_count(main_part(e), h, text, out, err);
}

const char *text_encoder_name(const TextEncoder *e)
{
    return e->name;
}

int64_t text_encoder_bytes(const TextEncoder *e)
{
    int64_t bytes = 0;
    for (int i = 0; i < e->count; i++)
        bytes += e->parts[i].model->base.bytes;
    return bytes;
}

int64_t text_encoder_width(const TextEncoder *e)
{
    return main_part(e)->model->out_width;
}

Status text_encoder_flops(const TextEncoder *e, Host *h, int64_t tokens, double *out,
                          Error *err)
{
    return text_model_flops(main_part(e)->model, h, tokens, out, err);
}
