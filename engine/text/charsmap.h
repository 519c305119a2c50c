/* charsmap.h - SentencePiece's precompiled character map. */
#ifndef WEFT_TEXT_CHARSMAP_H
#define WEFT_TEXT_CHARSMAP_H

#include "engine/base/status.h"
#include "engine/base/str.h"

/* Used in place. Units of the trie are those of the Darts-clone library. */
typedef struct Charsmap {
    const uint32_t *units;
    size_t unit_count;
    const char *strings; /* NUL-ended replacements */
    size_t string_bytes;
} Charsmap;

/* Appends text with each grapheme cluster (of under 6 bytes), else each of its characters,
 * replaced when the map knows a prefix of it. Text is valid UTF-8. */
void charsmap_apply(const Charsmap *map, const char *text, size_t n, Str *out);

#endif
