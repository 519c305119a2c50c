/* schedule.c - scripts of kind scheduler: a list of noise levels from steps and the model's own map. */
#include <math.h>

#include "engine/script/host.h"

static const double TIME_SLACK = 1e-9; /* rounding of a script's own steps */

typedef struct ScheduleCall {
    const ModelSampling *m;
    int64_t steps;
    double denoise;
    Tensor *out; /* owned by the caller */
} ScheduleCall;

/* ctx.sigma(t) and ctx.time(sigma); upvalue: the model's levels. */
static int model_sigma_of(lua_State *L)
{
    const ModelSampling *m = lua_touserdata(L, lua_upvalueindex(1));
    double t = luaL_checknumber(L, 1);
    luaL_argcheck(L, t >= -TIME_SLACK && t <= 1 + TIME_SLACK, 1, "model time runs from 0 to 1");
    t = fmin(fmax(t, 0), 1);
    lua_pushnumber(L, t == 0 ? 0 : model_sigma_at(m, t));
    return 1;
}

static int model_time_of(lua_State *L)
{
    const ModelSampling *m = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushnumber(L, model_time(m, luaL_checknumber(L, 1)));
    return 1;
}

static void push_model_function(lua_State *L, const ModelSampling *m, lua_CFunction fn,
                                const char *name)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)m);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, name);
}

static void push_context(lua_State *L, const ScheduleCall *c)
{
    lua_createtable(L, 0, 8);
    lua_pushinteger(L, c->steps);
    lua_setfield(L, -2, "steps");
    lua_pushnumber(L, c->denoise);
    lua_setfield(L, -2, "denoise");
    lua_pushnumber(L, (lua_Number)model_sigma_min(c->m));
    lua_setfield(L, -2, "sigma_min");
    lua_pushnumber(L, (lua_Number)model_sigma_max(c->m));
    lua_setfield(L, -2, "sigma_max");
    push_model_function(L, c->m, model_sigma_of, "sigma");
    push_model_function(L, c->m, model_time_of, "time");
}

/* Values as the samplers will see them: float32, falling strictly, 0 at the end. */
static void check_falling(lua_State *L, const double *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float here = (float)values[i];
        if (!isfinite(here))
            host_wrong(L, "run", "run returned a sigma that is no finite number: number %d",
                       (int)i + 1);
        if (i > 0 && !(here < (float)values[i - 1]))
            host_wrong(L, "run",
                       "run returned sigmas that do not fall: number %d is %f after %f",
                       (int)i + 1, values[i], values[i - 1]);
    }
    if ((float)values[n - 1] != 0.0f)
        host_wrong(L, "run", "run returned sigmas that end in %f; the last one must be 0",
                   values[n - 1]);
}

static int run_schedule(lua_State *L)
{
    ScheduleCall *c = lua_touserdata(L, 1);
    int64_t n = 0;

    host_push_function(L, "run");
    push_context(L, c);
    host_push_params(L);
    lua_call(L, 2, 1);
    int at = lua_gettop(L);
    const double *values = host_numbers(L, at, &n);
    if (!values && lua_type(L, at) == LUA_TTABLE)
        return host_wrong(L, "run", "run must return a list of numbers; it holds other values");
    if (!values)
        return host_wrong(L, "run", "run must return a list of numbers, not a %s",
                          luaL_typename(L, at));
    if (n != c->steps + 1)
        return host_wrong(L, "run", "run returned %d sigmas; %d steps need %d", (int)n,
                          (int)c->steps, (int)c->steps + 1);
    check_falling(L, values, n);
    Status status = sigmas_from_values(values, n, &c->out, &vm_of(L)->callback_error);
    return status == OK ? 0 : vm_raise(L, status);
}

Status script_schedule(const ScriptValues *v, const ModelSampling *m, int64_t steps,
                       double denoise, Tensor **out, Error *err)
{
    ScheduleCall c = { .m = m, .steps = steps, .denoise = denoise };
    Vm *vm = NULL;

    TRY(script_open(v, 0, &vm, err));
    Status status = vm_call(vm, run_schedule, &c, err);
    vm_free(vm);
    if (status == OK)
        *out = c.out;
    else
        tensor_unref(c.out);
    return status;
}
