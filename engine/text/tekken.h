/* tekken.h - Mistral's Tekken tokenizer, read from its JSON. */
#ifndef WEFT_TEXT_TEKKEN_H
#define WEFT_TEXT_TEKKEN_H

#include "engine/text/tokenizer.h"

/*
 * n bytes of tekken.json. Special tokens keep their ranks as ids; the vocabulary follows them
 * in the order of its ranks, as far as default_vocab_size allows. Merges are all the ways to
 * cut a token in two known ones, by the token's rank, then by those of the halves. Errors:
 * E_FORMAT, E_NOMEM.
 */
Status bpe_from_tekken(const char *text, size_t n, Tokenizer **out, Error *err);

#endif
