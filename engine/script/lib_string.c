/* lib_string.c - the string functions of a script: sizes bounded, patterns counted. */
#include <string.h>

#include <lualib.h>

#include "engine/script/pattern.h"
#include "engine/script/vm.h"

enum { REPEAT_MAX = 1 << 20, PATTERN_STEPS = 1 << 20, STEP_SHIFT = 2 };

static void start(lua_State *L, Pattern *p, int subject, int pattern)
{
    size_t n, m;
    memset(p, 0, sizeof *p);
    p->subject = luaL_checklstring(L, subject, &n);
    p->subject_end = p->subject + n;
    p->pattern = luaL_checklstring(L, pattern, &m);
    p->pattern_end = p->pattern + m;
    p->most_steps = PATTERN_STEPS;
}

/* One try at s, with a fresh set of captures; charges the work and raises what is wrong. */
static const char *attempt(lua_State *L, Pattern *p, const char *s, const char *at)
{
    int64_t before = p->steps;
    p->level = p->depth = 0;
    const char *end = pattern_match(p, s, at);
    vm_charge(L, 1 + ((p->steps - before) >> STEP_SHIFT));
    if (p->problem) luaL_error(L, "%s", p->problem);
    return end;
}

/* Pushes capture i, or the whole match s..end when there are none. */
static void push_capture(lua_State *L, const Pattern *p, int i, const char *s, const char *end)
{
    if (i >= p->level) {
        if (i != 0) luaL_error(L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(L, s, (size_t)(end - s));
        return;
    }
    if (p->captures[i].length == PATTERN_OPEN) luaL_error(L, "unfinished capture");
    if (p->captures[i].length == PATTERN_POSITION)
        lua_pushinteger(L, p->captures[i].start - p->subject + 1);
    else
        lua_pushlstring(L, p->captures[i].start, (size_t)p->captures[i].length);
}

static int push_captures(lua_State *L, const Pattern *p, const char *s, const char *end)
{
    int n = p->level == 0 && s ? 1 : p->level;
    luaL_checkstack(L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(L, p, i, s, end);
    return n;
}

/* Zero-based place from a Lua index; false when it is behind the end. */
static bool start_index(lua_State *L, int arg, size_t n, size_t *out)
{
    lua_Integer i = luaL_optinteger(L, arg, 1);
    if (i < 0) i = i < -(lua_Integer)n ? 1 : (lua_Integer)n + i + 1;
    if (i == 0) i = 1;
    if (i > (lua_Integer)n + 1) return false;
    *out = (size_t)(i - 1);
    return true;
}

static int find_plain(lua_State *L, const Pattern *p, size_t from)
{
    size_t m = (size_t)(p->pattern_end - p->pattern);
    vm_charge(L, 1 + ((p->subject_end - p->subject) >> STEP_SHIFT));
    const char *found =
        m == 0 ? p->subject + from
               : memmem(p->subject + from, (size_t)(p->subject_end - p->subject) - from,
                        p->pattern, m);
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - p->subject + 1);
    lua_pushinteger(L, found - p->subject + (ptrdiff_t)m);
    return 2;
}

static int search(lua_State *L, bool find)
{
    Pattern p;
    size_t from;

    start(L, &p, 1, 2);
    if (!start_index(L, 3, (size_t)(p.subject_end - p.subject), &from)) {
        lua_pushnil(L);
        return 1;
    }
    if (find && lua_toboolean(L, 4)) return find_plain(L, &p, from);
    bool anchored = p.pattern < p.pattern_end && *p.pattern == '^';
    const char *at = p.pattern + anchored;
    for (const char *s = p.subject + from; s <= p.subject_end; s++) {
        const char *end = attempt(L, &p, s, at);
        if (end && find) {
            lua_pushinteger(L, s - p.subject + 1);
            lua_pushinteger(L, end - p.subject);
            return 2 + push_captures(L, &p, NULL, NULL);
        }
        if (end) return push_captures(L, &p, s, end);
        if (anchored) break;
    }
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L)
{
    return search(L, true);
}

static int string_match(lua_State *L)
{
    return search(L, false);
}

/* Upvalues: subject, pattern, where to go on, end of the last match (-1 = none). */
static int gmatch_next(lua_State *L)
{
    Pattern p;

    lua_settop(L, 0);
    start(L, &p, lua_upvalueindex(1), lua_upvalueindex(2));
    const char *last = p.subject + lua_tointeger(L, lua_upvalueindex(4));
    for (const char *s = p.subject + lua_tointeger(L, lua_upvalueindex(3)); s <= p.subject_end;
         s++) {
        const char *end = attempt(L, &p, s, p.pattern);
        if (!end || end == last) continue;
        lua_pushinteger(L, end - p.subject);
        lua_pushvalue(L, -1);
        lua_replace(L, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(L, &p, s, end);
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* Adds the text form of a gsub replacement, %0 to %9 filled in. */
static void add_template(lua_State *L, luaL_Buffer *b, const Pattern *p, const char *s,
                         const char *end)
{
    size_t n;
    const char *text = lua_tolstring(L, 3, &n);

    for (size_t i = 0; i < n; i++) {
        if (text[i] != '%') {
            luaL_addchar(b, text[i]);
            continue;
        }
        i++;
        if (i < n && text[i] == '%') {
            luaL_addchar(b, '%');
        } else if (i < n && text[i] == '0') {
            luaL_addlstring(b, s, (size_t)(end - s));
        } else if (i < n && text[i] >= '1' && text[i] <= '9') {
            push_capture(L, p, text[i] - '1', s, end);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* Adds what stands for the match s..end; a table's or function's false or nil keeps the match. */
static void add_value(lua_State *L, luaL_Buffer *b, const Pattern *p, const char *s,
                      const char *end)
{
    int type = lua_type(L, 3);

    if (type == LUA_TSTRING || type == LUA_TNUMBER) {
        add_template(L, b, p, s, end);
        return;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        int n = push_captures(L, p, s, end);
        lua_call(L, n, 1);
    } else {
        push_capture(L, p, 0, s, end);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, s, (size_t)(end - s));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(b);
}

static int string_gsub(lua_State *L)
{
    Pattern p;
    luaL_Buffer b;

    start(L, &p, 1, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TTABLE ||
                         type == LUA_TFUNCTION,
                     3, "string/function/table");
    if (type == LUA_TNUMBER) lua_tostring(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, LUA_MAXINTEGER), n = 0;
    bool anchored = p.pattern < p.pattern_end && *p.pattern == '^';
    const char *s = p.subject, *last = NULL;
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *end = attempt(L, &p, s, p.pattern + anchored);
        if (end && end != last) {
            n++;
            add_value(L, &b, &p, s, end);
            s = last = end;
        } else if (s < p.subject_end) {
            luaL_addchar(&b, *s++);
        } else {
            break;
        }
        if (anchored) break;
    }
    luaL_addlstring(&b, s, (size_t)(p.subject_end - s));
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}

/* string.rep with at most a megabyte of result. */
static int string_rep(lua_State *L)
{
    size_t n, m;
    luaL_checklstring(L, 1, &n);
    lua_Integer times = luaL_checkinteger(L, 2);
    luaL_optlstring(L, 3, "", &m);
    if (times > 0 && n + m > 0 && (uint64_t)times > REPEAT_MAX / (n + m))
        return luaL_error(L, "string.rep would give more than %d bytes", REPEAT_MAX);
    if (times < 0 || n + m == 0) times = 0;
    lua_settop(L, 3);
    lua_pushinteger(L, times);
    lua_replace(L, 2);
    if (lua_isnil(L, 3)) lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

void lib_open_string(lua_State *L)
{
    static const char *const names[] = { "byte",    "char", "format", "len", "lower",
                                         "reverse", "sub",  "upper",  NULL };
    static const luaL_Reg own[] = { { "find", string_find },
                                    { "match", string_match },
                                    { "gmatch", string_gmatch },
                                    { "gsub", string_gsub },
                                    { NULL, NULL } };

    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    int from = lua_gettop(L);
    lua_newtable(L);
    for (const char *const *name = names; *name; name++) {
        lua_getfield(L, from, *name);
        lib_charged(L);
        lua_setfield(L, from + 1, *name);
    }
    lua_getfield(L, from, "rep");
    lua_pushcclosure(L, string_rep, 1);
    lua_setfield(L, from + 1, "rep");
    luaL_setfuncs(L, own, 0);
    /* ("x"):upper() works: strings get a metatable of this table, in place of the library's own. */
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, from + 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    lua_setglobal(L, "string");
    lua_pop(L, 1);
}
