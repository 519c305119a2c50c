/* unigram.h - SentencePiece's unigram model as T5 uses it. */
#ifndef WEFT_TEXT_UNIGRAM_H
#define WEFT_TEXT_UNIGRAM_H

#include "engine/text/tokenizer.h"

/*
 * The tokenizer of T5 v1.1, from the table in the program: character map, U+2581 for
 * blanks, best path. Layout of data/t5.bin, little-endian, each array padded to 8 bytes:
 *
 *   head      u32: magic "WUNG", version 1, pieces n, bytes of their text, bytes of the trie,
 *             bytes of the map's strings, id of the unknown piece, lowest score (bits of a
 *             float)
 *   pieces    f64 [n] scores, u32 [n + 1] offsets, u32 [n] ids, in byte order of the pieces
 *   map       the character map's trie and strings
 *   text      of the pieces
 *
 * Source: Kudo, Subword Regularization (2018), section 3.2; Kudo and Richardson, SentencePiece
 * (2018).
 */
Status unigram_t5(Tokenizer **out, Error *err);

#endif
