/* parse_api.c - API documents and the body of POST /prompt to a Graph. */
#include "engine/graph/parse_api.h"

#include <string.h>

static Status fail(Error *err, const JsonDoc *doc, const Json *at, const char *rule)
{
    if (!err) return E_FORMAT;
    strncpy(err->rule, rule, sizeof err->rule - 1);
    err->status = E_FORMAT;
    err->severity = SEV_ERROR;
    if (at && err->offset < 0) {
        err->offset = json_offset(at);
        json_line_column(doc, err->offset, &err->line, &err->column);
    }
    return E_FORMAT;
}

static const char *kind_name(const Json *value)
{
    static const char *const names[] = { "null", "true or false", "a number",
                                         "text", "a list",        "an object" };
    return names[json_kind(value)];
}

static bool has_nodes(const Json *object)
{
    for (const Json *m = json_is(object, JSON_OBJECT) ? json_first(object) : NULL; m;
         m = json_next(m))
        if (json_is(m, JSON_OBJECT) && json_get(m, "class_type")) return true;
    return false;
}

DocKind parse_kind(const Json *root)
{
    const Json *prompt;

    if (!json_is(root, JSON_OBJECT)) return DOC_UNKNOWN;
    if (json_is(json_get(root, "nodes"), JSON_ARRAY)) return DOC_UI;
    prompt = json_get(root, "prompt");
    if (has_nodes(prompt) && !json_get(prompt, "class_type"))
        return json_is(json_get(root, "workflow"), JSON_OBJECT) ? DOC_METADATA : DOC_ENVELOPE;
    if (has_nodes(root)) return DOC_API;
    if (json_is(prompt, JSON_STRING) || json_is(json_get(root, "workflow"), JSON_STRING) ||
        json_is(json_get(root, "workflow"), JSON_OBJECT))
        return DOC_METADATA;
    return DOC_UNKNOWN;
}

/* ---- nodes ------------------------------------------------------------------------------- */

static Status not_a_node(const JsonDoc *doc, const Json *member, Error *err)
{
    error_set(err, E_FORMAT, "node %s is %s, not an object with class_type and inputs",
              json_key(member), kind_name(member));
    error_fix(err, "remove it, or export the workflow again in API format");
    return fail(err, doc, member, "E102");
}

static const char *title_of(const Json *node)
{
    const Json *meta = json_get(node, "_meta");

    return json_is(meta, JSON_OBJECT) ? json_string(json_get(meta, "title")) : NULL;
}

static Status read_inputs(Graph *g, int index, const Json *node, Error *err)
{
    const Json *inputs = json_get(node, "inputs");

    /* The reference looks names up with Python's `in`: a list or text holds none, other kinds raise. */
    g->nodes[index].no_inputs = !inputs || json_kind(inputs) < JSON_STRING;
    if (!json_is(inputs, JSON_OBJECT)) return OK;
    for (const Json *m = json_first(inputs); m; m = json_next(m))
        TRY(graph_set_json(g, index, json_key(m), m, err));
    return OK;
}

static Status class_not_text(const JsonDoc *doc, const Json *member, const Json *class_type,
                             Error *err)
{
    error_set(err, E_FORMAT, "node %s: class_type is %s, not a name", json_key(member),
              kind_name(class_type));
    error_fix(err, "export the workflow again in API format");
    return fail(err, doc, class_type, "E102");
}

static Status read_node(Graph *g, const JsonDoc *doc, const Json *member, Error *err)
{
    const Json *class_type;
    int index;

    if (!json_is(member, JSON_OBJECT)) return not_a_node(doc, member, err);
    class_type = json_get(member, "class_type");
    if (class_type && json_kind(class_type) >= JSON_ARRAY)
        return class_not_text(doc, member, class_type, err);
    TRY(graph_add_node(g, json_key(member), class_type ? json_string(class_type) : NULL,
                       title_of(member), &index, err));
    g->nodes[index].raw = g->nodes[index].source = member;
    g->nodes[index].raw_class = class_type;
    g->nodes[index].offset = json_offset(member);
    return read_inputs(g, index, member, err);
}

static Status note_duplicates(Graph *g, const JsonDoc *doc, Error *err)
{
    const Json *member;
    Error note;

    for (size_t i = 0; (member = json_duplicate(doc, i)); i++) {
        error_clear(&note);
        error_set(&note, E_FORMAT, "duplicate key %s: the last one wins", json_key(member));
        error_fix(&note, "remove the earlier one");
        fail(&note, doc, member, "W101");
        note.severity = SEV_WARNING;
        TRY(graph_note(g, &note, member, err));
    }
    return OK;
}

/* Reads all nodes into a new graph, which borrows from the document but does not own it yet. */
static Status read_prompt(JsonDoc *doc, const Json *prompt, Graph **out, Error *err)
{
    Status status = OK;
    Graph *g = NULL;

    TRY(graph_new(&g, err));
    for (const Json *m = json_first(prompt); m; m = json_next(m))
        TRY_DONE(read_node(g, doc, m, err));
    TRY_DONE(note_duplicates(g, doc, err));
    *out = g;
    g = NULL;
done:
    graph_free(g);
    return status;
}

Status parse_api_json(JsonDoc *doc, const Json *prompt, Graph **out, Error *err)
{
    Graph *g = NULL;

    TRY(read_prompt(doc, prompt, &g, err));
    graph_own_doc(g, doc);
    g->root = prompt;
    *out = g;
    return OK;
}

static Status keep_pnginfo(Graph *g, const Json *extra, Error *err)
{
    const Json *info = json_is(extra, JSON_OBJECT) ? json_get(extra, "extra_pnginfo") : NULL;
    Str text = { 0 };

    if (!json_is(info, JSON_OBJECT)) return OK;
    json_write(&text, info);
    g->extra_pnginfo = text.failed ? NULL : arena_strdup(g->arena, text.text);
    str_fini(&text);
    return g->extra_pnginfo ? OK : error_set(err, E_NOMEM, "out of memory");
}

static Status scan(const char *text, size_t length, JsonDoc **out, Error *err)
{
    Error local, *e = err ? err : &local;
    Status status;

    error_clear(e);
    status = json_parse(text, length, out, e);
    if (status != OK && status != E_NOMEM) memcpy(e->rule, "E101", 5);
    return status;
}

static Status unknown_format(const JsonDoc *doc, DocKind kind, Error *err)
{
    if (kind == DOC_UI) {
        error_set(err, E_FORMAT, "this is the editor's own (UI) format, not an API document");
        error_fix(err, "read it through the UI parser, or export it with \"Export (API)\"");
    } else if (kind == DOC_METADATA) {
        error_set(err, E_FORMAT, "this holds a workflow inside metadata, not an API document");
        error_fix(err, "take the value of \"prompt\" or \"workflow\" out of it");
    } else {
        error_set(err, E_FORMAT, "neither UI nor API workflow");
        error_fix(err, "expected {\"1\": {\"class_type\": ..., \"inputs\": {...}}, ...}");
    }
    return fail(err, doc, json_root(doc), "E102");
}

Status parse_api(const char *text, size_t length, Graph **out, Error *err)
{
    Status status = OK;
    JsonDoc *doc = NULL;
    Graph *g = NULL;
    const Json *root;
    DocKind kind;

    TRY(scan(text, length, &doc, err));
    root = json_root(doc);
    kind = parse_kind(root);
    if (kind != DOC_API && kind != DOC_ENVELOPE) {
        status = unknown_format(doc, kind, err);
        goto done;
    }
    TRY_DONE(parse_api_json(doc, kind == DOC_API ? root : json_get(root, "prompt"), &g, err));
    doc = NULL;
    if (kind == DOC_ENVELOPE) TRY_DONE(keep_pnginfo(g, json_get(root, "extra_data"), err));
    *out = g;
    g = NULL;
done:
    graph_free(g);
    json_free(doc);
    return status;
}

/* ---- the request ------------------------------------------------------------------------- */

static Status refuse(const JsonDoc *doc, const Json *at, const char **comfy_type,
                     const char *type, Error *err, const char *message)
{
    *comfy_type = type;
    error_set(err, E_FORMAT, "%s", message);
    return fail(err, doc, at, "E102");
}

static Status check_prompt(const JsonDoc *doc, const Json *root, const char **comfy_type,
                           Error *err)
{
    const Json *prompt = json_is(root, JSON_OBJECT) ? json_get(root, "prompt") : NULL;

    if (!prompt && parse_kind(root) == DOC_UI)
        return refuse(doc, root, comfy_type, "invalid_prompt", err,
                      "this is a UI document; POST /prompt takes {\"prompt\": API document}");
    if (!prompt) return refuse(doc, root, comfy_type, "no_prompt", err, "No prompt provided");
    if (parse_kind(prompt) == DOC_UI)
        return refuse(doc, prompt, comfy_type, "invalid_prompt", err,
                      "the prompt is a UI document, not an API document");
    if (json_kind(prompt) >= JSON_ARRAY && json_count(prompt) == 0) return OK;
    if (!json_is(prompt, JSON_OBJECT))
        return refuse(doc, prompt, comfy_type, "invalid_prompt", err,
                      "the prompt is not an object of nodes");
    return OK;
}

static Status read_text(Graph *g, const Json *value, const char **out, Error *err)
{
    Literal literal;
    Str text = { 0 };

    if (!value || json_is(value, JSON_NULL)) return OK;
    TRY(literal_from_json(g->arena, value, &literal, err));
    literal_write_str(&text, &literal);
    *out = text.failed ? NULL : arena_strdup(g->arena, text.text ? text.text : "");
    str_fini(&text);
    return *out ? OK : error_set(err, E_NOMEM, "out of memory");
}

static Status read_number(const Json *root, PromptRequest *out, const char **comfy_type,
                          Error *err)
{
    const Json *number = json_get(root, "number"), *front = json_get(root, "front");
    Literal value = { 0 }, converted;
    const char *why;
    Coerced how;

    if (front) {
        TRY(literal_from_json(out->graph->arena, front, &value, err));
        out->front = literal_truth(&value);
    }
    if (!number) return OK;
    TRY(literal_from_json(out->graph->arena, number, &value, err));
    TRY(literal_coerce(out->graph->arena, &value, TO_FLOAT, &converted, &how, &why, err));
    if (how == COERCED_FAILED)
        return refuse(out->graph->doc, number, comfy_type, "invalid_request", err,
                      "number is not a number");
    out->has_number = true;
    out->number = converted.f;
    return OK;
}

static Status read_targets(const Json *root, PromptRequest *out, const char **comfy_type,
                           Error *err)
{
    const Json *list = json_get(root, "partial_execution_targets");
    const char **names;
    size_t n = 0;

    if (!list || json_is(list, JSON_NULL)) return OK;
    if (!json_is(list, JSON_ARRAY))
        return refuse(out->graph->doc, list, comfy_type, "invalid_request", err,
                      "partial_execution_targets is not a list");
    names = arena_array(out->graph->arena, json_count(list) + 1, sizeof *names);
    if (!names) return error_set(err, E_NOMEM, "out of memory");
    for (const Json *m = json_first(list); m; m = json_next(m))
        if (json_is(m, JSON_STRING)) names[n++] = json_string(m);
    out->targets = names;
    out->n_targets = n;
    return OK;
}

static Status read_request(const Json *root, PromptRequest *out, const char **comfy_type,
                           Error *err)
{
    Graph *g = out->graph;

    out->extra_data = json_get(root, "extra_data");
    TRY(read_text(g, json_get(root, "prompt_id"), &out->prompt_id, err));
    TRY(read_text(g, json_get(root, "client_id"), &out->client_id, err));
    TRY(read_number(root, out, comfy_type, err));
    TRY(read_targets(root, out, comfy_type, err));
    return keep_pnginfo(g, out->extra_data, err);
}

Status parse_prompt_body(const char *text, size_t length, PromptRequest *out,
                         const char **comfy_type, Error *err)
{
    const char *unused, **type = comfy_type ? comfy_type : &unused;
    PromptRequest request = { 0 };
    Status status = OK;
    JsonDoc *doc = NULL;
    const Json *root;

    *type = "invalid_json";
    TRY(scan(text, length, &doc, err));
    root = json_root(doc);
    TRY_DONE(check_prompt(doc, root, type, err));
    *type = "invalid_prompt";
    TRY_DONE(parse_api_json(doc, json_get(root, "prompt"), &request.graph, err));
    doc = NULL;
    TRY_DONE(read_request(root, &request, type, err));
    *type = NULL;
    *out = request;
    request.graph = NULL;
done:
    graph_free(request.graph);
    json_free(doc);
    return status;
}

void prompt_request_fini(PromptRequest *request)
{
    graph_free(request->graph);
    memset(request, 0, sizeof *request);
}
