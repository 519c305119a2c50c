/* clip_bpe.h - the byte-pair encoding of CLIP: lower case, words with an end mark. */
#ifndef WEFT_TEXT_CLIP_BPE_H
#define WEFT_TEXT_CLIP_BPE_H

#include "engine/text/tokenizer.h"

/* The tokenizer of CLIP ViT-L/14, from the table in the program. Text is cleaned as the
 * reference does without its optional repair package: controls removed, white space to blanks,
 * CJK ideographs set apart, NFC, lower case.
 * Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision
 * (its tokenizer). */
Status clip_bpe(Tokenizer **out, Error *err);

#endif
