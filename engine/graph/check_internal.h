/* check_internal.h - what the files of the checker share. */
#ifndef WEFT_GRAPH_CHECK_INTERNAL_H
#define WEFT_GRAPH_CHECK_INTERNAL_H

#include "engine/graph/check.h"

typedef struct Check {
    Graph *graph;
    const CheckOptions *options;
    CheckReport *report;
    const char **class_names; /* of the table, for "did you mean"; NULL until needed */
    size_t n_classes;
    Map nearest; /* class that is not known to the one that was meant, or to "" */
    int guesses; /* names that were compared with a list; a long list of wrong ones is not worth the time */
    Str text; /* scratch for messages; owned */
    Error *err;
} Check;

enum { SHOWN_VALUE = 80, SHOWN_CHOICES = 8, GUESSES_MAX = 200 };

/* Adds an empty finding of a kind; *out is valid until the next one. Offset: the input's when it has a
 * place in the file, else the node's. */
Status check_find(Check *c, FindingKind kind, int node, const GraphInput *at, Finding **out);
/* Sets message and fix from a format. */
Status check_say(Check *c, const char **field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes the scratch text as what a correction writes. */
Status check_want(Check *c, Finding *f);
/* A literal as the user wrote it, cut to SHOWN_VALUE bytes; in the report's arena, "" without memory. */
const char *check_show(Check *c, const Literal *v);

/* Checks one declared input of a node. *origin is set to the node to go on with, or -1. *bad is set when
 * the input is wrong. */
Status check_input(Check *c, int node, const Socket *s, int *origin, bool *bad);
/* Runs the class's own check over the literals. */
Status check_hook(Check *c, int node, bool *bad);

#endif
