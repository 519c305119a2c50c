/* node_call.c - scripts of kind node: inputs by name in, a list of outputs back. */
#include <math.h>
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

/* ---- the call ------------------------------------------------------------------------------------------ */

static int run_node(lua_State *L)
{
    NodeCall *call = lua_touserdata(L, 1);
    const NodeDef *def = call->def;
    int n = node_output_count(def);

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
    if ((int)lua_rawlen(L, results) != n)
        return host_wrong(L, "run", "run returned %d outputs; %d are declared",
                          (int)lua_rawlen(L, results), n);
    for (int i = 0; i < n; i++) {
        const Socket *s = &def->outputs[i];
        Value v = { 0 };
        lua_settop(L, results);
        lua_rawgeti(L, results, i + 1);
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
