/* node.h - what a node type is: one static descriptor, the single source for parsing, checking,
 * /object_info, `weft nodes`, the docs page and the tests.
 *
 * A family file ends in a NULL-ended table of descriptors; nodes/table.c lists the families. The engine
 * parses, coerces, range-checks and writes each input into the node's `in` struct at Socket.at; `run`
 * holds only the node's own work and hands over one reference per object output in its `out` struct.
 */
#ifndef WEFT_GRAPH_NODE_H
#define WEFT_GRAPH_NODE_H

#include "engine/base/events.h"
#include "engine/base/status.h"
#include "engine/base/str.h"
#include "engine/graph/value.h"

struct Host; /* engine/residency/host.h: folders, backend, precision, events; opaque here */

typedef enum SockFlags {
    SOCK_F_OPTIONAL = 1 << 0,
    SOCK_F_U64 = 1 << 1, /* INT that runs to 2^64-1 (seeds) */
    SOCK_F_MULTILINE = 1 << 2,
    SOCK_F_DYNAMIC_PROMPTS = 1 << 3,
    SOCK_F_LAZY = 1 << 4,
    SOCK_F_CONTROL =
        1 << 5, /* control_after_generate: the editor stores one more widget value */
    SOCK_F_IMAGE_UPLOAD = 1 << 6,
    SOCK_F_FORCE_INPUT = 1 << 7, /* never a widget */
    SOCK_F_LIST =
        1 << 8, /* output: list of values; input of an INPUT_IS_LIST class: whole list */
    SOCK_F_ADVANCED = 1 << 9,
    SOCK_F_HIDDEN_PROMPT =
        1 << 10, /* hidden: the API graph as JSON text (const char *), for metadata */
    SOCK_F_HIDDEN_PNGINFO =
        1 << 11, /* hidden: JSON object of extra_pnginfo as text (const char *) */
    SOCK_F_HIDDEN_ID = 1 << 12, /* hidden: the node's id (const char *) */
    SOCK_F_AUDIO_UPLOAD = 1 << 13,
    SOCK_F_FREE_SEED = 1 << 14,   /* INT named as a seed that has no control value */
    SOCK_F_INT_OPTIONS = 1 << 15, /* COMBO: options written as whole numbers are such, not texts */
    SOCK_F_WIDGET = 1 << 16,      /* a widget in spite of its type */
    SOCK_F_DEFAULTED = 1 << 17    /* a file may leave it out: the default is taken (scripts) */
} SockFlags;

/* Lists the options of a COMBO whose list depends on the host (files of a models folder, Lua names).
 * Strings are borrowed until the host goes. */
typedef Status (*OptionsFn)(struct Host *host, const char *const **names, size_t *count,
                            Error *err);

/* What the field at `at` holds: the C type that SOCK_MAP names; a `const Ref *` for other objects (NULL
 * when an optional one is absent); a whole Value for SOCK_ANY and for several types ("A,B"), its type
 * SOCK_ANY with a NULL object when absent; a ValueList when SOCK_F_LIST is set. Strings of the in struct
 * are borrowed; a string of the out struct comes from mem_alloc and is handed over. */
/* One row of an input or output table; the table ends with a row without name. Rows stand in the
 * reference node's order, because UI files store widget values by position. */
typedef struct Socket {
    const char *name;
    SockType type;
    const char *type_name; /* for SOCK_OTHER, or several types "A,B"; else NULL */
    size_t at;             /* offset in the in/out struct */
    unsigned flags;
    double def, min, max, step; /* numbers; BOOLEAN: def 0 or 1. min == max means unbounded */
    double round;
    const char *sdef;           /* STRING and COMBO default; COMBO: first option when NULL */
    const char *const *options; /* NULL-ended; COMBO */
    OptionsFn options_fn;
    const char *folder; /* COMBO of model files: the models sub-folder ("vae"), for messages */
    const char *doc;    /* one sentence */
    const struct SocketKey
        *keys; /* COMFY_DYNAMICCOMBO_V3: the inputs that come with each option */
    const struct SocketGrow *grow; /* COMFY_AUTOGROW_V3: the inputs that it stands for */
} Socket;

/* One option of a dynamic combo; its inputs are named "combo.input". Ends with a row without key. */
typedef struct SocketKey {
    const char *key;
    const Socket *inputs;
} SocketKey;

/* Inputs "name.prefix0", "name.prefix1" ... of one object type: the field at Socket.at is an array of `max`
 * pointers, NULL where none is given; the first `min` must be. */
typedef struct SocketGrow {
    const char *prefix;
    SockType type;
    int min, max;
    int first; /* number of the first one; other than 0: the class lists the names one by one */
    const char *type_name; /* for SOCK_OTHER */
} SocketGrow;

typedef enum NodeFlags {
    NODE_F_OUTPUT = 1 << 0,
    NODE_F_DEPRECATED = 1 << 1,
    NODE_F_EXPERIMENTAL = 1 << 2,
    NODE_F_INPUT_IS_LIST = 1 << 3,
    NODE_F_NOT_IDEMPOTENT = 1 << 4,
    NODE_F_API = 1 << 5,
    NODE_F_ANY_INPUT = 1 << 6 /* inputs beyond the rows are no mistake */
} NodeFlags;

/* Where a node stands in the golden order. */
typedef enum NodeStage {
    STAGE_NONE,
    STAGE_LOAD,
    STAGE_LORA,
    STAGE_ATTENTION,
    STAGE_SAMPLING,
    STAGE_BLOCKS, /* what replaces or adds to single blocks: traced into a compiled graph */
    STAGE_GUIDE, /* CFG functions and other model patches without a slot of their own */
    STAGE_COMPILE,
    STAGE_CACHE, /* step caches: outside compile */
    STAGE_SAMPLE,
    STAGE_DECODE
} NodeStage;

typedef struct NodeCall {
    const struct NodeDef *def;
    const char *id; /* node id in the workflow */
    struct Host *host;
    const void *in; /* filled, typed and range-checked by the engine */
    void *out;      /* zeroed; references handed over to the engine's cache */
    Str *ui; /* JSON object text of UI output ({"images": [...]}) ; append, may stay empty */
    Error *err;
    Events *events;
    struct Answer *answer; /* what node_block and node_expand write; opaque */
} NodeCall;

typedef struct NodeDef {
    const char *class_type;
    const char *display; /* NULL = class_type */
    const char *category;
    const char *doc;
    const char *
        engine_note; /* what this engine does with it, when that is not plain from doc; or NULL */
    const Socket *inputs, *outputs;
    size_t in_size, out_size;
    unsigned flags;
    NodeStage stage;
    Status (*run)(NodeCall *call); /* NULL: known, but not executable here (E207) */
    /* Hooks; NULL when the class has none. */
    Status (*check)(struct Host *host, const void *in,
                    Error *err); /* literal inputs only; E204 and kin */
    /* Token that changes when something outside the graph does (a file's content hash). */
    Status (*changed)(struct Host *host, const void *in, char token[65], Error *err);
    /* Names of lazy inputs needed now: sets bit i for input row i. `known` has bit i when it is there. */
    Status (*lazy)(const void *in, uint64_t known, uint64_t *needed, Error *err);
    const void *user; /* for descriptors made at run time (scripts) */
} NodeDef;

/* ---- answers other than values, for use inside run ---- */

/*
 * The output of that index holds a blocker instead of its field: what reads it does not run, nor what
 * depends on that. message, when not NULL, is told once by the first node that is stopped (EV_BLOCKED);
 * the rest of the workflow goes on. Errors: E_RANGE, E_NOMEM.
 */
Status node_block(NodeCall *call, int output, const char *message);

/*
 * Adds a node to the sub-graph that takes this node's place. name is its own within the call; its id in
 * the workflow becomes <id>.<call number>.0.<name>. Inputs are set next: links to other new nodes by
 * their name, or to nodes of the workflow by their id; values are copied, objects shared. New nodes are
 * checked like those of a file. Output classes among them and what node_expand_output names run before
 * this node counts as done. Errors: E_WORKFLOW (a name twice), E_MISSING (no such name), E_NOMEM.
 */
Status node_expand(NodeCall *call, const char *name, const char *class_type);
Status node_expand_link(NodeCall *call, const char *name, const char *input, const char *from,
                        int slot);
Status node_expand_value(NodeCall *call, const char *name, const char *input, const Value *v);
/* An answer for a call outside a run (a script's trial). */
Status node_answer_new(struct Answer **out, Error *err);
void node_answer_free(struct Answer *answer);
/* The output of that index is what a slot of a new node, or of one of the workflow, will hold. */
Status node_expand_output(NodeCall *call, int output, const char *from, int slot);

/* All classes of a process: families of static tables plus descriptors made at run time. */
typedef struct NodeTable {
    const NodeDef *const *const *families; /* NULL-ended list of NULL-ended lists */
    const NodeDef *const *extra;           /* n_extra descriptors, or NULL */
    size_t n_extra;
    const NodeDef
        *known; /* n_known classes known by their facts only (run is NULL), sorted by name; */
    size_t n_known; /* one that the lists above hold as well is theirs. May be NULL */
} NodeTable;

const NodeDef *node_find(const NodeTable *t, const char *class_type);
/* The facts of a class, whether it is executable or not; NULL when there are none. */
const NodeDef *node_facts(const NodeTable *t, const char *class_type);
/* Iterates: returns the i-th class in table order, NULL past the end. */
const NodeDef *node_at(const NodeTable *t, size_t i);
const Socket *node_input(const NodeDef *def, const char *name, int *index);
int node_output_count(const NodeDef *def);
const char *socket_type_name(const Socket *s);
/* A widget holds its value in the file; everything else must be a link. */
bool socket_is_widget(const Socket *s);
/* That option stands in files as a number. */
bool socket_option_is_number(const Socket *s, const char *option);
/* The field holds a whole Value: SOCK_ANY and several types. */
bool socket_is_any(const Socket *s);
/* A link of one type may enter a socket of the other: equal, "*" or a match type on either side, or a
 * common member of comma lists. Numbers are never converted. */
bool socket_types_match(const char *from, const char *into);
/* Bounds of an INT as exact integers and of a FLOAT as doubles; false when that side has none. A bound at
 * or past the end of 64 bits is that end (a seed's 2^64-1, a double cannot hold it). */
typedef struct SocketBound {
    bool negative;
    uint64_t magnitude; /* INT */
    double f;           /* FLOAT */
} SocketBound;
bool socket_min(const Socket *s, SocketBound *out);
bool socket_max(const Socket *s, SocketBound *out);
/* Options of a COMBO: the table's own, or the host's list (none without a host). Borrowed. */
Status socket_options(const Socket *s, struct Host *host, const char *const **names,
                      size_t *count, Error *err);
/* ComfyUI's description of one input, ["INT", {"default": 20, ...}], as JSON text. */
Status socket_write_config(const Socket *s, struct Host *host, bool with_doc, Str *out,
                           Error *err);
/* ComfyUI's /object_info entry of one class as JSON text; host gives dynamic option lists (may be NULL). */
Status node_object_info(const NodeDef *def, struct Host *host, Str *out, Error *err);

#endif
