/* tensors.h - tensors as Lua values: float32 userdata that no script changes in place. */
#ifndef WEFT_SCRIPT_TENSORS_H
#define WEFT_SCRIPT_TENSORS_H

#include <lua.h>

#include "engine/sampling/latent.h"
#include "engine/script/vm.h"
#include "engine/tensor/tensor.h"

/* All of these run inside vm_call and raise Lua errors. */

/* Makes the metatable; once per state. */
void tensors_open(lua_State *L);
/* Pushes t itself (one more reference), which nobody may change afterwards. latent (may be NULL): where t
 * comes from, so that mask and batch index survive. */
void tensors_push(lua_State *L, const Tensor *t, const Latent *latent);
/* Pushes a copy: for tensors that the engine goes on writing to. */
void tensors_push_copy(lua_State *L, const Tensor *t);
/* Pushes a new tensor with undefined contents and gives it for writing. */
Tensor *tensors_push_new(lua_State *L, int ndim, const int64_t *shape);
/* The tensor at a stack index, or NULL when there is something else. Borrowed from the stack. */
const Tensor *tensors_at(lua_State *L, int index);
const Latent *tensors_latent_at(lua_State *L, int index);
const Tensor *tensors_check(lua_State *L, int index);

/* Frees what tensors of a state left for reuse; called when the state is gone. */
void tensors_drop_pool(Vm *vm);

/* What work on n elements is charged in instructions: TENSOR_CHARGE + n / 2^TENSOR_CHARGE_SHIFT. */
enum { TENSOR_CHARGE = 32, TENSOR_CHARGE_SHIFT = 6 };

/* One function of a table: `fn` finds `operation` in its first upvalue. A list ends with a row without name. */
typedef struct TensorRow {
    const char *name;
    lua_CFunction fn;
    int operation;
} TensorRow;

/* Adds rows to the table on the stack's top. */
void tensors_add_rows(lua_State *L, const TensorRow *rows);
/* tensor_math.c: + - * / and unary minus for the metatable, and the functions that work on each element;
 * tensor_reduce.c: sum, mean, std, norm, amin, amax, quantile. Each adds to the table on the stack's top. */
void tensors_add_operators(lua_State *L);
void tensors_add_functions(lua_State *L);
void tensors_add_reductions(lua_State *L);

#endif
