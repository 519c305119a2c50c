/* graph.h - the workflow: nodes, links and literal inputs, whatever file they came from.
 *
 * Parsers build it with the graph_add_ and graph_set_ calls; check fills in what only the classes know
 * and stores coerced literals back; plan, run, cache and the metadata of pictures read it.
 */
#ifndef WEFT_GRAPH_GRAPH_H
#define WEFT_GRAPH_GRAPH_H

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "engine/base/map.h"
#include "engine/graph/literal.h"
#include "engine/graph/node.h"

/* What is wrong with a link as written; the classes' part (slot range, types) is check's. */
typedef enum LinkFault {
    LINK_OK,
    LINK_BAD_LENGTH,   /* not [id, slot] */
    LINK_BAD_ID_TYPE,  /* the id is no text */
    LINK_UNKNOWN_NODE, /* no node of that id */
    LINK_BAD_SLOT_TYPE /* the slot is no integer */
} LinkFault;

typedef struct GraphInput {
    const char *name;
    const Json
        *raw; /* as in the file, NULL when a parser computed it; borrowed from the document */
    const Json *source; /* where it stands in the document: the value, or the drawing's stored value or
                         * socket; NULL = nowhere. Borrowed */
    bool is_link;
    LinkFault fault;
    const char *origin_id; /* link: as written; NULL when it is no text */
    int origin;            /* link: node index, -1 when unknown */
    int64_t slot;          /* link: after check counted from 0 */
    Literal value;         /* literal: after check coerced to the socket's type */
} GraphInput;

typedef struct GraphNode {
    const char *id;
    const char *class_type; /* NULL when the file gives no text */
    const char *title;      /* NULL when the file gives none */
    const NodeDef *def;     /* NULL until graph_bind, or when the class is unknown */
    GraphInput *inputs;     /* owned; in the file's order */
    int n_inputs, capacity;
    Map *index;            /* owned; name to position + 1, only for many inputs */
    bool no_inputs;        /* the file has no "inputs" object */
    const Json *raw;       /* the node's object; borrowed, NULL when built */
    const Json *raw_class; /* class_type as written; borrowed */
    const Json *source;    /* its object in the document, whatever the format; borrowed */
    int64_t offset;        /* of the node's object in the file, -1 when unknown */
    const char *changed;   /* token from outside the graph, NULL = none */
    bool never_cached;     /* the token could not be had */
    int parent;            /* came by expansion: index + 1 of the node that expanded; else 0 */
    int display;           /* likewise: of the node of the file that it stands for */
} GraphNode;

/* A diagnostic that a parser met on the way; check puts it into its report. */
typedef struct GraphNote {
    Error error;
    const Json *source; /* what it is about, NULL = the document; borrowed */
    struct GraphNote *next;
} GraphNote;

/* A document that literals borrow from besides the file's own. */
typedef struct GraphDoc {
    JsonDoc *doc; /* owned */
    struct GraphDoc *next;
} GraphDoc;

typedef struct Graph {
    Arena *arena; /* owned: strings, literals */
    Arena *added; /* owned: the same of what a run adds; changes places with arena meanwhile */
    JsonDoc *doc; /* owned: literals and raw values borrow from it */
    GraphDoc *kept;
    GraphNode *nodes; /* owned */
    int count, capacity;
    Map by_id;                 /* id to index + 1 */
    bool embedded; /* doc stood as a text inside another: its lines are none of the file's */
    bool drawing;  /* doc is the editor's (UI) format */
    const Json *root; /* of the workflow in doc; NULL when built */
    const char *extra_pnginfo; /* JSON object as text, for metadata; NULL = none */
    GraphNote *notes, **notes_end;
} Graph;

Status graph_new(Graph **out, Error *err);
void graph_free(Graph *g);
/* Takes the document over; its values may then be borrowed by inputs. */
void graph_own_doc(Graph *g, JsonDoc *doc);
/* Takes one more document over, for values that do not stand in the file. */
Status graph_keep_doc(Graph *g, JsonDoc *doc, Error *err);

/* Adds a node and gives its index. An id that is there already starts anew (the last one wins) and
 * leaves a W101 note. class_type and title may be NULL. */
Status graph_add_node(Graph *g, const char *id, const char *class_type, const char *title,
                      int *index, Error *err);
/* Set one input; one that is there already is replaced. */
Status graph_set_link(Graph *g, int node, const char *name, const char *origin_id, int64_t slot,
                      Error *err);
Status graph_set_literal(Graph *g, int node, const char *name, const Literal *value,
                         Error *err);
/* A JSON value as an API document has it: an array is a link, all else a literal. */
Status graph_set_json(Graph *g, int node, const char *name, const Json *value, Error *err);
/* Keeps a diagnostic for check's report; source (may be NULL) is what it is about. */
Status graph_note(Graph *g, const Error *note, const Json *source, Error *err);

/* Finds each link's origin and each node's class (table may be NULL: origins only). */
Status graph_bind(Graph *g, const NodeTable *table, Error *err);
/* Finds the origins of links of the nodes from `first` on. */
void graph_bind_links(Graph *g, int first);

/* What is added between begin and end (nodes, strings) is forgotten again by graph_forget_added, which
 * leaves the `count` first nodes. */
Status graph_begin_added(Graph *g, Error *err);
void graph_end_added(Graph *g);
void graph_forget_added(Graph *g, int count);
/* The node of the file that a node stands for: itself unless it came by expansion. */
int graph_display(const Graph *g, int node);

int graph_find(const Graph *g, const char *id); /* -1 when absent */
GraphInput *graph_input(const GraphNode *n, const char *name);
/* Number of outputs that can be linked and whether slot is one of them after counting from the end. */
bool graph_slot(const GraphNode *origin, int64_t slot, int *out);
/* Whether that output exists and the input takes its type; true for a class that is not known. */
bool graph_output_fits(const GraphNode *origin, int64_t slot, const Socket *input);

/* The graph as an API document, in Python's json.dumps style. Check out->failed afterwards. */
void graph_write_api(const Graph *g, Str *out);

#endif
