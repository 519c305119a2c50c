/* test_vector.c - the recorded verdicts of the reference server, against classes made from its own facts. */
#include <math.h>
#include <stdlib.h>
#include <zlib.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/graph/comfy_errors.h"
#include "tests/unit/graph/toys.h"

/* ---- classes from the facts file --------------------------------------------------------- */

typedef struct Facts {
    Arena *arena;
    JsonDoc *doc;
    const NodeDef **defs;
    NodeTable table;
} Facts;

static char *gunzip(const char *path, size_t *size)
{
    gzFile f = gzopen(path, "rb");
    size_t capacity = 16u << 20, n = 0;
    char *text = mem_alloc(capacity);
    int got;

    assert_non_null(f);
    while ((got = gzread(f, text + n, (unsigned)(capacity - n))) > 0)
        n += (size_t)got;
    gzclose(f);
    *size = n;
    return text;
}

/* Files of the recorded environment, by input name. */
static const struct {
    const char *input;
    const char *names[4];
} files[] = {
    { "unet_name",
      { "flux-2-klein-4b.safetensors", "flux1-dev.safetensors", "flux1-schnell.safetensors" } },
    { "clip_name",
      { "clip_l.safetensors", "qwen_3_4b.safetensors", "t5xxl_fp16.safetensors" } },
    { "clip_name1",
      { "clip_l.safetensors", "qwen_3_4b.safetensors", "t5xxl_fp16.safetensors" } },
    { "clip_name2",
      { "clip_l.safetensors", "qwen_3_4b.safetensors", "t5xxl_fp16.safetensors" } },
    { "vae_name", { "ae.safetensors", "flux2-vae.safetensors" } },
    { "ckpt_name", { "flux1-dev-fp8.safetensors" } },
    { "lora_name", { "style.safetensors", "sub/other.safetensors" } },
};

static const char *const *file_options(const char *input)
{
    static const char *const nothing[] = { NULL };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(files[i].input, input) == 0) return files[i].names;
    return nothing;
}

static const char *const *enum_options(Arena *a, const Json *list)
{
    const char **names = arena_array(a, json_count(list) + 1, sizeof *names);
    size_t n = 0;

    for (const Json *m = json_first(list); m; m = json_next(m))
        if (json_string(m)) names[n++] = json_string(m);
    return names;
}

static double number_or(const Json *o, const char *key, double fallback)
{
    const Json *v = json_get(o, key);

    return json_is(v, JSON_NUMBER) ? json_double(v) : fallback;
}

static bool truth(const Json *o, const char *key)
{
    const Json *v = json_get(o, key);

    return json_is(v, JSON_BOOL) && json_bool(v);
}

static Socket socket_from(Arena *a, const char *name, const Json *o, unsigned flags, size_t at)
{
    const char *type = json_string(json_get(o, "t"));
    Socket s = { .name = name, .type = sock_from_name(type), .flags = flags, .at = at };

    if (s.type == SOCK_OTHER) s.type_name = type;
    if (s.type == SOCK_COMBO && json_get(o, "enum"))
        s.options = enum_options(a, json_get(o, "enum"));
    if (s.type == SOCK_COMBO && truth(o, "files")) s.options = file_options(name);
    if (truth(o, "image_upload")) s.flags |= SOCK_F_IMAGE_UPLOAD;
    if (truth(o, "lazy")) s.flags |= SOCK_F_LAZY;
    s.def = number_or(o, "default", 0);
    if (json_get(o, "min") || json_get(o, "max")) {
        s.min = number_or(o, "min", -INFINITY);
        s.max = number_or(o, "max", INFINITY);
    }
    if (s.type == SOCK_INT && s.max >= 18446744073709551615.0) s.flags |= SOCK_F_U64;
    return s;
}

static Status image_exists(struct Host *host, const void *in, Error *err)
{
    const char *name;

    (void)host;
    memcpy(&name, in, sizeof name);
    if (name && (!strcmp(name, "example.png") || !strcmp(name, "example.png [input]")))
        return OK;
    return error_set(err, E_MISSING, "Invalid image file: %s", name ? name : "");
}

static Status never_runs(NodeCall *call)
{
    return error_set(call->err, E_UNSUPPORTED, "facts only");
}

static const NodeDef *def_from(Arena *a, const Json *node)
{
    static const char *const sections[] = { "required", "optional" };
    const Json *in = json_get(node, "in"), *out = json_get(node, "out");
    NodeDef *def = arena_alloc(a, sizeof *def);
    size_t n = 0, m = 0;
    Socket *inputs = arena_array(a, 512, sizeof *inputs),
           *outputs = arena_array(a, 64, sizeof *outputs);

    for (unsigned k = 0; k < 2; k++) {
        const Json *section = json_get(in, sections[k]);
        for (const Json *i = section ? json_first(section) : NULL; i; i = json_next(i), n++)
            inputs[n] = socket_from(a, json_key(i), i, k ? SOCK_F_OPTIONAL : 0, n * 16);
    }
    for (const Json *o = json_first(out); o; o = json_next(o), m++) {
        const char *type = json_is(o, JSON_STRING) ? json_string(o) : "COMBO";
        outputs[m] = (Socket){ .name = "out", .type = sock_from_name(type), .type_name = type };
    }
    *def = (NodeDef){ .class_type = json_key(node),
                      .inputs = inputs,
                      .outputs = outputs,
                      .in_size = n * 16 + 16,
                      .run = never_runs,
                      .flags = truth(node, "output_node") ? NODE_F_OUTPUT : 0 };
    if (!strcmp(def->class_type, "LoadImage")) def->check = image_exists;
    return def;
}

static void facts_open(Facts *f)
{
    char path[512];
    size_t size, n = 0;
    char *text = gunzip(shared_path(path, sizeof path, "data/object_info.core.json.gz"), &size);
    const Json *nodes;
    Error err;

    assert_ok(json_parse(text, size, &f->doc, &err), &err);
    mem_free(text);
    f->arena = arena_new();
    nodes = json_get(json_root(f->doc), "nodes");
    f->defs = arena_array(f->arena, json_count(nodes), sizeof *f->defs);
    for (const Json *m = json_first(nodes); m; m = json_next(m))
        f->defs[n++] = def_from(f->arena, m);
    f->table = (NodeTable){ .extra = f->defs, .n_extra = n };
}

static void facts_close(Facts *f)
{
    arena_free(f->arena);
    json_free(f->doc);
}

/* ---- one case ---------------------------------------------------------------------------- */

static unsigned base64_digit(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digits, c);

    return c && at ? (unsigned)(at - digits) : 0;
}

static void base64_decode(const char *s, Str *out)
{
    for (; s[0] && s[1]; s += 4) {
        unsigned v = base64_digit(s[0]) << 18 | base64_digit(s[1]) << 12 |
                     base64_digit(s[2]) << 6 | base64_digit(s[3]);
        str_add_char(out, (char)(v >> 16));
        if (s[2] != '=') str_add_char(out, (char)(v >> 8));
        if (s[2] == '=' || s[3] == '=') break;
        str_add_char(out, (char)v);
    }
}

static int answer(const Facts *facts, const char *body, size_t length, Str *out)
{
    int host_stand_in = 0;
    struct Host *host = (struct Host *)(void *)&host_stand_in;
    PromptRequest request = { 0 };
    CheckReport *report = NULL;
    const char *type = NULL;
    int code = 400;
    Error err;

    if (parse_prompt_body(body, length, &request, &type, &err) != OK) {
        assert_ok(comfy_write_fault(type, &err, out, &err), &err);
        return 400;
    }
    CheckOptions options = { .table = &facts->table,
                             .host = host,
                             .files = true,
                             .targets = request.targets,
                             .n_targets = request.n_targets };
    assert_ok(check_graph(request.graph, &options, &report, &err), &err);
    code = comfy_status(report);
    if (code == 200) {
        str_add(out, "{\"node_errors\": ");
        assert_ok(comfy_write_node_errors(report, host, out, &err), &err);
        str_add_char(out, '}');
    } else {
        assert_ok(comfy_write_refusal(report, host, out, &err), &err);
    }
    check_free(report);
    prompt_request_fini(&request);
    return code;
}

static const char *text_at(const Json *o, const char *key)
{
    const Json *v = o ? json_get(o, key) : NULL;

    return json_is(v, JSON_STRING) ? json_string(v) : "";
}

/* Is there an error of that type, input and details (unless a list is printed) among those given? */
static bool has_error(const Json *errors, const Json *wanted)
{
    const char *type = text_at(wanted, "type"),
               *input = text_at(json_get(wanted, "extra_info"), "input_name");

    for (const Json *e = json_first(errors); e; e = json_next(e)) {
        if (strcmp(text_at(e, "type"), type) ||
            strcmp(text_at(json_get(e, "extra_info"), "input_name"), input))
            continue;
        if (strcmp(type, "value_not_in_list") == 0) return true;
        return !strcmp(text_at(e, "details"), text_at(wanted, "details")) &&
               !strcmp(text_at(e, "message"), text_at(wanted, "message")) &&
               !strcmp(text_at(json_get(e, "extra_info"), "exception_type"),
                       text_at(json_get(wanted, "extra_info"), "exception_type"));
    }
    return false;
}

static void compare_reference(const Json *ref, const Json *got, const char *name)
{
    const Json *wanted = json_get(ref, "node_errors");

    for (const Json *n = json_first(wanted); n; n = json_next(n)) {
        const Json *mine = json_get(json_get(got, "node_errors"), json_key(n));
        if (!mine) fail_msg("%s: node %s has no errors", name, json_key(n));
        assert_int_equal(json_count(json_get(mine, "dependent_outputs")),
                         json_count(json_get(n, "dependent_outputs")));
        for (const Json *e = json_first(json_get(n, "errors")); e; e = json_next(e))
            if (!has_error(json_get(mine, "errors"), e))
                fail_msg("%s: node %s: no error like %s, %s", name, json_key(n),
                         text_at(e, "type"), text_at(e, "details"));
    }
}

static void compare(const Json *c, int code, const char *text, const char *name)
{
    const Json *weft = json_get(c, "weft"), *types = json_get(weft, "node_error_types");
    const Json *ref = json_get(c, "reference_0_3_64");
    JsonDoc *doc = NULL;
    Error err;

    assert_ok(json_parse(text, strlen(text), &doc, &err), &err);
    const Json *got = json_root(doc), *nodes = json_get(got, "node_errors");
    if (code != (int)json_double(json_get(weft, "status")))
        fail_msg("%s: status %d: %s", name, code, text);
    if (strcmp(text_at(json_get(got, "error"), "type"), text_at(weft, "error_type")))
        fail_msg("%s: type %s", name, text_at(json_get(got, "error"), "type"));
    if (types && json_count(types) != json_count(nodes)) fail_msg("%s: %s", name, text);
    for (const Json *n = types ? json_first(types) : NULL; n; n = json_next(n)) {
        const Json *mine = json_get(nodes, json_key(n));
        if (!mine || json_count(json_get(mine, "errors")) != json_count(n))
            fail_msg("%s: %s", name, text);
    }
    if (json_is(json_get(ref, "node_errors"), JSON_OBJECT) && !json_get(weft, "note") &&
        json_double(json_get(ref, "status")) == code && !json_get(c, "reference_0_12_1"))
        compare_reference(ref, got, name);
    json_free(doc);
}

static void one_case(const Facts *facts, const char *path, const char *name)
{
    char *text;
    size_t size;
    JsonDoc *doc;
    Str body = { 0 }, out = { 0 };
    Error err;
    int code;

    assert_ok(file_read(path, 64 << 20, &text, &size, &err), &err);
    assert_ok(json_parse(text, size, &doc, &err), &err);
    const Json *request = json_get(json_root(doc), "request");
    if (json_get(request, "body_b64"))
        base64_decode(json_string(json_get(request, "body_b64")), &body);
    else
        json_write(&body, json_get(request, "body"));
    code = answer(facts, body.text ? body.text : "", body.length, &out);
    compare(json_root(doc), code, out.text, name);
    str_fini(&body);
    str_fini(&out);
    json_free(doc);
    mem_free(text);
}

static void check_holds_recorded_verdicts(void **state)
{
    static const char *const json[] = { ".json", NULL };
    char folder[512], path[1024];
    FileList list;
    Facts facts;
    Error err;
    int n = 0;

    (void)state;
    shared_path(folder, sizeof folder, "vectors/validate");
    facts_open(&facts);
    assert_ok(file_list(folder, json, &list, &err), &err);
    for (size_t i = 0; i < list.count; i++) {
        if (list.names[i][0] == '_') continue;
        snprintf(path, sizeof path, "%s/%s", folder, list.names[i]);
        one_case(&facts, path, list.names[i]);
        n++;
    }
    print_message("%d recorded requests\n", n);
    file_list_fini(&list);
    facts_close(&facts);
}

int run_vector_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_holds_recorded_verdicts),
    };
    return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
