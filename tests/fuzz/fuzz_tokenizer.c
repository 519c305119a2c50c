/* fuzz_tokenizer.c - any bytes as a prompt for every tokenizer, and as a tokenizer file. */
#include "tests/fuzz/fuzz.h"

#include "engine/text/bpe.h"
#include "engine/text/clip_bpe.h"
#include "engine/text/prompt_rules.h"
#include "engine/text/tekken.h"
#include "engine/text/unigram.h"

/* An embedding of every third name. */
static Status find(void *user, const char *name, PromptEmbedding *out, Error *err)
{
    (void)err;
    if (name[0] % 3 == 0)
        *out = (PromptEmbedding){ .object = ref_take(user), .rows = name[0] % 5 + 1 };
    return OK;
}

static void nothing(void *object)
{
    (void)object;
}

static void check_sections(const Prompt *p, const PromptRules *rules)
{
    size_t laid = 0;
    for (size_t i = 0; i < p->section_count; i++) {
        MUST(p->sections[i].first == laid);
        MUST(rules->max_length == 0 || p->sections[i].count <= (size_t)rules->max_length);
        laid += p->sections[i].count;
    }
    MUST(laid == p->count);
    for (size_t i = 0; i < p->count; i++)
        MUST(p->tokens[i].id >= 0 || (size_t)p->tokens[i].embedding < p->embedding_count);
}

static void try_prompt(Status (*open)(Tokenizer **, Error *), const PromptRules *rules,
                       const char *text, size_t size)
{
    Tokenizer *t = NULL;
    Prompt *p = NULL;
    Ref embedding;
    ref_init(&embedding, nothing);
    MUST(open(&t, NULL) == OK);
    MUST(prompt_tokenize(t, rules, find, &embedding, text, size, &p, NULL) == OK);
    check_sections(p, rules);
    prompt_unref(p);
    MUST(atomic_load(&embedding.count) == 1);
    tokenizer_unref(t);
}

static void try_file(Status (*read)(const char *, size_t, Tokenizer **, Error *),
                     const char *text, size_t size)
{
    Tokenizer *t = NULL;
    Ids ids = { 0 };
    Error err;
    error_clear(&err);
    if (read(text, size, &t, &err) != OK) {
        MUST(err.message[0]);
        return;
    }
    MUST(tokenizer_encode(t, text, size, &ids, NULL) == OK);
    ids_fini(&ids);
    tokenizer_unref(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    try_prompt(bpe_qwen, &prompt_rules_klein, text, size);
    try_prompt(clip_bpe, &prompt_rules_clip, text, size);
    try_prompt(unigram_t5, &prompt_rules_t5, text, size);
    try_file(bpe_from_json, text, size);
    try_file(bpe_from_tekken, text, size);
    return 0;
}
