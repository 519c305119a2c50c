/* charsmap.c - SentencePiece's precompiled character map. */
#include "engine/text/charsmap.h"

#include <string.h>
#include <utf8proc.h>

#include "engine/text/unicode.h"

/* Fields of a unit (Darts-clone): the label with the leaf bit, whether a value ends here, where
 * the children lie. */
static uint32_t unit_label(uint32_t unit)
{
    return unit & (((uint32_t)1 << 31) | 0xFF);
}

static bool unit_has_leaf(uint32_t unit)
{
    return unit >> 8 & 1;
}

static uint32_t unit_offset(uint32_t unit)
{
    return (unit >> 10) << ((unit & ((uint32_t)1 << 9)) >> 6);
}

/* Replacement of the shortest prefix of text that the map knows, or NULL. */
static const char *find_shortest(const Charsmap *map, const char *text, size_t n)
{
    size_t at = unit_offset(map->units[0]);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        at ^= c;
        if (c == 0 || at >= map->unit_count || unit_label(map->units[at]) != c) return NULL;
        uint32_t unit = map->units[at];
        at ^= unit_offset(unit);
        if (at >= map->unit_count) return NULL;
        if (!unit_has_leaf(unit)) continue;
        uint32_t value = map->units[at] & 0x7FFFFFFF;
        return value < map->string_bytes ? map->strings + value : NULL;
    }
    return NULL;
}

static void apply_cluster(const Charsmap *map, const char *text, size_t n, Str *out)
{
    enum { SHORT = 6 };
    const char *known = n < SHORT ? find_shortest(map, text, n) : NULL;
    if (known) {
        str_add(out, known);
        return;
    }
    for (size_t at = 0, length; at < n; at += length) {
        unicode_decode(text + at, n - at, &length);
        known = find_shortest(map, text + at, length);
        if (known)
            str_add(out, known);
        else
            str_add_n(out, text + at, length);
    }
}

void charsmap_apply(const Charsmap *map, const char *text, size_t n, Str *out)
{
    size_t first = 0;
    int32_t before = 0, state = 0;
    for (size_t at = 0, length; at < n; at += length) {
        int32_t cp = unicode_decode(text + at, n - at, &length);
        if (at > first && utf8proc_grapheme_break_stateful(before, cp, &state)) {
            apply_cluster(map, text + first, at - first, out);
            first = at;
        }
        before = cp;
    }
    if (n) apply_cluster(map, text + first, n - first, out);
}
