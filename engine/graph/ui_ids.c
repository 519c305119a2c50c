/* ui_ids.c - ids that are unique over the root and all definitions, as the editor makes them on loading.
 *
 * A node keeps its id when no earlier one has it; otherwise it takes the next number above the highest
 * seen. Wires and proxy entries go on naming nodes by the id as written, which is unique in its level.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/graph/ui_internal.h"

typedef struct Ids {
    Map used;
    int64_t last;
} Ids;

static void raise_last(Ids *ids, const char *id)
{
    char *end;
    long long v = strtoll(id, &end, 10);

    if (*id && !*end && v > ids->last && v < INT64_MAX / 2) ids->last = v;
}

static Status renumber(UiDoc *doc, Ids *ids, UiNode *node, Error *err)
{
    char text[24];

    do
        snprintf(text, sizeof text, "%" PRId64, ++ids->last);
    while (map_has(&ids->used, text));
    node->id = arena_strdup(doc->arena, text);
    return node->id ? OK : ui_no_memory(err);
}

static Status number_level(UiDoc *doc, Ids *ids, UiLevel *level, Error *err)
{
    for (int i = 0; i < level->n_nodes; i++) {
        UiNode *node = &level->nodes[i];
        if (map_has(&ids->used, node->own_id))
            TRY(renumber(doc, ids, node, err));
        else
            raise_last(ids, node->own_id);
        if (!map_put(&ids->used, node->id, node)) return ui_no_memory(err);
    }
    return OK;
}

static int64_t stored_last(const UiDoc *doc)
{
    int64_t v = 0;
    const Json *last = json_get(doc->root, "last_node_id");

    return json_is(last, JSON_NUMBER) && json_int64(last, &v) && v > 0 && v < INT64_MAX / 2 ? v
                                                                                            : 0;
}

/* All root ids are taken before the definitions are looked at. */
static Status take_root_ids(UiDoc *doc, Ids *ids, Error *err)
{
    UiLevel *root = doc->levels[0];

    for (int i = 0; i < root->n_nodes; i++)
        if (ui_index(&root->by_id, root->nodes[i].own_id) == i &&
            !map_put(&ids->used, root->nodes[i].id, &root->nodes[i]))
            return ui_no_memory(err);
    return OK;
}

/* Root nodes that share an id: the later ones get numbers of their own, after the definitions. */
static Status number_root(UiDoc *doc, Ids *ids, Error *err)
{
    UiLevel *root = doc->levels[0];

    for (int i = 0; i < root->n_nodes; i++) {
        UiNode *node = &root->nodes[i];
        if (ui_index(&root->by_id, node->own_id) == i) {
            raise_last(ids, node->own_id);
            continue;
        }
        TRY(renumber(doc, ids, node, err));
        if (!map_put(&ids->used, node->id, node)) return ui_no_memory(err);
    }
    return OK;
}

Status ui_ids(UiDoc *doc, Error *err)
{
    Ids ids = { .last = stored_last(doc) };
    Status status = take_root_ids(doc, &ids, err);

    for (int i = 1; status == OK && i < doc->n_levels; i++)
        status = number_level(doc, &ids, doc->levels[i], err);
    if (status == OK) status = number_root(doc, &ids, err);
    map_fini(&ids.used);
    return status;
}
