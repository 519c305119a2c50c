/* tokenizer.h - what every tokenizer is: text in, token ids out. It never sees a tensor. */
#ifndef WEFT_TEXT_TOKENIZER_H
#define WEFT_TEXT_TOKENIZER_H

#include "engine/base/ref.h"
#include "engine/base/status.h"

/* A growing list of token ids. Zero-initialise; a failed allocation sets `failed` and later
 * additions do nothing, so that a tokenizer checks once at its end. */
typedef struct Ids {
    int32_t *at; /* owned */
    size_t count, capacity;
    bool failed;
} Ids;

void ids_add(Ids *ids, int32_t id);
void ids_fini(Ids *ids);

/* Immutable and shared by reference; encoding keeps its state on the heap of the call, so one
 * tokenizer may be used from several threads. */
typedef struct Tokenizer Tokenizer;

struct Tokenizer {
    Ref ref;
    const char *kind; /* "qwen", "clip", ...; static */
    Status (*encode)(const Tokenizer *t, const char *text, size_t n, Ids *out, Error *err);
    /* The id of a text that is itself a vocabulary entry when `</w>` is put behind it, or -1;
     * NULL where no vocabulary has such entries. */
    int32_t (*whole_word)(const Tokenizer *t, const char *text, size_t n);
};

static inline void tokenizer_unref(const Tokenizer *t)
{
    ref_drop(t);
}

/* Appends the ids of n bytes of text, without any automatic start or end token. Bytes that are
 * not UTF-8 are read as U+FFFD. Time grows as n log n at most. Errors: E_NOMEM; ids appended
 * before it stay. */
Status tokenizer_encode(const Tokenizer *t, const char *text, size_t n, Ids *out, Error *err);

#endif
