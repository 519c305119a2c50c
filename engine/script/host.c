/* host.c - what the kinds of scripts share: an opened script in its state, values going in and out. */
#include "engine/script/host.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

#define OBJECT_TYPE "weft.object"

/* Keys of the registry. */
static const char script_key = 0, params_key = 0;

/* ---- opening ---------------------------------------------------------------------------------------- */

static int open_script(lua_State *L)
{
    const ScriptValues *v = lua_touserdata(L, 1);
    const Script *s = v->script;

    vm_load(L, s->text, s->size);
    lua_call(L, 0, 1);
    if (lua_type(L, -1) != LUA_TTABLE)
        return luaL_error(L, "the script no longer returns a table");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &script_key);
    lua_createtable(L, 0, v->count);
    for (int i = 0; i < v->count; i++) {
        const Socket *row = &s->def.inputs[s->lead + i];
        host_push_value(L, row, &v->items[i]);
        lua_setfield(L, -2, row->name);
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, &params_key);
    return 0;
}

Status script_open(const ScriptValues *v, uint64_t seed, Vm **out, Error *err)
{
    Vm *vm = NULL;
    TRY(vm_new(&v->script->limits, v->script->file, seed, &vm, err));
    Status status = vm_call(vm, open_script, (void *)(uintptr_t)v, err);
    if (status == OK)
        *out = vm;
    else
        vm_free(vm);
    return status;
}

void host_push_function(lua_State *L, const char *name)
{
    luaL_checkstack(L, 8, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_key);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

void host_push_params(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &params_key);
}

void host_set_number(lua_State *L, const char *key, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

void host_set_integer(lua_State *L, const char *key, int value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

void host_push_sigmas(lua_State *L, const void *key, const Tensor *sigmas)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    int n = sigmas ? (int)sigmas->shape[0] : 0;
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushnumber(L, (lua_Number)tensor_f32(sigmas)[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

int host_wrong(lua_State *L, const char *function, const char *format, ...)
{
    lua_Debug ar;
    va_list args;

    host_push_function(L, function);
    if (lua_type(L, -1) == LUA_TFUNCTION) {
        lua_getinfo(L, ">S", &ar);
        vm_of(L)->line = ar.linedefined > 0 ? ar.linedefined : 0;
    }
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    return lua_error(L);
}

/* ---- objects no script can look into ------------------------------------------------------------------- */

typedef struct LuaObject {
    const Ref *object; /* held by the state */
    int place;
    SockType type;
    char name[64]; /* of the link type */
} LuaObject;

static int collect_object(lua_State *L)
{
    LuaObject *o = luaL_checkudata(L, 1, OBJECT_TYPE);
    if (o->object) vm_release(vm_of(L), o->place);
    o->object = NULL;
    return 0;
}

static int object_text(lua_State *L)
{
    LuaObject *o = luaL_checkudata(L, 1, OBJECT_TYPE);
    lua_pushstring(L, o->name);
    return 1;
}

void host_open_objects(lua_State *L)
{
    static const luaL_Reg events[] = { { "__gc", collect_object },
                                       { "__tostring", object_text },
                                       { NULL, NULL } };
    luaL_newmetatable(L, OBJECT_TYPE);
    luaL_setfuncs(L, events, 0);
    lua_pop(L, 1);
}

static void push_object(lua_State *L, const Ref *object, SockType type, const char *name)
{
    LuaObject *o = lua_newuserdatauv(L, sizeof *o, 0);
    memset(o, 0, sizeof *o);
    host_open_objects(L);
    luaL_setmetatable(L, OBJECT_TYPE);
    o->type = type;
    snprintf(o->name, sizeof o->name, "%s", name);
    o->place = vm_hold_place(L);
    vm_of(L)->held[o->place] = ref_take(object);
    o->object = object;
}

const Ref *host_object_at(lua_State *L, int index, const Socket *s, Value *whole)
{
    LuaObject *o = luaL_testudata(L, index, OBJECT_TYPE);
    if (!o || !socket_types_match(o->name, socket_type_name(s))) return NULL;
    if (whole) *whole = (Value){ .type = o->type, .object = o->object };
    return o->object;
}

/* ---- values --------------------------------------------------------------------------------------------- */

static bool holds_floats(const Ref *object)
{
    return object && ((const Tensor *)(const void *)object)->dtype == K_F32;
}

static void push_linked(lua_State *L, const Socket *s, const Value *v)
{
    const Latent *latent = (const Latent *)(const void *)v->object;
    SockType type = v->type;

    if (!v->object)
        lua_pushnil(L);
    else if (type == SOCK_LATENT && holds_floats(&latent->samples->ref))
        tensors_push(L, latent->samples, latent);
    else if ((type == SOCK_IMAGE || type == SOCK_MASK || type == SOCK_SIGMAS) &&
             holds_floats(v->object))
        tensors_push(L, (const Tensor *)(const void *)v->object, NULL);
    else
        push_object(L, v->object, type,
                    type == SOCK_OTHER || type == SOCK_ANY ? socket_type_name(s)
                                                           : sock_name(type));
}

/* An unsigned seed above 2^63 keeps its bits. */
void host_push_value(lua_State *L, const Socket *s, const Value *v)
{
    switch (v->type) {
    case SOCK_INT:
        lua_pushinteger(L, (lua_Integer)v->i);
        break;
    case SOCK_FLOAT:
        lua_pushnumber(L, v->f);
        break;
    case SOCK_BOOLEAN:
        lua_pushboolean(L, v->b);
        break;
    case SOCK_STRING:
    case SOCK_COMBO:
        lua_pushstring(L, v->s ? v->s : "");
        break;
    default:
        push_linked(L, s, v);
    }
}

Value host_field(const Socket *s, const void *in)
{
    const char *at = (const char *)in + s->at;
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
    default:
        memcpy(&v.object, at, sizeof v.object);
    }
    return v;
}

const double *host_numbers(lua_State *L, int index, int64_t *n)
{
    const Tensor *t = tensors_at(L, index);
    index = lua_absindex(L, index);

    if (!t && lua_type(L, index) != LUA_TTABLE) return NULL;
    if (t && t->ndim != 1) return NULL;
    *n = t ? t->shape[0] : (int64_t)lua_rawlen(L, index);
    vm_charge(L, *n);
    double *values = lua_newuserdatauv(L, (size_t)(*n + 1) * sizeof *values, 0);
    for (int64_t i = 0; i < *n; i++) {
        if (t) {
            values[i] = (double)tensor_f32(t)[i];
            continue;
        }
        int is_number = lua_rawgeti(L, index, i + 1) == LUA_TNUMBER;
        values[i] = is_number ? lua_tonumber(L, -1) : 0;
        lua_pop(L, 1);
        if (!is_number) return NULL;
    }
    return values;
}
