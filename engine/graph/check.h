/* check.h - finds everything that is wrong with a graph before anything runs.
 *
 * Findings are small and live in the report's arena; finding_error turns one into the diagnostic record
 * that text, JSON and SARIF print, comfy_errors.h into ComfyUI's answer.
 */
#ifndef WEFT_GRAPH_CHECK_H
#define WEFT_GRAPH_CHECK_H

#include "engine/graph/graph.h"

/* Every kind of finding: name, rule id, severity, status, ComfyUI's error type ("" = none of its own). */
#define FINDING_MAP(X)                                                                         \
    X(FIND_PARSER, "", SEV_WARNING, E_FORMAT, "")                                              \
    X(FIND_NO_CLASS, "E201", SEV_ERROR, E_WORKFLOW, "missing_node_type")                       \
    X(FIND_UNKNOWN_CLASS, "E201", SEV_ERROR, E_WORKFLOW, "missing_node_type")                  \
    X(FIND_NO_INPUTS, "E102", SEV_ERROR, E_FORMAT, "exception_during_validation")              \
    X(FIND_MISSING, "E202", SEV_ERROR, E_MISSING, "required_input_missing")                    \
    X(FIND_LINK_LENGTH, "E103", SEV_ERROR, E_FORMAT, "bad_linked_input")                       \
    X(FIND_LINK_NODE, "E103", SEV_ERROR, E_MISSING, "exception_during_validation")             \
    X(FIND_LINK_ID_TYPE, "E103", SEV_ERROR, E_TYPE, "exception_during_validation")             \
    X(FIND_LINK_SLOT, "E103", SEV_ERROR, E_RANGE, "exception_during_validation")               \
    X(FIND_LINK_SLOT_TYPE, "E103", SEV_ERROR, E_TYPE, "exception_during_validation")           \
    X(FIND_TYPE, "E203", SEV_ERROR, E_TYPE, "return_type_mismatch")                            \
    X(FIND_NOT_IN_LIST, "E204", SEV_ERROR, E_MISSING, "value_not_in_list")                     \
    X(FIND_CUSTOM, "E204", SEV_ERROR, E_MISSING, "custom_validation_failed")                   \
    X(FIND_CONVERT, "E205", SEV_ERROR, E_TYPE, "invalid_input_type")                           \
    X(FIND_SMALL, "E205", SEV_ERROR, E_RANGE, "value_smaller_than_min")                        \
    X(FIND_BIG, "E205", SEV_ERROR, E_RANGE, "value_bigger_than_max")                           \
    X(FIND_NEEDS_LINK, "E206", SEV_ERROR, E_TYPE, "")                                          \
    X(FIND_NOT_RUNNABLE, "E207", SEV_ERROR, E_UNSUPPORTED, "")                                 \
    X(FIND_CYCLE, "E104", SEV_ERROR, E_WORKFLOW, "dependency_cycle")                           \
    X(FIND_NO_OUTPUT, "E106", SEV_ERROR, E_WORKFLOW, "prompt_no_outputs")                      \
    X(FIND_SURPLUS, "W102", SEV_WARNING, E_USAGE, "")                                          \
    X(FIND_LOSSY, "W103", SEV_WARNING, E_TYPE, "")                                             \
    X(FIND_READ_AS, "W103", SEV_NOTE, E_TYPE, "")                                              \
    X(FIND_DEPRECATED, "W201", SEV_WARNING, E_USAGE, "")                                       \
    X(FIND_EXPERIMENTAL, "N202", SEV_NOTE, E_USAGE, "")                                        \
    X(FIND_UNUSED, "N203", SEV_NOTE, E_USAGE, "")                                              \
    X(FIND_LINT, "", SEV_WARNING, E_USAGE, "")

typedef enum FindingKind {
#define FINDING_ENUM(name, rule, severity, status, comfy) name,
    FINDING_MAP(FINDING_ENUM)
#undef FINDING_ENUM
        FINDING_KINDS
} FindingKind;

typedef struct Finding {
    FindingKind kind;
    Severity severity;
    const char *rule;
    int node;             /* index, -1 = the document */
    const char *input;    /* NULL = the node */
    const char *message;  /* in values, without node and input; no full stop */
    const char *fix;      /* "" = none */
    int64_t offset;       /* -1 = unknown */
    const Socket *socket; /* of the input, NULL when it has none */
    const GraphInput *at; /* the input as the graph holds it; NULL when missing */
    Literal received;     /* literal findings: what was refused; range: after coercion */
    const char
        *why; /* Python's words for FIND_CONVERT and bad links; hook's text for FIND_CUSTOM */
    const char *got_type; /* FIND_TYPE */
    int other;            /* another node that a correction needs, -1 = none */
    const char *want; /* what a correction writes: JSON text, or the rule's own; NULL = none */
    const int *cycle; /* FIND_CYCLE: node indices */
    int n_cycle;
    const Json *source; /* what it is about in the document, NULL = all of it; borrowed */
    const Error *error; /* FIND_PARSER, FIND_LINT: the record as it was given */
} Finding;

typedef struct CheckOptions {
    const NodeTable *table;
    struct Host *host; /* for lists and the classes' own checks; NULL = skip what needs it */
    bool files;        /* file names must exist (E204); needs host */
    const char *const *targets; /* only these outputs; NULL = all */
    size_t n_targets;
} CheckOptions;

typedef struct CheckReport {
    Arena *arena;       /* owned */
    const Graph *graph; /* borrowed; must outlive the report */
    Finding *items; /* owned; notes of the parser, classes, then nodes as outputs reach them */
    int count, capacity;
    int errors, warnings, notes;
    int *outputs; /* chosen output nodes in document order; in the arena */
    int n_outputs;
    bool *valid;   /* per node: reached, and nothing wrong in it or above it */
    bool *reached; /* per node: some chosen output needs it */
    int *parent;   /* per node: consumer through which it was reached first, -1 = an output */
    const char **parent_input; /* its input */
} CheckReport;

/* Binds the graph to the table, checks it, and stores coerced literals back. Fails only when memory is
 * out or a host call breaks; what is wrong with the workflow is in the report. Linear, no recursion. */
Status check_graph(Graph *g, const CheckOptions *options, CheckReport **out, Error *err);
void check_free(CheckReport *report);

/* Checks the bound nodes from `first` on, which a run has added: classes, inputs, links. Coerced literals
 * are stored back. The first thing wrong is the error: E_WORKFLOW and kin, with node and input. */
Status check_added(Graph *g, int first, const CheckOptions *options, Error *err);

/* Adds a finding from elsewhere (lint). */
Status check_add(CheckReport *report, const Error *finding, int node, Error *err);
/* The diagnostic record of a finding; file is the caller's to add. */
void finding_error(const CheckReport *report, const Finding *finding, Error *out);
const char *
finding_comfy_type(const Finding *finding); /* NULL when ComfyUI has no such error */

#endif
