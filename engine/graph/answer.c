/* answer.c - what a node answered besides values. */
#include "engine/graph/answer.h"

#include "engine/base/mem.h"

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* Gives the answer its memory at the first use. */
static Status begin(NodeCall *call)
{
    Answer *a = call->answer;
    int count = node_output_count(call->def);

    if (a->outputs) return OK;
    if (!a->arena) a->arena = arena_new();
    if (a->arena) a->outputs = mem_calloc((size_t)count + 1, sizeof *a->outputs);
    if (!a->outputs) return no_memory(call->err);
    a->end = &a->nodes;
    for (int i = 0; i < count; i++)
        a->outputs[i].origin = -1;
    return OK;
}

static void drop_nodes(Answer *a)
{
    for (AnswerNode *n = a->nodes; n; n = n->next)
        for (AnswerInput *in = n->inputs; in; in = in->next)
            value_fini(&in->value);
    map_fini(&a->by_name);
    if (a->arena) arena_free(a->arena);
    a->nodes = NULL;
    a->arena = NULL;
}

void answer_fini(Answer *a)
{
    drop_nodes(a);
    mem_free(a->outputs);
    mem_free(a->holders);
    *a = (Answer){ 0 };
}

static int list_holders(const Answer *a, int *out)
{
    int count = 0;

    for (const AnswerNode *n = a->nodes; n; n = n->next)
        for (const AnswerInput *in = n->inputs; in; in = in->next) {
            if (in->holder < 0) continue;
            if (out) out[count] = in->holder;
            count++;
        }
    return count;
}

Status answer_settle(Answer *a, Error *err)
{
    int count = list_holders(a, NULL);

    if (count) {
        a->holders = mem_alloc_array((size_t)count, sizeof *a->holders);
        if (!a->holders) return no_memory(err);
        a->n_holders = list_holders(a, a->holders);
    }
    drop_nodes(a);
    return OK;
}

static Status set_output(NodeCall *call, int output, const AnswerOutput *what)
{
    Answer *a = call->answer;
    int count = node_output_count(call->def);

    if (output < 0 || output >= count)
        return error_set(call->err, E_RANGE, "output %d of a node that has %d", output, count);
    TRY(begin(call));
    a->outputs[output] = *what;
    a->outputs[output].origin = -1;
    if (!what->text) return OK;
    a->outputs[output].text = arena_strdup(a->arena, what->text);
    return a->outputs[output].text ? OK : no_memory(call->err);
}

Status node_block(NodeCall *call, int output, const char *message)
{
    return set_output(call, output, &(AnswerOutput){ .kind = ANSWER_BLOCK, .text = message });
}

Status node_expand_output(NodeCall *call, int output, const char *from, int slot)
{
    return set_output(call, output,
                      &(AnswerOutput){ .kind = ANSWER_LINK, .text = from, .slot = slot });
}

Status node_expand(NodeCall *call, const char *name, const char *class_type)
{
    Answer *a = call->answer;
    AnswerNode *n;

    TRY(begin(call));
    if (map_has(&a->by_name, name))
        return error_set(call->err, E_WORKFLOW, "the expansion names two nodes %s", name);
    n = arena_alloc(a->arena, sizeof *n);
    if (!n) return no_memory(call->err);
    *n = (AnswerNode){ .name = arena_strdup(a->arena, name),
                       .class_type = arena_strdup(a->arena, class_type),
                       .index = -1 };
    n->end = &n->inputs;
    if (!n->name || !n->class_type || !map_put(&a->by_name, name, n))
        return no_memory(call->err);
    *a->end = n;
    a->end = &n->next;
    a->count++;
    return OK;
}

static Status add_input(NodeCall *call, const char *node, const char *input, AnswerInput **out)
{
    Answer *a = call->answer;
    AnswerNode *n = map_get(&a->by_name, node);
    AnswerInput *in;

    if (!n) return error_set(call->err, E_MISSING, "the expansion has no node %s", node);
    in = arena_alloc(a->arena, sizeof *in);
    if (!in) return no_memory(call->err);
    *in = (AnswerInput){ .name = arena_strdup(a->arena, input), .holder = -1 };
    if (!in->name) return no_memory(call->err);
    *n->end = in;
    n->end = &in->next;
    *out = in;
    return OK;
}

Status node_expand_link(NodeCall *call, const char *name, const char *input, const char *from,
                        int slot)
{
    AnswerInput *in = NULL;

    TRY(add_input(call, name, input, &in));
    in->slot = slot;
    in->from = arena_strdup(call->answer->arena, from);
    return in->from ? OK : no_memory(call->err);
}

Status node_expand_value(NodeCall *call, const char *name, const char *input, const Value *v)
{
    AnswerInput *in = NULL;

    TRY(add_input(call, name, input, &in));
    return value_copy(v, &in->value, call->err);
}

Status node_answer_new(Answer **out, Error *err)
{
    *out = mem_calloc(1, sizeof **out);
    return *out ? OK : no_memory(err);
}

void node_answer_free(Answer *answer)
{
    if (answer) answer_fini(answer);
    mem_free(answer);
}
