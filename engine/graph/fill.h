/* fill.h - writing values into a node's in struct. */
#ifndef WEFT_GRAPH_FILL_H
#define WEFT_GRAPH_FILL_H

#include "engine/graph/graph.h"

/* Writes every input's default, then the literals that the node has (as check left them), into `in`
 * (def->in_size bytes, zeroed). Links stay at their default. Texts are borrowed from the graph. Inputs
 * that take a ValueList are left empty. */
void fill_literals(const GraphNode *n, void *in);

/* The value that a literal is for a socket; false when it is none (null, or an object where a link
 * belongs). Text is borrowed. */
bool fill_literal_value(const Socket *s, const Literal *v, Value *out);
/* What an input that is not given holds; text is borrowed. */
Value fill_default_value(const Socket *s);
/* Writes a value of the socket's type into its field; objects and texts are borrowed by the struct. */
void fill_field(const Socket *s, const Value *v, void *in);

#endif
