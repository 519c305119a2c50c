/* regex_internal.h - the program that a pattern becomes. */
#ifndef WEFT_TEXT_REGEX_INTERNAL_H
#define WEFT_TEXT_REGEX_INTERNAL_H

#include "engine/text/regex.h"

/* Jumps are relative to the instruction itself, so that blocks can be moved and copied. */
typedef enum RegexOp {
    RX_CHAR,       /* a = code point */
    RX_ANY,        /* all but a newline */
    RX_ALL,        /* every code point */
    RX_SET,        /* a = first range, b = number of ranges */
    RX_SPLIT,      /* goes on here; on failure at +a */
    RX_SPLIT_LAZY, /* goes on at +a; on failure here */
    RX_JUMP,       /* +a */
    RX_SAVE,       /* register a = position: where a group begins or ends */
    RX_MARK,       /* the same for a loop's turn */
    RX_LOOP,       /* +b unless the position is still that of register a */
    RX_LINE_START,
    RX_LINE_END,
    RX_TEXT_START,
    RX_TEXT_END,
    RX_LAST_END, /* $: the end, or before a newline there */
    RX_WORD_EDGE,
    RX_NO_WORD_EDGE,
    RX_BACK,      /* a = group */
    RX_LOOK,      /* register a; the body ends at +b */
    RX_LOOK_DONE, /* register a */
    RX_BEHIND,    /* goes back by a code points */
    RX_MATCH
} RegexOp;

typedef struct RegexInst {
    uint8_t op;
    bool negative;    /* SET, LOOK, LOOK_DONE */
    bool ignore_case; /* CHAR, SET, BACK */
    int32_t a, b;
} RegexInst;

/* Code points low..high; kind is one of 'd' 'D' 'w' 'W' 's' 'S', or 0 for the range itself. */
typedef struct RegexRange {
    int32_t low, high;
    char kind;
} RegexRange;

typedef struct RegexName {
    char *name; /* owned */
    int group;
} RegexName;

struct Regex {
    RegexInst *code;    /* owned */
    RegexRange *ranges; /* owned */
    RegexName *names;   /* owned */
    int n_code, n_ranges, n_names, groups, registers;
};

bool regex_is_word(int32_t cp);
bool regex_is_space(int32_t cp);
/* One form for all cases of a letter. */
int32_t regex_fold(int32_t cp);
/* Whether a class letter (d D w W s S) takes a code point. */
bool regex_class_takes(char kind, int32_t cp);

#endif
