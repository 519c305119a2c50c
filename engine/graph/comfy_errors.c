/* comfy_errors.c - what the checker found, in the words of ComfyUI's answer to POST /prompt. */
#include "engine/graph/comfy_errors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

enum { LISTED_CHOICES = 20, NO_STATUS = 400 };

/* An error node and an output that fails because of it. */
typedef struct Pair {
    int node, output;
} Pair;

typedef struct Writer {
    const CheckReport *report;
    const Graph *graph;
    struct Host *host;
    Str *out;
    Str details; /* owned scratch */
    Error *err;
} Writer;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void put_text(Str *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

static void put_member(Str *out, const char *key, const char *text)
{
    put_text(out, key);
    str_add(out, ": ");
    put_text(out, text);
}

/* ---- which findings ComfyUI has ---------------------------------------------------------- */

static bool is_exception(const Finding *f)
{
    switch (f->kind) {
    case FIND_NO_INPUTS:
    case FIND_LINK_NODE:
    case FIND_LINK_ID_TYPE:
    case FIND_LINK_SLOT:
    case FIND_LINK_SLOT_TYPE:
        return true;
    default:
        return false;
    }
}

static bool is_structure(const Finding *f)
{
    return f->kind == FIND_NO_CLASS || f->kind == FIND_UNKNOWN_CLASS ||
           f->kind == FIND_NO_OUTPUT;
}

static bool is_node_error(const Finding *f)
{
    return f->node >= 0 && finding_comfy_type(f) && !is_structure(f);
}

static const Finding *structure_fault(const CheckReport *r)
{
    for (int i = 0; i < r->count; i++)
        if (is_structure(&r->items[i])) return &r->items[i];
    return NULL;
}

int comfy_status(const CheckReport *r)
{
    if (structure_fault(r)) return NO_STATUS;
    for (int i = 0; i < r->n_outputs; i++)
        if (r->valid[r->outputs[i]]) return 200;
    return NO_STATUS;
}

/* ---- one error: message and details ------------------------------------------------------ */

static const char *exception_type(const Finding *f)
{
    if (f->kind == FIND_LINK_SLOT) return "IndexError";
    if (f->kind == FIND_LINK_SLOT_TYPE) return "TypeError";
    if (f->kind == FIND_NO_INPUTS && f->why[0] != '\'') return "TypeError";
    return "KeyError";
}

static const char *exception_reason(const Finding *f)
{
    switch (f->kind) {
    case FIND_LINK_NODE:
        return "unknown_node";
    case FIND_LINK_ID_TYPE:
        return "bad_id_type";
    case FIND_LINK_SLOT:
        return "slot_out_of_range";
    case FIND_LINK_SLOT_TYPE:
        return "bad_slot_type";
    default:
        return "no_inputs";
    }
}

static bool is_inner(const Writer *w, const Finding *f)
{
    return w->report->parent[f->node] >= 0;
}

static const char *error_type(const Writer *w, const Finding *f)
{
    if (is_exception(f) && is_inner(w, f)) return "exception_during_inner_validation";
    return finding_comfy_type(f);
}

static void write_range_message(const Finding *f, Str *out)
{
    str_add(out, "Value ");
    literal_write_str(out, &f->received);
    str_printf(out, " %s of %s", f->kind == FIND_SMALL ? "smaller than min" : "bigger than max",
               f->why);
}

static void write_message(const Writer *w, const Finding *f, Str *out)
{
    switch (f->kind) {
    case FIND_MISSING:
        str_add(out, "Required input is missing");
        break;
    case FIND_LINK_LENGTH:
        str_add(out, "Bad linked input, must be a length-2 list of [node_id, slot_index]");
        break;
    case FIND_TYPE:
        str_add(out, "Return type mismatch between linked nodes");
        break;
    case FIND_NOT_IN_LIST:
        str_add(out, "Value not in list");
        break;
    case FIND_CUSTOM:
        str_add(out, "Custom validation failed for node");
        break;
    case FIND_CONVERT:
        str_printf(out, "Failed to convert an input value to a %s value",
                   socket_type_name(f->socket));
        break;
    case FIND_SMALL:
    case FIND_BIG:
        write_range_message(f, out);
        break;
    case FIND_CYCLE:
        str_add(out, "Dependency cycle detected");
        break;
    default:
        str_add(out, is_inner(w, f) ? "Exception when validating inner node"
                                    : "Exception when validating node");
    }
}

static void write_choices(const Socket *s, const char *const *names, size_t count, Str *out)
{
    if (count > LISTED_CHOICES) {
        str_printf(out, "(list of length %zu)", count);
        return;
    }
    str_add_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        Literal name = { .kind = LIT_TEXT, .text = names[i], .length = strlen(names[i]) };
        if (i) str_add(out, ", ");
        if (socket_option_is_number(s, names[i]))
            str_add(out, names[i]);
        else
            literal_write_repr(out, &name);
    }
    str_add_char(out, ']');
}

static Status write_list_details(const Writer *w, const Finding *f, Str *out)
{
    const char *const *names;
    size_t count;

    TRY(socket_options(f->socket, w->host, &names, &count, w->err));
    str_printf(out, "%s: '", f->input);
    literal_write_str(out, &f->received);
    str_add(out, "' not in ");
    write_choices(f->socket, names, count, out);
    return OK;
}

static void write_custom_details(const Finding *f, Str *out)
{
    if (f->input) str_printf(out, "%s - ", f->input);
    if (f->socket && f->socket->flags & SOCK_F_IMAGE_UPLOAD) {
        str_add(out, "Invalid image file: ");
        literal_write_str(out, &f->received);
    } else {
        str_add(out, f->message);
    }
}

static void write_cycle_details(const Writer *w, const Finding *f, Str *out)
{
    for (int i = 0; i < f->n_cycle; i++)
        str_printf(out, "%s%s", i ? ", " : "", w->graph->nodes[f->cycle[i]].id);
}

static Status write_details(const Writer *w, const Finding *f, Str *out)
{
    switch (f->kind) {
    case FIND_TYPE:
        str_printf(out, "%s, received_type(%s) mismatch input_type(%s)", f->input, f->got_type,
                   socket_type_name(f->socket));
        return OK;
    case FIND_NOT_IN_LIST:
        return write_list_details(w, f, out);
    case FIND_CUSTOM:
        write_custom_details(f, out);
        return OK;
    case FIND_CONVERT:
        str_printf(out, "%s, ", f->input);
        literal_write_str(out, &f->received);
        str_printf(out, ", %s", f->why);
        return OK;
    case FIND_CYCLE:
        write_cycle_details(w, f, out);
        return OK;
    default:
        str_add(out, is_exception(f) ? f->why : f->input ? f->input : "");
        return OK;
    }
}

/* ---- extra_info -------------------------------------------------------------------------- */

static Status put_config(const Writer *w, const Socket *s)
{
    const char *const *names;
    size_t count = 0;

    str_add(w->out, ", \"input_config\": ");
    if (s && s->type == SOCK_COMBO) TRY(socket_options(s, w->host, &names, &count, w->err));
    if (!s || count > LISTED_CHOICES) {
        str_add(w->out, "null");
        return OK;
    }
    return socket_write_config(s, w->host, false, w->out, w->err);
}

static void put_linked_node(const Writer *w, const GraphInput *in)
{
    str_add(w->out, ", \"linked_node\": [");
    put_text(w->out, in && in->origin_id ? in->origin_id : "");
    str_printf(w->out, ", %" PRId64 "]", in ? in->slot : 0);
}

/* The parent's input through which the walk came to the node. */
static Status put_parent(const Writer *w, const Finding *f)
{
    const GraphNode *parent = &w->graph->nodes[w->report->parent[f->node]];
    const char *input = w->report->parent_input[f->node];

    put_member(w->out, "input_name", input);
    TRY(put_config(w, node_input(parent->def, input, NULL)));
    put_linked_node(w, graph_input(parent, input));
    str_add(w->out, ", ");
    put_member(w->out, "exception_message", f->why);
    str_add(w->out, ", ");
    return OK;
}

static Status put_exception(const Writer *w, const Finding *f)
{
    if (is_inner(w, f)) TRY(put_parent(w, f));
    put_member(w->out, "exception_type", exception_type(f));
    str_add(w->out, ", \"traceback\": [], ");
    put_member(w->out, "reason", exception_reason(f));
    return OK;
}

static void put_received(const Writer *w, const Finding *f)
{
    str_add(w->out, ", \"received_value\": ");
    if (f->kind == FIND_LINK_LENGTH)
        json_write(w->out, f->at->raw);
    else if (f->received.kind == LIT_JSON)
        json_write(w->out, f->received.json);
    else
        literal_write_json(w->out, &f->received);
}

static void put_cycle(const Writer *w, const Finding *f)
{
    str_add(w->out, "\"cycle\": [");
    for (int i = 0; i < f->n_cycle; i++) {
        if (i) str_add(w->out, ", ");
        put_text(w->out, w->graph->nodes[f->cycle[i]].id);
    }
    str_add_char(w->out, ']');
}

static Status put_extra(const Writer *w, const Finding *f)
{
    if (is_exception(f)) return put_exception(w, f);
    if (f->kind == FIND_CYCLE) {
        put_cycle(w, f);
        return OK;
    }
    put_member(w->out, "input_name", f->input ? f->input : "");
    if (f->kind == FIND_MISSING || f->kind == FIND_CUSTOM) return OK;
    TRY(put_config(w, f->socket));
    if (f->kind == FIND_TYPE) {
        str_add(w->out, ", ");
        put_member(w->out, "received_type", f->got_type);
        put_linked_node(w, f->at);
        return OK;
    }
    put_received(w, f);
    if (f->kind != FIND_CONVERT) return OK;
    str_add(w->out, ", ");
    put_member(w->out, "exception_message", f->why);
    return OK;
}

/* ---- one error, one node ----------------------------------------------------------------- */

static void put_scratch(Writer *w, const char *key)
{
    str_printf(w->out, ", \"%s\": ", key);
    json_write_string(w->out, w->details.text ? w->details.text : "", w->details.length);
    w->out->failed |= w->details.failed;
    str_clear(&w->details);
}

static Status put_error(Writer *w, const Finding *f)
{
    str_add_char(w->out, '{');
    put_member(w->out, "type", error_type(w, f));
    write_message(w, f, &w->details);
    put_scratch(w, "message");
    TRY(write_details(w, f, &w->details));
    put_scratch(w, "details");
    str_add(w->out, ", \"extra_info\": {");
    TRY(put_extra(w, f));
    str_add(w->out, "}}");
    return OK;
}

/* Findings of a node as a chain: first[node], then next[finding]. An exception ends the work on a node,
 * so it stands alone. */
static void chain_findings(const CheckReport *r, int *first, int *next)
{
    for (int i = 0; i < r->graph->count; i++)
        first[i] = -1;
    for (int i = r->count - 1; i >= 0; i--) {
        const Finding *f = &r->items[i];
        if (!is_node_error(f)) continue;
        next[i] = is_exception(f) ? -1 : first[f->node];
        first[f->node] = i;
    }
    for (int i = r->count - 1; i >= 0; i--)
        if (is_node_error(&r->items[i]) && is_exception(&r->items[i]))
            first[r->items[i].node] = i;
}

static Status put_errors(Writer *w, int first, const int *next)
{
    str_add(w->out, "\"errors\": [");
    for (int i = first; i >= 0; i = next[i]) {
        if (i != first) str_add(w->out, ", ");
        TRY(put_error(w, &w->report->items[i]));
    }
    str_add_char(w->out, ']');
    return OK;
}

static Status put_node(Writer *w, int first, const int *next, const Pair *pairs, size_t count)
{
    const GraphNode *n = &w->graph->nodes[w->report->items[first].node];

    put_text(w->out, n->id);
    str_add(w->out, ": {");
    TRY(put_errors(w, first, next));
    str_add(w->out, ", \"dependent_outputs\": [");
    for (size_t i = 0; i < count; i++) {
        if (i) str_add(w->out, ", ");
        put_text(w->out, w->graph->nodes[pairs[i].output].id);
    }
    str_add(w->out, "], ");
    put_member(w->out, "class_type", n->class_type ? n->class_type : "");
    str_add_char(w->out, '}');
    return OK;
}

/* ---- which outputs depend on which error ------------------------------------------------- */

typedef struct Reach {
    const CheckReport *report;
    const int *first; /* per node: an error of its own, or -1 */
    int *seen;        /* owned; per node: the output that met it last, plus 1 */
    int *stack;       /* owned */
    Pair *pairs;      /* owned */
    size_t count, capacity;
} Reach;

static bool push_pair(Reach *r, int node, int output)
{
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 64;
        Pair *more = mem_realloc(r->pairs, capacity * sizeof *more);
        if (!more) return false;
        r->pairs = more;
        r->capacity = capacity;
    }
    r->pairs[r->count++] = (Pair){ node, output };
    return true;
}

/* Only what is invalid leads to an error. */
static bool reach_from(Reach *r, int output)
{
    const Graph *g = r->report->graph;
    int depth = 1;

    r->stack[0] = output;
    r->seen[output] = output + 1;
    while (depth > 0) {
        int node = r->stack[--depth];
        const GraphNode *n = &g->nodes[node];
        if (r->first[node] >= 0 && !push_pair(r, node, output)) return false;
        for (int i = 0; i < n->n_inputs; i++) {
            int origin = n->inputs[i].is_link ? n->inputs[i].origin : -1;
            if (origin < 0 || r->seen[origin] == output + 1) continue;
            if (r->report->valid[origin] || !r->report->reached[origin]) continue;
            r->seen[origin] = output + 1;
            r->stack[depth++] = origin;
        }
    }
    return true;
}

static int compare_pairs(const void *a, const void *b)
{
    const Pair *x = a, *y = b;

    return x->node != y->node ? x->node - y->node : x->output - y->output;
}

static Status find_pairs(Reach *r, Error *err)
{
    const CheckReport *report = r->report;
    size_t n = (size_t)report->graph->count + 1;

    r->seen = mem_calloc(n, sizeof *r->seen);
    r->stack = mem_alloc_array(n, sizeof *r->stack);
    if (!r->seen || !r->stack) return no_memory(err);
    for (int i = 0; i < report->n_outputs; i++)
        if (!report->valid[report->outputs[i]] && !reach_from(r, report->outputs[i]))
            return no_memory(err);
    if (r->count) qsort(r->pairs, r->count, sizeof *r->pairs, compare_pairs);
    return OK;
}

/* ---- the objects ------------------------------------------------------------------------- */

static Status put_nodes(Writer *w, const Reach *r, const int *next)
{
    const char *comma = "";

    str_add_char(w->out, '{');
    for (size_t i = 0, end; i < r->count; i = end) {
        for (end = i; end < r->count && r->pairs[end].node == r->pairs[i].node;)
            end++;
        str_add(w->out, comma);
        TRY(put_node(w, r->first[r->pairs[i].node], next, r->pairs + i, end - i));
        comma = ", ";
    }
    str_add_char(w->out, '}');
    return OK;
}

Status comfy_write_node_errors(const CheckReport *report, struct Host *host, Str *out,
                               Error *err)
{
    Writer w = {
        .report = report, .graph = report->graph, .host = host, .out = out, .err = err
    };
    int *first = mem_alloc_array((size_t)report->graph->count + 1, sizeof *first);
    int *next = mem_alloc_array((size_t)report->count + 1, sizeof *next);
    Reach reach = { .report = report, .first = first };
    Status status = OK;

    if (!first || !next) {
        status = no_memory(err);
        goto done;
    }
    chain_findings(report, first, next);
    if (!structure_fault(report)) TRY_DONE(find_pairs(&reach, err));
    TRY_DONE(put_nodes(&w, &reach, next));
    if (out->failed) status = no_memory(err);
done:
    mem_free(first);
    mem_free(next);
    mem_free(reach.seen);
    mem_free(reach.stack);
    mem_free(reach.pairs);
    str_fini(&w.details);
    return status;
}

/* ---- the top of a refusal ---------------------------------------------------------------- */

static void put_class(Str *out, const GraphNode *n)
{
    if (n->raw_class)
        json_write(out, n->raw_class);
    else if (n->class_type)
        put_text(out, n->class_type);
    else
        str_add(out, "null");
}

static Status put_missing_class(Writer *w, const Finding *f)
{
    const GraphNode *n = &w->graph->nodes[f->node];
    Literal name = { .kind = LIT_NULL };

    if (n->raw_class) TRY(literal_from_json(w->graph->arena, n->raw_class, &name, w->err));
    put_member(w->out, "type", "missing_node_type");
    if (n->raw_class || n->class_type) {
        str_add(&w->details, "Node '");
        if (n->raw_class)
            literal_write_str(&w->details, &name);
        else
            str_add(&w->details, n->class_type);
        str_add(&w->details, "' not found. The custom node may not be installed.");
    } else {
        str_printf(&w->details, "Node 'ID #%s' has no class_type.", n->id);
    }
    put_scratch(w, "message");
    str_printf(&w->details, "Node ID '#%s'", n->id);
    put_scratch(w, "details");
    str_add(w->out, ", \"extra_info\": {");
    put_member(w->out, "node_id", n->id);
    str_add(w->out, ", \"class_type\": ");
    put_class(w->out, n);
    str_add(w->out, ", \"node_title\": ");
    if (n->title)
        put_text(w->out, n->title);
    else
        put_class(w->out, n);
    str_add_char(w->out, '}');
    return OK;
}

/* Lines "message: details" of the errors on the output nodes themselves. */
static Status write_output_lines(const Writer *w, Str *out)
{
    for (int i = 0; i < w->report->count; i++) {
        const Finding *f = &w->report->items[i];
        if (!is_node_error(f)) continue;
        bool output = false;
        for (int k = 0; k < w->report->n_outputs && !output; k++)
            output = w->report->outputs[k] == f->node;
        if (!output) continue;
        if (out->length) str_add_char(out, '\n');
        write_message(w, f, out);
        str_add(out, ": ");
        TRY(write_details(w, f, out));
    }
    return OK;
}

static Status put_failed_outputs(Writer *w)
{
    put_member(w->out, "type", "prompt_outputs_failed_validation");
    str_add(w->out, ", ");
    put_member(w->out, "message", "Prompt outputs failed validation");
    TRY(write_output_lines(w, &w->details));
    put_scratch(w, "details");
    str_add(w->out, ", \"extra_info\": {}");
    return OK;
}

static void put_no_outputs(Writer *w)
{
    put_member(w->out, "type", "prompt_no_outputs");
    str_add(w->out,
            ", \"message\": \"Prompt has no outputs\", \"details\": \"\", \"extra_info\": {}");
}

static Status put_top(Writer *w)
{
    const Finding *f = structure_fault(w->report);

    if (!f) return put_failed_outputs(w);
    if (f->kind != FIND_NO_OUTPUT) return put_missing_class(w, f);
    put_no_outputs(w);
    return OK;
}

Status comfy_write_refusal(const CheckReport *report, struct Host *host, Str *out, Error *err)
{
    Writer w = {
        .report = report, .graph = report->graph, .host = host, .out = out, .err = err
    };
    Status status;

    str_add(out, "{\"error\": {");
    status = put_top(&w);
    str_fini(&w.details);
    TRY(status);
    str_add(out, "}, \"node_errors\": ");
    TRY(comfy_write_node_errors(report, host, out, err));
    str_add_char(out, '}');
    return out->failed ? no_memory(err) : OK;
}

/* ---- bodies that could not be read ------------------------------------------------------- */

Status comfy_write_fault(const char *type, const Error *fault, Str *out, Error *err)
{
    bool no_prompt = strcmp(type, "no_prompt") == 0;

    str_add(out, "{\"error\": {");
    put_member(out, "type", type);
    str_add(out, ", ");
    put_member(out, "message", fault->message);
    str_add(out, ", ");
    put_member(out, "details", no_prompt ? fault->message : fault->fix);
    str_add(out, ", \"extra_info\": {");
    if (fault->offset >= 0 && !no_prompt)
        str_printf(out, "\"offset\": %" PRId64 ", \"line\": %d, \"column\": %d", fault->offset,
                   fault->line, fault->column);
    str_add(out, "}}, \"node_errors\": {}}");
    return out->failed ? no_memory(err) : OK;
}
