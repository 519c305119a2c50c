/* vm.c - the sandbox: allocator, budget hook, protected calls, faults as diagnostics. */
#include "engine/script/vm.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/mem.h"
#include "engine/script/loops.h"
#include "engine/script/tensors.h"

enum {
    HOOK_EVERY =
        100, /* instructions between two looks at the budget; one may compare megabytes */
    BYTES_PER_UNIT = 64, /* fresh memory is charged as work: concatenations, growing tables */
    INPUT_ROOM = 32,     /* tensors of an input's size that a script may hold */
    COLLECT_FLOOR = 1 << 20 /* tensor bytes below which no collection is forced */
};
static const int64_t DEFAULT_MEMORY = 64 << 20, DEFAULT_BUDGET = 50000000;
static const double DEFAULT_SECONDS = 10,
                    LOOK_EVERY =
                        0.02; /* wall seconds between two looks at the processor clock */

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Cheap and coarse; the processor clock costs a system call. */
static double wall_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool is_late(Vm *vm)
{
    double now = wall_seconds();
    if (now < vm->look_at) return false;
    vm->look_at = now + LOOK_EVERY;
    if (vm->deadline == 0) vm->deadline = processor_seconds() + vm->limits.seconds;
    return processor_seconds() > vm->deadline;
}

/* Line of the innermost Lua function from `level` outwards; 0 when there is none. */
static int current_line(lua_State *L, int level)
{
    lua_Debug ar;
    for (; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "l", &ar);
        if (ar.currentline > 0) return ar.currentline;
    }
    return 0;
}

/* ---- memory ---------------------------------------------------------------------------------------- */

static void *refuse(Vm *vm, bool machine)
{
    if (machine) vm->out_of_memory = true;
    if (vm->L) vm->line = current_line(vm->L, 0);
    return NULL;
}

/* Lua's allocator: counts bytes against the cap. Giving memory back never fails. */
static void *allocate(void *user, void *p, size_t old_size, size_t size)
{
    Vm *vm = user;
    int64_t before = p ? (int64_t)old_size : 0, after = (int64_t)size;

    if (size == 0) {
        mem_free(p);
        vm->heap -= before;
        return NULL;
    }
    if (after > before && vm->heap + vm->tensors + after - before > vm->limits.memory)
        return refuse(vm, false);
    void *fresh = mem_realloc(p, size);
    if (!fresh && after <= before) return p;
    if (!fresh) return refuse(vm, true);
    vm->heap += after - before;
    if (after > before) vm->spent += (after - before) / BYTES_PER_UNIT;
    return fresh;
}

void vm_take_tensor(lua_State *L, int64_t bytes)
{
    Vm *vm = vm_of(L);

    if (vm->tensors + bytes > vm->collect_at) {
        lua_gc(L, LUA_GCCOLLECT);
        vm->collect_at = 2 * vm->tensors + bytes;
        if (vm->collect_at < COLLECT_FLOOR) vm->collect_at = COLLECT_FLOOR;
        int64_t most = vm->limits.memory / 2;
        if (vm->collect_at > most && vm->tensors + bytes < most) vm->collect_at = most;
    }
    if (vm->heap + vm->tensors + bytes > vm->limits.memory) {
        lua_gc(L, LUA_GCCOLLECT);
        if (vm->heap + vm->tensors + bytes > vm->limits.memory) {
            vm->line = current_line(L, 0);
            vm->fault = VM_MEMORY;
            lua_pushlightuserdata(L, vm);
            lua_error(L);
        }
    }
    vm->tensors += bytes;
}

void vm_give_tensor(Vm *vm, int64_t bytes)
{
    vm->tensors -= bytes;
}

int vm_hold_place(lua_State *L)
{
    Vm *vm = vm_of(L);
    int i = vm->held_free;

    while (i < vm->held_count && vm->held[i])
        i++;
    if (i == vm->held_room) {
        int room = vm->held_room ? 2 * vm->held_room : 64;
        const Ref **grown = mem_realloc(vm->held, (size_t)room * sizeof *grown);
        if (!grown) {
            error_set(&vm->callback_error, E_NOMEM, "out of memory");
            vm_raise(L, E_NOMEM);
        }
        vm->held = grown;
        vm->held_room = room;
    }
    if (i == vm->held_count) vm->held[vm->held_count++] = NULL;
    vm->held_free = i;
    return i;
}

void vm_release(Vm *vm, int place)
{
    const Ref *object = vm->held[place];
    vm->held[place] = NULL;
    if (place < vm->held_free) vm->held_free = place;
    ref_drop(object);
}

void vm_allow_input(Vm *vm, int64_t bytes)
{
    if (bytes < INT64_MAX / INPUT_ROOM - vm->limits.memory)
        vm->limits.memory += INPUT_ROOM * bytes;
}

/* ---- budget ---------------------------------------------------------------------------------------- */

static bool used_up(const Vm *vm)
{
    return vm->spent > vm->limits.budget;
}

/* From now on every instruction ends here, so that no error handler of the script can go on. */
static void stop(lua_State *L, Vm *vm, void (*hook)(lua_State *, lua_Debug *))
{
    if (vm->fault == VM_FINE) {
        vm->fault = VM_BUDGET;
        vm->line = current_line(L, 0);
    }
    lua_sethook(L, hook, LUA_MASKCOUNT, 1);
    lua_pushlightuserdata(L, vm);
    lua_error(L);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    Vm *vm = vm_of(L);

    (void)ar;
    vm->spent += HOOK_EVERY;
    if (vm->fault != VM_FINE || used_up(vm) || is_late(vm)) stop(L, vm, on_count);
}

void vm_charge(lua_State *L, int64_t units)
{
    Vm *vm = vm_of(L);
    if (__builtin_add_overflow(vm->spent, units > 0 ? units : 0, &vm->spent))
        vm->spent = INT64_MAX / 2;
    if (used_up(vm)) stop(L, vm, on_count);
}

void vm_renew(Vm *vm)
{
    vm->spent = 0;
    vm->deadline = 0;
    vm->look_at = wall_seconds() + LOOK_EVERY;
}

int vm_raise(lua_State *L, Status status)
{
    Vm *vm = vm_of(L);

    vm->callback_status = status;
    vm->fault = VM_CALLBACK;
    vm->line = current_line(L, 0);
    lua_pushlightuserdata(L, vm);
    return lua_error(L);
}

/* ---- protected calls -------------------------------------------------------------------------------- */

static int on_error(lua_State *L)
{
    Vm *vm = vm_of(L);
    int line = vm->fault == VM_FINE ? current_line(L, 1) : 0;
    if (line > 0) vm->line = line;
    return 1;
}

/* Message of the error on the top of the stack without the "chunk:line:" before it; never runs Lua. */
static void error_words(Vm *vm, char *out, size_t size)
{
    const char *text = lua_type(vm->L, -1) == LUA_TSTRING ? lua_tostring(vm->L, -1) : NULL;
    size_t n = strlen(vm->chunk);

    if (!text) {
        snprintf(out, size, "error object of type %s",
                 lua_typename(vm->L, lua_type(vm->L, -1)));
        return;
    }
    if (strncmp(text, vm->chunk, n) == 0 && text[n] == ':') {
        size_t digits = strspn(text + n + 1, "0123456789");
        if (digits > 0 && text[n + 1 + digits] == ':') {
            int line = 0;
            for (size_t i = 0; i < digits && i < 9; i++)
                line = line * 10 + (text[n + 1 + i] - '0');
            if (line > 0) vm->line = line;
            text += n + 2 + digits;
        }
    }
    while (*text == ' ')
        text++;
    snprintf(out, size, "%s", text);
}

static Status describe_fault(Vm *vm, int code, Error *err)
{
    char words[400];
    Status status = E_SCRIPT;

    switch (vm->fault) {
    case VM_CALLBACK:
        if (err) *err = vm->callback_error;
        return vm->callback_status;
    case VM_NO_MEMORY:
        return error_set(err, E_NOMEM, "out of memory");
    case VM_BUDGET:
        status =
            error_set(err, E_SCRIPT, "the script was stopped: it used up its %lld instructions",
                      (long long)vm->limits.budget);
        error_fix(err,
                  "look for a loop that does not end, or raise the limit with --lua-budget");
        break;
    case VM_MEMORY:
        status = error_set(err, E_SCRIPT,
                           "the script was stopped: it needs more than %lld MiB of memory",
                           (long long)(vm->limits.memory >> 20));
        error_fix(err, "keep fewer values at a time, or raise the limit with --lua-memory");
        break;
    case VM_FINE:
        if (code == LUA_ERRERR) vm->line = 0;
        error_words(vm, words, sizeof words);
        status = error_set(err, E_SCRIPT, "%s", words);
        break;
    }
    error_at_file(err, vm->file, -1);
    if (err) err->line = vm->line;
    return status;
}

Status vm_call(Vm *vm, lua_CFunction fn, void *arg, Error *err)
{
    lua_State *L = vm->L;
    int top = lua_gettop(L);

    if (vm->fault != VM_FINE)
        return error_set(err, E_INTERNAL, "the script's state was stopped before");
    vm_renew(vm);
    vm->line = 0;
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    int code = lua_pcall(L, 1, 0, top + 1);
    if (code == LUA_ERRMEM && vm->fault == VM_FINE)
        vm->fault = vm->out_of_memory ? VM_NO_MEMORY : VM_MEMORY;
    Status status = code == LUA_OK ? OK : describe_fault(vm, code, err);
    lua_settop(L, top);
    return status;
}

void vm_load(lua_State *L, const char *text, size_t size)
{
    char name[80];
    snprintf(name, sizeof name, "=%s", vm_of(L)->chunk);
    if (luaL_loadbufferx(L, text, size, name, "t") != LUA_OK) lua_error(L);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static int setup(lua_State *L)
{
    uint64_t *seed = lua_touserdata(L, 1);

    lib_open_base(L, *seed);
    lib_open_string(L);
    tensors_open(L);
    return 0;
}

static int on_panic(lua_State *L)
{
    (void)L;
    return 0;
}

static ScriptLimits with_defaults(const ScriptLimits *limits)
{
    ScriptLimits l = limits ? *limits : (ScriptLimits){ 0 };
    if (l.memory <= 0) l.memory = DEFAULT_MEMORY;
    if (l.budget <= 0) l.budget = DEFAULT_BUDGET;
    if (!(l.seconds > 0)) l.seconds = DEFAULT_SECONDS;
    return l;
}

Status vm_new(const ScriptLimits *limits, const char *file, uint64_t seed, Vm **out, Error *err)
{
    Vm *vm = mem_calloc(1, sizeof *vm);
    if (!vm) return error_set(err, E_NOMEM, "out of memory");
    const char *slash = strrchr(file, '/');
    vm->limits = with_defaults(limits);
    vm->collect_at = COLLECT_FLOOR;
    vm->loops = loops_best();
    vm->file = file;
    vm->chunk = slash && strlen(slash) < 50 ? slash + 1 : strlen(file) < 50 ? file : "script";
    lua_State *L = lua_newstate(allocate, vm);
    if (!L) {
        mem_free(vm);
        return error_set(err, E_NOMEM, "out of memory");
    }
    *(Vm **)lua_getextraspace(L) = vm;
    vm->L = L;
    lua_atpanic(L, on_panic);
    lua_sethook(L, on_count, LUA_MASKCOUNT, HOOK_EVERY);
    Status status = vm_call(vm, setup, &seed, err);
    if (status != OK) {
        vm_free(vm);
        return status;
    }
    *out = vm;
    return OK;
}

void vm_free(Vm *vm)
{
    if (!vm) return;
    lua_sethook(vm->L, NULL, 0, 0);
    lua_close(vm->L);
    for (int i = 0; i < vm->held_count; i++)
        ref_drop(vm->held[i]);
    mem_free(vm->held);
    tensors_drop_pool(vm);
    mem_free(vm);
}
