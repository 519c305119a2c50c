/* validate_comfy.c - `weft validate --format comfy`: what ComfyUI answers to a file as the body of POST /prompt. */
#include <stdio.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/cli/validate.h"
#include "engine/graph/comfy_errors.h"
#include "engine/graph/parse_api.h"

static int print_answer(Status status, Str *answer, const Error *err, bool refused)
{
    if (status == OK && !answer->failed)
        printf("%s\n", answer->text);
    else
        cli_print_error(err);
    str_fini(answer);
    return status != OK ? session_exit_code(status) : refused ? 1 : 0;
}

/* A body that is no prompt: the answer names what it is instead. */
static int answer_fault(const char *file, const Error *fault)
{
    Str answer = { 0 };
    Error err = { 0 };
    PromptRequest request;
    const char *type = "invalid_prompt";
    char *text = NULL;
    size_t size = 0;
    Status status = file_read(file, (size_t)1 << 30, &text, &size, &err);

    if (status == OK && parse_prompt_body(text, size, &request, &type, NULL) == OK)
        prompt_request_fini(&request);
    if (status == OK) status = comfy_write_fault(type, fault, &answer, &err);
    mem_free(text);
    return print_answer(status, &answer, &err, true);
}

int validate_comfy(Session *session, const char *file)
{
    Workflow w;
    CheckReport *checked = NULL;
    Str answer = { 0 };
    Error err = { 0 };
    bool refused;
    Status status = workflow_open(session, file, &w, &err);

    if (status == E_FORMAT) return answer_fault(file, &err);
    if (status != OK) {
        cli_print_error(&err);
        return 2;
    }
    status = workflow_check(&w, true, &checked, &err);
    refused = status == OK && comfy_status(checked) != 200;
    if (status == OK && refused)
        status = comfy_write_refusal(checked, session->host, &answer, &err);
    else if (status == OK) {
        str_add(&answer, "{\"node_errors\": ");
        status = comfy_write_node_errors(checked, session->host, &answer, &err);
        str_add(&answer, "}");
    }
    check_free(checked);
    workflow_fini(&w);
    return print_answer(status, &answer, &err, refused);
}
