/* node_call.c - scripts of kind node: inputs by name in, a list of outputs back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/script/host.h"

enum { LIST_MAX = 100000 };

/* ---- inputs ------------------------------------------------------------------------------------------- */

static int64_t bytes_of(const Value *v)
{
    const Ref *object = v->type > SOCK_COMBO ? v->object : NULL;
    if (!object) return 0;
    if (v->type == SOCK_LATENT) object = &((const Latent *)(const void *)object)->samples->ref;
    bool tensor = v->type == SOCK_LATENT || v->type == SOCK_IMAGE || v->type == SOCK_MASK ||
                  v->type == SOCK_SIGMAS;
    return tensor ? tensor_count((const Tensor *)(const void *)object) * (int64_t)sizeof(float)
                  : 0;
}

static void push_one(lua_State *L, const Socket *s, const Value *v)
{
    vm_allow_input(vm_of(L), bytes_of(v));
    host_push_value(L, s, v);
}

static void push_input(lua_State *L, const Socket *s, const void *in)
{
    ValueList list;

    if (!(s->flags & SOCK_F_LIST)) {
        Value v = host_field(s, in);
        push_one(L, s, &v);
        return;
    }
    memcpy(&list, (const char *)in + s->at, sizeof list);
    lua_newtable(L);
    for (size_t i = 0; i < list.count; i++) {
        push_one(L, s, &list.items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* ---- outputs ------------------------------------------------------------------------------------------ */

static int wrong(lua_State *L, const Socket *s, const char *want, int index)
{
    return host_wrong(L, "run", "output '%s' must be %s, not a %s", s->name, want,
                      luaL_typename(L, index));
}

static void take_text(lua_State *L, const Socket *s, int index, Value *out)
{
    size_t n;
    if (lua_type(L, index) != LUA_TSTRING) wrong(L, s, "a string", index);
    const char *text = lua_tolstring(L, index, &n);
    out->s = mem_strndup(text, n);
    if (out->s) return;
    error_set(&vm_of(L)->callback_error, E_NOMEM, "out of memory");
    vm_raise(L, E_NOMEM);
}

static void take_number(lua_State *L, const Socket *s, int index, Value *out)
{
    int good = lua_type(L, index) == LUA_TNUMBER;
    if (out->type == SOCK_INT) {
        out->i = good ? (int64_t)lua_tointegerx(L, index, &good) : 0;
        if (!good) wrong(L, s, "a whole number", index);
        return;
    }
    out->f = good ? lua_tonumber(L, index) : 0;
    if (!good) wrong(L, s, "a number", index);
    if (isnan(out->f)) host_wrong(L, "run", "output '%s' is not a number (nan)", s->name);
}

/* Raises the engine's own failure. */
static void must(lua_State *L, Status status)
{
    if (status != OK) vm_raise(L, status);
}

static void take_sigmas(lua_State *L, const Socket *s, int index, Value *out)
{
    int64_t n = 0;
    Tensor *t = NULL;
    index = lua_absindex(L, index);
    const double *values = host_numbers(L, index, &n);

    if (!values) wrong(L, s, "a list of numbers", index);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            host_wrong(L, "run", "output '%s' holds a number that is not finite", s->name);
    must(L, sigmas_from_values(values, n, &t, &vm_of(L)->callback_error));
    out->object = &t->ref;
}

/* A table { samples = tensor, noise_mask = tensor or nil }: its fields go on the stack. */
static void take_latent_table(lua_State *L, const Socket *s, int index, Value *out)
{
    Latent *made = NULL;

    lua_getfield(L, index, "noise_mask");
    lua_getfield(L, index < 0 ? index - 1 : index, "samples");
    const Tensor *t = tensors_at(L, -1), *mask = tensors_at(L, -2);
    if (!t || t->ndim != 4)
        wrong(L, s, "a table whose samples are a tensor [B,C,h,w]",
              index < 0 ? index - 2 : index);
    if (mask && mask->ndim != 3 && mask->ndim != 4)
        wrong(L, s, "a latent whose noise_mask is a tensor [B,H,W]", -2);
    must(L, latent_new(tensor_ref(t), &made, &vm_of(L)->callback_error));
    if (mask) latent_set_mask(made, tensor_ref(mask));
    out->object = &made->ref;
    lua_pop(L, 2);
}

/* A tensor with or without the latent it came from. */
static void take_latent(lua_State *L, const Socket *s, int index, Value *out)
{
    if (lua_type(L, index) == LUA_TTABLE) {
        take_latent_table(L, s, index, out);
        return;
    }
    const Tensor *t = tensors_at(L, index);
    const Latent *from = tensors_latent_at(L, index);
    Latent *made = NULL;

    if (!t || t->ndim != 4) wrong(L, s, "a tensor [B,C,h,w]", index);
    if (from) {
        out->object = &latent_ref(from)->ref;
        return;
    }
    must(L, latent_new(tensor_ref(t), &made, &vm_of(L)->callback_error));
    out->object = &made->ref;
}

static void take_tensor(lua_State *L, const Socket *s, int index, Value *out)
{
    const Tensor *t = tensors_at(L, index);
    int ndim = out->type == SOCK_IMAGE ? 4 : 3;

    if (!t || t->ndim != ndim)
        wrong(L, s, ndim == 4 ? "a tensor [B,H,W,C]" : "a tensor [B,H,W]", index);
    out->object = &tensor_ref(t)->ref;
}

/* What a Lua value is by itself, for outputs of any type. */
static SockType guess_type(lua_State *L, const Socket *s, int index)
{
    const Tensor *t = tensors_at(L, index);

    if (t && tensors_latent_at(L, index)) return SOCK_LATENT;
    if (t) return t->ndim == 4 ? SOCK_IMAGE : t->ndim == 3 ? SOCK_MASK : SOCK_SIGMAS;
    if (lua_isinteger(L, index)) return SOCK_INT;
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        return SOCK_FLOAT;
    case LUA_TBOOLEAN:
        return SOCK_BOOLEAN;
    case LUA_TSTRING:
        return SOCK_STRING;
    default:
        wrong(L, s, "a value that can travel on a link", index);
        return SOCK_ANY;
    }
}

/* The value at a stack index as output s; *out is owned by the caller from here on. */
static void take_value(lua_State *L, const Socket *s, int index, Value *out)
{
    const Ref *object = host_object_at(L, index, s, out);

    if (object) {
        if (!socket_is_any(s)) out->type = s->type;
        ref_take(object);
        return;
    }
    *out = (Value){ .type = socket_is_any(s) ? guess_type(L, s, index) : s->type };
    switch (out->type) {
    case SOCK_INT:
    case SOCK_FLOAT:
        take_number(L, s, index, out);
        break;
    case SOCK_BOOLEAN:
        if (lua_type(L, index) != LUA_TBOOLEAN) wrong(L, s, "true or false", index);
        out->b = lua_toboolean(L, index);
        break;
    case SOCK_STRING:
    case SOCK_COMBO:
        take_text(L, s, index, out);
        break;
    case SOCK_SIGMAS:
        take_sigmas(L, s, index, out);
        break;
    case SOCK_LATENT:
        take_latent(L, s, index, out);
        break;
    case SOCK_IMAGE:
    case SOCK_MASK:
        take_tensor(L, s, index, out);
        break;
    default:
        wrong(L, s, socket_type_name(s), index);
    }
}

/* Writes a finished value into its field. */
static void store(const Socket *s, const Value *v, void *out)
{
    char *at = (char *)out + s->at;

    if (socket_is_any(s))
        memcpy(at, v, sizeof *v);
    else if (v->type == SOCK_INT)
        memcpy(at, &v->i, sizeof v->i);
    else if (v->type == SOCK_FLOAT)
        memcpy(at, &v->f, sizeof v->f);
    else if (v->type == SOCK_BOOLEAN)
        memcpy(at, &v->b, sizeof v->b);
    else
        memcpy(at, &v->object, sizeof v->object);
}

/* A list of values; it lies in the out struct from the start, so nothing is lost when one of them is wrong. */
static void take_list(lua_State *L, const Socket *s, void *out)
{
    ValueList *list = (ValueList *)(void *)((char *)out + s->at);

    if (lua_type(L, -1) != LUA_TTABLE) wrong(L, s, "a list", -1);
    size_t n = lua_rawlen(L, -1);
    if (n == 0 || n > LIST_MAX)
        host_wrong(L, "run", "output '%s' must be a list of 1 to %d values", s->name, LIST_MAX);
    list->items = mem_calloc(n, sizeof *list->items);
    if (!list->items) must(L, error_set(&vm_of(L)->callback_error, E_NOMEM, "out of memory"));
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        take_value(L, s, -1, &list->items[i]);
        list->count = i + 1;
        lua_settop(L, -2);
    }
}

/* ---- expansions ---------------------------------------------------------------------------------------- */

static const Socket any_value = { .name = "value", .type = SOCK_ANY };

/* A table { "node", slot }: a link, whose parts are borrowed from the stack. */
static bool link_at(lua_State *L, int index, const char **node, int *slot)
{
    bool good = false;

    if (lua_type(L, index) != LUA_TTABLE || lua_rawlen(L, index) != 2) return false;
    index = lua_absindex(L, index);
    lua_rawgeti(L, index, 1);
    lua_rawgeti(L, index, 2);
    good = lua_type(L, -2) == LUA_TSTRING && lua_isinteger(L, -1) &&
           lua_tointeger(L, -1) >= 0 && lua_tointeger(L, -1) < INT32_MAX;
    *node = good ? lua_tostring(L, -2) : NULL; /* the table keeps it */
    *slot = good ? (int)lua_tointeger(L, -1) : 0;
    lua_pop(L, 2);
    return good;
}

/* A table { block = true } or { block = "message" }; false when it is none. */
static bool block_at(lua_State *L, int index, const char **message)
{
    bool good;

    if (lua_type(L, index) != LUA_TTABLE) return false;
    lua_getfield(L, index, "block");
    good = lua_type(L, -1) == LUA_TSTRING || lua_toboolean(L, -1);
    *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1);
    return good;
}

static const char *expand_key(lua_State *L, int index, const char *what)
{
    if (lua_type(L, index) != LUA_TSTRING)
        host_wrong(L, "run", "%s of expand must have names, not a %s", what,
                   luaL_typename(L, index));
    return lua_tostring(L, index);
}

/* The value on top of the stack as an input of a new node. */
static void expand_input(lua_State *L, NodeCall *call, const char *node, const char *input)
{
    const char *from;
    int slot;
    Value v = { 0 };

    if (link_at(L, -1, &from, &slot)) {
        must(L, node_expand_link(call, node, input, from, slot));
        return;
    }
    if (lua_type(L, -1) == LUA_TTABLE && lua_getfield(L, -1, "samples") != LUA_TNIL) {
        lua_pop(L, 1);
        v.type = SOCK_LATENT;
        take_latent(L, &any_value, -1, &v);
    } else {
        if (lua_type(L, -1) == LUA_TTABLE) lua_pop(L, 1);
        take_value(L, &any_value, -1, &v);
    }
    Status status = node_expand_value(call, node, input, &v);
    value_fini(&v);
    must(L, status);
}

/* One { class_type = , inputs = {} } on top of the stack. */
static void expand_node(lua_State *L, NodeCall *call, const char *name)
{
    int at = lua_gettop(L);

    if (lua_type(L, at) != LUA_TTABLE) host_wrong(L, "run", "expand: %s is no table", name);
    lua_getfield(L, at, "class_type");
    if (lua_type(L, -1) != LUA_TSTRING)
        host_wrong(L, "run", "expand: %s lacks its class_type", name);
    must(L, node_expand(call, name, lua_tostring(L, -1)));
    if (lua_getfield(L, at, "inputs") != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TTABLE)
            host_wrong(L, "run", "expand: the inputs of %s are no table", name);
        int inputs = lua_gettop(L);
        for (lua_pushnil(L); lua_next(L, inputs); lua_settop(L, inputs + 1))
            expand_input(L, call, name, expand_key(L, -2, "inputs"));
    }
    lua_settop(L, at);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Nodes in the order of their names, so that a run does not depend on the order of a table. */
static void expand_nodes(lua_State *L, NodeCall *call, int table)
{
    size_t count = 0, i = 0;

    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1), count++)
        expand_key(L, -2, "nodes");
    const char **names = lua_newuserdatauv(L, (count + 1) * sizeof *names, 0);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
        names[i++] = lua_tostring(L, -2); /* the table keeps it */
    qsort(names, count, sizeof *names, compare_names);
    for (i = 0; i < count; i++) {
        lua_getfield(L, table, names[i]);
        expand_node(L, call, names[i]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* run returned { expand = nodes, result = outputs }: the outputs take its place on the stack. */
static void take_expansion(lua_State *L, NodeCall *call, int results)
{
    if (lua_getfield(L, results, "expand") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (lua_type(L, -1) != LUA_TTABLE)
        host_wrong(L, "run", "expand must be a table of nodes, not a %s", luaL_typename(L, -1));
    expand_nodes(L, call, lua_gettop(L));
    lua_pop(L, 1);
    if (lua_getfield(L, results, "result") != LUA_TTABLE)
        host_wrong(L, "run", "result must be a list of outputs, not a %s",
                   luaL_typename(L, -1));
    lua_replace(L, results);
}

/* An output that is no value of its own: a link into the expansion, or a blocker. */
static bool take_answer(lua_State *L, NodeCall *call, int output, int index)
{
    const char *text;
    int slot;

    if (link_at(L, index, &text, &slot)) {
        must(L, node_expand_output(call, output, text, slot));
        return true;
    }
    if (!block_at(L, index, &text)) return false;
    must(L, node_block(call, output, text));
    return true;
}

/* ---- the call ------------------------------------------------------------------------------------------ */

static int run_node(lua_State *L)
{
    NodeCall own = *(const NodeCall *)lua_touserdata(L, 1), *call = &own;
    const NodeDef *def = call->def;
    int n = node_output_count(def);

    own.err = &vm_of(L)->callback_error;

    host_push_function(L, "run");
    lua_newtable(L);
    for (const Socket *s = def->inputs; s->name; s++) {
        push_input(L, s, call->in);
        lua_setfield(L, -2, s->name);
    }
    lua_call(L, 1, 1);
    int results = lua_gettop(L);
    if (lua_type(L, results) != LUA_TTABLE)
        return host_wrong(L, "run", "run must return a list of outputs, not a %s",
                          luaL_typename(L, results));
    take_expansion(L, call, results);
    if ((int)lua_rawlen(L, results) != n)
        return host_wrong(L, "run", "run returned %d outputs; %d are declared",
                          (int)lua_rawlen(L, results), n);
    for (int i = 0; i < n; i++) {
        const Socket *s = &def->outputs[i];
        Value v = { 0 };
        lua_settop(L, results);
        lua_rawgeti(L, results, i + 1);
        if (take_answer(L, call, i, results + 1)) continue;
        if (s->flags & SOCK_F_LIST) {
            take_list(L, s, call->out);
            continue;
        }
        take_value(L, s, results + 1, &v);
        store(s, &v, call->out);
    }
    return 0;
}

/* Random numbers of a node start from its input `seed`, when it has one. */
static uint64_t seed_of(const NodeCall *call)
{
    int at = -1;
    const Socket *s = node_input(call->def, "seed", &at);
    if (!s || s->type != SOCK_INT || s->flags & SOCK_F_LIST) return 0;
    return (uint64_t)host_field(s, call->in).i;
}

Status script_node_call(NodeCall *call)
{
    const Script *s = call->def->user;
    ScriptValues *none = NULL;
    Vm *vm = NULL;
    Status status;

    TRY(script_values_default(s, &none, call->err));
    status = script_open(none, seed_of(call), &vm, call->err);
    if (status == OK) status = vm_call(vm, run_node, call, call->err);
    vm_free(vm);
    ref_drop(none);
    return status;
}
