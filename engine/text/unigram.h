/* unigram.h - SentencePiece's unigram model as T5 uses it: character map, Metaspace, best path. */
#ifndef WEFT_TEXT_UNIGRAM_H
#define WEFT_TEXT_UNIGRAM_H

#include "engine/text/tokenizer.h"

/*
 * The tokenizer of T5 v1.1, from the table in the program. Layout of data/t5.bin, little-endian:
 *   u32 x 8: magic "WUNG", version 1, pieces n, bytes of their text, bytes of the trie, bytes of the map's strings,
 *            id of the unknown piece, lowest score (the bits of a float)
 *   f64 [n] scores, u32 [n + 1] offsets, u32 [n] ids (each padded to 8 bytes), all in byte order of the pieces
 *   the character map's trie and strings, the text of the pieces (each padded to 8 bytes)
 * Source: Kudo, Subword Regularization (2018), section 3.2; Kudo and Richardson, SentencePiece (2018).
 */
Status unigram_t5(Tokenizer **out, Error *err);

#endif
