/* call.c - calling one node. */
#include "engine/graph/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

typedef struct Call {
    const GraphNode *node;
    const CallInput *inputs;
    const CallTexts *texts;
    struct Host *host;
    Events *events;
    NodeResult *result;
    void *in, *out;          /* owned */
    Str ui;                  /* owned */
    Answer *answers, **last; /* owned; kept from calls that answered with more than values */
    Error *err;
} Call;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

static bool is_list_class(const NodeDef *def)
{
    return def->flags & NODE_F_INPUT_IS_LIST;
}

/* ---- numbers and choices that come over a link ------------------------------------------- */

static Status outside(const CallInput *ci, const char *value, Error *err)
{
    SocketBound low, high;
    bool has_low = socket_min(ci->socket, &low), has_high = socket_max(ci->socket, &high);

    error_set(err, E_RANGE, "%s, given by node %s, is out of range", value,
              ci->given->origin_id);
    if (has_low && has_high && ci->socket->type == SOCK_FLOAT)
        error_fix(err, "the range is %g to %g", low.f, high.f);
    else if (has_low && has_high)
        error_fix(err, "the range is %s%" PRIu64 " to %s%" PRIu64, low.negative ? "-" : "",
                  low.magnitude, high.negative ? "-" : "", high.magnitude);
    else
        error_fix(err, "use a value that the input can hold");
    error_at_input(err, ci->socket->name);
    return E_RANGE;
}

static Status check_int(const CallInput *ci, const Value *v, Error *err)
{
    bool unsigned_from = ci->from->flags & SOCK_F_U64,
         unsigned_to = ci->socket->flags & SOCK_F_U64;
    bool negative = v->i < 0 && !unsigned_from;
    uint64_t bits = (uint64_t)v->i;
    Literal value = { .kind = LIT_INT,
                      .fits = true,
                      .negative = negative,
                      .magnitude = negative ? 0 - bits : bits };
    SocketBound b;
    char text[32];

    snprintf(text, sizeof text, "%s%" PRIu64, negative ? "-" : "", value.magnitude);
    if (unsigned_to ? negative : !negative && value.magnitude > INT64_MAX)
        return outside(ci, text, err);
    if (socket_min(ci->socket, &b) && literal_compare_int(&value, b.negative, b.magnitude) < 0)
        return outside(ci, text, err);
    if (socket_max(ci->socket, &b) && literal_compare_int(&value, b.negative, b.magnitude) > 0)
        return outside(ci, text, err);
    return OK;
}

static Status check_float(const CallInput *ci, const Value *v, Error *err)
{
    SocketBound b;
    bool good = v->f == v->f; /* no NaN */
    char text[40];

    if (good && socket_min(ci->socket, &b)) good = v->f >= b.f;
    if (good && socket_max(ci->socket, &b)) good = v->f <= b.f;
    if (good) return OK;
    snprintf(text, sizeof text, "%.17g", v->f);
    return outside(ci, text, err);
}

static Status check_choice(const Call *c, const CallInput *ci, const Value *v)
{
    const char *const *names;
    size_t count;

    TRY(socket_options(ci->socket, c->host, &names, &count, c->err));
    for (size_t i = 0; i < count; i++)
        if (v->s && strcmp(names[i], v->s) == 0) return OK;
    if (!count && !ci->socket->options) return OK; /* its list is not known here */
    error_set(c->err, E_RANGE, "'%s', given by node %s, is not one of the %zu choices",
              v->s ? v->s : "", ci->given->origin_id, count);
    error_at_input(c->err, ci->socket->name);
    return E_RANGE;
}

static Status wrong_type(const CallInput *ci, const Value *v, Error *err)
{
    error_set(err, E_TYPE, "wants %s, node %s gave %s", socket_type_name(ci->socket),
              ci->given->origin_id, sock_name(v->type));
    error_at_input(err, ci->socket->name);
    return E_TYPE;
}

static bool is_text(SockType t)
{
    return t == SOCK_STRING || t == SOCK_COMBO;
}

/* A link of type "*" may bring anything; the field holds one C type. */
static Status check_linked(const Call *c, const CallInput *ci, const Value *v)
{
    SockType want = ci->socket->type;

    if (socket_is_any(ci->socket)) return OK;
    if (v->type != want && !(is_text(v->type) && is_text(want)))
        return wrong_type(ci, v, c->err);
    if (want == SOCK_INT) return check_int(ci, v, c->err);
    if (want == SOCK_FLOAT) return check_float(ci, v, c->err);
    if (want == SOCK_COMBO) return check_choice(c, ci, v);
    return OK;
}

/* ---- filling ----------------------------------------------------------------------------- */

static bool fill_hidden(const Call *c, const Socket *s)
{
    const char *text;

    if (s->flags & SOCK_F_HIDDEN_ID)
        text = c->node->id;
    else if (s->flags & SOCK_F_HIDDEN_PROMPT)
        text = c->texts->prompt;
    else if (s->flags & SOCK_F_HIDDEN_PNGINFO)
        text = c->texts->pnginfo;
    else
        return false;
    memcpy((char *)c->in + s->at, &text, sizeof text);
    return true;
}

static bool is_object(const Socket *s)
{
    return !socket_is_any(s) && s->type > SOCK_COMBO;
}

static Status lacks_link(const Call *c, const Socket *s)
{
    error_set(c->err, E_MISSING, "needs a link of type %s", socket_type_name(s));
    error_fix(c->err, "link an output of type %s", socket_type_name(s));
    error_at_input(c->err, s->name);
    return E_MISSING;
}

static Status empty_list(const Call *c, const CallInput *ci)
{
    error_set(c->err, E_MISSING, "node %s gave an empty list", ci->given->origin_id);
    error_at_input(c->err, ci->socket->name);
    return E_MISSING;
}

/* The value of one input in call number `at`; texts and objects are borrowed. */
static Status input_value(const Call *c, const CallInput *ci, size_t at, Value *out)
{
    const Socket *s = ci->socket;

    if (ci->list && ci->list->count) {
        *out = ci->list->items[at < ci->list->count ? at : ci->list->count - 1];
        TRY(check_linked(c, ci, out));
    } else if (ci->list) {
        return empty_list(c, ci);
    } else if (!ci->given || ci->given->is_link ||
               !fill_literal_value(s, &ci->given->value, out)) {
        *out = fill_default_value(s);
    }
    if (is_object(s) && !out->object && !socket_is_widget(s) &&
        !(s->flags & (SOCK_F_OPTIONAL | SOCK_F_LAZY)))
        return lacks_link(c, s);
    return OK;
}

/* A whole list into a ValueList field; `single` keeps a literal for as long as the call lasts. */
static Status fill_list(const Call *c, const CallInput *ci, Value *single)
{
    ValueList list = { 0 };

    if (ci->list) {
        list = *ci->list;
        for (size_t i = 0; i < list.count; i++)
            TRY(check_linked(c, ci, &list.items[i]));
    } else if (ci->given || !(ci->socket->flags & SOCK_F_OPTIONAL)) {
        TRY(input_value(c, ci, 0, single));
        list = (ValueList){ single, 1 };
    }
    memcpy((char *)c->in + ci->socket->at, &list, sizeof list);
    return OK;
}

static Status fill(const Call *c, size_t at, Value *singles)
{
    const NodeDef *def = c->node->def;
    Value v;

    memset(c->in, 0, def->in_size);
    for (int i = 0; def->inputs && def->inputs[i].name; i++) {
        const CallInput *ci = &c->inputs[i];
        if (fill_hidden(c, ci->socket)) continue;
        if (ci->socket->flags & SOCK_F_LIST) {
            TRY(fill_list(c, ci, &singles[i]));
            continue;
        }
        TRY(input_value(c, ci, at, &v));
        fill_field(ci->socket, &v, c->in);
    }
    return OK;
}

/* ---- results ----------------------------------------------------------------------------- */

/* Takes one output field over as a value. */
static Value take_value(const Socket *s, const char *at)
{
    Value v = { .type = s->type };

    if (socket_is_any(s)) {
        memcpy(&v, at, sizeof v);
        return v;
    }
    switch (s->type) {
    case SOCK_INT:
        memcpy(&v.i, at, sizeof v.i);
        break;
    case SOCK_FLOAT:
        memcpy(&v.f, at, sizeof v.f);
        break;
    case SOCK_BOOLEAN:
        memcpy(&v.b, at, sizeof v.b);
        break;
    case SOCK_STRING:
    case SOCK_COMBO:
        memcpy(&v.s, at, sizeof v.s);
        break;
    default:
        memcpy(&v.object, at, sizeof v.object);
    }
    return v;
}

static Status append(ValueList *list, const Value *items, size_t count, Error *err)
{
    Value *more;

    if (!count) return OK;
    if (count > SIZE_MAX / sizeof *more - list->count) return no_memory(err);
    more = mem_realloc(list->items, (list->count + count) * sizeof *more);
    if (!more) return no_memory(err);
    memcpy(more + list->count, items, count * sizeof *more);
    list->items = more;
    list->count += count;
    return OK;
}

static void drop_field(const Socket *s, const char *at)
{
    ValueList list;
    Value one;

    if (s->flags & SOCK_F_LIST) {
        memcpy(&list, at, sizeof list);
        value_list_fini(&list);
        return;
    }
    one = take_value(s, at);
    value_fini(&one);
}

static Status append_blocker(ValueList *slot, const char *message, Error *err)
{
    Value v = { .type = SOCK_BLOCKER, .s = message ? mem_strdup(message) : NULL };
    Status status = message && !v.s ? no_memory(err) : append(slot, &v, 1, err);

    if (status != OK) value_fini(&v);
    return status;
}

/* What was said of an output in the place of its field. */
static Status append_answer(const Answer *a, int output, ValueList *slot, Error *err)
{
    Value pending = { .type = SOCK_PENDING, .i = (int64_t)a->call << 32 | output };

    if (a->outputs[output].kind == ANSWER_BLOCK)
        return append_blocker(slot, a->outputs[output].text, err);
    return append(slot, &pending, 1, err);
}

/* Moves one output of the struct to the result's list; the field is given back when that fails. */
static Status take_output(Call *c, const Answer *a, int output, Error *err)
{
    const Socket *s = &c->node->def->outputs[output];
    ValueList *slot = &c->result->slots[output];
    const char *at = (const char *)c->out + s->at;
    ValueList list;
    Value one;
    Status status;

    if (a->outputs && a->outputs[output].kind != ANSWER_VALUE) {
        drop_field(s, at);
        return append_answer(a, output, slot, err);
    }
    if (s->flags & SOCK_F_LIST) {
        memcpy(&list, at, sizeof list);
        status = append(slot, list.items, list.count, err);
        if (status == OK)
            mem_free(list.items);
        else
            value_list_fini(&list);
        return status;
    }
    one = take_value(s, at);
    status = append(slot, &one, 1, err);
    if (status != OK) value_fini(&one);
    return status;
}

/* All outputs leave the struct, also when one of them fails or the node did. */
static Status take_outputs(Call *c, const Answer *a, Status status)
{
    const Socket *s = c->node->def->outputs;
    Error ignored, *err = status == OK ? c->err : &ignored;

    for (int i = 0; s && s[i].name; i++) {
        Status taken = take_output(c, a, i, err);
        if (status == OK && taken != OK) {
            status = taken;
            err = &ignored;
        }
    }
    return status;
}

/* ---- calling ----------------------------------------------------------------------------- */

static size_t call_count(const Call *c)
{
    const NodeDef *def = c->node->def;
    size_t n = 1;

    if (is_list_class(def)) return 1;
    for (int i = 0; def->inputs && def->inputs[i].name; i++)
        if (c->inputs[i].list && c->inputs[i].list->count > n) n = c->inputs[i].list->count;
    return n;
}

/* The blocker among the values of one input in call number `at`. */
static const Value *blocker_in(const CallInput *ci, size_t at)
{
    const ValueList *list = ci->list;

    if (!list || !list->count) return NULL;
    if (!(ci->socket->flags & SOCK_F_LIST)) {
        const Value *v = &list->items[at < list->count ? at : list->count - 1];
        return v->type == SOCK_BLOCKER ? v : NULL;
    }
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].type == SOCK_BLOCKER) return &list->items[i];
    return NULL;
}

static const Value *blocker_of(const Call *c, size_t at)
{
    const NodeDef *def = c->node->def;
    const Value *found = NULL;

    for (int i = 0; !found && def->inputs && def->inputs[i].name; i++)
        found = blocker_in(&c->inputs[i], at);
    return found;
}

/* The call does not happen; the first node that a message reaches tells it. */
static Status blocked_call(Call *c, const Value *blocker)
{
    if (blocker->s)
        events_emit(c->events, &(Event){ .kind = EV_BLOCKED,
                                         .node = c->node->id,
                                         .class_type = c->node->class_type,
                                         .text = blocker->s });
    for (int i = 0; i < c->result->count; i++)
        TRY(append_blocker(&c->result->slots[i], NULL, c->err));
    return OK;
}

/* Keeps the answer of a call that expanded. */
static Status keep_answer(Call *c, const Answer *a)
{
    Answer *kept = mem_alloc(sizeof *kept);

    if (!kept) return no_memory(c->err);
    *kept = *a;
    kept->next = NULL;
    *c->last = kept;
    c->last = &kept->next;
    return OK;
}

static bool has_links(const Call *c, const Answer *a)
{
    for (int i = 0; a->outputs && i < c->result->count; i++)
        if (a->outputs[i].kind == ANSWER_LINK) return true;
    return a->nodes != NULL;
}

static Status one_call(Call *c, size_t at, Value *singles)
{
    const NodeDef *def = c->node->def;
    const Value *blocker = blocker_of(c, at);
    Answer answer = { .call = (int)at };
    NodeCall call = { .def = def,
                      .id = c->node->id,
                      .host = c->host,
                      .in = c->in,
                      .out = c->out,
                      .ui = &c->ui,
                      .err = c->err,
                      .events = c->events,
                      .answer = &answer };

    if (blocker) return blocked_call(c, blocker);
    TRY(fill(c, at, singles));
    memset(c->out, 0, def->out_size);
    Status status = def->run(&call);
    status = take_outputs(c, &answer, status);
    if (status == OK && has_links(c, &answer)) status = keep_answer(c, &answer);
    if (status != OK || !has_links(c, &answer)) answer_fini(&answer);
    return status;
}

/* ---- expansions -------------------------------------------------------------------------- */

void call_answers_free(Answer *answers)
{
    for (Answer *next; answers; answers = next) {
        next = answers->next;
        answer_fini(answers);
        mem_free(answers);
    }
}

static Status append_copies(ValueList *to, const ValueList *from, Error *err)
{
    for (size_t i = 0; i < from->count; i++) {
        Value v;
        TRY(value_copy(&from->items[i], &v, err));
        Status status = append(to, &v, 1, err);
        if (status == OK) continue;
        value_fini(&v);
        return status;
    }
    return OK;
}

/* Appends the value, or what the node that a pending one names has given; *at moves along the answers,
 * which stand in the order of their calls like the values. */
static Status append_filled(ValueList *to, Value *v, const Answer **at, CallResult result_of,
                            void *user, Error *err)
{
    int call = (int)(v->i >> 32), output = (int)(v->i & INT32_MAX);

    if (v->type != SOCK_PENDING) {
        TRY(append(to, v, 1, err));
        *v = (Value){ 0 };
        return OK;
    }
    while ((*at)->call != call)
        *at = (*at)->next;
    const AnswerOutput *link = &(*at)->outputs[output];
    const NodeResult *from = result_of(user, link->origin);
    if (!from || link->slot >= from->count)
        return error_set(err, E_INTERNAL, "the expansion has no value for output %d", output);
    return append_copies(to, &from->slots[link->slot], err);
}

Status call_fill_in(NodeResult *result, const Answer *answers, CallResult result_of, void *user,
                    Error *err)
{
    for (int i = 0; i < result->count; i++) {
        ValueList *slot = &result->slots[i], filled = { 0 };
        const Answer *at = answers;
        Status status = OK;
        for (size_t k = 0; status == OK && k < slot->count; k++)
            status = append_filled(&filled, &slot->items[k], &at, result_of, user, err);
        value_list_fini(slot);
        *slot = filled;
        if (status != OK) return status;
    }
    return OK;
}

static Status finish_ui(Call *c)
{
    if (c->ui.failed) return no_memory(c->err);
    if (!c->ui.length) return OK;
    c->result->ui = str_take(&c->ui);
    return c->result->ui ? OK : no_memory(c->err);
}

Status call_node(const GraphNode *n, const CallInput *inputs, const CallTexts *texts,
                 struct Host *host, Events *events, NodeResult **out, Answer **answers,
                 Error *err)
{
    Call c = {
        .node = n, .inputs = inputs, .texts = texts, .host = host, .events = events, .err = err
    };
    Value singles[CALL_MAX_INPUTS];
    Status status = OK;

    c.last = &c.answers;
    if (!n->def->run)
        return error_set(err, E_UNSUPPORTED,
                         "%s is recognised but not supported by this engine", n->class_type);
    TRY_DONE(result_new(node_output_count(n->def), &c.result, err));
    c.in = mem_calloc(1, n->def->in_size + 1);
    c.out = mem_calloc(1, n->def->out_size + 1);
    if (!c.in || !c.out) {
        status = no_memory(err);
        goto done;
    }
    for (size_t i = 0, times = call_count(&c); i < times; i++)
        TRY_DONE(one_call(&c, i, singles));
    TRY_DONE(finish_ui(&c));
    *out = c.result;
    *answers = c.answers;
    c.result = NULL;
    c.answers = NULL;
done:
    call_answers_free(c.answers);
    ref_drop(c.result);
    mem_free(c.in);
    mem_free(c.out);
    str_fini(&c.ui);
    return status;
}

/* ---- lazy inputs ------------------------------------------------------------------------- */

bool call_has_lazy(const NodeDef *def)
{
    for (const Socket *s = def->inputs; s && s->name; s++)
        if (s->flags & SOCK_F_LAZY) return true;
    return false;
}

static uint64_t known_inputs(const Call *c)
{
    uint64_t known = 0;

    for (int i = 0; i < 64 && c->node->def->inputs[i].name; i++)
        if (c->inputs[i].list || (c->inputs[i].given && !c->inputs[i].from))
            known |= UINT64_C(1) << i;
    return known;
}

Status call_lazy(const GraphNode *n, const CallInput *inputs, const CallTexts *texts,
                 uint64_t *needed, Error *err)
{
    Call c = { .node = n, .inputs = inputs, .texts = texts, .err = err };
    Value singles[CALL_MAX_INPUTS];
    Status status = OK;

    *needed = n->def->lazy ? 0 : UINT64_MAX;
    if (!n->def->lazy) return OK;
    c.in = mem_calloc(1, n->def->in_size + 1);
    if (!c.in) return no_memory(err);
    for (size_t i = 0, times = call_count(&c); i < times; i++) {
        uint64_t more = 0;
        if (blocker_of(&c, i)) continue;
        TRY_DONE(fill(&c, i, singles));
        TRY_DONE(n->def->lazy(c.in, known_inputs(&c), &more, err));
        *needed |= more;
    }
done:
    mem_free(c.in);
    return status;
}
