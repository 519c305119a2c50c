/* tensors.c - tensors as Lua values: memory, fields, the metatable. */
#include "engine/script/tensors.h"

#include <string.h>

#include "engine/script/vm.h"

/* Key of the metatable in the registry. */
static const char tensor_key = 0;

enum {
    TENSOR_ROOM = sizeof(Tensor) + 80, /* bytes of a tensor beside its elements */
    POOL_LARGEST = 4 << 20             /* bytes of a tensor that is kept for reuse */
};

typedef struct LuaTensor {
    const Tensor *t;      /* held by the state; NULL while it is made and after collection */
    const Latent *latent; /* held by the state, or NULL */
    int place, latent_place;
    int64_t bytes; /* counted against the cap */
} LuaTensor;

/* ---- making ------------------------------------------------------------------------------------------ */

static LuaTensor *push_empty(lua_State *L)
{
    LuaTensor *u = lua_newuserdatauv(L, sizeof *u, 0);
    memset(u, 0, sizeof *u);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &tensor_key);
    lua_setmetatable(L, -2);
    return u;
}

/* The tensor's userdata at a stack index, or NULL. Compares addresses: names would be looked up at each operand. */
static LuaTensor *userdata_at(lua_State *L, int index)
{
    LuaTensor *u = lua_touserdata(L, index);
    if (!u || !lua_getmetatable(L, index)) return NULL;
    bool same = lua_topointer(L, -1) == vm_of(L)->tensor_meta;
    lua_pop(L, 1);
    return same ? u : NULL;
}

static LuaTensor *check_userdata(lua_State *L, int index)
{
    LuaTensor *u = userdata_at(L, index);
    if (!u || !u->t) luaL_typeerror(L, index, "tensor");
    return u;
}

/* ---- memory that is used again: fresh pages cost more than the arithmetic on them ---- */

/* Takes a tensor of n elements out of the pool; NULL when there is none. */
static Tensor *from_pool(Vm *vm, int ndim, const int64_t *shape, int64_t n)
{
    for (int i = vm->pooled - 1; i >= 0; i--) {
        Tensor *t = vm->pool[i];
        if (tensor_count(t) != n) continue;
        vm->pool[i] = vm->pool[--vm->pooled];
        t->ndim = ndim;
        for (int d = 0; d < ndim; d++)
            t->shape[d] = shape[d];
        return t;
    }
    return NULL;
}

/* Keeps a tensor for reuse, one reference taken over, when only its place in the state holds another and it owns its
 * memory. */
static void to_pool(Vm *vm, const Tensor *t)
{
    Tensor *own = (Tensor *)(uintptr_t)t;
    int64_t bytes = tensor_count(t) * (int64_t)sizeof(float);

    if (bytes > POOL_LARGEST || t->owner || atomic_load(&own->ref.count) != 2) {
        tensor_unref(t);
        return;
    }
    if (vm->pooled == VM_POOL) {
        tensor_unref(vm->pool[0]);
        vm->pool[0] = vm->pool[--vm->pooled];
    }
    vm->pool[vm->pooled++] = own;
}

void tensors_drop_pool(Vm *vm)
{
    while (vm->pooled > 0)
        tensor_unref(vm->pool[--vm->pooled]);
}

static int collect(lua_State *L)
{
    LuaTensor *u = userdata_at(L, 1);
    if (!u) return 0;
    if (u->bytes) vm_give_tensor(vm_of(L), u->bytes);
    if (u->t && u->bytes) to_pool(vm_of(L), ref_take(u->t));
    if (u->t) vm_release(vm_of(L), u->place);
    if (u->latent) vm_release(vm_of(L), u->latent_place);
    memset(u, 0, sizeof *u);
    return 0;
}

Tensor *tensors_push_new(lua_State *L, int ndim, const int64_t *shape)
{
    Vm *vm = vm_of(L);
    LuaTensor *u = push_empty(L);
    Tensor *t = NULL;
    int64_t n = 1;
    int place;

    for (int i = 0; i < ndim; i++)
        if (__builtin_mul_overflow(n, shape[i], &n) || n > INT64_MAX / 8)
            luaL_error(L, "the tensor is too large");
    vm_charge(L, TENSOR_CHARGE + (n >> TENSOR_CHARGE_SHIFT));
    int64_t bytes = n * (int64_t)sizeof(float) + TENSOR_ROOM;
    vm_take_tensor(L, bytes);
    place = vm_hold_place(L);
    t = from_pool(vm, ndim, shape, n);
    Status status = t ? OK : tensor_new(K_F32, ndim, shape, &t, &vm->callback_error);
    if (status != OK) {
        vm_give_tensor(vm, bytes);
        vm_raise(L, status);
    }
    u->bytes = bytes;
    u->place = place;
    u->t = t;
    vm->held[place] = &t->ref;
    return t;
}

void tensors_push(lua_State *L, const Tensor *t, const Latent *latent)
{
    Vm *vm = vm_of(L);
    LuaTensor *u = push_empty(L);

    u->place = vm_hold_place(L);
    vm->held[u->place] = ref_take(t);
    u->t = t;
    if (!latent) return;
    u->latent_place = vm_hold_place(L);
    vm->held[u->latent_place] = ref_take(latent);
    u->latent = latent;
}

void tensors_push_copy(lua_State *L, const Tensor *t)
{
    Tensor *copy = tensors_push_new(L, t->ndim, t->shape);
    memcpy(copy->data, t->data, (size_t)tensor_count(t) * sizeof(float));
}

const Tensor *tensors_at(lua_State *L, int index)
{
    LuaTensor *u = userdata_at(L, index);
    return u ? u->t : NULL;
}

const Latent *tensors_latent_at(lua_State *L, int index)
{
    LuaTensor *u = userdata_at(L, index);
    return u ? u->latent : NULL;
}

const Tensor *tensors_check(lua_State *L, int index)
{
    return check_userdata(L, index)->t;
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

static int tensor_shape_op(lua_State *L)
{
    const Tensor *t = tensors_check(L, 1);
    lua_createtable(L, t->ndim, 0);
    for (int i = 0; i < t->ndim; i++) {
        lua_pushinteger(L, t->shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int tensor_length(lua_State *L)
{
    const Tensor *t = tensors_check(L, 1);
    lua_pushinteger(L, t->ndim > 0 ? t->shape[0] : 0);
    return 1;
}

static int tensor_text(lua_State *L)
{
    char text[96];
    tensor_describe(tensors_check(L, 1), text, sizeof text);
    lua_pushfstring(L, "tensor %s", text);
    return 1;
}

/* Fields of a latent, else nil. */
static int latent_field(lua_State *L, const LuaTensor *u, const char *key)
{
    if (u->latent && strcmp(key, "samples") == 0)
        lua_pushvalue(L, 1);
    else if (u->latent && u->latent->noise_mask && strcmp(key, "noise_mask") == 0)
        tensors_push(L, u->latent->noise_mask, NULL);
    else
        lua_pushnil(L);
    return 1;
}

/* t.method; t[i] of a tensor with one dimension. Upvalue 1: the methods. */
static int tensor_index(lua_State *L)
{
    const LuaTensor *u = check_userdata(L, 1);

    if (lua_type(L, 2) == LUA_TNUMBER) {
        lua_Integer i = luaL_checkinteger(L, 2);
        if (u->t->ndim != 1)
            return luaL_error(L, "only a tensor with one dimension has numbered elements");
        if (i < 1 || i > u->t->shape[0])
            lua_pushnil(L);
        else
            lua_pushnumber(L, (lua_Number)tensor_f32(u->t)[i - 1]);
        return 1;
    }
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL || lua_type(L, 2) != LUA_TSTRING)
        return 1;
    return latent_field(L, u, lua_tostring(L, 2));
}

static int tensor_new_index(lua_State *L)
{
    return luaL_error(L, "a tensor is never changed in place");
}

static const luaL_Reg methods[] = {
    { "shape", tensor_shape_op },
    { NULL, NULL },
};

static const luaL_Reg events[] = {
    { "__gc", collect },
    { "__len", tensor_length },
    { "__tostring", tensor_text },
    { "__newindex", tensor_new_index },
    { NULL, NULL },
};

void tensors_add_rows(lua_State *L, const TensorRow *rows)
{
    for (; rows->name; rows++) {
        lua_pushinteger(L, rows->operation);
        lua_pushcclosure(L, rows->fn, 1);
        lua_setfield(L, -2, rows->name);
    }
}

void tensors_open(lua_State *L)
{
    luaL_newlib(L, events);
    vm_of(L)->tensor_meta = lua_topointer(L, -1);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &tensor_key);
    lua_pushliteral(L, "tensor");
    lua_setfield(L, -2, "__name");
    tensors_add_operators(L);
    luaL_newlib(L, methods);
    tensors_add_functions(L);
    tensors_add_reductions(L);
    lua_pushcclosure(L, tensor_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
