/* parse_api.h - API documents and the body of POST /prompt to a Graph. */
#ifndef WEFT_GRAPH_PARSE_API_H
#define WEFT_GRAPH_PARSE_API_H

#include "engine/graph/graph.h"

typedef enum DocKind {
    DOC_API,      /* id to node */
    DOC_UI,       /* the editor's own file: array `nodes` */
    DOC_ENVELOPE, /* body of POST /prompt */
    DOC_METADATA, /* picture metadata: `workflow` and `prompt`, as text or objects */
    DOC_UNKNOWN
} DocKind;

/* Tells what a parsed document is. */
DocKind parse_kind(const Json *root);

/* Reads an API document, or unwraps an envelope. The graph is not bound to classes yet.
 * Errors: E_FORMAT with rule E101 (not JSON, with byte, line and column) or E102 (no API document; a UI
 * document is named as such). Linear in the length of the text. */
Status parse_api(const char *text, size_t length, Graph **out, Error *err);

/* The same from a parsed document, which is taken over on success only; `prompt` is the object of nodes. */
Status parse_api_json(JsonDoc *doc, const Json *prompt, Graph **out, Error *err);

/* A request to run a prompt. Strings live in the graph. */
typedef struct PromptRequest {
    Graph *graph;                      /* owned */
    const char *prompt_id, *client_id; /* NULL = not given */
    bool has_number, front;
    double number;
    const char *const *targets; /* partial_execution_targets; NULL = not given */
    size_t n_targets;
    const Json *extra_data; /* NULL = not given */
} PromptRequest;

/* Reads the body of POST /prompt. *comfy_type (may be NULL) names the answer's error type when it fails:
 * invalid_json, no_prompt, invalid_prompt, prompt_no_outputs, invalid_request; static text. */
Status parse_prompt_body(const char *text, size_t length, PromptRequest *out,
                         const char **comfy_type, Error *err);
void prompt_request_fini(PromptRequest *request);

#endif
