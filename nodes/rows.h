/* rows.h - the table rows that every family writes. */
#ifndef WEFT_NODES_ROWS_H
#define WEFT_NODES_ROWS_H

#include "engine/graph/node.h"

/* An input or output row: struct, field (the input's own name), socket type; more fields may follow. */
#define ROW(Struct, field, sock) .name = #field, .type = sock, .at = offsetof(Struct, field)

/* An output row whose display name differs from the field. */
#define OUT(Struct, field, label, sock)                                                        \
    {                                                                                          \
        .name = label, .type = sock, .at = offsetof(Struct, field), .doc = label               \
    }
#define END_ROWS                                                                               \
    {                                                                                          \
        .name = NULL                                                                           \
    }

/* The tables, sizes and function of a node whose parts share a prefix: prefix_in, prefix_out, prefix_run. */
#define NODE_PARTS(prefix, In, Out)                                                            \
    .inputs = prefix##_in, .outputs = prefix##_out, .in_size = sizeof(In),                     \
    .out_size = sizeof(Out), .run = prefix##_run

#endif
