/* vm.h - one Lua state in its sandbox: memory cap, instruction budget, and faults as diagnostics.
 *
 * A state lives for one use of a script (one schedule, one sampling run, one node call) and is thrown away
 * after it, so nothing leaks from one use into the next. Every entry goes through vm_call, which runs a C
 * function in protected mode; a Lua error never jumps over C that holds a resource, because tensors are
 * owned by userdata and everything else by the caller of vm_call.
 */
#ifndef WEFT_SCRIPT_VM_H
#define WEFT_SCRIPT_VM_H

#include <lauxlib.h>
#include <lua.h>

#include "engine/base/ref.h"
#include "engine/base/status.h"

/* What one call of a script may use. Zero fields take the default. */
typedef struct ScriptLimits {
    int64_t
        memory; /* bytes of the Lua heap and of tensors; inputs add 32 times their size (64 MiB) */
    int64_t budget; /* instructions; C work is charged as instructions too (50 million) */
    double seconds; /* processor time, a backstop where the budget does not see the work (10) */
} ScriptLimits;

enum { VM_POOL = 32 };
struct Tensor;
struct Loops;

/* Why a state may not go on. Any but VM_FINE passes through the script's own pcall. */
typedef enum VmFault { VM_FINE, VM_BUDGET, VM_MEMORY, VM_NO_MEMORY, VM_CALLBACK } VmFault;

typedef struct Vm {
    lua_State *L; /* owned; NULL while it is made */
    ScriptLimits limits;
    int64_t heap, tensors,
        collect_at; /* bytes in use; tensor bytes at which garbage is collected */
    int64_t spent;
    double
        deadline; /* on the thread's processor clock; 0 until the call has lasted for a look */
    double look_at; /* on the wall clock: when to look at the processor's next */
    int64_t kept;   /* bytes of texts that a descriptor gave */
    struct Tensor
        *pool[VM_POOL]; /* owned: tensors that nobody holds any more, to be written anew */
    int pooled;
    const void *tensor_meta;   /* address of the tensors' metatable, for comparison */
    const struct Loops *loops; /* of this processor */
    /* References that values of the state hold. They stand here and not in the values alone, because the state gives
     * up a finaliser that finds no memory to run in. */
    const Ref **held;                     /* owned list; NULL = free place */
    int held_count, held_room, held_free; /* held_free: no free place lies before it */
    VmFault fault;
    bool out_of_memory;     /* the machine's, not the cap's */
    int line;               /* where the last error was raised; 0 = not known */
    const char *file;       /* borrowed: path or name of the script, for messages */
    const char *chunk;      /* borrowed: its last component, which Lua puts before messages */
    Status callback_status; /* VM_CALLBACK: what the engine's own function answered */
    Error callback_error;
} Vm;

/* A state with the script's globals and nothing else; random numbers start from `seed`. Errors: E_NOMEM. */
Status vm_new(const ScriptLimits *limits, const char *file, uint64_t seed, Vm **out,
              Error *err);
void vm_free(Vm *vm);

/* Runs fn(L) with `arg` as its only argument (light userdata) in protected mode under a fresh budget.
 * Errors: E_SCRIPT with file and line; E_LIMIT for budget and memory; E_NOMEM; what a callback answered. */
Status vm_call(Vm *vm, lua_CFunction fn, void *arg, Error *err);
/* Compiles text (never bytecode) and leaves the chunk's function on the stack; inside vm_call only. */
void vm_load(lua_State *L, const char *text, size_t size);

static inline Vm *vm_of(lua_State *L)
{
    return *(Vm **)lua_getextraspace(L);
}

/* Counts work done in C; raises when the budget is used up. */
void vm_charge(lua_State *L, int64_t units);
/* A fresh budget: after each model call of a sampler. */
void vm_renew(Vm *vm);
/* Raises the answer of an engine function that failed (vm->callback_error already filled). */
int vm_raise(lua_State *L, Status status);
/* Counts tensor memory; raises when the cap is passed even after a collection. */
void vm_take_tensor(lua_State *L, int64_t bytes);
void vm_give_tensor(Vm *vm, int64_t bytes);
/* A place for one reference, raised E_NOMEM when there is none; then its reference, and its release. */
int vm_hold_place(lua_State *L);
void vm_release(Vm *vm, int place);
/* Room for tensors of this size in addition to the cap. */
void vm_allow_input(Vm *vm, int64_t bytes);

/* lib_base.c, lib_string.c: the globals; run inside protected mode. */
void lib_open_base(lua_State *L, uint64_t seed);
void lib_open_string(lua_State *L);
/* Replaces the function on the top of the stack by one that charges the length of its first argument. */
void lib_charged(lua_State *L);

#endif
