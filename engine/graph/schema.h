/* schema.h - a JSON schema (draft 7) of API documents, made from the node table.
 *
 * Editors complete class names and inputs with it and show ranges and help. It is narrower than the checker
 * in spelling (numbers must be numbers, where ComfyUI also takes "4") and wider in graphs (links are not
 * followed). Unknown classes are allowed.
 */
#ifndef WEFT_GRAPH_SCHEMA_H
#define WEFT_GRAPH_SCHEMA_H

#include "engine/graph/node.h"

/* Appends the schema. host gives lists that depend on it (may be NULL: any text there). */
Status schema_write(const NodeTable *table, struct Host *host, Str *out, Error *err);

#endif
