/* validate_comfy.c - `weft validate --format comfy`: what ComfyUI answers to a file as the body of POST /prompt. */
#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/cli/validate.h"
#include "engine/graph/comfy_errors.h"
#include "engine/graph/parse_api.h"

enum { LARGEST = 1 << 30 };

typedef struct Answer {
    Str text; /* owned */
    bool refused;
} Answer;

static Status answer_graph(Session *s, Graph *g, const PromptRequest *request, Answer *out,
                           Error *err)
{
    CheckOptions options = { .table = &s->table, .host = s->host, .files = true };
    CheckReport *checked = NULL;
    Status status;

    if (request) {
        options.targets = request->targets;
        options.n_targets = request->n_targets;
    }
    TRY(check_graph(g, &options, &checked, err));
    out->refused = comfy_status(checked) != 200;
    if (out->refused) {
        status = comfy_write_refusal(checked, s->host, &out->text, err);
    } else {
        str_add(&out->text, "{\"node_errors\": ");
        status = comfy_write_node_errors(checked, s->host, &out->text, err);
        str_add(&out->text, "}");
    }
    check_free(checked);
    return status;
}

static Status answer_fault(const char *type, const Error *fault, Answer *out, Error *err)
{
    out->refused = true;
    return comfy_write_fault(type, fault, &out->text, err);
}

static Status answer_body(Session *s, const char *text, size_t size, Answer *out, Error *err)
{
    PromptRequest request = { 0 };
    const char *type = NULL;
    Status status;
    Error fault;

    error_clear(&fault);
    TRY(session_refresh(s, err));
    status = parse_prompt_body(text, size, &request, &type, &fault);
    if (status == E_NOMEM) return error_set(err, E_NOMEM, "out of memory");
    if (status != OK) return answer_fault(type, &fault, out, err);
    status = answer_graph(s, request.graph, &request, out, err);
    prompt_request_fini(&request);
    return status;
}

/* A workflow stands for the request that would run all of it. */
static Status answer_document(Session *s, const char *text, size_t size, Answer *out,
                              Error *err)
{
    Workflow w;
    Status status;
    Error fault;

    error_clear(&fault);
    status = workflow_from_text(s, text, size, &w, &fault);
    if (status == E_FORMAT || (fault.rule[0] && status != OK && status != E_NOMEM))
        return answer_fault(strcmp(fault.rule, "E101") == 0 ? "invalid_json" : "invalid_prompt",
                            &fault, out, err);
    if (status != OK) *err = fault;
    if (status != OK) return status;
    status = answer_graph(s, w.graph, NULL, out, err);
    workflow_fini(&w);
    return status;
}

/* Has a prompt, or is JSON and no workflow; a node may be called "prompt", too. */
static bool is_body(const char *text, size_t size)
{
    JsonDoc *doc = NULL;
    bool body;

    if (json_parse(text, size, &doc, NULL) != OK) return false; /* a picture, perhaps */
    switch (parse_kind(json_root(doc))) {
    case DOC_UNKNOWN:
        body = true;
        break;
    case DOC_API:
        body = false;
        break;
    default:
        body = json_get(json_root(doc), "prompt") != NULL;
    }
    json_free(doc);
    return body;
}

static int print_answer(const char *file, Status status, Answer *answer, Error *err)
{
    if (status == OK && answer->text.failed) status = error_set(err, E_NOMEM, "out of memory");
    if (status == OK) {
        printf("%s\n", answer->text.text);
    } else {
        error_at_file(err, file, -1);
        cli_print_error(err);
    }
    str_fini(&answer->text);
    return status != OK ? 2 : answer->refused;
}

int validate_comfy(Session *session, const char *file)
{
    Answer answer = { 0 };
    char *text = NULL;
    size_t size = 0;
    Status status;
    Error err;

    error_clear(&err);
    status = file_read(file, LARGEST, &text, &size, &err);
    if (status == OK)
        status = is_body(text, size) ? answer_body(session, text, size, &answer, &err)
                                     : answer_document(session, text, size, &answer, &err);
    mem_free(text);
    return print_answer(file, status, &answer, &err);
}
