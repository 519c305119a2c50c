/* parse_ui.h - documents of the editor (UI format) to a Graph, and any document to a Graph.
 *
 * A UI document holds a drawing: nodes with widget values by position, wires, subgraph definitions,
 * nodes that exist on the page only. It is lowered here to the same Graph that the API document gives
 * which the editor would post. Source: the workflow-format specification of this project.
 */
#ifndef WEFT_GRAPH_PARSE_UI_H
#define WEFT_GRAPH_PARSE_UI_H

#include <time.h>

#include "engine/graph/parse_api.h"

typedef struct UiOptions {
    const NodeTable *table; /* classes; their facts give the order of widgets */
    uint64_t choice_seed;   /* of {a|b} in texts; 0 = always the first alternative */
    const struct tm *now;   /* for %date:...% in file names; NULL leaves it as it is */
} UiOptions;

enum {
    UI_NODES_MAX = 1000000, /* nodes and subgraph instances after expansion */
};

/* Lowers the UI document `workflow`, a value of doc, which is taken over on success only. The graph is not
 * bound to classes yet; a wire that leads nowhere and a class that nobody knows are notes in it (the
 * latter of severity error when values had to be left out). Errors, with node, line and column where
 * they have one: E102 (not what a UI document looks like, a group node beyond the rules), E103 (a wire from
 * a node that does not exist), E104 (wires in a circle), E105 (a definition that is missing or holds
 * itself, an expansion past UI_NODES_MAX). No recursion on the document. */
Status parse_ui_json(JsonDoc *doc, const Json *workflow, const UiOptions *options, Graph **out,
                     Error *err);

/* Reads whatever parse_kind tells: API, UI, the body of POST /prompt, a metadata dump (its prompt, else
 * its workflow). */
Status parse_document(const char *text, size_t length, const UiOptions *options, Graph **out,
                      Error *err);

#endif
