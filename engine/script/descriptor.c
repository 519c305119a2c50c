/* descriptor.c - reads the table that a script returns and checks it against the contract (E208). */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/script/host.h"

static const struct {
    const char *name, *doc;
    unsigned functions; /* that a script of the kind may have */
} kinds[SCRIPT_KINDS] = {
    [SCRIPT_SCHEDULER] = { "scheduler", "A schedule written in Lua.", SCRIPT_RUN },
    [SCRIPT_SAMPLER] = { "sampler", "A sampler written in Lua.", SCRIPT_RUN },
    [SCRIPT_GUIDANCE] = { "guidance", "Guidance written in Lua.",
                          SCRIPT_RUN | SCRIPT_COMBINE | SCRIPT_PRE | SCRIPT_POST },
    [SCRIPT_CACHE] = { "cache", "A step cache written in Lua.", SCRIPT_DECIDE },
    [SCRIPT_NODE] = { "node", "A node written in Lua.", SCRIPT_RUN },
};

enum { STEPS_MAX = 10000, NAME_MAX_LENGTH = 48, KEPT_MAX = 1 << 20 };

const char *script_kind_name(ScriptKind kind)
{
    return kinds[kind].name;
}

/* ---- raising and keeping -------------------------------------------------------------------------------- */

static void *need(lua_State *L, void *p)
{
    if (p) return p;
    error_set(&vm_of(L)->callback_error, E_NOMEM, "out of memory");
    vm_raise(L, E_NOMEM);
    return NULL;
}

/* Copies a text; all texts of a descriptor together have a limit. */
static const char *kept(lua_State *L, Script *s, const char *text)
{
    Vm *vm = vm_of(L);
    vm->kept += (int64_t)strlen(text) + 1;
    if (vm->kept > KEPT_MAX)
        luaL_error(L, "the texts of the table are longer than %d bytes", KEPT_MAX);
    return need(L, arena_strdup(s->arena, text));
}

static const char *join(lua_State *L, Script *s, const char *a, const char *b)
{
    return need(L, arena_printf(s->arena, "%s%s", a, b));
}

/* Text of field `key` of the table on the top; NULL when it is absent. */
static const char *text_field(lua_State *L, Script *s, const char *where, const char *key)
{
    const char *text = NULL;
    int type = lua_getfield(L, -1, key);

    if (type == LUA_TSTRING)
        text = kept(L, s, lua_tostring(L, -1));
    else if (type != LUA_TNIL)
        luaL_error(L, "%s: '%s' must be a string, not a %s", where, key, lua_typename(L, type));
    lua_pop(L, 1);
    return text;
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

static bool is_identifier(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_') return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_') return false;
    return true;
}

static bool number_field(lua_State *L, const char *where, const char *key, double *out)
{
    int type = lua_getfield(L, -1, key);
    if (type == LUA_TNUMBER)
        *out = lua_tonumber(L, -1);
    else if (type != LUA_TNIL)
        luaL_error(L, "%s: '%s' must be a number, not a %s", where, key, lua_typename(L, type));
    lua_pop(L, 1);
    if (type == LUA_TNUMBER && isnan(*out))
        luaL_error(L, "%s: '%s' is not a number", where, key);
    return type == LUA_TNUMBER;
}

static void read_numbers(lua_State *L, Socket *row, const char *where)
{
    double limit = row->type == SOCK_INT ? 9007199254740992.0 : 1e308;
    bool has_min = number_field(L, where, "min", &row->min),
         has_max = number_field(L, where, "max", &row->max);

    if (!has_min && has_max) row->min = -limit;
    if (has_min && !has_max) row->max = limit;
    if ((has_min || has_max) && !(row->min < row->max))
        luaL_error(L, "%s: min %f is not below max %f", where, row->min, row->max);
    if (!number_field(L, where, "default", &row->def) && has_min && row->min > 0)
        row->def = row->min;
    if (has_min && has_max && (row->def < row->min || row->def > row->max))
        luaL_error(L, "%s: the default %f is outside of %f to %f", where, row->def, row->min,
                   row->max);
    if (row->type == SOCK_INT && row->def != floor(row->def))
        luaL_error(L, "%s: the default of an INT must be whole", where);
    if (row->type == SOCK_INT && row->max > 9.3e18) row->flags |= SOCK_F_U64;
    number_field(L, where, "step", &row->step);
}

static void read_boolean(lua_State *L, Socket *row, const char *where)
{
    int type = lua_getfield(L, -1, "default");
    if (type != LUA_TNIL && type != LUA_TBOOLEAN)
        luaL_error(L, "%s: the default of a BOOLEAN is true or false", where);
    row->def = lua_toboolean(L, -1);
    lua_pop(L, 1);
}

static void read_options(lua_State *L, Script *s, Socket *row, const char *where)
{
    if (lua_getfield(L, -1, "options") != LUA_TTABLE || lua_rawlen(L, -1) == 0)
        luaL_error(L, "%s: a COMBO needs 'options', a list of strings", where);
    size_t n = lua_rawlen(L, -1);
    if (n > 4096) luaL_error(L, "%s: more than 4096 options", where);
    const char **options = need(L, arena_array(s->arena, n + 1, sizeof *options));
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TSTRING)
            luaL_error(L, "%s: option %d is not a string", where, (int)i + 1);
        options[i] = kept(L, s, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    row->options = options;
    row->sdef = text_field(L, s, where, "default");
    if (!row->sdef) row->sdef = options[0];
    for (size_t i = 0; i < n; i++)
        if (strcmp(options[i], row->sdef) == 0) return;
    luaL_error(L, "%s: the default '%s' is none of the options", where, row->sdef);
}

static bool flag_field(lua_State *L, const char *key)
{
    lua_getfield(L, -1, key);
    bool yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

static void read_type(lua_State *L, Script *s, Socket *row, const char *where, bool linked)
{
    const char *type = text_field(L, s, where, "type");

    if (!type || !*type)
        luaL_error(L, "%s: 'type' is missing; use FLOAT, INT, BOOLEAN, STRING or COMBO", where);
    row->type = sock_from_name(type);
    if (row->type > SOCK_COMBO && !linked)
        luaL_error(
            L, "%s: type %s cannot be a parameter; use FLOAT, INT, BOOLEAN, STRING or COMBO",
            where, type);
    if (row->type == SOCK_OTHER) row->type_name = type;
}

/* One row of params, inputs or outputs: the table on the top of the stack. */
static void read_row(lua_State *L, Script *s, Socket *row, const char *list, int number,
                     bool linked, bool output)
{
    char where[96];

    snprintf(where, sizeof where, "%s[%d]", list, number);
    row->name = text_field(L, s, where, "name");
    if (!row->name) luaL_error(L, "%s: 'name' is missing", where);
    snprintf(where, sizeof where, "%s '%.48s'", list, row->name);
    if (!output && !is_identifier(row->name))
        luaL_error(L, "%s: a name is letters, digits and _", where);
    read_type(L, s, row, where, linked);
    row->doc = text_field(L, s, where, "doc");
    if (!row->doc) row->doc = row->name;
    if (flag_field(L, "list") && linked) row->flags |= SOCK_F_LIST;
    if (flag_field(L, "optional") && linked && row->type > SOCK_COMBO)
        row->flags |= SOCK_F_OPTIONAL;
    if (flag_field(L, "multiline")) row->flags |= SOCK_F_MULTILINE;
    if (output) return;
    if (row->type <= SOCK_COMBO) row->flags |= SOCK_F_DEFAULTED;
    if (row->type == SOCK_INT || row->type == SOCK_FLOAT) read_numbers(L, row, where);
    if (row->type == SOCK_BOOLEAN) read_boolean(L, row, where);
    if (row->type == SOCK_STRING) row->sdef = text_field(L, s, where, "default");
    if (row->type == SOCK_COMBO) read_options(L, s, row, where);
}

/* Reads list `key` of the descriptor on the top into rows behind `rows[*n]`. */
static void read_rows(lua_State *L, Script *s, const char *key, Socket *rows, int *n,
                      bool linked, bool output)
{
    int first = *n, type = lua_getfield(L, -1, key);

    if (type != LUA_TNIL && type != LUA_TTABLE)
        luaL_error(L, "'%s' must be a list of rows", key);
    int count = type == LUA_TTABLE ? (int)lua_rawlen(L, -1) : 0;
    if (count > SCRIPT_ROWS_MAX - first - 1)
        luaL_error(L, "'%s' has more than %d rows", key, SCRIPT_ROWS_MAX - 8);
    for (int i = 1; i <= count; i++) {
        if (lua_rawgeti(L, -1, i) != LUA_TTABLE)
            luaL_error(L, "%s[%d] must be a table", key, i);
        read_row(L, s, &rows[*n], key, i, linked, output);
        for (int k = 0; k < *n; k++)
            if (!output && strcmp(rows[k].name, rows[*n].name) == 0)
                luaL_error(
                    L, "%s '%s' is named twice, or is the name of one of the kind's own inputs",
                    key, rows[*n].name);
        ++*n;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* ---- the kinds' own sockets --------------------------------------------------------------------------------- */

static const Socket model_row = { .name = "model",
                                  .type = SOCK_MODEL,
                                  .doc = "Model to use; it is copied, not changed." };
static const Socket steps_row = { .name = "steps",
                                  .type = SOCK_INT,
                                  .def = 20,
                                  .min = 1,
                                  .max = STEPS_MAX,
                                  .doc = "Number of steps." };
static const Socket denoise_row = {
    .name = "denoise",
    .type = SOCK_FLOAT,
    .def = 1,
    .min = 0,
    .max = 1,
    .step = 0.01,
    .doc = "Share of the way that is walked; 1 starts from pure noise."
};

typedef struct KindSockets {
    const Socket *lead[4];
    const char *out_name;
    SockType out;
    const char *category;
    NodeStage stage;
} KindSockets;

static const KindSockets kind_sockets[] = {
    { { &model_row, &steps_row, &denoise_row },
      "SIGMAS",
      SOCK_SIGMAS,
      "lua/schedulers",
      STAGE_NONE },
    { { NULL }, "SAMPLER", SOCK_SAMPLER, "lua/samplers", STAGE_NONE },
    { { &model_row }, "MODEL", SOCK_MODEL, "lua/guidance", STAGE_GUIDE },
    { { &model_row }, "MODEL", SOCK_MODEL, "lua/caches", STAGE_CACHE },
    { { NULL }, NULL, SOCK_ANY, "lua/nodes", STAGE_NONE },
};

/* Rows get their places in the in or out struct. */
static size_t lay_out(Socket *rows, int n)
{
    for (int i = 0; i < n; i++)
        rows[i].at = (size_t)i * SCRIPT_FIELD;
    return (size_t)n * SCRIPT_FIELD;
}

static void read_inputs(lua_State *L, Script *s, NodeDef *def)
{
    Socket *in = need(L, arena_array(s->arena, SCRIPT_ROWS_MAX, sizeof *in));
    bool node = s->kind == SCRIPT_NODE;

    while (kind_sockets[s->kind].lead[s->lead]) {
        in[s->lead] = *kind_sockets[s->kind].lead[s->lead];
        s->lead++;
    }
    int n = s->lead;
    read_rows(L, s, node ? "inputs" : "params", in, &n, node, false);
    if (node) read_rows(L, s, "params", in, &n, true, false);
    s->params = n - s->lead;
    for (int i = 0; i < n; i++)
        if (in[i].flags & SOCK_F_LIST) def->flags |= NODE_F_INPUT_IS_LIST;
    def->inputs = in;
    def->in_size = lay_out(in, n);
}

static void read_outputs(lua_State *L, Script *s, NodeDef *def)
{
    Socket *out = need(L, arena_array(s->arena, SCRIPT_ROWS_MAX, sizeof *out));
    const KindSockets *own = &kind_sockets[s->kind];
    int n = 0;

    if (s->kind == SCRIPT_NODE) {
        read_rows(L, s, "outputs", out, &n, true, true);
        if (n == 0) luaL_error(L, "a node needs 'outputs', a list of rows {name, type}");
    } else {
        out[n++] = (Socket){ .name = own->out_name, .type = own->out, .doc = own->out_name };
    }
    def->outputs = out;
    def->out_size = lay_out(out, n);
}

/* ---- the descriptor -------------------------------------------------------------------------------------------- */

static void read_kind(lua_State *L, Script *s)
{
    const char *kind = text_field(L, s, "the script", "kind");

    if (!kind)
        luaL_error(L, "'kind' is missing; use scheduler, sampler, guidance, cache or node");
    for (int i = 0; i < SCRIPT_KINDS; i++) {
        if (strcmp(kind, kinds[i].name) != 0) continue;
        s->kind = (ScriptKind)i;
        return;
    }
    luaL_error(L, "kind '%s' is not known; use scheduler, sampler, guidance, cache or node",
               kind);
}

static void read_name(lua_State *L, Script *s)
{
    s->name = text_field(L, s, "the script", "name");
    if (!s->name) luaL_error(L, "'name' is missing");
    size_t n = strlen(s->name);
    if (n == 0 || n > NAME_MAX_LENGTH ||
        strspn(s->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != n)
        luaL_error(L, "name '%s' is not made of a-z, 0-9 and _", s->name);
}

static void read_functions(lua_State *L, Script *s)
{
    static const char *const names[] = { "run", "combine", "pre", "post", "decide" };
    unsigned allowed = kinds[s->kind].functions;

    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        int type = lua_getfield(L, -1, names[i]);
        lua_pop(L, 1);
        if (type == LUA_TNIL) continue;
        if (type != LUA_TFUNCTION)
            luaL_error(L, "'%s' must be a function, not a %s", names[i], lua_typename(L, type));
        if (allowed & 1u << i) s->functions |= 1u << i;
    }
    if (s->functions) return;
    if (s->kind == SCRIPT_GUIDANCE)
        luaL_error(L, "guidance needs a function 'run', 'combine', 'pre' or 'post'");
    luaL_error(L, "a function '%s' is missing", s->kind == SCRIPT_CACHE ? "decide" : "run");
}

static void fill_def(lua_State *L, Script *s)
{
    NodeDef *def = &s->def;
    const char *category = text_field(L, s, "the script", "category");

    def->class_type = join(L, s, "Lua.", s->name);
    def->display = text_field(L, s, "the script", "display");
    def->doc = text_field(L, s, "the script", "doc");
    if (!def->doc) def->doc = kinds[s->kind].doc;
    def->category = category ? category : kind_sockets[s->kind].category;
    def->stage = kind_sockets[s->kind].stage;
    def->user = s;
    read_inputs(L, s, def);
    read_outputs(L, s, def);
    s->sampler = (SamplerDef){ .name = join(L, s, "lua:", s->name), .noise = NOISE_DEFAULT };
}

static int describe(lua_State *L)
{
    Script *s = lua_touserdata(L, 1);

    vm_load(L, s->text, s->size);
    lua_call(L, 0, 1);
    if (lua_type(L, -1) != LUA_TTABLE)
        return luaL_error(L, "a script returns one table, this one returns a %s",
                          luaL_typename(L, -1));
    read_kind(L, s);
    read_name(L, s);
    read_functions(L, s);
    s->needs_uncond = flag_field(L, "uncond");
    fill_def(L, s);
    return 0;
}

/* Line of the last `return` that begins a line: where the descriptor stands. */
static int return_line(const char *text, size_t size)
{
    int line = 1, found = 1;
    for (size_t i = 0; i < size; i++) {
        bool begins = i == 0 || text[i - 1] == '\n';
        if (begins && size - i >= 6 && memcmp(text + i, "return", 6) == 0) found = line;
        if (text[i] == '\n') line++;
    }
    return found;
}

static void destroy(void *object)
{
    Script *s = object;
    arena_free(s->arena);
    mem_free(s);
}

static Status new_script(const char *file, const char *text, size_t size,
                         const ScriptLimits *limits, Script **out)
{
    Script *s = mem_calloc(1, sizeof *s);
    if (!s) return E_NOMEM;
    ref_init(&s->ref, destroy);
    s->arena = arena_new();
    if (s->arena) {
        s->file = arena_strdup(s->arena, file);
        s->text = arena_strndup(s->arena, text, size);
    }
    s->size = size;
    if (limits) s->limits = *limits;
    if (!s->file || !s->text) {
        ref_drop(s);
        return E_NOMEM;
    }
    *out = s;
    return OK;
}

/* A load error in the shape of a finding. */
static Status refuse(const Script *s, Status status, Error *err)
{
    if (status == E_NOMEM || !err) return status == E_NOMEM ? status : E_FORMAT;
    snprintf(err->rule, sizeof err->rule, "E208");
    err->status = E_FORMAT;
    error_at_file(err, s->file, -1);
    if (err->line == 0) err->line = return_line(s->text, s->size);
    return E_FORMAT;
}

Status script_load(const char *file, const char *text, size_t size, const ScriptLimits *limits,
                   Script **out, Error *err)
{
    Script *s = NULL;
    Vm *vm = NULL;

    if (size > SCRIPT_TEXT_MAX || memchr(text, 0, size)) {
        error_set(err, E_FORMAT, "a script is text of at most %d bytes", SCRIPT_TEXT_MAX);
        error_at_file(err, file, -1);
        if (err) snprintf(err->rule, sizeof err->rule, "E208");
        return E_FORMAT;
    }
    if (new_script(file, text, size, limits, &s) != OK)
        return error_set(err, E_NOMEM, "out of memory");
    Status status = vm_new(limits, s->file, 0, &vm, err);
    if (status == OK) status = vm_call(vm, describe, s, err);
    vm_free(vm);
    if (status == OK) {
        *out = s;
        return OK;
    }
    status = refuse(s, status, err);
    ref_drop(s);
    return status;
}
