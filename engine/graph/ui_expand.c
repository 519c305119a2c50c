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

/* Nodes of a level with all that its instances hold, inner levels first; cut off past the limit. */
static int64_t count_level(const UiLevel *level, const int64_t *sizes)
{
    int64_t n = level->n_nodes;

    for (int i = 0; i < level->n_nodes && n <= UI_NODES_MAX; i++) {
        const UiNode *node = &level->nodes[i];
        bool off = level->index == 0 && (node->mode == MODE_MUTE || node->mode == MODE_BYPASS);
        if (node->body) n += 1 + (off ? 0 : sizes[node->body->index]);
    }
    return n;
}

/* Known before anything is expanded, however the definitions multiply. */
static Status check_size(UiDoc *doc, Error *err)
{
    int64_t *sizes = arena_array(doc->arena, (size_t)doc->n_levels + 1, sizeof *sizes);
    const UiLevel *root = doc->levels[0];

    if (!sizes) return ui_no_memory(err);
    for (int i = 0; i < doc->n_levels; i++)
        sizes[doc->order[i]->index] = count_level(doc->order[i], sizes);
    if (sizes[0] <= UI_NODES_MAX) return OK;
    for (int i = 0; i < root->n_nodes; i++)
        if (root->nodes[i].body && sizes[root->nodes[i].body->index] > UI_NODES_MAX / 2)
            return too_large(doc, &root->nodes[i], err);
    error_set(err, E_LIMIT, "the subgraphs expand to more than %d nodes", UI_NODES_MAX);
    return ui_at(doc, err, "E105", doc->root);
}

Status ui_expand(UiDoc *doc, Error *err)
{
    int64_t nodes = doc->levels[0]->n_nodes;

    TRY(check_size(doc, err));

    for (int i = 0; i < doc->n_levels; i++)
        number_instances(doc->levels[i]);
    TRY(add_path(doc, (UiPath){ .parent = -1, .level = doc->levels[0] }, err));
    for (int i = 0; i < doc->n_paths; i++)
        if (doc->paths[i].level) TRY(add_children(doc, i, &nodes, err));
    return OK;
}
