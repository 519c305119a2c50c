/* guide.c - scripts of kind guidance: up to four hooks that share one state and one `ctx.state` per run. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/script/host.h"
#include "engine/tensor/ops.h"

/* Keys of the registry: the run's state table, and its list of sigmas. */
static const char state_key = 0, sigmas_key = 0;
/* And of what ctx.x reads: the metatable of contexts, the context of this call, and its x (light). */
static const char context_key = 0, current_key = 0, x_key = 0;

typedef struct GuideRun GuideRun;

/* What the hooks of one node have in common. */
typedef struct Guide {
    Ref ref;
    const ScriptValues *values; /* one reference owned */
    char node[64], class_type[80];
    GuideRun *open; /* the run that hooks still join, or NULL; one thread runs a plan */
} Guide;

/* One run: made by the first hook that begins, given up by the last that ends. */
struct GuideRun {
    Vm *vm;       /* owned */
    Guide *guide; /* borrowed from the hooks, which outlive the run */
    unsigned joined;
    int users;
};

typedef struct ScriptHook {
    GuidanceHook base;
    Guide *guide; /* one reference owned */
} ScriptHook;

/* ---- a run ------------------------------------------------------------------------------------------ */

static int start_state(lua_State *L)
{
    const Tensor *x = lua_touserdata(L, 1);
    vm_allow_input(vm_of(L), tensor_count(x) * (int64_t)sizeof(float));
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
    return 0;
}

static void close_run(GuideRun *r)
{
    if (r->guide->open == r) r->guide->open = NULL;
    vm_free(r->vm);
    mem_free(r);
}

static Status open_run(Guide *g, const Tensor *x, GuideRun **out, Error *err)
{
    GuideRun *r = mem_calloc(1, sizeof *r);
    if (!r) return error_set(err, E_NOMEM, "out of memory");
    r->guide = g;
    Status status = script_open(g->values, 0, &r->vm, err);
    if (status == OK) status = vm_call(r->vm, start_state, (void *)(uintptr_t)x, err);
    if (status == OK) {
        *out = r;
        return OK;
    }
    error_at_node(err, g->node, g->class_type);
    vm_free(r->vm);
    mem_free(r);
    return status;
}

static Status begin(const GuidanceHook *h, const Tensor *x, void **state, Error *err)
{
    Guide *g = ((const ScriptHook *)h)->guide;
    unsigned bit = 1u << h->kind;

    if (!g->open || g->open->joined & bit) TRY(open_run(g, x, &g->open, err));
    g->open->joined |= bit;
    g->open->users++;
    *state = g->open;
    return OK;
}

static void end(const GuidanceHook *h, void *state)
{
    GuideRun *r = state;
    (void)h;
    if (r && --r->users == 0) close_run(r);
}

/* ---- one step ---------------------------------------------------------------------------------------- */

/* ctx.x is copied when it is asked for; a context of an earlier call has none any more. */
static int context_index(lua_State *L)
{
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";

    lua_rawgetp(L, LUA_REGISTRYINDEX, &current_key);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &x_key);
    const Tensor *x = lua_touserdata(L, -1);
    if (strcmp(key, "x") != 0 || !x || !lua_rawequal(L, 1, -2)) return 0;
    tensors_push_copy(L, x);
    lua_pushvalue(L, -1);
    lua_setfield(L, 1, "x");
    return 1;
}

/* Makes the table on the top the context of a call that reads x; NULL: of none. */
static void set_current(lua_State *L, const Tensor *x)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &context_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 2);
        lua_pushcfunction(L, context_index);
        lua_setfield(L, -2, "__index");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &context_key);
    }
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &current_key);
    lua_pushlightuserdata(L, (void *)(uintptr_t)x);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &x_key);
}

static void push_context(lua_State *L, const GuidanceStep *g)
{
    lua_createtable(L, 0, 12);
    host_set_integer(L, "step", g->step);
    host_set_integer(L, "steps", g->steps);
    host_set_number(L, "sigma", (double)g->sigma);
    host_set_number(L, "cfg", g->scale);
    host_set_number(L, "guider_cfg", g->cfg);
    host_set_number(L, "percent", 1 - g->time);
    lua_pushboolean(L, g->uncond_skipped);
    lua_setfield(L, -2, "uncond_skipped");
    host_push_sigmas(L, &sigmas_key, g->sigmas);
    lua_setfield(L, -2, "sigmas");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    lua_setfield(L, -2, "state");
    set_current(L, g->x);
}

static int run_scale(lua_State *L)
{
    GuidanceStep *g = lua_touserdata(L, 1);

    host_push_function(L, "run");
    lua_pushnumber(L, g->time);
    host_push_params(L);
    push_context(L, g);
    lua_call(L, 3, 1);
    if (lua_type(L, -1) != LUA_TNUMBER)
        return host_wrong(L, "run", "run must return a number, not a %s", luaL_typename(L, -1));
    double scale = lua_tonumber(L, -1);
    if (!isfinite(scale))
        return host_wrong(L, "run", "run returned a scale that is no finite number");
    g->scale = scale;
    return 0;
}

/* Takes the tensor at a stack index, which must look like `out`. */
static void take_result(lua_State *L, const char *function, int index, Tensor *out)
{
    const Tensor *t = tensors_at(L, index);
    char have[96], want[96];

    if (!t)
        host_wrong(L, function, "%s must return a tensor, not a %s", function,
                   luaL_typename(L, index));
    tensor_describe(t, have, sizeof have);
    tensor_describe(out, want, sizeof want);
    if (!tensor_same_shape(t, out))
        host_wrong(L, function, "%s returned a tensor %s; %s is needed", function, have, want);
    tensor_copy(out, t);
}

/* Calls function(first..., t, p, ctx) with the given tensors. */
static void call_with(lua_State *L, const char *function, GuidanceStep *g,
                      const Tensor *const *first, int n, int results)
{
    host_push_function(L, function);
    for (int i = 0; i < n; i++)
        tensors_push_copy(L, first[i]);
    lua_pushnumber(L, g->time);
    host_push_params(L);
    push_context(L, g);
    lua_call(L, n + 3, results);
}

static int run_combine(lua_State *L)
{
    GuidanceStep *g = lua_touserdata(L, 1);
    const Tensor *sides[] = { g->cond, g->uncond };
    call_with(L, "combine", g, sides, 2, 1);
    take_result(L, "combine", -1, g->denoised);
    return 0;
}

/* The second result may be left out: uncond stays. */
static int run_pre(lua_State *L)
{
    GuidanceStep *g = lua_touserdata(L, 1);
    const Tensor *sides[] = { g->cond, g->uncond };
    call_with(L, "pre", g, sides, 2, 2);
    if (!lua_isnil(L, -1)) take_result(L, "pre", -1, g->uncond);
    take_result(L, "pre", -2, g->cond);
    return 0;
}

static int run_post(lua_State *L)
{
    GuidanceStep *g = lua_touserdata(L, 1);
    const Tensor *sides[] = { g->denoised, g->cond, g->uncond };
    call_with(L, "post", g, sides, 3, 1);
    take_result(L, "post", -1, g->denoised);
    return 0;
}

static Status run_hook(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    static const lua_CFunction bodies[] = { [GUIDE_SCALE] = run_scale,
                                            [GUIDE_PRE] = run_pre,
                                            [GUIDE_CFG] = run_combine,
                                            [GUIDE_POST] = run_post };
    GuideRun *r = state;
    Status status = vm_call(r->vm, bodies[h->kind], g, err);
    if (status != OK) error_at_node(err, r->guide->node, r->guide->class_type);
    return status;
}

/* ---- making -------------------------------------------------------------------------------------------- */

static void guide_destroy(void *object)
{
    Guide *g = object;
    ref_drop(g->values);
    mem_free(g);
}

static void hook_destroy(void *object)
{
    ScriptHook *h = object;
    ref_drop(h->guide);
    mem_free(h);
}

static Status guide_new(const ScriptValues *v, const char *node, Guide **out, Error *err)
{
    Guide *g = mem_calloc(1, sizeof *g);
    if (!g) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&g->ref, guide_destroy);
    g->values = ref_take(v);
    snprintf(g->node, sizeof g->node, "%s", node ? node : "");
    snprintf(g->class_type, sizeof g->class_type, "%s", v->script->def.class_type);
    *out = g;
    return OK;
}

static GuidanceHook *hook_new(Guide *g, GuidanceKind kind)
{
    ScriptHook *h = mem_calloc(1, sizeof *h);
    if (!h) return NULL;
    ref_init(&h->base.ref, hook_destroy);
    h->guide = ref_take(g);
    h->base.kind = kind;
    h->base.name = g->values->script->def.class_type;
    h->base.needs_uncond = g->values->script->needs_uncond;
    h->base.begin = begin;
    h->base.end = end;
    h->base.run = run_hook;
    return &h->base;
}

Status script_guidance_hooks(const ScriptValues *v, const char *node, GuidanceHook *hooks[4],
                             int *count, Error *err)
{
    static const struct {
        unsigned function;
        GuidanceKind kind;
    } order[] = { { SCRIPT_RUN, GUIDE_SCALE },
                  { SCRIPT_PRE, GUIDE_PRE },
                  { SCRIPT_COMBINE, GUIDE_CFG },
                  { SCRIPT_POST, GUIDE_POST } };
    Guide *g = NULL;
    int n = 0;

    TRY(guide_new(v, node, &g, err));
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!(v->script->functions & order[i].function)) continue;
        hooks[n] = hook_new(g, order[i].kind);
        if (hooks[n]) {
            n++;
            continue;
        }
        while (n > 0)
            ref_drop(hooks[--n]);
        ref_drop(g);
        return error_set(err, E_NOMEM, "out of memory");
    }
    ref_drop(g);
    *count = n;
    return OK;
}
