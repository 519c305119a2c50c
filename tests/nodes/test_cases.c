/* test_cases.c - node types called one by one: inputs and parameters in, numbers and texts out.
 *
 * A case names a class, its tensors by input, its literals by input, and what each output must be. Cases come from
 * the reference's image vectors and from tests/data/nodes (made by tests/tools/make_node_cases.py).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/graph/fill.h"
#include "engine/sampling/guidance.h"
#include "engine/sampling/latent.h"
#include "nodes/table.h"
#include "tests/unit/support.h"

enum { OBJECTS_MAX = 64, LIST_MAX = 16 };

/* One call of a node. */
typedef struct Call {
    const Vectors *v;
    const Json *json;
    const NodeDef *def;
    void *in, *out; /* owned */
    const Ref *objects[OBJECTS_MAX];
    int n_objects;
    Value lists[8][LIST_MAX];
    int n_lists;
} Call;

/* The case as text, for messages: a static buffer of this one-threaded test. */
static const char *class_of(const Json *json)
{
    static char text[400];
    Str s = { 0 };
    json_write(&s, json);
    snprintf(text, sizeof text, "%s", s.text ? s.text : "");
    str_fini(&s);
    return text;
}

/* ---- inputs ---------------------------------------------------------------------------------------- */

static const Ref *hold(Call *c, const void *object)
{
    assert_true(c->n_objects < OBJECTS_MAX);
    c->objects[c->n_objects++] = object;
    return object;
}

static Latent *as_latent(const Call *c, Tensor *samples, const char *input)
{
    Latent *l = NULL;
    Error err = { 0 };
    char key[64];
    assert_ok(latent_new(samples, &l, &err), &err);
    snprintf(key, sizeof key, "%s.noise_mask", input);
    const Json *mask = json_get(json_get(c->json, "in"), key);
    if (mask) latent_set_mask(l, vectors_tensor(c->v, json_string(mask)));
    snprintf(key, sizeof key, "%s.batch_index", input);
    const Json *places = json_get(json_get(c->json, "params"), key);
    int64_t index[64], n = 0;
    for (const Json *p = json_first(places); places && p; p = json_next(p))
        index[n++] = (int64_t)json_double(p);
    if (places) assert_ok(latent_set_batch_index(l, index, n, &err), &err);
    return l;
}

static Value object_value(Call *c, SockType type, const char *tensor, const char *input)
{
    Tensor *t = vectors_tensor(c->v, tensor);
    bool is_latent = type == SOCK_LATENT;
    if (type == SOCK_ANY) type = t->ndim == 3 ? SOCK_MASK : SOCK_IMAGE;
    return (Value){ .type = type,
                    .object = hold(c, is_latent ? (void *)as_latent(c, t, input) : t) };
}

static void fill_rows(Call *c, const Socket *rows, const char *prefix);

/* The first output of another node, which the case describes in place. */
static Value nested_value(Call *c, const Json *json)
{
    NodeTable table = nodes_table();
    const NodeDef *def = node_find(&table, param_text(json, "op", ""));
    Call inner = { .v = c->v, .json = json, .def = def };
    Error err = { 0 };
    Value v = { .type = SOCK_OTHER };
    inner.in = mem_calloc(1, def->in_size + 1);
    inner.out = mem_calloc(1, def->out_size + 1);
    fill_rows(&inner, def->inputs, "");
    NodeCall call = { .def = def, .id = "2", .in = inner.in, .out = inner.out, .err = &err };
    assert_ok(def->run(&call), &err);
    memcpy(&v.object, (char *)inner.out + def->outputs[0].at, sizeof v.object);
    hold(c, v.object);
    mem_free(inner.in);
    mem_free(inner.out);
    return v;
}

static Value literal_value(const Socket *s, const Json *j)
{
    Value v = { .type = s->type };
    if (socket_is_any(s)) {
        v.type = json_is(j, JSON_STRING) ? SOCK_STRING
                 : json_is(j, JSON_BOOL) ? SOCK_BOOLEAN
                 : json_is_integer(j)    ? SOCK_INT
                                         : SOCK_FLOAT;
    }
    switch (v.type) {
    case SOCK_INT:
        assert_true(json_int64(j, &v.i));
        break;
    case SOCK_FLOAT:
        v.f = json_double(j);
        break;
    case SOCK_BOOLEAN:
        v.b = json_bool(j);
        break;
    default:
        v.s = (char *)(uintptr_t)json_string(j);
    }
    return v;
}

static void fill_list(Call *c, const Socket *s, const Json *tensors, const Json *literal)
{
    Value *items = c->lists[c->n_lists++];
    ValueList list = { items, 0 };
    for (const Json *t = tensors ? json_first(tensors) : NULL; t; t = json_next(t))
        items[list.count++] = object_value(c, s->type, json_string(t), s->name);
    if (literal && json_is(literal, JSON_ARRAY))
        for (const Json *l = json_first(literal); l; l = json_next(l))
            items[list.count++] = literal_value(s, l);
    else if (literal)
        items[list.count++] = literal_value(s, literal);
    memcpy((char *)c->in + s->at, &list, sizeof list);
}

static void fill_grown(Call *c, const Socket *s)
{
    char name[64];
    for (int i = 0; i < s->grow->max; i++) {
        snprintf(name, sizeof name, "%s.%s%d", s->name, s->grow->prefix, i);
        const Json *t = json_get(json_get(c->json, "in"), name);
        if (!t) continue;
        Value v = object_value(c, s->grow->type, json_string(t), name);
        memcpy((char *)c->in + s->at + (size_t)i * sizeof(void *), &v.object, sizeof v.object);
    }
}

static void fill_rows(Call *c, const Socket *rows, const char *prefix)
{
    const Json *in = json_get(c->json, "in"), *params = json_get(c->json, "params");
    for (const Socket *s = rows; s && s->name; s++) {
        char name[96];
        snprintf(name, sizeof name, "%s%s", prefix, s->name);
        const Json *t = json_get(in, name), *p = json_get(params, name);
        if (s->grow) {
            fill_grown(c, s);
        } else if (s->flags & SOCK_F_LIST) {
            fill_list(c, s, t, p);
        } else {
            Value v = t && json_is(t, JSON_OBJECT) ? nested_value(c, t)
                      : t ? object_value(c, socket_is_any(s) ? SOCK_ANY : s->type,
                                         json_string(t), name)
                      : p ? literal_value(s, p)
                          : fill_default_value(s);
            if (socket_is_any(s) && t)
                memcpy((char *)c->in + s->at, &v, sizeof v);
            else
                fill_field(s, &v, c->in);
        }
        for (const SocketKey *k = s->keys; k && k->key; k++)
            if (p && strcmp(k->key, json_string(p)) == 0) {
                char inner[96];
                snprintf(inner, sizeof inner, "%.60s.", s->name);
                fill_rows(c, k->inputs, inner);
            }
    }
}

/* ---- outputs --------------------------------------------------------------------------------------- */

static double tolerance_of(const Json *json)
{
    return param_number(json, "tolerance", 2e-6);
}

/* Quantised resampling may differ by a step in few places. */
static bool is_quantised(const Json *json)
{
    const Json *p = json_get(json, "params");
    return strcmp(param_text(p, "upscale_method", ""), "lanczos") == 0 ||
           strcmp(param_text(p, "scale_method", ""), "lanczos") == 0 ||
           strcmp(param_text(p, "interpolation", ""), "lanczos") == 0 ||
           (strcmp(param_text(json, "op", ""), "ImageStitch") == 0 &&
            param_bool(p, "match_image_size", true));
}

static void check_tensor(const Call *c, const Tensor *got, const char *name)
{
    Tensor *want = vectors_tensor(c->v, name);
    if (!tensor_same_shape(got, want)) {
        char a[64], b[64];
        tensor_describe(got, a, sizeof a);
        tensor_describe(want, b, sizeof b);
        fail_msg("%s %s: shape %s, not %s", class_of(c->json), name, a, b);
    }
    double limit = tolerance_of(c->json), d = 0;
    int64_t off = 0;
    for (int64_t i = 0; i < tensor_count(want); i++) {
        double e = fabs((double)tensor_f32(got)[i] - (double)tensor_f32(want)[i]);
        off += !(e <= limit);
        d = e > d ? e : d;
    }
    bool few = is_quantised(c->json) && d < 1.01 / 255 && off <= 1 + tensor_count(want) / 200;
    if (off && !few)
        fail_msg("%s %s %s: %lld values off, by up to %g", class_of(c->json),
                 param_text(c->json, "name", ""), name, (long long)off, d);
    tensor_unref(want);
}

static void check_latent(const Call *c, const Latent *got, const Json *want)
{
    if (json_is(want, JSON_STRING)) {
        check_tensor(c, got->samples, json_string(want));
        return;
    }
    check_tensor(c, got->samples, param_text(want, "samples", ""));
    const char *mask = param_text(want, "noise_mask", NULL);
    if (!mask != !got->noise_mask)
        fail_msg("%s: the noise mask is there or not, other than expected", class_of(c->json));
    if (mask) check_tensor(c, got->noise_mask, mask);
    const Json *places = json_get(want, "batch_index");
    if (places && json_is(places, JSON_NULL)) assert_null(got->batch_index);
    if (!places || json_is(places, JSON_NULL)) return;
    assert_int_equal((int)json_count(places), (int)got->batch_count);
    for (size_t i = 0; i < json_count(places); i++)
        assert_int_equal((int64_t)json_double(json_at(places, i)), got->batch_index[i]);
}

static void check_value(const Call *c, const Value *got, const Json *want)
{
    switch (got->type) {
    case SOCK_INT: {
        int64_t i = 0;
        assert_true(json_int64(want, &i));
        if (i != got->i)
            fail_msg("%s: %lld, not %lld", class_of(c->json), (long long)got->i, (long long)i);
        break;
    }
    case SOCK_FLOAT:
        if (!(fabs(got->f - json_double(want)) <= tolerance_of(c->json) * (1 + fabs(got->f))))
            fail_msg("%s: %.17g, not %.17g", class_of(c->json), got->f, json_double(want));
        break;
    case SOCK_BOOLEAN:
        if (got->b != json_bool(want)) fail_msg("%s: not as expected", class_of(c->json));
        break;
    case SOCK_STRING:
        if (strcmp(got->s, json_string(want)) != 0)
            fail_msg("%s: '%s', not '%s'", class_of(c->json), got->s, json_string(want));
        break;
    case SOCK_LATENT:
        check_latent(c, (const Latent *)got->object, want);
        break;
    default:
        check_tensor(c, (const Tensor *)got->object, json_string(want));
    }
}

/* Takes an output's value out of the struct. */
static Value output_value(const Call *c, const Socket *s)
{
    const char *at = (const char *)c->out + s->at;
    Value v = { .type = s->type };
    if (socket_is_any(s))
        memcpy(&v, at, sizeof v);
    else if (s->type == SOCK_BOOLEAN)
        memcpy(&v.b, at, sizeof v.b);
    else
        memcpy(&v.i, at, sizeof v.i);
    return v;
}

static void take_outputs(Call *c, bool check)
{
    const Json *want = json_first(json_get(c->json, "out"));
    for (const Socket *s = c->def->outputs; s && s->name; s++) {
        if (s->flags & SOCK_F_LIST) {
            ValueList list;
            memcpy(&list, (char *)c->out + s->at, sizeof list);
            for (size_t i = 0; check && i < list.count; i++, want = json_next(want)) {
                if (!want) fail_msg("%s: too many results", class_of(c->json));
                check_value(c, &list.items[i], want);
            }
            value_list_fini(&list);
            continue;
        }
        Value v = output_value(c, s);
        if (check && want) check_value(c, &v, want);
        if (want) want = json_next(want);
        value_fini(&v);
    }
    if (check && want) fail_msg("%s: too few results", class_of(c->json));
}

/* The reference hands an empty latent on when nothing is left of it; here that is an error. */
static bool wants_nothing(const Vectors *v, const Json *json)
{
    const char *name = json_string(json_first(json_get(json, "out")));
    int64_t shape[K_MAX_DIMS];
    int ndim = name ? weights_shape(v->tensors, name, shape) : 0;
    for (int i = 0; i < ndim; i++)
        if (shape[i] == 0) return true;
    return false;
}

static void run_case(const Vectors *v, const Json *json, const NodeDef *def)
{
    Call c = { .v = v, .json = json, .def = def };
    Error err = { 0 };
    Str ui = { 0 };
    bool error = json_get(json, "error") || wants_nothing(v, json);
    c.in = mem_calloc(1, def->in_size + 1);
    c.out = mem_calloc(1, def->out_size + 1);
    fill_rows(&c, def->inputs, "");
    NodeCall call = { .def = def, .id = "1", .in = c.in, .out = c.out, .ui = &ui, .err = &err };
    Status s = def->run(&call);
    if (error && s == OK) fail_msg("%s: no error", class_of(json));
    if (!error && s != OK) fail_msg("%s: %s", class_of(json), err.message);
    take_outputs(&c, s == OK);
    for (int i = 0; i < c.n_objects; i++)
        ref_drop(c.objects[i]);
    mem_free(c.in);
    mem_free(c.out);
    str_fini(&ui);
}

/* ---- the two collections ------------------------------------------------------------------------------ */

/* Operations of the vectors that are no classes, need files, or are measured elsewhere. */
static bool is_elsewhere(const Json *json)
{
    static const char *const names[] = { "LoadImage", "ImageQuantize" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(param_text(json, "op", ""), names[i]) == 0) return true;
    return false;
}

/* The vectors give the latents of RebatchLatents as l0, l1, l2. */
static void test_vectors(void **state)
{
    Vectors v;
    NodeTable table = nodes_table();
    int run = 0;
    (void)state;
    vectors_open(&v, "images", "images");
    for (const Json *c = json_first(json_get(json_root(v.doc), "cases")); c; c = json_next(c)) {
        const NodeDef *def = node_find(&table, param_text(c, "op", ""));
        if (!def || !def->run || is_elsewhere(c) || json_get(json_get(c, "in"), "l0")) continue;
        run_case(&v, c, def);
        run++;
    }
    vectors_close(&v);
    assert_true(run > 130);
}

static void open_cases(Vectors *v)
{
    Error err = { 0 };
    memset(v, 0, sizeof *v);
    v->doc = json_file(TEST_DATA "/nodes/cases.json");
    assert_ok(weights_open(TEST_DATA "/nodes/cases.safetensors", NULL, &v->tensors, &err),
              &err);
}

static void test_cases(void **state)
{
    Vectors v;
    NodeTable table = nodes_table();
    (void)state;
    open_cases(&v);
    for (const Json *c = json_first(json_get(json_root(v.doc), "cases")); c; c = json_next(c)) {
        const NodeDef *def = node_find(&table, param_text(c, "op", ""));
        if (!def || !def->run) fail_msg("%s is not executable", class_of(c));
        run_case(&v, c, def);
    }
    vectors_close(&v);
}

/* ---- guidance that no vector covers --------------------------------------------------------------------- */

static GuidanceHook *hook_of(const Json *c)
{
    const char *name = param_text(c, "hook", "");
    double a = param_number(c, "a", 0), b = param_number(c, "b", 0);
    GuidanceHook *h = NULL;
    Error err = { 0 };
    Status s = E_RANGE;
    if (strcmp(name, "RenormCFG") == 0) s = guidance_renorm(a, b, &h, &err);
    if (strcmp(name, "frames") == 0) s = guidance_frames(a, b != 0, &h, &err);
    if (strcmp(name, "TCFG") == 0) s = guidance_tangential(&h, &err);
    if (strcmp(name, "Mahiro") == 0) s = guidance_mahiro(&h, &err);
    if (strcmp(name, "epsilon") == 0) s = guidance_epsilon_scaling(a, &h, &err);
    if (strcmp(name, "TSR") == 0) s = guidance_tsr(a, b, &h, &err);
    assert_ok(s, &err);
    return h;
}

static Tensor *part(const Vectors *v, const Json *c, const char *key)
{
    return vectors_tensor(v, param_text(c, key, ""));
}

static void check_hook(const Vectors *v, const Json *c)
{
    GuidanceHook *h = hook_of(c);
    Error err = { 0 };
    double scale = param_number(c, "scale", 1);
    Tensor *x = part(v, c, "x"), *p = part(v, c, "cond"), *u = part(v, c, "uncond"),
           *want = part(v, c, "out"), *d = part(v, c, "x");
    GuidanceStep g = { .x = x,
                       .sigma = (float)param_number(c, "sigma", 0.5),
                       .cfg = scale,
                       .scale = scale,
                       .cond = p,
                       .uncond = u,
                       .denoised = d,
                       .steps = 1 };
    if (h->kind == GUIDE_PRE) assert_ok(h->run(h, NULL, &g, &err), &err);
    if (h->kind != GUIDE_CFG) guidance_cfg(g.cond, g.uncond, g.scale, g.denoised);
    if (h->kind != GUIDE_PRE) assert_ok(h->run(h, NULL, &g, &err), &err);
    if (tensor_max_diff(d, want) > 2e-5)
        fail_msg("%s: off by %g", class_of(c), tensor_max_diff(d, want));
    Tensor *const all[] = { x, p, u, want, d };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tensor_unref(all[i]);
    ref_drop(h);
}

static void test_hooks(void **state)
{
    Vectors v;
    (void)state;
    open_cases(&v);
    for (const Json *c = json_first(json_get(json_root(v.doc), "hooks")); c; c = json_next(c))
        check_hook(&v, c);
    vectors_close(&v);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors),
                                        cmocka_unit_test(test_cases),
                                        cmocka_unit_test(test_hooks) };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("cases", tests, NULL, NULL);
}
