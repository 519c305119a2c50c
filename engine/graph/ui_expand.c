/* ui_expand.c - instances to a tree of paths, each path one instance of one definition.
 *
 * A muted or bypassed instance of the root is left out with its content; one inside a definition keeps its
 * content, as the editor does. Breadth first, so that the children of a path lie side by side.
 */
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/ui_internal.h"

static Status too_large(const UiDoc *doc, const UiNode *node, Error *err)
{
    error_set(err, E_LIMIT, "the subgraphs expand to more than %d nodes", UI_NODES_MAX);
    error_fix(err, "use fewer nested instances");
    return ui_at_node(doc, err, "E105", node);
}

static Status add_path(UiDoc *doc, UiPath path, Error *err)
{
    if (doc->n_paths == doc->path_capacity) {
        int capacity = doc->path_capacity ? doc->path_capacity * 2 : 64;
        UiPath *paths = mem_realloc(doc->paths, (size_t)capacity * sizeof *paths);
        if (!paths) return ui_no_memory(err);
        doc->paths = paths;
        doc->path_capacity = capacity;
    }
    doc->paths[doc->n_paths++] = path;
    return OK;
}

static Status add_children(UiDoc *doc, int parent, int64_t *nodes, Error *err)
{
    const UiLevel *level = doc->paths[parent].level;

    doc->paths[parent].children = doc->n_paths;
    for (int i = 0; i < level->n_nodes; i++) {
        const UiNode *node = &level->nodes[i];
        bool off = parent == 0 && (node->mode == MODE_MUTE || node->mode == MODE_BYPASS);
        if (!node->body) continue;
        *nodes += 1 + (off ? 0 : node->body->n_nodes);
        if (*nodes > UI_NODES_MAX) return too_large(doc, node, err);
        UiPath path = { .parent = parent,
                        .instance = i,
                        .level = off ? NULL : node->body,
                        .id = node->id,
                        .prefix = doc->paths[parent].prefix + (int64_t)strlen(node->id) + 1 };
        TRY(add_path(doc, path, err));
    }
    return OK;
}

static void number_instances(UiLevel *level)
{
    int n = 0;

    for (int i = 0; i < level->n_nodes; i++)
        if (level->nodes[i].body) level->nodes[i].ordinal = n++;
}

Status ui_expand(UiDoc *doc, Error *err)
{
    int64_t nodes = doc->levels[0]->n_nodes;

    for (int i = 0; i < doc->n_levels; i++)
        number_instances(doc->levels[i]);
    TRY(add_path(doc, (UiPath){ .parent = -1, .level = doc->levels[0] }, err));
    for (int i = 0; i < doc->n_paths; i++)
        if (doc->paths[i].level) TRY(add_children(doc, i, &nodes, err));
    return OK;
}
