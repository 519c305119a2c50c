/* part.c - one encoder network with its tokenizer and prompt rules. */
#include "engine/text/part.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/text/bpe.h"
#include "engine/text/clip.h"
#include "engine/text/clip_bpe.h"
#include "engine/text/embeddings.h"
#include "engine/text/mistral3.h"
#include "engine/text/prompt_rules.h"
#include "engine/text/qwen3.h"
#include "engine/text/t5.h"
#include "engine/text/tekken.h"
#include "engine/text/unigram.h"

/* ---- opening ----------------------------------------------------------------------------- */

/* The tokenizer file beside a model file; false when there is none. */
static bool own_tokenizer_path(const char *path, char *out, size_t size)
{
    const char *dot = path ? strrchr(path, '.') : NULL;
    if (!dot || strchr(dot, '/')) return false;
    int n = snprintf(out, size, "%.*s.tokenizer.json", (int)(dot - path), path);
    return n >= 0 && (size_t)n < size && file_exists(out);
}

static Status open_own_tokenizer(const char *path, Tokenizer **out, Error *err)
{
    char own[4096];
    return own_tokenizer_path(path, own, sizeof own) ? bpe_open(own, out, err) : OK;
}

/* What stands for the file in plans and events: its path, or the name of one that is missing. */
static const char *file_of(const TextPartSource *s)
{
    return s->path ? s->path : s->name;
}

static Status open_qwen3(Host *h, const TextPartSource *s, TextPart *p, Error *err)
{
    DecoderDims dims;
    if (s->weights)
        TRY(qwen3_describe(s->weights, &dims, &p->rules, err));
    else
        qwen3_published(s->name, &dims, &p->rules);
    const char *size = dims.hidden == 2560 ? " 4B" : dims.hidden == 4096 ? " 8B" : "";
    snprintf(p->name, sizeof p->name, "Qwen3%s", size);
    p->key = dims.hidden == 4096 ? "qwen3_8b" : "qwen3_4b";
    TRY(open_own_tokenizer(s->path, &p->tokenizer, err));
    if (!p->tokenizer) TRY(bpe_qwen(&p->tokenizer, err));
    return decoder_new(h, &decoder_qwen3, s->weights, &dims, file_of(s), &p->model, err);
}

/* The tokenizer lies in the model file. A dummy run has no contents and only counts: any
 * tokenizer will do. */
static Status open_tekken(Host *h, const Weights *w, Tokenizer **out, Error *err)
{
    KView data;
    if (host_dummy(h)) return bpe_qwen(out, err);
    if (!weights_has(w, "tekken_model")) {
        Status status =
            error_set(err, E_MISSING, "the Mistral-3 file has no tensor tekken_model");
        error_fix(err, "use a file that carries its tokenizer");
        return status;
    }
    TRY(weights_view(w, "tekken_model", &data, err));
    if (data.dtype != K_U8 && data.dtype != K_I8)
        return error_set(err, E_TYPE, "tensor tekken_model is %s, not U8",
                         k_dtype_name(data.dtype));
    return bpe_from_tekken(data.data, (size_t)k_view_count(&data), out, err);
}

static Status open_mistral3(Host *h, const TextPartSource *s, TextPart *p, Error *err)
{
    DecoderDims dims = mistral3_published;
    if (s->weights) TRY(mistral3_describe(s->weights, &dims, err));
    dims.paired_rope = s->paired;
    p->head = s->paired ? dims.head_dim : 0;
    p->rules = prompt_rules_mistral3;
    p->key = "mistral3_24b";
    snprintf(p->name, sizeof p->name, "Mistral-3");
    TRY(open_tekken(h, s->weights, &p->tokenizer, err));
    return decoder_new(h, &decoder_mistral3, s->weights, &dims, file_of(s), &p->model, err);
}

static Status open_t5(Host *h, const TextPartSource *s, TextPart *p, Error *err)
{
    T5Dims dims = t5_published;
    if (s->weights) TRY(t5_read_dims(s->weights, &dims, err));
    p->rules = prompt_rules_t5;
    p->key = "t5xxl";
    snprintf(p->name, sizeof p->name, "T5");
    TRY(unigram_t5(&p->tokenizer, err));
    return t5_new(h, s->weights, &dims, file_of(s), &p->model, err);
}

static Status open_clip(Host *h, const TextPartSource *s, TextPart *p, Error *err)
{
    ClipDims dims = clip_published;
    if (s->weights) TRY(clip_read_dims(s->weights, &dims, err));
    p->rules = prompt_rules_clip;
    p->key = "clip_l";
    snprintf(p->name, sizeof p->name, "CLIP-L");
    TRY(clip_bpe(&p->tokenizer, err));
    return clip_new(h, s->weights, &dims, file_of(s), &p->model, err);
}

Status text_part_open(Host *h, const TextPartSource *source, TextPart *out, Error *err)
{
    static Status (*const open[TEXT_NETWORKS])(Host *, const TextPartSource *, TextPart *,
                                               Error *) = {
        [TEXT_QWEN3] = open_qwen3,
        [TEXT_MISTRAL3] = open_mistral3,
        [TEXT_T5] = open_t5,
        [TEXT_CLIP] = open_clip,
    };
    TextPart part = { .network = source->network };
    Status status = open[source->network](h, source, &part, err);
    if (status == OK)
        *out = part;
    else
        text_part_fini(&part);
    return status;
}

void text_part_fini(TextPart *p)
{
    text_model_unref(p->model);
    tokenizer_unref(p->tokenizer);
    ref_drop(p->patches);
    *p = (TextPart){ 0 };
}

/* Takes lora over. */
static Status add_lora(TextPart *p, Lora *lora, double strength, Error *err)
{
    TextPatches *more = NULL;

    TRY(text_patches_add(p->patches, lora, strength, &more, err));
    ref_drop(p->patches);
    p->patches = more;
    return OK;
}

Status text_part_with_lora(const TextPart *p, const Weights *file, double strength, bool alone,
                           bool exact, TextPart *out, LoraReport *report, Error *err)
{
    LoraTextPart names = {
        .key = p->key, .clip = p->network == TEXT_CLIP, .alone = alone, .head = p->head
    };
    TextPart copy = *p;
    Lora *lora = NULL;
    Status status = OK;

    *report = (LoraReport){ 0 };
    if (p->model->weights)
        TRY(lora_open_text(file, p->model->weights, &names, exact, &lora, err));
    if (lora) *report = *lora_report(lora);
    copy.model = ref_take(p->model);
    copy.tokenizer = ref_take(p->tokenizer);
    ref_take(p->patches);
    if (report->changes == 0 || strength == 0)
        lora_free(lora);
    else
        status = add_lora(&copy, lora, strength, err);
    if (status == OK)
        *out = copy;
    else
        text_part_fini(&copy);
    return status;
}

static Status shorter_t5(const TextPart *p, Host *h, int left_out, TextModel **out, Error *err)
{
    T5Dims dims = t5_published;
    if (p->model->weights) TRY(t5_read_dims(p->model->weights, &dims, err));
    if (left_out >= dims.layers) left_out = 0;
    dims.layers -= left_out;
    return t5_new(h, p->model->weights, &dims, p->model->base.file, out, err);
}

Status text_part_with_last(const TextPart *p, Host *h, int layer, TextPart *out, Error *err)
{
    TextPart copy = *p;
    if (p->network == TEXT_QWEN3 || p->network == TEXT_MISTRAL3) {
        error_set(err, E_UNSUPPORTED,
                  "%s gives states of several blocks; one alone does not fit FLUX.2", p->name);
        error_fix(err, "take CLIPSetLastLayer out");
        return E_UNSUPPORTED;
    }
    if (p->network == TEXT_T5) {
        TRY(shorter_t5(p, h, -layer - 1, &copy.model, err));
        copy.left_out = -layer - 1;
    } else {
        ref_take(copy.model);
    }
    ref_take(copy.tokenizer);
    ref_take(copy.patches);
    *out = copy;
    return OK;
}

static void add_text(Sha256 *h, const char *text)
{
    uint64_t n = text ? strlen(text) + 1 : 0;

    sha256_add(h, &n, sizeof n);
    if (text) sha256_add(h, text, n);
}

Status text_part_digest(const TextPart *p, Sha256 *h, Error *err)
{
    uint8_t file[32];
    char own[4096];
    int32_t network = p->network, left_out = p->left_out;

    if (!p->model->weights) return error_set(err, E_MISSING, "no file behind the text encoder");
    sha256_add(h, &network, sizeof network);
    if (left_out) sha256_add(h, &left_out, sizeof left_out);
    add_text(h, p->rules.template);
    TRY(weights_identity(p->model->weights, file, err));
    sha256_add(h, file, sizeof file);
    if (own_tokenizer_path(p->model->base.file, own, sizeof own)) {
        TRY(file_identity(own, file, err));
        sha256_add(h, file, sizeof file);
    }
    return text_patches_digest(p->patches, h, err);
}

/* ---- prompts ----------------------------------------------------------------------------- */

typedef struct Lookup {
    const TextPart *part;
    Host *h;
    Map misfits; /* owned: names that were told of already */
} Lookup;

static Status find_embedding(void *user, const char *name, PromptEmbedding *out, Error *err)
{
    Lookup *l = user;
    Tensor *rows = NULL;
    bool misfit = false;
    TRY(embedding_find(l->h, name, l->part->key, l->part->model->width, &rows, &misfit, err));
    if (misfit && !map_put(&l->misfits, name, l))
        return error_set(err, E_NOMEM, "out of memory for a prompt");
    *out = (PromptEmbedding){ .object = rows, .rows = rows ? rows->shape[0] : 0 };
    return OK;
}

static Status tokenize(const TextPart *p, Host *h, const char *text, Prompt **out, Error *err)
{
    Lookup lookup = { .part = p, .h = h };
    Status status = prompt_tokenize(p->tokenizer, &p->rules, find_embedding, &lookup, text,
                                    strlen(text), out, err);
    for (size_t i = 0; status == OK && i < (*out)->missing_count; i++) {
        Error note = { 0 };
        if (map_has(&lookup.misfits, (*out)->missing[i])) continue;
        error_set(&note, E_MISSING, "embedding %s is in no embeddings folder; it is left out",
                  (*out)->missing[i]);
        events_emit(host_events(h), &(Event){ .kind = EV_NOTE, .text = note.message });
    }
    map_fini(&lookup.misfits);
    return status;
}

/* ---- sections ---------------------------------------------------------------------------- */

/* The tokens of one section as the network takes them. */
typedef struct SectionTokens {
    int32_t *ids;       /* owned */
    const float **rows; /* owned */
    TextTokens tokens;
} SectionTokens;

static void section_fini(SectionTokens *s)
{
    mem_free(s->ids);
    mem_free((void *)s->rows);
    *s = (SectionTokens){ 0 };
}

static Status section_init(SectionTokens *s, size_t count, Error *err)
{
    *s = (SectionTokens){ .ids = mem_alloc_array(count, sizeof *s->ids),
                          .rows = mem_calloc(count, sizeof *s->rows) };
    if (!s->ids || !s->rows) {
        section_fini(s);
        return error_set(err, E_NOMEM, "out of memory for the tokens of a prompt");
    }
    s->tokens = (TextTokens){ .ids = s->ids, .rows = s->rows, .count = (int64_t)count };
    return OK;
}

static Status run_section(const TextPart *p, Host *h, const Prompt *prompt,
                          const PromptSection *section, Tensor **states, Tensor **pooled,
                          Error *err)
{
    SectionTokens s;
    TRY(section_init(&s, section->count, err));
    for (size_t i = 0; i < section->count; i++) {
        const PromptToken *t = &prompt->tokens[section->first + i];
        s.ids[i] = t->id;
        if (t->embedding < 0) continue;
        const Tensor *rows = prompt->embeddings[t->embedding].object;
        s.rows[i] = tensor_f32(rows) + t->row * rows->shape[1];
    }
    Status status = text_model_run(p->model, h, p->patches, &s.tokens, states, pooled, err);
    section_fini(&s);
    return status;
}

/* States of an empty prompt of `count` tokens: start, end, pads. */
static Status run_empty(const TextPart *p, Host *h, size_t count, Tensor **states, Error *err)
{
    SectionTokens s;
    size_t at = 0;
    TRY(section_init(&s, count, err));
    if (p->rules.start >= 0 && at < count) s.ids[at++] = p->rules.start;
    if (p->rules.end >= 0 && at < count) s.ids[at++] = p->rules.end;
    while (at < count)
        s.ids[at++] = p->rules.pad >= 0 ? p->rules.pad : 0;
    Status status = text_model_run(p->model, h, p->patches, &s.tokens, states, NULL, err);
    section_fini(&s);
    return status;
}

/* z = (z - z_empty) w + z_empty for every token whose weight is not 1; states are still ours
 * alone. */
static Status apply_weights(const TextPart *p, Host *h, const Prompt *prompt,
                            const PromptSection *section, Tensor *states, Error *err)
{
    Tensor *empty = NULL;
    int64_t width = states->shape[2];
    TRY(run_empty(p, h, section->count, &empty, err));
    for (size_t i = 0; i < section->count; i++) {
        float w = (float)prompt->tokens[section->first + i].weight;
        float *z = tensor_f32(states) + (int64_t)i * width;
        const float *base = tensor_f32(empty) + (int64_t)i * width;
        if (prompt->tokens[section->first + i].weight == 1.0) continue;
        for (int64_t c = 0; c < width; c++)
            z[c] = (z[c] - base[c]) * w + base[c];
    }
    tensor_unref(empty);
    return OK;
}

static Status encode_sections(const TextPart *p, Host *h, const Prompt *prompt, Tensor **parts,
                              Tensor **pooled, Error *err)
{
    for (size_t i = 0; i < prompt->section_count; i++) {
        const PromptSection *section = &prompt->sections[i];
        TRY(run_section(p, h, prompt, section, &parts[i], i == 0 ? pooled : NULL, err));
        if (prompt->weighted) TRY(apply_weights(p, h, prompt, section, parts[i], err));
    }
    return OK;
}

Status text_part_encode(const TextPart *p, Host *h, const char *text, Tensor **states,
                        Tensor **pooled, Error *err)
{
    Prompt *prompt = NULL;
    Tensor **parts = NULL, *whole = NULL, *row = NULL;
    Status status = OK;

    TRY(tokenize(p, h, text, &prompt, err));
    parts = mem_calloc(prompt->section_count, sizeof *parts);
    if (!parts) {
        status = error_set(err, E_NOMEM, "out of memory for a prompt");
        goto done;
    }
    TRY_DONE(encode_sections(p, h, prompt, parts, pooled ? &row : NULL, err));
    if (prompt->section_count == 1)
        whole = tensor_ref(parts[0]);
    else
        TRY_DONE(tensor_concat((const Tensor *const *)parts, (int)prompt->section_count, 1,
                               &whole, err));
    *states = whole;
    if (pooled) {
        *pooled = row;
        row = NULL;
    }

done:
    for (size_t i = 0; parts && i < prompt->section_count; i++)
        tensor_unref(parts[i]);
    mem_free(parts);
    tensor_unref(row);
    prompt_unref(prompt);
    return status;
}

Status text_part_pool(const TextPart *p, Host *h, const char *text, Tensor **pooled, Error *err)
{
    Prompt *prompt = NULL;
    Tensor *states = NULL;
    TRY(tokenize(p, h, text, &prompt, err));
    Status status = run_section(p, h, prompt, &prompt->sections[0], &states, pooled, err);
    tensor_unref(states);
    prompt_unref(prompt);
    return status;
}

Status text_part_count(const TextPart *p, Host *h, const char *text, int64_t *out, Error *err)
{
    Prompt *prompt = NULL;
    TRY(tokenize(p, h, text, &prompt, err));
    *out = (int64_t)prompt->count;
    prompt_unref(prompt);
    return OK;
}
