/* cache.c - scripts of kind cache: the decision in Lua, what is kept and used again in the model. */
#include <stdio.h>

#include "engine/base/mem.h"
#include "engine/script/host.h"

/* Keys of the registry: the lane's state table, and the run's list of sigmas. */
static const char state_key = 0, sigmas_key = 0;

typedef struct ScriptCache {
    StepCache base;
    const ScriptValues *values; /* one reference owned */
} ScriptCache;

/* ---- a lane: one state of Lua per side, entry and picture ---------------------------------------------- */

static int start_state(lua_State *L)
{
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
    return 0;
}

static Status begin(const StepCache *c, void **state, Error *err)
{
    const ScriptCache *s = (const ScriptCache *)c;
    Vm *vm = NULL;
    Status status = script_open(s->values, 0, &vm, err);

    if (status == OK) status = vm_call(vm, start_state, NULL, err);
    if (status == OK) {
        *state = vm;
        return OK;
    }
    error_at_node(err, c->node, c->name);
    vm_free(vm);
    return status;
}

static void end(const StepCache *c, void *state)
{
    (void)c;
    vm_free(state);
}

/* ---- one question -------------------------------------------------------------------------------------- */

static void push_context(lua_State *L, const CacheQuestion *q)
{
    lua_createtable(L, 0, 10);
    host_set_integer(L, "step", q->step);
    host_set_integer(L, "steps", q->steps);
    host_set_number(L, "change", q->change);
    host_set_number(L, "sigma", (double)q->sigma);
    host_set_number(L, "t", q->time);
    host_set_number(L, "percent", 1 - q->time);
    lua_pushboolean(L, q->kept);
    lua_setfield(L, -2, "kept");
    host_push_sigmas(L, &sigmas_key, q->sigmas);
    lua_setfield(L, -2, "sigmas");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    lua_setfield(L, -2, "state");
}

static int ask(lua_State *L)
{
    CacheQuestion *q = lua_touserdata(L, 1);

    host_push_function(L, "decide");
    push_context(L, q);
    host_push_params(L);
    lua_call(L, 2, 2);
    if (lua_type(L, -2) != LUA_TBOOLEAN)
        return host_wrong(L, "decide", "decide must return true or false, not a %s",
                          luaL_typename(L, -2));
    if (lua_type(L, -1) == LUA_TSTRING)
        snprintf(q->reason, sizeof q->reason, "%s", lua_tostring(L, -1));
    else if (!lua_isnil(L, -1))
        return host_wrong(L, "decide", "the reason that decide returns must be text, not a %s",
                          luaL_typename(L, -1));
    q->compute = lua_toboolean(L, -2);
    return 0;
}

static Status decide(const StepCache *c, void *state, CacheQuestion *q, Error *err)
{
    Status status = vm_call(state, ask, q, err);
    if (status != OK) error_at_node(err, c->node, c->name);
    return status;
}

/* ---- making ---------------------------------------------------------------------------------------------- */

static void destroy(void *object)
{
    ScriptCache *c = object;
    ref_drop(c->values);
    mem_free(c);
}

Status script_cache_new(const ScriptValues *v, const char *node, StepCache **out, Error *err)
{
    ScriptCache *c =
        step_cache_new(sizeof *c, CACHE_BLOCKS, v->script->def.class_type, node, destroy);
    if (!c) return error_set(err, E_NOMEM, "out of memory");
    c->base.begin = begin;
    c->base.end = end;
    c->base.decide = decide;
    c->values = ref_take(v);
    *out = &c->base;
    return OK;
}
