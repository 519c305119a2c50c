/* tensor_reduce.c - reductions of tensors in scripts: to a number, or along a list of dimensions. */
#include <math.h>
#include <string.h>

#include "engine/sampling/guidance.h"
#include "engine/script/tensors.h"
#include "engine/script/vm.h"

enum { QUANTILE_WEIGHT = 8, CHARGE_SHIFT = 6 };

/* One reduction over n values, in double. scratch holds n floats (quantile only). Sums run in LANES lanes, element i
 * in lane i % LANES, which are added at the end: an order fixed by the count alone. */
typedef double (*ReduceFn)(const float *v, int64_t n, double q, float *scratch);

enum { LANES = 8 };

static double join(const double lanes[LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
           ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

static double reduce_sum(const float *v, int64_t n, double q, float *scratch)
{
    double lanes[LANES] = { 0 };
    int64_t i = 0;

    (void)q, (void)scratch;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] += (double)v[i + k];
    for (; i < n; i++)
        lanes[i % LANES] += (double)v[i];
    return join(lanes);
}

static double reduce_mean(const float *v, int64_t n, double q, float *scratch)
{
    return reduce_sum(v, n, q, scratch) / (double)n;
}

static double squares_around(const float *v, int64_t n, double centre)
{
    double lanes[LANES] = { 0 };
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            double d = (double)v[i + k] - centre;
            lanes[k] += d * d;
        }
    for (; i < n; i++)
        lanes[i % LANES] += ((double)v[i] - centre) * ((double)v[i] - centre);
    return join(lanes);
}

/* Sample deviation, with n - 1. */
static double reduce_std(const float *v, int64_t n, double q, float *scratch)
{
    double mean = reduce_mean(v, n, q, scratch);
    return sqrt(squares_around(v, n, mean) / (double)(n - 1));
}

static double reduce_norm(const float *v, int64_t n, double q, float *scratch)
{
    (void)q, (void)scratch;
    return sqrt(squares_around(v, n, 0));
}

/* The largest of sign * v; a NaN wins. */
static double extreme(const float *v, int64_t n, float sign)
{
    float most[LANES];
    int64_t i = 0;
    int nan = 0;

    for (int k = 0; k < LANES; k++)
        most[k] = -(float)INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float x = sign * v[i + k];
            most[k] = x > most[k] ? x : most[k];
            nan |= x != x;
        }
    for (; i < n; i++) {
        most[0] = sign * v[i] > most[0] ? sign * v[i] : most[0];
        nan |= v[i] != v[i];
    }
    for (int k = 1; k < LANES; k++)
        most[0] = most[k] > most[0] ? most[k] : most[0];
    return nan ? (double)NAN : (double)(sign * most[0]);
}

static double reduce_amin(const float *v, int64_t n, double q, float *scratch)
{
    (void)q, (void)scratch;
    return extreme(v, n, -1);
}

static double reduce_amax(const float *v, int64_t n, double q, float *scratch)
{
    (void)q, (void)scratch;
    return extreme(v, n, 1);
}

/* ---- the dimensions ----------------------------------------------------------------------------------- */

/* Which dimensions go, and where the elements of one result lie. */
typedef struct Reduction {
    const Tensor *t;
    bool gone[K_MAX_DIMS];
    int64_t stride[K_MAX_DIMS];
    int64_t size;  /* elements per result */
    bool trailing; /* they lie side by side */
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

static void place(Reduction *r)
{
    int64_t step = 1;
    bool kept = false;

    r->size = 1;
    r->trailing = true;
    for (int d = r->t->ndim - 1; d >= 0; d--) {
        r->stride[d] = step;
        step *= r->t->shape[d];
        if (r->gone[d]) r->size *= r->t->shape[d];
        if (r->gone[d] && kept && r->t->shape[d] > 1) r->trailing = false;
        if (!r->gone[d] && r->t->shape[d] > 1) kept = true;
    }
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

static int reduce_to_number(lua_State *L, const Tensor *t, ReduceFn fn, double q, bool sorts)
{
    int64_t n = tensor_count(t);
    float *scratch = sorts ? scratch_of(L, n) : NULL;
    if (n == 0) return luaL_error(L, "the tensor is empty");
    lua_pushnumber(L, fn(tensor_f32(t), n, q, scratch));
    return 1;
}

/* fn over the tensor at 1; the list of dimensions, if any, at dims. */
static int reduce(lua_State *L, ReduceFn fn, double q, int dims, bool sorts)
{
    Reduction r = { .t = tensors_check(L, 1) };
    int64_t shape[K_MAX_DIMS];

    vm_charge(L, 1 + (tensor_count(r.t) * (sorts ? QUANTILE_WEIGHT : 1) >> CHARGE_SHIFT));
    if (lua_isnoneornil(L, dims)) return reduce_to_number(L, r.t, fn, q, sorts);
    read_dims(L, dims, &r);
    place(&r);
    if (r.size == 0) return luaL_error(L, "the tensor is empty");
    for (int d = 0; d < r.t->ndim; d++)
        shape[d] = r.gone[d] ? 1 : r.t->shape[d];
    float *sorted = sorts ? scratch_of(L, r.size) : NULL,
          *values = r.trailing ? NULL : scratch_of(L, r.size);
    Tensor *out = tensors_push_new(L, r.t->ndim, shape);
    int64_t n = tensor_count(out);
    for (int64_t k = 0; k < n; k++) {
        const float *v = start_of(&r, k);
        if (values) gather(&r, v, values);
        tensor_f32(out)[k] = (float)fn(values ? values : v, r.size, q, sorted);
    }
    return 1;
}

static int tensor_sum_op(lua_State *L)
{
    return reduce(L, reduce_sum, 0, 2, false);
}

static int tensor_mean_op(lua_State *L)
{
    return reduce(L, reduce_mean, 0, 2, false);
}

static int tensor_std_op(lua_State *L)
{
    return reduce(L, reduce_std, 0, 2, false);
}

static int tensor_norm_op(lua_State *L)
{
    return reduce(L, reduce_norm, 0, 2, false);
}

static int tensor_amin_op(lua_State *L)
{
    return reduce(L, reduce_amin, 0, 2, false);
}

static int tensor_amax_op(lua_State *L)
{
    return reduce(L, reduce_amax, 0, 2, false);
}

static int tensor_quantile_op(lua_State *L)
{
    double q = luaL_checknumber(L, 2);
    luaL_argcheck(L, q >= 0 && q <= 1, 2, "must be in 0 to 1");
    return reduce(L, guidance_quantile, q, 3, true);
}

void tensors_add_reductions(lua_State *L)
{
    static const luaL_Reg reductions[] = {
        { "sum", tensor_sum_op },           { "mean", tensor_mean_op },
        { "std", tensor_std_op },           { "norm", tensor_norm_op },
        { "amin", tensor_amin_op },         { "amax", tensor_amax_op },
        { "quantile", tensor_quantile_op }, { NULL, NULL },
    };
    luaL_setfuncs(L, reductions, 0);
}
