/* fix_internal.h - what corrections of API and of UI documents share. */
#ifndef WEFT_GRAPH_FIX_INTERNAL_H
#define WEFT_GRAPH_FIX_INTERNAL_H

#include "engine/graph/fix.h"

enum { FIX_CHAIN_MAX = 256 };

/* An input that is linked to a node. */
typedef struct Use {
    int node, input;
} Use;

struct Fixer {
    JsonEdit *edit; /* borrowed */
    const CheckReport *report;
    const Graph *graph;
    bool whole;           /* no wire is broken */
    bool circle;          /* nodes read one another in a circle */
    bool plain;           /* UI: table and both ends agree about every wire */
    struct UiIndex *ui;   /* owned: finds nodes and wires of a plain drawing */
    const Json **sources; /* owned: where the graph's nodes stand in the document, by address */
    Use *uses;            /* owned: those of node i from use_at[i] up to use_at[i + 1] */
    int *use_at;          /* owned */
    int *readers;         /* owned, per node: inputs that read its model */
    int *reader;          /* owned, per node: one of these nodes, -1 = none */
    int *waiting;         /* owned, per node: mark_sources' list */
    bool *seen;           /* owned, per node: its marks */
};

/* The chain of patches that is put in another order: both lists hold the same nodes, loader's side first. */
typedef struct Chain {
    int old[FIX_CHAIN_MAX], now[FIX_CHAIN_MAX];
    int count;
} Chain;

/* Names of the first input and position of the first output of a type; NULL and -1 = none. */
const char *fix_input_of(const NodeDef *def, SockType type);
int fix_output_of(const NodeDef *def, SockType type);
/* The input by which a node takes its model; NULL when it has none or it is no link. */
const GraphInput *fix_model_input(const GraphNode *n);

/* Whether wires of the drawing can be told apart, so that they may be changed: ids are unique, and what the
 * table says of a wire is what its ends say. Otherwise the reader and the editor may see other wires. */
bool fix_ui_is_plain(const Json *root);

/* The index of a plain drawing; NULL = out of memory. */
struct UiIndex *fix_ui_index_new(const Json *root);
void fix_ui_index_free(struct UiIndex *index);
/* Memory ran out in a search, so that nothing found through the index may be written. */
bool fix_ui_failed(const Fixer *x);

/* Each adds to the open group; false = cannot be done here. */
bool fix_ui_disconnect(Fixer *x, const Json *node, const Json *socket);
bool fix_ui_take_out(Fixer *x, int node);
bool fix_ui_delete(Fixer *x, int node);
bool fix_ui_rewire(Fixer *x, int node, int like);
bool fix_ui_reorder(Fixer *x, const Chain *chain);

#endif
