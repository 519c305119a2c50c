/* part.h - one encoder network with its tokenizer and prompt rules: from a prompt to states. */
#ifndef WEFT_TEXT_PART_H
#define WEFT_TEXT_PART_H

#include "engine/text/find.h"
#include "engine/text/model.h"
#include "engine/text/prompt.h"

typedef struct TextPart {
    TextNetwork network;
    TextModel *model;     /* owned reference */
    Tokenizer *tokenizer; /* owned reference */
    PromptRules rules;    /* its template is borrowed from the model's weights */
    TextPatches *patches; /* owned reference, or NULL */
    int64_t
        head; /* rows of a head when those of q and k stand in llama.cpp's order; 0 = they do not */
    int left_out;    /* blocks at the end that do not run (CLIPSetLastLayer) */
    const char *key; /* name of this encoder's tensor in embedding files; static */
    char name[32];   /* "Qwen3 4B" */
} TextPart;

typedef struct TextPartSource {
    TextNetwork network;
    Weights
        *weights; /* borrowed; from text_find, or NULL: published dimensions, dummy runs only */
    bool paired;
    const char *name, *path; /* of the file; path may be NULL */
} TextPartSource;

/* Errors: E_MISSING, E_SHAPE, E_FORMAT (metadata, tokenizer file), E_NOMEM. */
Status text_part_open(Host *h, const TextPartSource *source, TextPart *out, Error *err);
void text_part_fini(TextPart *p);
/* Adds all that its states of a text depend on, but for the text and the host, to a digest. Errors: E_IO,
 * E_MISSING (no files behind it). */
Status text_part_digest(const TextPart *p, Sha256 *h, Error *err);
/* A copy that shares all but the patches, to which a LoRA is added. alone: it has no CLIP-L beside it.
 * *report tells what of the file is used; without changes the copy has none more. Errors: what
 * lora_open_text gives. */
Status text_part_with_lora(const TextPart *p, const Weights *file, double strength, bool alone,
                           bool exact, TextPart *out, LoraReport *report, Error *err);

/* A copy whose states come out of block `layer`, counted from the end (-1 = the last one), through the final norm.
 * A network with fewer blocks than that stays as it is, and so does CLIP-L, of which FLUX.1 reads the pooled vector
 * alone. Errors: E_UNSUPPORTED for the networks of FLUX.2, whose states come from several blocks. */
Status text_part_with_last(const TextPart *p, Host *h, int layer, TextPart *out, Error *err);

/* All sections side by side along the tokens, weights applied: states [1, T, C]. pooled [1, C]
 * of the first section, or NULL when the network has none; it may be NULL. */
Status text_part_encode(const TextPart *p, Host *h, const char *text, Tensor **states,
                        Tensor **pooled, Error *err);
/* The pooled vector alone, which needs only the first section and no weights. */
Status text_part_pool(const TextPart *p, Host *h, const char *text, Tensor **pooled,
                      Error *err);
/* Number of tokens of all sections. */
Status text_part_count(const TextPart *p, Host *h, const char *text, int64_t *out, Error *err);

#endif
