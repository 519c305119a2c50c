/* prompt.h - from a prompt to token sections: weights, embeddings, padding. */
#ifndef WEFT_TEXT_PROMPT_H
#define WEFT_TEXT_PROMPT_H

#include "engine/text/tokenizer.h"

/* How an encoder wants its prompts. */
typedef struct PromptRules {
    int32_t start, end, pad; /* -1 = none */
    int64_t max_length;      /* tokens of a section; 0 = no limit */
    int64_t min_length;      /* padded to this; 0 = not */
    bool pad_to_max;         /* every section is padded to max_length */
    bool pad_left;
    bool weights;         /* (text:1.2) is read */
    const char *template; /* text with one "{}" where the prompt goes, or NULL; borrowed */
    const char *end_text; /* a part that equals it is the end token, or NULL; borrowed */
} PromptRules;

/* A learned embedding that a prompt names: an opaque object of the caller with a number of
 * rows. */
typedef struct PromptEmbedding {
    const void *object; /* starts with a Ref; the prompt holds one reference */
    int64_t rows;
} PromptEmbedding;

/* Finds `embedding:name`. Sets out->object to NULL when there is none of that name (no error).
 * The reference in *out goes to the prompt. */
typedef Status (*PromptFindFn)(void *user, const char *name, PromptEmbedding *out, Error *err);

typedef struct PromptToken {
    int32_t id;        /* -1 for a row of an embedding */
    int32_t embedding; /* index into Prompt.embeddings, or -1 */
    int64_t row;
    double weight;
    int32_t word; /* 1-based index of the part in the prompt; 0 for start, end and pads */
} PromptToken;

typedef struct PromptSection {
    size_t first, count; /* into Prompt.tokens */
} PromptSection;

typedef struct Prompt {
    Ref ref;
    PromptToken *tokens; /* owned */
    size_t count;
    PromptSection *sections; /* owned; at least one */
    size_t section_count;
    PromptEmbedding *embeddings; /* owned */
    size_t embedding_count;
    bool weighted;  /* some weight is not 1 */
    char **missing; /* owned; names of embeddings that were not found, to warn about */
    size_t missing_count;
} Prompt;

/* Cuts n bytes of text into weighted parts, tokenizes them and lays them into sections (spec:
 * ComfyUI's SDTokenizer). find may be NULL: then `embedding:` is plain text. Time is linear in
 * n but for the tokenizer. Errors: E_NOMEM and what find gives. */
Status prompt_tokenize(const Tokenizer *t, const PromptRules *rules, PromptFindFn find,
                       void *user, const char *text, size_t n, Prompt **out, Error *err);

static inline void prompt_unref(const Prompt *p)
{
    ref_drop(p);
}

#endif
