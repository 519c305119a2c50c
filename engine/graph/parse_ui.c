/* parse_ui.c - the editor's document to a Graph, and the choice between the formats. */
#include "engine/graph/parse_ui.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/ui_internal.h"

enum {
    STEPS_MAX =
        200000000, /* stations along wires; a drawing of a million nodes needs a few millions */
};
static const int64_t id_bytes_max = INT64_C(1) << 30;

static Status ui_init(UiDoc *doc, JsonDoc *json, const Json *workflow, const UiOptions *options,
                      Error *err)
{
    *doc = (UiDoc){ .json = json, .root = workflow, .options = options };
    doc->random = options->choice_seed;
    doc->steps = STEPS_MAX;
    doc->id_bytes = id_bytes_max;
    doc->arena = arena_new();
    if (!doc->arena) return ui_no_memory(err);
    return graph_new(&doc->graph, err);
}

static void ui_fini(UiDoc *doc)
{
    for (int i = 0; i < doc->n_levels; i++) {
        map_fini(&doc->levels[i]->by_id);
        map_fini(&doc->levels[i]->link_id);
        map_fini(&doc->levels[i]->sets);
    }
    map_fini(&doc->level_by_id);
    mem_free(doc->levels);
    mem_free(doc->paths);
    arena_free(doc->arena);
    graph_free(doc->graph);
}

static Status lower(UiDoc *doc, Error *err)
{
    TRY(ui_read(doc, err));
    TRY(ui_ids(doc, err));
    TRY(ui_groups(doc, err));
    TRY(ui_bind(doc, err));
    TRY(ui_primitives(doc, err));
    TRY(ui_subgraphs(doc, err));
    TRY(ui_expand(doc, err));
    return ui_emit(doc, err);
}

/* The document goes into the pictures that the run writes, as the editor sends it along. */
static Status keep_workflow(UiDoc *doc, Error *err)
{
    Str text = { 0 };

    str_add(&text, "{\"workflow\": ");
    json_write(&text, doc->root);
    str_add(&text, "}");
    doc->graph->extra_pnginfo = text.failed ? NULL : arena_strdup(doc->graph->arena, text.text);
    str_fini(&text);
    return doc->graph->extra_pnginfo ? OK : ui_no_memory(err);
}

/* Wires that a page script drew and no one sees: worth a look. */
static Status note_everywhere(UiDoc *doc, Error *err)
{
    const Json *list = ui_everywhere(doc->root);
    Error note;

    if (!list || json_count(list) == 0) return OK;
    error_clear(&note);
    error_set(&note, E_UNSUPPORTED, "extra.ue_links holds %d wires that are not drawn",
              (int)json_count(list));
    error_fix(&note, "they are followed for inputs that nothing else feeds; check those");
    return ui_note(doc, &note, "W108", SEV_WARNING, NULL, err);
}

Status parse_ui_json(JsonDoc *doc, const Json *workflow, const UiOptions *options, Graph **out,
                     Error *err)
{
    UiDoc ui;
    Error local, *e = err ? err : &local;
    Status status;

    error_clear(e);
    status = ui_init(&ui, doc, workflow, options, e);
    if (status == OK) status = lower(&ui, e);
    if (status == OK) status = note_everywhere(&ui, e);
    if (status == OK) status = keep_workflow(&ui, e);
    if (status == OK) {
        graph_own_doc(ui.graph, doc);
        ui.graph->drawing = true;
        ui.graph->root = workflow;
        *out = ui.graph;
        ui.graph = NULL;
    }
    ui_fini(&ui);
    return status;
}

/* ---- any document ------------------------------------------------------------------------ */

/* The text or object inside a metadata dump that is to be read: the prompt, else the workflow. */
static const Json *inner_document(const Json *root)
{
    const Json *prompt = json_get(root, "prompt"), *workflow = json_get(root, "workflow");

    if (json_is(prompt, JSON_OBJECT) || json_is(prompt, JSON_STRING)) return prompt;
    return workflow;
}

static Status parse_text(const char *text, size_t length, JsonDoc **out, Error *err)
{
    Status status = json_parse(text, length, out, err);

    if (status != OK && status != E_NOMEM && err) memcpy(err->rule, "E101", 5);
    return status;
}

/* Goes one container down: a text is parsed in the place of the document. */
static Status unwrap(JsonDoc **doc, const Json **root, Error *err)
{
    const Json *inner = inner_document(*root);
    JsonDoc *next = NULL;

    if (!json_is(inner, JSON_STRING)) {
        *root = inner;
        return OK;
    }
    TRY(parse_text(json_string(inner), json_string_length(inner), &next, err));
    json_free(*doc);
    *doc = next;
    *root = json_root(next);
    return OK;
}

Status parse_document(const char *text, size_t length, const UiOptions *options, Graph **out,
                      Error *err)
{
    Error local, *e = err ? err : &local;
    JsonDoc *doc = NULL;
    const Json *root;
    DocKind kind;
    bool embedded = false;
    Status status = OK;

    error_clear(e);
    TRY(parse_text(text, length, &doc, e));
    root = json_root(doc);
    kind = parse_kind(root);
    if (kind == DOC_METADATA) {
        embedded = json_is(inner_document(root), JSON_STRING);
        TRY_DONE(unwrap(&doc, &root, e));
        kind = parse_kind(root);
    }
    if (kind == DOC_UI)
        TRY_DONE(parse_ui_json(doc, root, options, out, e));
    else if (kind == DOC_API)
        TRY_DONE(parse_api_json(doc, root, out, e));
    else {
        status =
            parse_api(text, length, out, e); /* an envelope, or the words for what it is not */
        goto done;
    }
    doc = NULL;
    (*out)->embedded = embedded;
done:
    json_free(doc);
    return status;
}
