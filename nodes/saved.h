/* saved.h - what every saving node says of the file that it wrote. */
#ifndef WEFT_NODES_SAVED_H
#define WEFT_NODES_SAVED_H

#include "engine/graph/node.h"

/* Opens an empty list `key` in the record; keys are written one after the other. */
void saved_begin(NodeCall *call, const char *key);

/* Emits EV_SAVED and appends {"filename","subfolder","type"} to the list `key` of call->ui. A
 * second file of the same node joins the list. */
void saved_report(NodeCall *call, const char *key, const char *path, const char *file,
                  const char *subfolder, const char *type);

#endif
