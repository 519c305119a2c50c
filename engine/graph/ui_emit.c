/* ui_emit.c - the expanded drawing as nodes and inputs of the Graph. */
#include <string.h>

#include "engine/graph/ui_internal.h"

/* ---- ids --------------------------------------------------------------------------------- */

static Status spend(UiDoc *doc, int64_t length, Error *err)
{
    doc->id_bytes -= length + 1;
    if (doc->id_bytes >= 0) return OK;
    error_set(err, E_LIMIT,
              "the ids of nested subgraphs take more memory than a drawing can need");
    return ui_at(doc, err, "E105", doc->root);
}

/* "a:b:id", outermost first: written from the end, since paths know their parents only. */
static Status write_id(UiDoc *doc, int path, int node, Str *out, Error *err)
{
    const char *own = doc->paths[path].level->nodes[node].id;
    size_t at = (size_t)doc->paths[path].prefix;
    enum { COLONS = 64 };
    static const char colons[COLONS + 1] =
        "::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::";

    TRY(spend(doc, (int64_t)(at + strlen(own)), err));
    str_clear(out);
    while (out->length < at && !out->failed)
        str_add_n(out, colons, at - out->length < COLONS ? at - out->length : COLONS);
    str_add(out, own);
    if (out->failed) return ui_no_memory(err);
    for (int p = path; at > 0; p = doc->paths[p].parent) {
        size_t n = strlen(doc->paths[p].id);
        at -= n + 1;
        memcpy(out->text + at, doc->paths[p].id, n);
    }
    return OK;
}

/* ---- values ------------------------------------------------------------------------------ */

static bool names_files(const UiNode *node, const char *widget)
{
    static const char *const savers[] = {
        "SaveImage",        "SaveImageAdvanced", "SaveSVGNode",       "SaveVideo",
        "SaveAnimatedWEBP", "SaveAnimatedPNG",   "SaveWEBM",          "SaveAudio",
        "SaveAudioMP3",     "SaveAudioOpus",     "SaveAudioAdvanced", "SaveGLB",
        "Save3DAdvanced",   "SaveGaussianSplat", "SavePointCloud",    "CLIPSave",
        "VAESave",          "ModelSave",         "LoraSave",          "SaveLatent",
    };

    if (strcmp(widget, "filename_prefix") != 0) return false;
    for (size_t i = 0; i < sizeof savers / sizeof *savers; i++)
        if (strcmp(savers[i], node->type) == 0) return true;
    return false;
}

static Status note_rewritten(UiDoc *doc, const UiNode *node, const UiWidget *w, Error *err)
{
    Error note;

    error_clear(&note);
    error_set(&note, E_FORMAT,
              "the text contains {|} or comments and is rewritten as the editor "
              "does it");
    error_fix(&note, "escape them with a backslash to keep them");
    error_at_input(&note, w->name);
    ui_at(doc, &note, "W107", w->value.source);
    ui_at_node(doc, &note, "W107", node);
    note.severity = SEV_WARNING;
    return graph_note(doc->graph, &note, w->value.source, err);
}

static Status final_value(UiDoc *doc, const UiNode *node, const UiWidget *w, Literal *out,
                          Error *err)
{
    *out = w->value;
    if (w->row && w->row->flags & SOCK_F_DYNAMIC_PROMPTS) {
        TRY(ui_choose(doc, &w->value, out, err));
        out->source = w->value.source;
        if (ui_is_dynamic(&w->value)) return note_rewritten(doc, node, w, err);
        return OK;
    }
    if (!names_files(node, w->name)) return OK;
    TRY(ui_file_name(doc, &w->value, out, err));
    out->source = w->value.source;
    return OK;
}

static Status emit_widgets(UiDoc *doc, int path, int index, int at, Error *err)
{
    const UiNode *node = &doc->paths[path].level->nodes[index];
    Literal value;

    for (int i = 0; i < node->n_widgets; i++) {
        const UiWidget *w = &node->widgets[i];
        const Literal *own = ui_override(doc, path, index, w->name);
        if (!own && !w->has) continue;
        if (own)
            value = *own;
        else
            TRY(final_value(doc, node, w, &value, err));
        TRY(graph_set_literal(doc->graph, at, w->name, &value, err));
    }
    return OK;
}

/* What the page's own script puts in whatever is stored: two empty picture names. */
static Status emit_scripted(UiDoc *doc, const UiNode *node, int at, Error *err)
{
    static const char names[] = "[\"\", \"\"]";
    Literal value;
    JsonDoc *json = NULL;

    if (!node->def || strcmp(node->type, "ImageCompare") != 0) return OK;
    TRY(json_parse(names, sizeof names - 1, &json, err));
    value = (Literal){ .kind = LIT_JSON, .json = json_root(json) };
    Status status = graph_keep_doc(doc->graph, json, err);
    return status == OK ? graph_set_literal(doc->graph, at, "compare_view", &value, err)
                        : status;
}

/* ---- wires ------------------------------------------------------------------------------- */

static Status emit_wire(UiDoc *doc, int path, int index, int input, int at, Str *id, Error *err)
{
    const UiSocket *socket = &doc->paths[path].level->nodes[index].inputs[input];
    UiFound found = { 0 };

    TRY(ui_resolve(doc, path, index, input, &found, err));
    if (found.kind == FOUND_VALUE)
        return graph_set_literal(doc->graph, at, socket->name, found.value, err);
    if (found.kind == FOUND_NOTHING) return OK;
    TRY(write_id(doc, found.path, found.node, id, err));
    TRY(graph_set_link(doc->graph, at, socket->name, id->text ? id->text : "", found.slot,
                       err));
    graph_input(&doc->graph->nodes[at], socket->name)->source = socket->json;
    return OK;
}

/* ---- nodes ------------------------------------------------------------------------------- */

static Status note_nameless(UiDoc *doc, const UiNode *node, Error *err)
{
    Error note;

    error_clear(&note);
    error_set(
        &note, E_WORKFLOW,
        "unknown_node_type: %s stores %d values by position, and nothing says their names",
        node->type, node->n_values);
    error_fix(&note, "save it again with a newer editor, or in API format");
    return ui_note(doc, &note, "E201", SEV_ERROR, node, err);
}

static const char *title_of(const UiNode *node)
{
    if (node->title) return node->title;
    return node->def && node->def->display ? node->def->display : node->type;
}

static Status emit_node(UiDoc *doc, int path, int index, Str *id, Error *err)
{
    const UiNode *node = &doc->paths[path].level->nodes[index];
    int at;

    TRY(write_id(doc, path, index, id, err));
    TRY(graph_add_node(doc->graph, id->text ? id->text : "", node->type, title_of(node), &at,
                       err));
    doc->graph->nodes[at].offset = json_offset(node->json);
    doc->graph->nodes[at].source = node->json;
    if (node->nameless) TRY(note_nameless(doc, node, err));
    TRY(emit_widgets(doc, path, index, at, err));
    TRY(emit_scripted(doc, node, at, err));
    for (int i = 0; i < node->n_inputs; i++)
        if (node->inputs[i].link >= 0) TRY(emit_wire(doc, path, index, i, at, id, err));
    return OK;
}

static bool is_off(const UiNode *node)
{
    return node->mode == MODE_MUTE || node->mode == MODE_BYPASS;
}

/* The tree in place: an instance's nodes follow where it stands. `next` is each path's place. */
static Status emit_tree(UiDoc *doc, int *next, Str *id, Error *err)
{
    int path = 0;

    while (path >= 0) {
        const UiPath *p = &doc->paths[path];
        if (next[path] == p->level->n_nodes) {
            path = p->parent;
            continue;
        }
        int index = next[path]++;
        const UiNode *node = &p->level->nodes[index];
        if (node->body && doc->paths[p->children + node->ordinal].level)
            path = p->children + node->ordinal;
        else if (node->kind == UI_CLASS && !is_off(node))
            TRY(emit_node(doc, path, index, id, err));
    }
    return OK;
}

/* How many nodes are switched off, for the reader of a report. */
static Status note_off(UiDoc *doc, Error *err)
{
    int n = 0;
    Error note;

    for (int i = 0; i < doc->n_levels; i++)
        for (int k = 0; k < doc->levels[i]->n_nodes; k++)
            n += is_off(&doc->levels[i]->nodes[k]);
    if (n == 0) return OK;
    error_clear(&note);
    error_set(&note, E_WORKFLOW, "%d node%s switched off", n, n == 1 ? " is" : "s are");
    return ui_note(doc, &note, "N204", SEV_NOTE, NULL, err);
}

Status ui_emit(UiDoc *doc, Error *err)
{
    int *next = arena_array(doc->arena, (size_t)doc->n_paths + 1, sizeof *next);
    Str id = { 0 };

    if (!next) return ui_no_memory(err);
    Status status = emit_tree(doc, next, &id, err);
    str_fini(&id);
    return status == OK ? note_off(doc, err) : status;
}
