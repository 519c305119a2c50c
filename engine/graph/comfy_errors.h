/* comfy_errors.h - what the checker found, in the words of ComfyUI's answer to POST /prompt. */
#ifndef WEFT_GRAPH_COMFY_ERRORS_H
#define WEFT_GRAPH_COMFY_ERRORS_H

#include "engine/graph/check.h"

/* 200 when at least one chosen output can run, else 400. */
int comfy_status(const CheckReport *report);

/* Appends the whole answer to a refused prompt, {"error": {...}, "node_errors": {...}}. host gives the
 * choices of combos (may be NULL). */
Status comfy_write_refusal(const CheckReport *report, struct Host *host, Str *out, Error *err);

/* Appends only the object of node errors: an accepted prompt lists the outputs that will not run. */
Status comfy_write_node_errors(const CheckReport *report, struct Host *host, Str *out,
                               Error *err);

/* Appends the answer to a body that could not be read: type from parse_prompt_body. */
Status comfy_write_fault(const char *type, const Error *fault, Str *out, Error *err);

#endif
