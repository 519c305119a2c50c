/* guide.c - which model family a part of a workflow is about, told by its loaders and classes. */
#include "engine/guide.h"

#include <string.h>
#include <strings.h>

#include "engine/base/mem.h"

/* Words in class names and in literals; the first row that is found decides. */
static const struct {
    const char *word, *family;
} words[] = {
    { "flux2", "flux2" },        { "flux-2", "flux2" },     { "flux.2", "flux2" },
    { "flux_2", "flux2" },       { "klein", "flux2" },      { "mistral", "flux2" },
    { "flux1", "flux1" },        { "flux-1", "flux1" },     { "flux.1", "flux1" },
    { "flux_1", "flux1" },       { "flux_dev", "flux1" },   { "kontext", "flux1" },
    { "schnell", "flux1" },      { "krea", "flux1" },       { "t5xxl", "flux1" },
    { "SamplingFlux", "flux1" }, { "EncodeFlux", "flux1" },
};

static const char *told_by(const char *text)
{
    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        if (strcasestr(text, words[i].word)) return words[i].family;
    return NULL;
}

/* Prompts may name anything: only short texts (file names, types) count. */
static const char *told_by_node(const GraphNode *n)
{
    enum { NAME_MAX_LENGTH = 128 };
    const char *found = told_by(n->class_type);

    for (int i = 0; !found && i < n->n_inputs; i++) {
        const Socket *s = n->def ? node_input(n->def, n->inputs[i].name, NULL) : NULL;
        const Literal *v = &n->inputs[i].value;
        if (n->inputs[i].is_link || v->kind != LIT_TEXT || v->length > NAME_MAX_LENGTH)
            continue;
        if (s && s->type == SOCK_COMBO) found = told_by(v->text);
    }
    return found;
}

/* Steps from the start; -1 = not reached. Each round goes over all links once. */
static bool spread(const Graph *g, int *steps, int round)
{
    bool more = false;

    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++) {
            const GraphInput *in = &g->nodes[i].inputs[k];
            if (!in->is_link || in->origin < 0) continue;
            int *a = &steps[i], *b = &steps[in->origin];
            if (*a == round && *b < 0) *b = round + 1;
            if (*b == round && *a < 0) *a = round + 1;
            more |= *a == round + 1 || *b == round + 1;
        }
    return more;
}

static const char *told_at(const Graph *g, const int *steps, int round)
{
    const char *found = NULL;

    for (int i = 0; i < g->count && !found; i++)
        if (steps[i] == round) found = told_by_node(&g->nodes[i]);
    return found;
}

const char *guide_family(const Graph *g, const char *node)
{
    enum { FAR = 24 };
    int start = graph_find(g, node);
    int *steps = mem_alloc_array((size_t)g->count + 1, sizeof *steps);
    const char *found = NULL;

    if (steps && start >= 0) {
        for (int i = 0; i < g->count; i++)
            steps[i] = -1;
        steps[start] = 0;
        for (int round = 0; round < FAR && !found && spread(g, steps, round); round++)
            found = told_at(g, steps, round + 1);
    }
    mem_free(steps);
    return found;
}
