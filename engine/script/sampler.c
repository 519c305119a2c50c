/* sampler.c - scripts of kind sampler: the loop in Lua, model calls and tensor arithmetic in C. */
#include <math.h>
#include <string.h>

#include "engine/script/host.h"
#include "engine/tensor/ops.h"

#define MODEL_TYPE "weft.model"

enum { CALLS_PER_STEP = 64, CALLS_MORE = 1000 };

/* What `m` stands for; on the C stack of the run. */
typedef struct SamplerCall {
    SamplerRun *run;
    int64_t calls;
} SamplerCall;

static SamplerCall *call_of(lua_State *L)
{
    return *(SamplerCall **)luaL_checkudata(L, 1, MODEL_TYPE);
}

static const Tensor *like_x(lua_State *L, const SamplerRun *run, int index)
{
    const Tensor *t = tensors_check(L, index);
    char have[96], want[96];

    if (tensor_same_shape(t, run->x)) return t;
    tensor_describe(t, have, sizeof have);
    tensor_describe(run->x, want, sizeof want);
    luaL_error(L, "a tensor %s was given where %s is needed", have, want);
    return NULL;
}

/* m:denoise(x, sigma): the budget starts anew after each model call, whose number is bounded. */
static int denoise(lua_State *L)
{
    SamplerCall *c = call_of(L);
    SamplerRun *run = c->run;
    Vm *vm = vm_of(L);
    const Tensor *x = like_x(L, run, 2);
    double sigma = luaL_checknumber(L, 3);

    luaL_argcheck(L, isfinite((float)sigma) && sigma >= 0, 3,
                  "a noise level is a finite number from 0");
    if (c->calls++ >= (int64_t)run->count * CALLS_PER_STEP + CALLS_MORE)
        return luaL_error(L, "more than %d model calls in one run", (int)(c->calls - 1));
    Tensor *out = tensors_push_new(L, x->ndim, x->shape);
    Status status = run_denoise(run, x, (float)sigma, out, &vm->callback_error);
    if (status != OK) return vm_raise(L, status);
    vm_renew(vm);
    return 1;
}

static int draw_noise(lua_State *L)
{
    SamplerRun *run = call_of(L)->run;
    int step = run->reported < run->count - 1 ? run->reported : run->count - 2;
    Tensor *out = tensors_push_new(L, run->x->ndim, run->x->shape);
    run_noise(run, run->sigmas[step], run->sigmas[step + 1], out);
    return 1;
}

/* m:step(i, x, x0) */
static int report_step(lua_State *L)
{
    SamplerRun *run = call_of(L)->run;
    lua_Integer i = luaL_checkinteger(L, 2);

    luaL_argcheck(L, i >= 0 && i < run->count - 1, 2, "steps are counted from 0");
    const Tensor *x = like_x(L, run, 3), *x0 = like_x(L, run, 4);
    run_step(run, (int)i, x0, x);
    return 0;
}

static int model_index(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction fn;
    } methods[] = { { "denoise", denoise }, { "noise", draw_noise }, { "step", report_step } };
    SamplerRun *run = call_of(L)->run;
    const char *key = luaL_checkstring(L, 2);

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(key, methods[i].name) != 0) continue;
        lua_pushcfunction(L, methods[i].fn);
        return 1;
    }
    if (strcmp(key, "uncond") == 0 && run->uncond)
        tensors_push_copy(L, run->uncond);
    else
        lua_pushnil(L);
    return 1;
}

static void push_model(lua_State *L, SamplerCall *c)
{
    SamplerCall **u = lua_newuserdatauv(L, sizeof *u, 0);
    *u = c;
    luaL_newmetatable(L, MODEL_TYPE);
    lua_pushcfunction(L, model_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

static int run_body(lua_State *L)
{
    SamplerCall *c = lua_touserdata(L, 1);
    SamplerRun *run = c->run;

    vm_allow_input(vm_of(L), tensor_count(run->x) * (int64_t)sizeof(float));
    host_push_function(L, "run");
    push_model(L, c);
    tensors_push_copy(L, run->x);
    lua_createtable(L, run->count, 0);
    for (int i = 0; i < run->count; i++) {
        lua_pushnumber(L, (lua_Number)run->sigmas[i]);
        lua_rawseti(L, -2, i + 1);
    }
    host_push_params(L);
    lua_call(L, 4, 1);
    const Tensor *x = tensors_at(L, -1);
    if (!x)
        return host_wrong(L, "run", "run must return a tensor, not a %s", luaL_typename(L, -1));
    char have[96], want[96];
    tensor_describe(x, have, sizeof have);
    tensor_describe(run->x, want, sizeof want);
    if (!tensor_same_shape(x, run->x))
        return host_wrong(L, "run", "run returned a tensor %s; %s is needed", have, want);
    tensor_copy(run->x, x);
    return 0;
}

static Status run_script(SamplerRun *run, Error *err)
{
    const ScriptValues *v = (const ScriptValues *)(const void *)run->sampler->user;
    SamplerCall c = { .run = run };
    Vm *vm = NULL;

    TRY(script_open(v, run->seed, &vm, err));
    Status status = vm_call(vm, run_body, &c, err);
    vm_free(vm);
    return status;
}

Status script_sampler_new(const ScriptValues *v, Sampler **out, Error *err)
{
    /* The descriptor belongs to the script, which the values hold. */
    SamplerDef *def = (SamplerDef *)(uintptr_t)&v->script->sampler;
    def->fn = run_script;
    return sampler_new_custom(def, &v->ref, out, err);
}
