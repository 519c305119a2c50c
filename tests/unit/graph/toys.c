/* toys.c - a table of small classes with which graphs are tested. */
#include "tests/unit/graph/toys.h"

#include <stdlib.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"

typedef struct Picture {
    Ref ref;
    int64_t batch;
} Picture;

static struct {
    int alive, times;
    int64_t collected;
} toy;

int toy_alive(void)
{
    return toy.alive;
}

int64_t toy_collected(int *times)
{
    int64_t sum = toy.collected;

    if (times) *times = toy.times;
    toy.collected = 0;
    toy.times = 0;
    return sum;
}

static void picture_destroy(void *object)
{
    toy.alive--;
    mem_free(object);
}

static Status picture_new(int64_t batch, const Picture **out, Error *err)
{
    Picture *p = mem_calloc(1, sizeof *p);

    if (!p) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&p->ref, picture_destroy);
    p->batch = batch;
    toy.alive++;
    *out = p;
    return OK;
}

/* One in struct and one out struct serve most toys. */
typedef struct In {
    const Picture *a, *b;
    int64_t n, m;
    uint64_t seed;
    double f;
    bool flag;
    const char *text;
    Value any, other;
    ValueList list;
    const char *id, *prompt;
} In;

typedef struct Out {
    const Picture *a;
    int64_t n;
    uint64_t seed;
    double f;
    char *text;
    Value any;
    ValueList list;
} Out;

#define AT(field) .at = offsetof(In, field)
#define TO(field) .at = offsetof(Out, field)
#define CLASS(ins, outs, fn)                                                                   \
    .category = "toys", .doc = "A toy.", .inputs = ins, .outputs = outs,                       \
    .in_size = sizeof(In), .out_size = sizeof(Out), .run = fn

/* clang-format off */
static const char *const methods[] = { "nearest-exact", "bilinear", "area", NULL };
static const Socket image_out[] = { { .name = "IMAGE", .type = SOCK_IMAGE, TO(a), .doc = "x" }, { 0 } };
static const Socket none[] = { { 0 } };

static const Socket empty_in[] = {
    { .name = "width", .type = SOCK_INT, AT(m), .def = 512, .min = 1, .max = 16384, .step = 1 },
    { .name = "height", .type = SOCK_INT, AT(m), .def = 512, .min = 1, .max = 16384, .step = 1 },
    { .name = "batch_size", .type = SOCK_INT, AT(n), .def = 1, .min = 1, .max = 4096 },
    { .name = "color", .type = SOCK_INT, AT(m), .def = 0, .min = 0, .max = 16777215, .step = 1 },
    { 0 },
};
static const Socket one_in[] = { { .name = "image", .type = SOCK_IMAGE, AT(a) }, { 0 } };
static const Socket two_in[] = {
    { .name = "image1", .type = SOCK_IMAGE, AT(a) },
    { .name = "image2", .type = SOCK_IMAGE, AT(b) },
    { 0 },
};
static const Socket scale_in[] = {
    { .name = "image", .type = SOCK_IMAGE, AT(a) },
    { .name = "upscale_method", .type = SOCK_COMBO, AT(text), .options = methods },
    { .name = "scale_by", .type = SOCK_FLOAT, AT(f), .def = 1, .min = 0.01, .max = 8 },
    { 0 },
};
static const Socket blur_in[] = {
    { .name = "image", .type = SOCK_IMAGE, AT(a) },
    { .name = "blur_radius", .type = SOCK_INT, AT(n), .def = 1, .min = 1, .max = 31 },
    { .name = "sigma", .type = SOCK_FLOAT, AT(f), .def = 1, .min = 0.1, .max = 10 },
    { 0 },
};
static const Socket frame_in[] = {
    { .name = "image", .type = SOCK_IMAGE, AT(a) },
    { .name = "batch_index", .type = SOCK_INT, AT(n), .min = 0, .max = 4095 },
    { .name = "length", .type = SOCK_INT, AT(m), .def = 1, .min = 1, .max = 4096 },
    { 0 },
};
static const Socket show_in[] = {
    { .name = "images", .type = SOCK_IMAGE, AT(a) },
    { .name = "prompt", .type = SOCK_STRING, AT(prompt), .flags = SOCK_F_HIDDEN_PROMPT },
    { 0 },
};
static const Socket seed_in[] = {
    { .name = "seed", .type = SOCK_INT, AT(seed), .flags = SOCK_F_U64 | SOCK_F_CONTROL, .min = 0,
      .max = 18446744073709551615.0 },
    { .name = "scale", .type = SOCK_FLOAT, AT(f), .def = 1, .min = 0, .max = 10, .flags = SOCK_F_OPTIONAL },
    { .name = "flag", .type = SOCK_BOOLEAN, AT(flag), .flags = SOCK_F_OPTIONAL },
    { .name = "text", .type = SOCK_STRING, AT(text), .flags = SOCK_F_OPTIONAL },
    { 0 },
};
static const Socket seed_out[] = {
    { .name = "seed", .type = SOCK_INT, TO(seed), .flags = SOCK_F_U64 },
    { .name = "text", .type = SOCK_STRING, TO(text) },
    { 0 },
};
static const Socket number_in[] = {
    { .name = "value", .type = SOCK_INT, AT(n), .min = -9223372036854775807.0, .max = 9223372036854775807.0 },
    { 0 },
};
static const Socket number_out[] = { { .name = "INT", .type = SOCK_INT, TO(n) }, { 0 } };
static const Socket count_out[] = { { .name = "INT", .type = SOCK_INT, TO(list), .flags = SOCK_F_LIST }, { 0 } };
static const Socket collect_in[] = {
    { .name = "n", .type = SOCK_INT, AT(n), .min = -100, .max = 1000000 },
    { .name = "m", .type = SOCK_INT, AT(m), .def = 0, .min = 0, .max = 1000, .flags = SOCK_F_OPTIONAL },
    { 0 },
};
static const Socket gather_in[] = {
    { .name = "n", .type = SOCK_INT, AT(list), .flags = SOCK_F_LIST },
    { .name = "m", .type = SOCK_INT, AT(m), .def = 0 },
    { 0 },
};
static const Socket any_in[] = { { .name = "source", .type = SOCK_ANY, AT(any) }, { 0 } };
static const Socket switch_in[] = {
    { .name = "switch", .type = SOCK_BOOLEAN, AT(flag) },
    { .name = "on_false", .type = SOCK_ANY, .type_name = "COMFY_MATCHTYPE_V3", AT(any), .flags = SOCK_F_LAZY },
    { .name = "on_true", .type = SOCK_ANY, .type_name = "COMFY_MATCHTYPE_V3", AT(other), .flags = SOCK_F_LAZY },
    { 0 },
};
static const Socket any_out[] = {
    { .name = "output", .type = SOCK_ANY, .type_name = "COMFY_MATCHTYPE_V3", TO(any) }, { 0 },
};
static const Socket id_in[] = {
    { .name = "id", .type = SOCK_STRING, AT(id), .flags = SOCK_F_HIDDEN_ID },
    { 0 },
};
/* clang-format on */

static Status run_empty(NodeCall *call)
{
    const In *in = call->in;
    return picture_new(in->n, &((Out *)call->out)->a, call->err);
}

static Status run_same(NodeCall *call)
{
    ((Out *)call->out)->a = ref_take(((const In *)call->in)->a);
    return OK;
}

static Status run_fresh(NodeCall *call)
{
    return picture_new(((const In *)call->in)->a->batch, &((Out *)call->out)->a, call->err);
}

static Status run_batch(NodeCall *call)
{
    const In *in = call->in;
    return picture_new(in->a->batch + in->b->batch, &((Out *)call->out)->a, call->err);
}

static Status run_show(NodeCall *call)
{
    const In *in = call->in;

    str_add(call->ui, "{\"images\": [");
    for (int64_t i = 0; i < in->a->batch; i++)
        str_add(call->ui, i ? ", {}" : "{}");
    str_add(call->ui, "]}");
    toy.collected += in->prompt && in->prompt[0] == '{';
    return OK;
}

static Status run_seed(NodeCall *call)
{
    const In *in = call->in;
    Out *out = call->out;

    out->seed = in->seed;
    out->text = mem_strdup(in->text ? in->text : "");
    return out->text ? OK : error_set(call->err, E_NOMEM, "out of memory");
}

static Status run_number(NodeCall *call)
{
    ((Out *)call->out)->n = ((const In *)call->in)->n;
    return OK;
}

/* A list of the numbers 0 .. value-1. */
static Status run_count(NodeCall *call)
{
    const In *in = call->in;
    ValueList list = { mem_calloc((size_t)in->n + 1, sizeof(Value)), (size_t)in->n };

    if (!list.items) return error_set(call->err, E_NOMEM, "out of memory");
    for (int64_t i = 0; i < in->n; i++)
        list.items[i] = (Value){ .type = SOCK_INT, .i = i };
    ((Out *)call->out)->list = list;
    return OK;
}

static Status run_collect(NodeCall *call)
{
    const In *in = call->in;

    toy.collected += in->n * (in->m ? in->m : 1);
    toy.times++;
    return OK;
}

static Status run_gather(NodeCall *call)
{
    const In *in = call->in;

    for (size_t i = 0; i < in->list.count; i++)
        toy.collected += in->list.items[i].i + in->m;
    toy.times++;
    return OK;
}

static Status run_show_any(NodeCall *call)
{
    const In *in = call->in;

    toy.times++;
    if (in->any.type == SOCK_INT) toy.collected += in->any.i;
    if (in->any.type == SOCK_STRING) toy.collected += (int64_t)strlen(in->any.s);
    return OK;
}

static Status lazy_switch(const void *in, uint64_t known, uint64_t *needed, Error *err)
{
    (void)known;
    (void)err;
    *needed = ((const In *)in)->flag ? 4 : 2;
    return OK;
}

static Status run_switch(NodeCall *call)
{
    const In *in = call->in;
    return value_copy(in->flag ? &in->other : &in->any, &((Out *)call->out)->any, call->err);
}

static Status run_fail(NodeCall *call)
{
    return error_set(call->err, E_IO, "the disk is full");
}

static Status run_id(NodeCall *call)
{
    Out *out = call->out;

    out->text = mem_strdup(((const In *)call->in)->id);
    return out->text ? OK : error_set(call->err, E_NOMEM, "out of memory");
}

static const Socket text_out[] = { { .name = "STRING", .type = SOCK_STRING, TO(text) }, { 0 } };

/* clang-format off */
static const NodeDef defs[] = {
    { .class_type = "EmptyImage", CLASS(empty_in, image_out, run_empty) },
    { .class_type = "ImageInvert", CLASS(one_in, image_out, run_fresh) },
    { .class_type = "ImageSame", CLASS(one_in, image_out, run_same) },
    { .class_type = "ImageScaleBy", CLASS(scale_in, image_out, run_fresh) },
    { .class_type = "ImageBlur", CLASS(blur_in, image_out, run_fresh) },
    { .class_type = "ImageBatch", CLASS(two_in, image_out, run_batch) },
    { .class_type = "ImageFromBatch", CLASS(frame_in, image_out, run_fresh) },
    { .class_type = "PreviewImage", CLASS(show_in, none, run_show), .flags = NODE_F_OUTPUT },
    { .class_type = "Seed", CLASS(seed_in, seed_out, run_seed) },
    { .class_type = "Number", CLASS(number_in, number_out, run_number) },
    { .class_type = "Count", CLASS(number_in, count_out, run_count) },
    { .class_type = "Collect", CLASS(collect_in, none, run_collect), .flags = NODE_F_OUTPUT },
    { .class_type = "Gather", CLASS(gather_in, none, run_gather), .flags = NODE_F_OUTPUT | NODE_F_INPUT_IS_LIST },
    { .class_type = "ShowAny", CLASS(any_in, none, run_show_any), .flags = NODE_F_OUTPUT },
    { .class_type = "Switch", CLASS(switch_in, any_out, run_switch), .lazy = lazy_switch },
    { .class_type = "Fail", CLASS(one_in, image_out, run_fail), .flags = NODE_F_DEPRECATED },
    { .class_type = "NodeId", CLASS(id_in, text_out, run_id) },
    { .class_type = "Known", CLASS(one_in, image_out, NULL), .flags = NODE_F_EXPERIMENTAL },
};
static const NodeDef *const family[] = {
    &defs[0], &defs[1], &defs[2], &defs[3], &defs[4], &defs[5], &defs[6], &defs[7], &defs[8], &defs[9],
    &defs[10], &defs[11], &defs[12], &defs[13], &defs[14], &defs[15], &defs[16], &defs[17], NULL,
};
static const NodeDef *const *const families[] = { family, NULL };
const NodeTable toy_table = { .families = families };
/* clang-format on */

/* ---- helpers ----------------------------------------------------------------------------- */

void assert_ok(Status s, const Error *err)
{
    char text[2048];

    if (s == OK) return;
    error_format(err, text, sizeof text);
    fail_msg("%s: %s", status_name(s), text);
}

Graph *graph_of(const char *text)
{
    Graph *g = NULL;
    Error err;

    assert_ok(parse_api(text, strlen(text), &g, &err), &err);
    return g;
}

CheckReport *check_of(Graph *g, const char *const *targets, size_t n_targets)
{
    CheckOptions options = { .table = &toy_table, .targets = targets, .n_targets = n_targets };
    CheckReport *r = NULL;
    Error err;

    assert_ok(check_graph(g, &options, &r, &err), &err);
    return r;
}

const Finding *find_rule(const CheckReport *r, const char *rule)
{
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->items[i].rule, rule) == 0) return &r->items[i];
    return NULL;
}

static void add_id(char *list, size_t size, const char *id)
{
    size_t n = strlen(list);

    snprintf(list + n, size - n, "%s%s", n ? "," : "", id);
}

static void on_event(void *user, const Event *e)
{
    Trace *t = user;

    switch (e->kind) {
    case EV_EXECUTING:
        add_id(t->executing, sizeof t->executing, e->node);
        if (++t->seen == t->stop_at) atomic_store(&t->events.cancel, true);
        break;
    case EV_EXECUTION_CACHED:
        add_id(t->cached, sizeof t->cached, e->node);
        break;
    case EV_EXECUTED:
        add_id(t->executed, sizeof t->executed, e->node);
        break;
    case EV_EXECUTION_SUCCESS:
    case EV_EXECUTION_ERROR:
    case EV_EXECUTION_INTERRUPTED:
        snprintf(t->end, sizeof t->end, "%s", event_name(e->kind));
        break;
    default:
        break;
    }
}

void trace_init(Trace *t)
{
    memset(t, 0, sizeof *t);
    events_listen(&t->events, on_event, t);
}

const char *shared_path(char *buf, size_t size, const char *name)
{
    const char *root = getenv("WEFT_SHARED");

    if (root)
        snprintf(buf, size, "%s/%s", root, name);
    else
        snprintf(buf, size, "%s/../shared/%s", WEFT_SOURCE_ROOT, name);
    if (!file_exists(buf) && !file_is_dir(buf)) {
        print_message("%s is not there\n", buf);
        skip();
    }
    return buf;
}

int fail_each_allocation(Status (*fn)(void *user, Error *err), void *user)
{
    for (int n = 1; n < 100000; n++) {
        Error err = { 0 };
        Status s;

        mem_fail_at((uint64_t)n);
        s = fn(user, &err);
        mem_fail_at(0);
        if (s == OK) return n - 1;
        assert_string_equal(status_name(s), "E_NOMEM");
    }
    fail_msg("never succeeded");
    return 0;
}
