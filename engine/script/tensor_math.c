/* tensor_math.c - arithmetic of tensors in scripts: two operands with broadcasting, functions of each element. */
#include <math.h>
#include <string.h>

#include "engine/script/loops.h"
#include "engine/script/tensors.h"
#include "engine/script/vm.h"

static int operation_of(lua_State *L)
{
    return (int)lua_tointeger(L, lua_upvalueindex(1));
}

/* ---- two operands -------------------------------------------------------------------------------------- */

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
        memcpy(o->shape, t->shape, (size_t)t->ndim * sizeof *o->shape);
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

/* A walk over the result, two dimensions at least: those whose elements lie in a row for both operands are one. */
typedef struct Walk {
    int ndim;
    int64_t shape[K_MAX_DIMS + 2], sa[K_MAX_DIMS + 2], sb[K_MAX_DIMS + 2];
} Walk;

static Walk walk_of(const Operand *a, const Operand *b, int ndim, const int64_t *shape)
{
    int64_t sa[K_MAX_DIMS], sb[K_MAX_DIMS];
    Walk w = { .ndim = 2, .shape = { 1, 1 } };

    strides_of(a, ndim, sa);
    strides_of(b, ndim, sb);
    for (int d = 0; d < ndim; d++) {
        int last = w.ndim - 1;
        if (shape[d] == 1) continue;
        bool first = w.ndim == 2 && w.shape[1] == 1;
        bool joins =
            first || (w.sa[last] == sa[d] * shape[d] && w.sb[last] == sb[d] * shape[d]);
        if (!joins) w.shape[last = w.ndim++] = 1;
        w.shape[last] *= shape[d];
        w.sa[last] = sa[d];
        w.sb[last] = sb[d];
    }
    return w;
}

/* The two innermost dimensions are the loop's, those before them are stepped through here. */
static void combine(const Loops *loops, int op, const Operand *a, const Operand *b, int ndim,
                    const int64_t *shape, float *out)
{
    Walk w = walk_of(a, b, ndim, shape);
    int row = w.ndim - 1, rows = row - 1;
    int64_t at[K_MAX_DIMS + 2] = { 0 }, blocks = 1;
    LoopPair p = { a->data,    b->data,    out,       w.shape[rows], w.shape[row],
                   w.sa[rows], w.sb[rows], w.sa[row], w.sb[row] };

    for (int d = 0; d < rows; d++)
        blocks *= w.shape[d];
    for (int64_t k = 0; k < blocks; k++, p.out += p.rows * p.row) {
        loops->binary[op](&p);
        for (int d = rows - 1; d >= 0; d--) {
            p.a += w.sa[d];
            p.b += w.sb[d];
            if (++at[d] < w.shape[d]) break;
            p.a -= w.sa[d] * w.shape[d];
            p.b -= w.sb[d] * w.shape[d];
            at[d] = 0;
        }
    }
}

/* The tensor at `index` itself as the result, since no script can change either; false for one that stands for a
 * latent, whose mask goes with it only where nothing was computed. */
static bool push_same(lua_State *L, int index)
{
    if (tensors_latent_at(L, index)) return false;
    vm_charge(L, TENSOR_CHARGE);
    lua_pushvalue(L, index);
    return true;
}

/* Pushes the result of stack values i op j. */
static void push_binary(lua_State *L, int op, int i, int j)
{
    Operand a, b;
    int64_t shape[K_MAX_DIMS];

    take_operand(L, i, &a);
    take_operand(L, j, &b);
    bool by_one = a.data != &a.number && b.data == &b.number && b.number == 1;
    if ((op == LOOP_MUL || op == LOOP_DIV) && by_one && push_same(L, i)) return;
    int ndim = broadcast_shape(L, &a, &b, shape);
    Tensor *out = tensors_push_new(L, ndim, shape);
    if (tensor_count(out) > 0)
        combine(vm_of(L)->loops, op, &a, &b, ndim, shape, tensor_f32(out));
}

static int binary(lua_State *L)
{
    push_binary(L, operation_of(L), 1, 2);
    return 1;
}

/* x + (y - x) * w, every operation rounded, as the engine's lerp. */
static int lerp(lua_State *L)
{
    const Tensor *x = tensors_check(L, 1), *y = tensors_at(L, 2);

    lua_settop(L, 3);
    if (y && tensor_same_shape(x, y) && lua_type(L, 3) == LUA_TNUMBER) {
        Tensor *out = tensors_push_new(L, x->ndim, x->shape);
        vm_of(L)->loops->lerp(tensor_f32(x), tensor_f32(y), (float)lua_tonumber(L, 3),
                              tensor_f32(out), tensor_count(out));
        return 1;
    }
    push_binary(L, LOOP_SUB, 2, 1);
    push_binary(L, LOOP_MUL, 4, 3);
    push_binary(L, LOOP_ADD, 1, 5);
    return 1;
}

/* ---- one operand ----------------------------------------------------------------------------------------- */

static void push_unary(lua_State *L, int op, float lo, float hi)
{
    const Tensor *x = tensors_check(L, 1);
    Tensor *out = tensors_push_new(L, x->ndim, x->shape);
    vm_of(L)->loops->unary[op](tensor_f32(x), lo, hi, tensor_f32(out), tensor_count(out));
}

static int unary(lua_State *L)
{
    push_unary(L, operation_of(L), 0, 0);
    return 1;
}

static int clamp(lua_State *L)
{
    push_unary(L, LOOP_CLAMP, (float)luaL_optnumber(L, 2, -(double)INFINITY),
               (float)luaL_optnumber(L, 3, (double)INFINITY));
    return 1;
}

static int exponential(lua_State *L)
{
    const Tensor *x = tensors_check(L, 1);
    const float *v = tensor_f32(x);
    Tensor *out = tensors_push_new(L, x->ndim, x->shape);

    for (int64_t i = 0, n = tensor_count(out); i < n; i++)
        tensor_f32(out)[i] = expf(v[i]);
    return 1;
}

static int clone(lua_State *L)
{
    const Tensor *x = tensors_check(L, 1);
    if (!push_same(L, 1)) tensors_push_copy(L, x);
    return 1;
}

/* ---- tables ------------------------------------------------------------------------------------------------ */

void tensors_add_operators(lua_State *L)
{
    static const TensorRow rows[] = {
        { "__add", binary, LOOP_ADD },   { "__sub", binary, LOOP_SUB },
        { "__mul", binary, LOOP_MUL },   { "__div", binary, LOOP_DIV },
        { "__unm", unary, LOOP_NEGATE }, { 0 },
    };
    tensors_add_rows(L, rows);
}

void tensors_add_functions(lua_State *L)
{
    static const TensorRow rows[] = {
        { "min", binary, LOOP_MIN },  { "max", binary, LOOP_MAX }, { "abs", unary, LOOP_ABS },
        { "sqrt", unary, LOOP_SQRT }, { "clamp", clamp, 0 },       { "exp", exponential, 0 },
        { "clone", clone, 0 },        { "lerp", lerp, 0 },         { 0 },
    };
    tensors_add_rows(L, rows);
}
