/* pieces.h - a sorted set of byte strings, searched by prefix. */
#ifndef WEFT_TEXT_PIECES_H
#define WEFT_TEXT_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* n strings in rising byte order, one behind the other; used in place. */
typedef struct Pieces {
    const uint32_t *offsets; /* [n + 1] into bytes */
    const char *bytes;
    uint32_t n;
} Pieces;

/* A walk down the set: pieces [first, last) begin with the `depth` bytes that were taken so
 * far. */
typedef struct PieceWalk {
    uint32_t first, last, depth;
} PieceWalk;

PieceWalk pieces_begin(const Pieces *p);
/* Narrows to pieces that go on with byte c; false when none does. O(log n). */
bool pieces_step(const Pieces *p, PieceWalk *w, unsigned char c);
/* The piece that equals the bytes taken so far, or -1. */
int64_t pieces_here(const Pieces *p, const PieceWalk *w);
/* The longest piece that text (n bytes) begins with, or -1; *length is set to its bytes. */
int64_t pieces_longest(const Pieces *p, const char *text, size_t n, size_t *length);
/* The piece that equals text, or -1. */
int64_t pieces_find(const Pieces *p, const char *text, size_t n);

/* A set made at run time, with an id per piece. */
typedef struct PieceItem {
    const char *text; /* borrowed */
    uint32_t length;
    int32_t id;
} PieceItem;

typedef struct PieceSet {
    Pieces pieces;
    int32_t *ids;      /* owned, [pieces.n] */
    uint32_t *offsets; /* owned */
    char *bytes;       /* owned */
    bool begins[256];  /* whether a piece begins with this byte */
} PieceSet;

/* Sorts the items and copies them; of equal texts one is kept. False when out of memory. */
bool piece_set_build(PieceItem *items, size_t n, PieceSet *out);
void piece_set_fini(PieceSet *set);
/* Id of the longest piece at the start of text, or -1. */
int32_t piece_set_longest(const PieceSet *set, const char *text, size_t n, size_t *length);
/* Id of the piece that equals text, or -1. */
int32_t piece_set_find(const PieceSet *set, const char *text, size_t n);

#endif
