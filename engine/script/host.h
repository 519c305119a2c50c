/* host.h - what the kinds of scripts share: an opened script in its state, values going in and out. */
#ifndef WEFT_SCRIPT_HOST_H
#define WEFT_SCRIPT_HOST_H

#include "engine/script/script.h"
#include "engine/script/tensors.h"

/* A state in which the script's chunk ran: its table and its parameters lie in the registry. */
Status script_open(const ScriptValues *v, uint64_t seed, Vm **out, Error *err);

/* The rest runs inside vm_call. */

/* Pushes a function of the script's table; pushes the parameter table. */
void host_push_function(lua_State *L, const char *name);
void host_push_params(lua_State *L);
/* Sets a field of the table on the top. */
void host_set_number(lua_State *L, const char *key, double value);
void host_set_integer(lua_State *L, const char *key, int value);
/* Pushes the list of sigmas (NULL: an empty one), made at the first call and kept in the registry under `key`. */
void host_push_sigmas(lua_State *L, const void *key, const Tensor *sigmas);
/* Raises "what the function returned is wrong", at the line where that function begins. */
int host_wrong(lua_State *L, const char *function, const char *format, ...);

/* A borrowed value as a Lua value; objects that no script can look into become opaque ones. */
void host_push_value(lua_State *L, const Socket *s, const Value *v);
/* The value of a field at s->at of an in-struct; texts and objects borrowed. */
Value host_field(const Socket *s, const void *in);
/* Makes the type of opaque objects known to a state. */
void host_open_objects(lua_State *L);
/* The object of an opaque value at a stack index whose type may enter socket s; NULL when it is none. */
const Ref *host_object_at(lua_State *L, int index, const Socket *s, Value *whole);

/* Reads a list of numbers, or a tensor with one dimension, at a stack index: n values into a new
 * userdata-owned array left on the stack; NULL when it is neither or holds something else. */
const double *host_numbers(lua_State *L, int index, int64_t *n);

#endif
