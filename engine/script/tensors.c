/* tensors.c - tensors as Lua values: arithmetic with broadcasting, elementwise functions. */
#include "engine/script/tensors.h"

#include <math.h>
#include <string.h>

#include "engine/script/vm.h"

#define TENSOR_TYPE "weft.tensor"

enum {
    CHARGE_SHIFT = 6,                  /* 64 elements weigh one instruction */
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
    luaL_setmetatable(L, TENSOR_TYPE);
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
    LuaTensor *u = luaL_checkudata(L, 1, TENSOR_TYPE);
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
    vm_charge(L, 1 + (n >> CHARGE_SHIFT));
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
    LuaTensor *u = luaL_testudata(L, index, TENSOR_TYPE);
    return u ? u->t : NULL;
}

const Latent *tensors_latent_at(lua_State *L, int index)
{
    LuaTensor *u = luaL_testudata(L, index, TENSOR_TYPE);
    return u ? u->latent : NULL;
}

const Tensor *tensors_check(lua_State *L, int index)
{
    LuaTensor *u = luaL_testudata(L, index, TENSOR_TYPE);
    if (!u || !u->t) luaL_typeerror(L, index, "tensor");
    return u->t;
}

/* ---- two operands -------------------------------------------------------------------------------------- */

typedef enum BinaryOp { OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MIN, OP_MAX } BinaryOp;

/* A NaN on either side of a minimum or maximum stays. */
static inline float apply(BinaryOp op, float a, float b)
{
    switch (op) {
    case OP_ADD:
        return a + b;
    case OP_SUB:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_DIV:
        return a / b;
    case OP_MIN:
        return a != a || a < b ? a : b;
    default:
        return a != a || a > b ? a : b;
    }
}

/* out[i] = a[i * sa] op b[i * sb]; strides are 0 or 1. */
#define RUN(op)                                                                                \
    do {                                                                                       \
        if (sa && sb)                                                                          \
            for (int64_t i = 0; i < n; i++)                                                    \
                out[i] = apply(op, a[i], b[i]);                                                \
        else if (sa)                                                                           \
            for (int64_t i = 0; i < n; i++)                                                    \
                out[i] = apply(op, a[i], *b);                                                  \
        else                                                                                   \
            for (int64_t i = 0; i < n; i++)                                                    \
                out[i] = apply(op, *a, b[i * sb]);                                             \
    } while (0)

static void run_row(BinaryOp op, float *out, const float *a, int64_t sa, const float *b,
                    int64_t sb, int64_t n)
{
    switch (op) {
    case OP_ADD:
        RUN(OP_ADD);
        break;
    case OP_SUB:
        RUN(OP_SUB);
        break;
    case OP_MUL:
        RUN(OP_MUL);
        break;
    case OP_DIV:
        RUN(OP_DIV);
        break;
    case OP_MIN:
        RUN(OP_MIN);
        break;
    case OP_MAX:
        RUN(OP_MAX);
        break;
    }
}

/* A tensor, or a number seen as a tensor without dimensions. */
typedef struct Operand {
    const float *data;
    float number;
    int ndim;
    int64_t shape[K_MAX_DIMS];
} Operand;

static void take_operand(lua_State *L, int index, Operand *o)
{
    const Tensor *t = tensors_at(L, index);

    memset(o, 0, sizeof *o);
    if (t) {
        o->data = tensor_f32(t);
        o->ndim = t->ndim;
        memcpy(o->shape, t->shape, sizeof o->shape);
        return;
    }
    o->number = (float)luaL_checknumber(L, index);
    o->data = &o->number;
}

/* Length of an operand along dimension d of `ndim`, counted from the last; 1 where it has none. */
static int64_t length_along(const Operand *o, int ndim, int d)
{
    int own = d - (ndim - o->ndim);
    return own < 0 ? 1 : o->shape[own];
}

static int broadcast_shape(lua_State *L, const Operand *a, const Operand *b, int64_t *shape)
{
    int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;

    for (int d = 0; d < ndim; d++) {
        int64_t n = length_along(a, ndim, d), m = length_along(b, ndim, d);
        if (n != m && n != 1 && m != 1)
            luaL_error(L, "shapes do not fit: %d against %d along dimension %d", (int)n, (int)m,
                       d + 1);
        shape[d] = n == 1 ? m : n;
    }
    return ndim;
}

/* Elements to move per step along each dimension of the result; 0 where the operand repeats. */
static void strides_of(const Operand *o, int ndim, int64_t *strides)
{
    int64_t step = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        int64_t n = length_along(o, ndim, d);
        strides[d] = n == 1 ? 0 : step;
        step *= n;
    }
}

/* A walk over the result: dimensions whose elements lie in a row for both operands are one. */
typedef struct Walk {
    int ndim;
    int64_t shape[K_MAX_DIMS], sa[K_MAX_DIMS], sb[K_MAX_DIMS];
} Walk;

static Walk walk_of(const Operand *a, const Operand *b, int ndim, const int64_t *shape)
{
    int64_t sa[K_MAX_DIMS], sb[K_MAX_DIMS];
    Walk w = { 0 };

    strides_of(a, ndim, sa);
    strides_of(b, ndim, sb);
    for (int d = 0; d < ndim; d++) {
        int last = w.ndim - 1;
        if (shape[d] == 1) continue;
        bool joins =
            last >= 0 && w.sa[last] == sa[d] * shape[d] && w.sb[last] == sb[d] * shape[d];
        if (!joins) last = w.ndim++;
        w.shape[last] = joins ? w.shape[last] * shape[d] : shape[d];
        w.sa[last] = sa[d];
        w.sb[last] = sb[d];
    }
    if (w.ndim == 0) w = (Walk){ .ndim = 1, .shape = { 1 } };
    return w;
}

static void combine(BinaryOp op, const Operand *a, const Operand *b, int ndim,
                    const int64_t *shape, float *out)
{
    Walk w = walk_of(a, b, ndim, shape);
    int inner = w.ndim - 1;
    int64_t at[K_MAX_DIMS] = { 0 }, rows = 1, row = w.shape[inner];
    const float *p = a->data, *q = b->data;

    for (int d = 0; d < inner; d++)
        rows *= w.shape[d];
    for (int64_t r = 0; r < rows; r++, out += row) {
        run_row(op, out, p, w.sa[inner], q, w.sb[inner], row);
        for (int d = inner - 1; d >= 0; d--) {
            p += w.sa[d];
            q += w.sb[d];
            if (++at[d] < w.shape[d]) break;
            p -= w.sa[d] * w.shape[d];
            q -= w.sb[d] * w.shape[d];
            at[d] = 0;
        }
    }
}

static bool same_shape(const Operand *a, const Operand *b)
{
    return a->ndim == b->ndim && memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

/* Pushes the result of stack values i op j. */
static void push_binary(lua_State *L, BinaryOp op, int i, int j)
{
    Operand a, b;
    int64_t shape[K_MAX_DIMS];

    take_operand(L, i, &a);
    take_operand(L, j, &b);
    int ndim = broadcast_shape(L, &a, &b, shape);
    Tensor *out = tensors_push_new(L, ndim, shape);
    int64_t n = tensor_count(out);
    if (n == 0) return;
    if (same_shape(&a, &b))
        run_row(op, tensor_f32(out), a.data, 1, b.data, 1, n);
    else if (a.ndim == 0 || b.ndim == 0)
        run_row(op, tensor_f32(out), a.data, a.ndim > 0, b.data, b.ndim > 0, n);
    else
        combine(op, &a, &b, ndim, shape, tensor_f32(out));
}

static int tensor_add_op(lua_State *L)
{
    push_binary(L, OP_ADD, 1, 2);
    return 1;
}

static int tensor_sub_op(lua_State *L)
{
    push_binary(L, OP_SUB, 1, 2);
    return 1;
}

static int tensor_mul_op(lua_State *L)
{
    push_binary(L, OP_MUL, 1, 2);
    return 1;
}

static int tensor_div_op(lua_State *L)
{
    push_binary(L, OP_DIV, 1, 2);
    return 1;
}

static int tensor_min_op(lua_State *L)
{
    push_binary(L, OP_MIN, 1, 2);
    return 1;
}

static int tensor_max_op(lua_State *L)
{
    push_binary(L, OP_MAX, 1, 2);
    return 1;
}

/* x + (y - x) * w, every operation rounded, as the engine's lerp. */
static int tensor_lerp_op(lua_State *L)
{
    tensors_check(L, 1);
    lua_settop(L, 3);
    push_binary(L, OP_SUB, 2, 1);
    push_binary(L, OP_MUL, 4, 3);
    push_binary(L, OP_ADD, 1, 5);
    return 1;
}

/* ---- one operand ----------------------------------------------------------------------------------------- */

#define EACH(expression)                                                                       \
    do {                                                                                       \
        const Tensor *x = tensors_check(L, 1);                                                 \
        Tensor *y = tensors_push_new(L, x->ndim, x->shape);                                    \
        const float *p = tensor_f32(x);                                                        \
        float *o = tensor_f32(y);                                                              \
        for (int64_t i = 0, n = tensor_count(y); i < n; i++)                                   \
            o[i] = (expression);                                                               \
        return 1;                                                                              \
    } while (0)

static int tensor_negate(lua_State *L)
{
    EACH(-p[i]);
}

static int tensor_clone_op(lua_State *L)
{
    EACH(p[i]);
}

static int tensor_abs_op(lua_State *L)
{
    EACH(fabsf(p[i]));
}

static int tensor_sqrt_op(lua_State *L)
{
    EACH(sqrtf(p[i]));
}

static int tensor_exp_op(lua_State *L)
{
    EACH(expf(p[i]));
}

static int tensor_clamp_op(lua_State *L)
{
    float lo = (float)luaL_optnumber(L, 2, -(double)INFINITY),
          hi = (float)luaL_optnumber(L, 3, (double)INFINITY);
    EACH(p[i] < lo ? lo : p[i] > hi ? hi : p[i]);
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
    const LuaTensor *u = luaL_checkudata(L, 1, TENSOR_TYPE);

    if (lua_type(L, 2) == LUA_TNUMBER) {
        lua_Integer i = luaL_checkinteger(L, 2);
        if (!u->t || u->t->ndim != 1)
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
    { "clone", tensor_clone_op }, { "abs", tensor_abs_op },
    { "sqrt", tensor_sqrt_op },   { "exp", tensor_exp_op },
    { "clamp", tensor_clamp_op }, { "lerp", tensor_lerp_op },
    { "shape", tensor_shape_op }, { "min", tensor_min_op },
    { "max", tensor_max_op },     { NULL, NULL },
};

static const luaL_Reg events[] = {
    { "__gc", collect },
    { "__add", tensor_add_op },
    { "__sub", tensor_sub_op },
    { "__mul", tensor_mul_op },
    { "__div", tensor_div_op },
    { "__unm", tensor_negate },
    { "__len", tensor_length },
    { "__tostring", tensor_text },
    { "__newindex", tensor_new_index },
    { NULL, NULL },
};

void tensors_open(lua_State *L)
{
    luaL_newmetatable(L, TENSOR_TYPE);
    luaL_setfuncs(L, events, 0);
    lua_pushliteral(L, "tensor");
    lua_setfield(L, -2, "__name");
    luaL_newlib(L, methods);
    tensors_add_reductions(L);
    lua_pushcclosure(L, tensor_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
