/* ui_internal.h - the editor's document as parse_ui's stations see it.
 *
 * Stations: ui_read (JSON to levels), ui_ids (unique ids), ui_bind (classes, sockets, wires), ui_widgets
 * (values), ui_groups (old group nodes to levels), ui_primitive, ui_subgraph (promoted values),
 * ui_expand (instances to paths), ui_resolve (where a wire really comes from), ui_emit (the Graph).
 * A level is the root or one definition; it is read once, however often it is instantiated.
 */
#ifndef WEFT_GRAPH_UI_INTERNAL_H
#define WEFT_GRAPH_UI_INTERNAL_H

#include "engine/graph/parse_ui.h"

typedef enum UiKind {
    UI_CLASS, /* a node of the prompt */
    UI_NOTE,
    UI_REROUTE,
    UI_PRIMITIVE,
    UI_SET,
    UI_GET,
    UI_INSTANCE /* of a definition, or a group node */
} UiKind;

enum { MODE_MUTE = 2, MODE_BYPASS = 4 };
enum { FROM_NOWHERE = -1, FROM_BOUNDARY = -2 }; /* UiLink.origin without a node */

typedef struct UiSocket {
    const char *name, *type;
    const Json *json; /* its entry in the file, NULL = none */
    int link;    /* index in the level's links, -1 = none */
    bool widget; /* belongs to a widget of the node */
} UiSocket;

typedef struct UiWidget {
    const char *name;
    const Socket *row; /* NULL when the class is unknown */
    Literal value;
    bool has; /* false: nothing stored and no default */
} UiWidget;

/* A value that an instance gives to a widget or promoted input of one of its body's nodes. */
typedef struct UiOverride {
    int node; /* in the body */
    const char *name;
    Literal value;
    struct UiOverride *next;
} UiOverride;

typedef struct UiNode {
    const char *own_id; /* as written, which links and proxy entries name */
    const char *id;     /* after ui_ids */
    const char *type, *title;
    UiKind kind;
    int mode;
    const Json *json;
    const NodeDef *def; /* facts of the class, NULL = unknown */
    UiSocket *inputs;
    int n_inputs;
    int *socket_of; /* written input to index in inputs, -1 = dropped */
    int n_written;
    const char **out_types;
    int n_outputs;
    const Json **values; /* widgets_values, or the part of it that is the node's */
    int n_values;
    const Json *named; /* object of values by name, NULL = none */
    UiWidget *widgets;
    int n_widgets;
    bool nameless; /* has values that cannot be named */
    /* Instances. */
    struct UiLevel *body;
    int ordinal;    /* among the level's instances */
    UiWidget *host; /* per input: the promoted value; has is false when there is none */
    UiOverride *overrides;
} UiNode;

typedef struct UiLink {
    const char *origin_id, *target_id;
    int origin_slot, target_slot;
    int origin; /* node index, FROM_NOWHERE or FROM_BOUNDARY */
    bool used;  /* an input refers to it */
    const Json *json;
} UiLink;

/* One input or output of a definition. */
typedef struct UiPort {
    const char *name, *type;
    const Json *link_ids; /* NULL = not written */
    int link;             /* output: what feeds it, -1 = nothing */
    bool promoted;        /* input: reaches a widget */
    UiWidget first;       /* input: value of the first such widget */
} UiPort;

typedef struct UiLevel {
    const char *id; /* NULL = the root */
    int index;      /* in UiDoc.levels */
    const Json *json;
    bool group; /* made from a group node */
    UiNode *nodes;
    int n_nodes;
    UiLink *links;
    int n_links;
    UiPort *inputs, *outputs;
    int n_inputs, n_outputs;
    Map by_id;   /* own_id to node index + 1 */
    Map link_id; /* to link index + 1 */
    Map sets;    /* channel to the first SetNode's index + 1 */
    int pending; /* ui_subgraph: instances whose body is not done yet */
    bool done;
} UiLevel;

/* One instance in the expanded tree; paths[0] is the root. */
typedef struct UiPath {
    int parent;     /* -1 = none */
    int instance;   /* node index in the parent's level */
    UiLevel *level; /* NULL: left out with all its content */
    int children;   /* index of the first; one per instance of the level */
    const char *id; /* of the instance */
    int64_t prefix; /* length of "a:b:", what stands before the ids of its nodes */
} UiPath;

typedef struct UiDoc {
    Arena *arena; /* owned; what is not needed after emission */
    JsonDoc *json;
    const Json *root;
    const UiOptions *options;
    Graph *graph;
    UiLevel **levels; /* owned; [0] is the root, bodies of group nodes stand last */
    int n_levels, level_capacity;
    Map level_by_id; /* to index + 1 */
    UiLevel **order; /* in the arena: inner ones first */
    UiPath *paths;   /* owned */
    int n_paths, path_capacity;
    int64_t steps;    /* left for following wires */
    int64_t id_bytes; /* left for ids of expanded nodes */
    uint64_t random;
} UiDoc;

/* ---- helpers ----------------------------------------------------------------------------- */

Status ui_no_memory(Error *err);
/* Adds rule and the place of `at` (may be NULL) to an error that was set; returns its status. */
Status ui_at(const UiDoc *doc, Error *err, const char *rule, const Json *at);
Status ui_at_node(const UiDoc *doc, Error *err, const char *rule, const UiNode *node);
/* Keeps the error as a note of the given severity. */
Status ui_note(UiDoc *doc, Error *note, const char *rule, Severity severity, const UiNode *node,
               Error *err);
/* An id or channel as text: a text as it is, a number as it is written; NULL for the rest. */
const char *ui_text(const Json *value);
int ui_int(const Json *value, int fallback);
int ui_index(const Map *map, const char *key); /* -1 when absent; values are index + 1 */
bool ui_map_first(Map *map, const char *key,
                  int index); /* keeps the first; false = no memory */

/* The wires of the Anything Everywhere pack; NULL = none. */
const Json *ui_everywhere(const Json *level);

/* ---- stations ---------------------------------------------------------------------------- */

Status ui_read(UiDoc *doc, Error *err);
Status ui_add_level(UiDoc *doc, const Json *json, UiLevel **out, Error *err);
Status ui_read_node(UiDoc *doc, const Json *json, UiNode *out, Error *err);
Status ui_read_values(UiDoc *doc, const Json *values, UiNode *out, Error *err);
Status ui_ids(UiDoc *doc, Error *err);
/* Makes a body of its own for each group node. */
Status ui_groups(UiDoc *doc, Error *err);
Status ui_bind(UiDoc *doc, Error *err);
/* Widgets of a node with their values; *plain gets the sockets without widget that its dynamic combos add. */
typedef struct UiNames {
    const char *const *names;
    const Socket *const *rows;
    int count;
} UiNames;
Status ui_widgets(UiDoc *doc, UiNode *node, UiNames *plain, Error *err);
/* Number of values that a class stores when the file does not tell. */
int ui_slot_count(const NodeDef *def);
/* The values that the class stores, by position, taken from the names; false when a name is missing or the
 * class has inputs that come and go. */
bool ui_values_by_name(const NodeDef *def, const Json *values, const Json *named, Str *out);
UiWidget *ui_widget(const UiNode *node, const char *name);
Status ui_primitives(UiDoc *doc, Error *err);
Status ui_subgraphs(UiDoc *doc, Error *err);
Status ui_expand(UiDoc *doc, Error *err);

typedef struct UiFound {
    enum { FOUND_NOTHING, FOUND_LINK, FOUND_VALUE } kind;
    int path, node, slot; /* FOUND_LINK */
    const Literal *value; /* FOUND_VALUE */
} UiFound;
/* Follows the wire of one input to the node of the prompt, or the promoted value, that feeds it. */
Status ui_resolve(UiDoc *doc, int path, int node, int input, UiFound *out, Error *err);
/* Value that the path's instance gives to a node's widget or input; NULL = none. */
const Literal *ui_override(const UiDoc *doc, int path, int node, const char *name);

/* {a|b} and comments in a text; the result is in the graph's arena. */
Status ui_choose(UiDoc *doc, const Literal *in, Literal *out, Error *err);
/* The text holds a choice or a comment, so that the page changes what it means. */
bool ui_is_dynamic(const Literal *text);
/* The same text with its braces and bars escaped; false when comments are in it, which nothing escapes. */
bool ui_escape(const char *text, size_t length, Str *out);
/* %date:...% and %NODE.WIDGET% in a file name. */
Status ui_file_name(UiDoc *doc, const Literal *in, Literal *out, Error *err);
Status ui_emit(UiDoc *doc, Error *err);

#endif
