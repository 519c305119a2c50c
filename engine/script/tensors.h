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

/* tensor_reduce.c: sum, mean, std, norm, amin, amax, quantile; added to the table on the stack's top. */
void tensors_add_reductions(lua_State *L);

#endif
