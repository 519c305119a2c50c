/* bpe.h - byte-level byte-pair encoding: Qwen built in, any other from a tokenizer file. */
#ifndef WEFT_TEXT_BPE_H
#define WEFT_TEXT_BPE_H

#include "engine/text/merges.h"
#include "engine/text/pieces.h"
#include "engine/text/pretoken.h"
#include "engine/text/tokenizer.h"

/* The tokenizer of Qwen2 and Qwen3, from the table in the program. */
Status bpe_qwen(Tokenizer **out, Error *err);

/* A tokenizer.json (Hugging Face tokenizers, model type BPE, byte level), n bytes of text.
 * Known: normaliser none or NFC, pre-tokenizers ByteLevel and Split with the patterns of Qwen2,
 * GPT-2 and Llama 3. Errors: E_FORMAT (damaged, with the byte), E_UNSUPPORTED (naming the part
 * that is not known), E_NOMEM. */
Status bpe_from_json(const char *text, size_t n, Tokenizer **out, Error *err);
/* The same from a file. Errors: also E_IO, E_MISSING. */
Status bpe_open(const char *path, Tokenizer **out, Error *err);

/* What a byte-level tokenizer is made of; memory that it points to is listed in `owned`. */
typedef struct BpeParts {
    Merges merges;
    PretokenRule rule;
    bool nfc;          /* canonical composition first */
    bool prefix_blank; /* a blank before text that does not begin with white space */
    bool whole_words;  /* a pre-token that is in the vocabulary is used as it is
                          ("ignore_merges") */
    PieceSet added;    /* special and added tokens: matched anywhere, before normalisation */
    PieceSet words;    /* the vocabulary as bytes; only with whole_words */
    void *owned[4];    /* freed with mem_free */
} BpeParts;

/* Takes over everything in parts, also on failure (E_NOMEM). `kind` is static. */
Status bpe_new(const char *kind, BpeParts *parts, Tokenizer **out, Error *err);
void bpe_parts_fini(BpeParts *parts);

/* The character that stands for a byte in vocab.json, and back (-1 for any other character). */
int32_t bpe_letter_of_byte(unsigned char byte);
int bpe_byte_of_letter(int32_t cp);

#endif
