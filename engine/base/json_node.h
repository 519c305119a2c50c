/* json_node.h - a node of a JSON document as json.c builds it and json_write.c reads it. */
#ifndef WEFT_BASE_JSON_NODE_H
#define WEFT_BASE_JSON_NODE_H

#include <cjson/cJSON.h>

#include "engine/base/json.h"

typedef struct JsonNode {
    cJSON base; /* first, so that a Json pointer is a JsonNode pointer */
    struct JsonNode *parent;
    struct JsonNode *
        *index;         /* array: the items in order; object: slots by key; NULL when small */
    const char *source; /* a number as it was written */
    size_t length;      /* bytes of a string; members of an array or object */
    size_t key_length;
    size_t slot_count; /* of an object's index; a power of two */
    size_t duplicate;  /* position in the list of duplicates, plus 1 */
    int64_t offset;
} JsonNode;

#endif
