/* tensor_reduce.c - reductions of tensors in scripts: to a number, or along a list of dimensions. */
#include "engine/script/loops.h"
#include "engine/script/tensors.h"
#include "engine/script/vm.h"

enum { QUANTILE_WEIGHT = 8, QUANTILE = LOOP_REDUCTIONS };

/* What is to be done: one of LoopReduce, or QUANTILE. */
typedef struct Task {
    const Loops *loops;
    int op;
    double q;       /* QUANTILE only */
    float *scratch; /* QUANTILE only: room for the values of one result */
} Task;

/* Over n values side by side. */
static double reduce_row(const Task *task, const float *v, int64_t n)
{
    if (task->op != QUANTILE) return task->loops->reduce[task->op](v, n);
    if (task->q == 1) return task->loops->reduce[LOOP_AMAX](v, n);
    if (task->q == 0) return task->loops->reduce[LOOP_AMIN](v, n);
    return task->loops->quantile(v, n, task->q, task->scratch);
}

/* ---- the dimensions ----------------------------------------------------------------------------------- */

/* Which dimensions go, and where the elements of one result lie. */
typedef struct Reduction {
    const Tensor *t;
    bool gone[K_MAX_DIMS];
    int64_t stride[K_MAX_DIMS];
    int64_t size;  /* elements per result */
    bool trailing; /* they lie side by side, and results follow each other */
    int64_t
        columns; /* results side by side whose elements lie `columns` apart; 0 = neither order */
} Reduction;

static void read_dims(lua_State *L, int index, Reduction *r)
{
    int ndim = r->t->ndim;
    lua_Integer n = (lua_Integer)lua_rawlen(L, index);

    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, index, i);
        int is_integer = 0;
        lua_Integer d = lua_tointegerx(L, -1, &is_integer);
        lua_pop(L, 1);
        if (d < 0) d += ndim + 1;
        if (!is_integer || d < 1 || d > ndim)
            luaL_error(L,
                       "a tensor of %d dimensions has 1 to %d; the list of dimensions holds "
                       "another number",
                       ndim, ndim);
        r->gone[d - 1] = true;
    }
}

/* Groups of dimensions from the last on, each either gone or kept: [..., gone] lies in rows, [..., gone, kept] in
 * columns, and with more changes from one to the other elements are gathered. */
static void place(Reduction *r)
{
    int64_t step = 1, inner = 1;
    int changes = 0;
    bool last_gone = false;

    r->size = 1;
    for (int d = r->t->ndim - 1; d >= 0; d--) {
        int64_t n = r->t->shape[d];
        r->stride[d] = step;
        step *= n;
        if (r->gone[d]) r->size *= n;
        if (n == 1) continue;
        if (r->gone[d] != last_gone) changes++;
        if (changes == 0) inner *= n;
        last_gone = r->gone[d];
    }
    r->trailing = inner == 1 && changes <= 2;
    r->columns = inner > 1 && changes <= 2 ? inner : 0;
}

/* Copies the elements of one result, which starts at `from`, side by side. */
static void gather(const Reduction *r, const float *from, float *out)
{
    int64_t at[K_MAX_DIMS] = { 0 };

    for (int64_t i = 0; i < r->size; i++) {
        out[i] = *from;
        for (int d = r->t->ndim - 1; d >= 0; d--) {
            if (!r->gone[d]) continue;
            from += r->stride[d];
            if (++at[d] < r->t->shape[d]) break;
            from -= r->stride[d] * r->t->shape[d];
            at[d] = 0;
        }
    }
}

/* Where result number k starts: its place among the kept dimensions. */
static const float *start_of(const Reduction *r, int64_t k)
{
    const float *p = tensor_f32(r->t);
    for (int d = r->t->ndim - 1; d >= 0; d--) {
        if (r->gone[d]) continue;
        p += k % r->t->shape[d] * r->stride[d];
        k /= r->t->shape[d];
    }
    return p;
}

/* Scratch memory that Lua owns. */
static float *scratch_of(lua_State *L, int64_t n)
{
    return lua_newuserdatauv(L, (size_t)(n > 0 ? n : 1) * sizeof(float), 0);
}

static void reduce_rows(const Task *task, const Reduction *r, float *out, int64_t n)
{
    const float *v = tensor_f32(r->t);
    for (int64_t k = 0; k < n; k++, v += r->size)
        out[k] = (float)reduce_row(task, v, r->size);
}

static void reduce_columns(const Task *task, const Reduction *r, float *out, int64_t n)
{
    LoopColumns c = { tensor_f32(r->t), out, r->size, r->columns, r->columns };
    for (int64_t k = 0; k < n;
         k += r->columns, c.out += r->columns, c.v += r->size * r->columns)
        task->loops->reduce_columns[task->op](&c);
}

static void reduce_gathered(const Task *task, const Reduction *r, float *values, float *out,
                            int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        gather(r, start_of(r, k), values);
        out[k] = (float)reduce_row(task, values, r->size);
    }
}

static void reduce_dims(lua_State *L, const Tensor *t, Task *task, int dims)
{
    Reduction r = { .t = t };
    int64_t shape[K_MAX_DIMS];

    read_dims(L, dims, &r);
    place(&r);
    if (r.size == 0) luaL_error(L, "the tensor is empty");
    for (int d = 0; d < t->ndim; d++)
        shape[d] = r.gone[d] ? 1 : t->shape[d];
    if (task->op == QUANTILE) task->scratch = scratch_of(L, r.size);
    bool in_columns = r.columns > 0 && task->op != QUANTILE;
    float *values = r.trailing || in_columns ? NULL : scratch_of(L, r.size);
    Tensor *out = tensors_push_new(L, t->ndim, shape);
    int64_t n = tensor_count(out);
    if (r.trailing)
        reduce_rows(task, &r, tensor_f32(out), n);
    else if (in_columns)
        reduce_columns(task, &r, tensor_f32(out), n);
    else
        reduce_gathered(task, &r, values, tensor_f32(out), n);
}

/* The upvalue's operation over the tensor at 1: to a number, or along the list of dimensions behind it (behind q). */
static int reduce(lua_State *L)
{
    const Tensor *t = tensors_check(L, 1);
    Task task = { .loops = vm_of(L)->loops, .op = (int)lua_tointeger(L, lua_upvalueindex(1)) };
    int64_t n = tensor_count(t);
    bool quantile = task.op == QUANTILE;
    int dims = quantile ? 3 : 2;

    if (quantile) task.q = luaL_checknumber(L, 2);
    luaL_argcheck(L, task.q >= 0 && task.q <= 1, 2, "must be in 0 to 1");
    vm_charge(L, TENSOR_CHARGE + (n * (quantile ? QUANTILE_WEIGHT : 1) >> TENSOR_CHARGE_SHIFT));
    if (!lua_isnoneornil(L, dims)) {
        reduce_dims(L, t, &task, dims);
        return 1;
    }
    if (n == 0) return luaL_error(L, "the tensor is empty");
    if (quantile) task.scratch = scratch_of(L, n);
    lua_pushnumber(L, reduce_row(&task, tensor_f32(t), n));
    return 1;
}

void tensors_add_reductions(lua_State *L)
{
    static const TensorRow rows[] = {
        { "sum", reduce, LOOP_SUM },      { "mean", reduce, LOOP_MEAN },
        { "std", reduce, LOOP_STD },      { "norm", reduce, LOOP_NORM },
        { "amin", reduce, LOOP_AMIN },    { "amax", reduce, LOOP_AMAX },
        { "quantile", reduce, QUANTILE }, { 0 },
    };
    tensors_add_rows(L, rows);
}
