/* lib_base.c - the globals of a script: base functions, math, table, utf8. */
#include <float.h>
#include <math.h>
#include <string.h>

#include <lualib.h>

#include "engine/sampling/sigmas.h"
#include "engine/script/vm.h"

enum { CHARGE_SHIFT = 4 }; /* sixteen elements or bytes of C work weigh one instruction */

/* ---- charging ---------------------------------------------------------------------------------------- */

static int charged(lua_State *L)
{
    int type = lua_type(L, 1);
    if (type == LUA_TSTRING || type == LUA_TTABLE)
        vm_charge(L, 1 + ((int64_t)lua_rawlen(L, 1) >> CHARGE_SHIFT));
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

void lib_charged(lua_State *L)
{
    lua_pushcclosure(L, charged, 1);
}

/* ---- base -------------------------------------------------------------------------------------------- */

/* pcall that does not catch what ends the call as a whole: budget, memory, a cancelled run. */
static int guarded_pcall(lua_State *L)
{
    Vm *vm = vm_of(L);

    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int code = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    if (code == LUA_ERRMEM && vm->fault == VM_FINE)
        vm->fault = vm->out_of_memory ? VM_NO_MEMORY : VM_MEMORY;
    if (vm->fault != VM_FINE) {
        lua_pushlightuserdata(L, vm);
        return lua_error(L);
    }
    if (code == LUA_OK) return lua_gettop(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static void keep(lua_State *L, const char *const *names, int from, int to, bool charge)
{
    for (; *names; names++) {
        lua_getfield(L, from, *names);
        if (charge) lib_charged(L);
        lua_setfield(L, to, *names);
    }
}

/* ---- math -------------------------------------------------------------------------------------------- */

static int math_f32(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)(float)luaL_checknumber(L, 1));
    return 1;
}

static int math_expm1(lua_State *L)
{
    lua_pushnumber(L, expm1(luaL_checknumber(L, 1)));
    return 1;
}

static int math_log1p(lua_State *L)
{
    lua_pushnumber(L, log1p(luaL_checknumber(L, 1)));
    return 1;
}

/* Single precision forms: built-in samplers compute their coefficients with these. */
static int math_expf(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)expf((float)luaL_checknumber(L, 1)));
    return 1;
}

static int math_logf(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)logf((float)luaL_checknumber(L, 1)));
    return 1;
}

static int math_expm1f(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)expm1f((float)luaL_checknumber(L, 1)));
    return 1;
}

/* math.beta_inverse(a, b, p): inverse of the regularised incomplete beta function. */
static int math_beta_inverse(lua_State *L)
{
    double a = luaL_checknumber(L, 1), b = luaL_checknumber(L, 2), p = luaL_checknumber(L, 3);
    luaL_argcheck(L, a > 0 && a <= 1e6, 1, "must be above 0");
    luaL_argcheck(L, b > 0 && b <= 1e6, 2, "must be above 0");
    luaL_argcheck(L, p >= 0 && p <= 1, 3, "must be in 0 to 1");
    vm_charge(L, 1000);
    lua_pushnumber(L, sigmas_beta_inverse(a, b, p));
    return 1;
}

/* Without a number the library would take the time of day. */
static int math_randomseed(lua_State *L)
{
    luaL_checknumber(L, 1);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 0);
    return 0;
}

static void open_math(lua_State *L, uint64_t seed)
{
    static const luaL_Reg more[] = { { "f32", math_f32 },
                                     { "expm1", math_expm1 },
                                     { "log1p", math_log1p },
                                     { "expf", math_expf },
                                     { "logf", math_logf },
                                     { "expm1f", math_expm1f },
                                     { "beta_inverse", math_beta_inverse },
                                     { NULL, NULL } };

    lua_pushcfunction(L, luaopen_math);
    lua_call(L, 0, 1);
    luaL_setfuncs(L, more, 0);
    lua_getfield(L, -1, "randomseed");
    lua_pushvalue(L, -1);
    lua_pushinteger(L, (lua_Integer)seed);
    lua_call(L, 1, 0);
    lua_pushcclosure(L, math_randomseed, 1);
    lua_setfield(L, -2, "randomseed");
    lua_setglobal(L, "math");
}

/* ---- table ------------------------------------------------------------------------------------------- */

/* Sorting is charged n log n, texts by their length; a comparison function is charged by itself. */
static int table_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    int64_t n = (int64_t)lua_rawlen(L, 1), depth = 1, work = n;
    for (int64_t i = 1; i <= n; i++) {
        if (lua_rawgeti(L, 1, i) == LUA_TSTRING)
            work += (int64_t)(lua_rawlen(L, -1) >> CHARGE_SHIFT);
        lua_pop(L, 1);
    }
    while (n >> depth)
        depth++;
    vm_charge(L, work * depth);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 0);
    return 0;
}

/* table.move over a range that may be longer than any table. */
static int table_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    if (to >= from) {
        luaL_argcheck(L, from > 0 || to < LUA_MAXINTEGER + from, 3,
                      "too many elements to move");
        vm_charge(L, to - from + 1);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static void replace(lua_State *L, int from, int to, const char *name, lua_CFunction fn)
{
    lua_getfield(L, from, name);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, to, name);
}

static void open_table(lua_State *L)
{
    static const char *const names[] = { "concat", "insert", "remove", "pack", "unpack", NULL };

    lua_pushcfunction(L, luaopen_table);
    lua_call(L, 0, 1);
    int from = lua_gettop(L);
    lua_newtable(L);
    keep(L, names, from, from + 1, true);
    replace(L, from, from + 1, "sort", table_sort);
    replace(L, from, from + 1, "move", table_move);
    lua_setglobal(L, "table");
    lua_pop(L, 1);
}

static void open_utf8(lua_State *L)
{
    static const char *const names[] = { "char", "codepoint", "codes", "len", "offset", NULL };

    lua_pushcfunction(L, luaopen_utf8);
    lua_call(L, 0, 1);
    int from = lua_gettop(L);
    lua_newtable(L);
    keep(L, names, from, from + 1, true);
    lua_getfield(L, from, "charpattern");
    lua_setfield(L, from + 1, "charpattern");
    lua_setglobal(L, "utf8");
    lua_pop(L, 1);
}

void lib_open_base(lua_State *L, uint64_t seed)
{
    static const char *const names[] = { "assert", "error",    "ipairs",   "next", "pairs",
                                         "select", "tonumber", "tostring", "type", NULL };

    /* The base library writes into the global table, so the real one takes its place afterwards. */
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    int from = lua_gettop(L);
    lua_newtable(L);
    keep(L, names, from, from + 1, false);
    lua_pushcfunction(L, guarded_pcall);
    lua_setfield(L, from + 1, "pcall");
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pop(L, 1);
    open_math(L, seed);
    open_table(L);
    open_utf8(L);
}
