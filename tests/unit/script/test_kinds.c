/* test_kinds.c - every built-in script runs; Lua samplers give the built-ins' bits; contract and wrong returns. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/unit/script/support.h"

static void test_builtin_scripts_run(void **state)
{
    ScriptSet *set = builtin_scripts();
    Error err = { 0 };
    const Script *s;
    int n = 0;

    (void)state;
    for (size_t i = 0; (s = script_set_at(set, i)); i++, n++) {
        bool ran = false;
        Status status = script_dry_run(s, &ran, &err);
        if (status != OK) print_error("%s: %s\n", s->name, err.message);
        assert_int_equal(status, OK);
        assert_true(ran);
        assert_true(s->def.doc && *s->def.doc);
    }
    assert_true(n >= 20);
    script_set_free(set);
}

static void test_samplers_give_built_in_bits(void **state)
{
    static const char *const names[] = { "euler", "heun", "dpmpp_2m", "res_multistep" };
    ScriptSet *set = builtin_scripts();
    Error err = { 0 };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        Sampler *own = NULL, *lua = NULL;
        Tensor *a = NULL, *b = NULL;
        char name[40];
        snprintf(name, sizeof name, "lua:%s", names[i]);
        ok(sampler_new(names[i], NULL, NULL, &own, &err), &err);
        ok(sampler_new(name, NULL, script_set_registry(set), &lua, &err), &err);
        ok(run_toy(own, &a, &err), &err);
        ok(run_toy(lua, &b, &err), &err);
        assert_memory_equal(a->data, b->data, (size_t)tensor_count(a) * sizeof(float));
        tensor_unref(a);
        tensor_unref(b);
        sampler_unref(own);
        sampler_unref(lua);
    }
    script_set_free(set);
}

/* Loading must fail with E208 and a message that holds `words`. */
static void refuses(const char *script, const char *words, int line)
{
    Script *s = NULL;
    Error err = { 0 };

    assert_int_equal(load_text(script, NULL, &s, &err), E_FORMAT);
    if (!strstr(err.message, words)) fail_msg("'%s' lacks '%s'", err.message, words);
    assert_string_equal(err.rule, "E208");
    assert_string_equal(err.file, "scripts/test.lua");
    assert_int_equal(err.line, line);
}

static void test_contract(void **state)
{
    (void)state;
    refuses("return 3", "returns one table", 1);
    refuses("return {", "unexpected symbol", 1);
    refuses("local x = nil\nlocal y = x.z\nreturn {}", "attempt to index", 2);
    refuses("\nreturn { name = 'a' }", "'kind' is missing", 2);
    refuses("return { kind = 'nothing', name = 'a' }", "is not known", 1);
    refuses("return { kind = 'cache', name = 'a', run = type }", "'decide' is missing", 1);
    refuses("return { kind = 'cache', name = 'a', decide = 3 }", "must be a function", 1);
    refuses("return { kind = 'scheduler', name = 'A b', run = print }", "not made of", 1);
    refuses("return { kind = 'scheduler', name = 'a' }", "'run' is missing", 1);
    refuses("return { kind = 'scheduler', name = 'a', run = 3 }", "must be a function", 1);
    refuses("return { kind = 'guidance', name = 'a' }", "needs a function", 1);
    refuses("return { kind = 'sampler', name = 'a', run = type, params = { { name = 'x', type "
            "= 'FLOAT', default = 9, max = 4, min = 0 } } }",
            "outside", 1);
    refuses("return { kind = 'sampler', name = 'a', run = type, params = { { name = 'x', type "
            "= 'MODEL' } } }",
            "cannot be a parameter", 1);
    refuses("return { kind = 'sampler', name = 'a', run = type, params = { { name = 'x', type "
            "= 'COMBO' } } }",
            "options", 1);
    refuses("return { kind = 'scheduler', name = 'a', run = type, params = { { name = 'steps', "
            "type = 'INT' } } }",
            "twice", 1);
    refuses("return { kind = 'node', name = 'a', run = type }", "outputs", 1);
    refuses("\x1bLua", "binary", 1);
}

/* Runs one script by its kind; the status. */
static Status run_text(const char *script, Error *err)
{
    Script *s = NULL;
    bool ran = false;

    ok(load_text(script, NULL, &s, err), err);
    Status status = script_dry_run(s, &ran, err);
    ref_drop(s);
    return status;
}

static void fails(const char *script, const char *words, int line)
{
    Error err = { 0 };
    if (run_text(script, &err) != E_SCRIPT) fail_msg("no fault from: %s", script);
    if (!strstr(err.message, words)) fail_msg("'%s' lacks '%s'", err.message, words);
    assert_string_equal(err.file, "scripts/test.lua");
    assert_int_equal(err.line, line);
}

#define SCHEDULER(body)                                                                        \
    "return { kind = 'scheduler', name = 'a',\nrun = function(ctx, p)\n" body " end }"
#define SAMPLER(body)                                                                          \
    "return { kind = 'sampler', name = 'a',\nrun = function(m, x, sigmas, p)\n" body " end }"
#define GUIDANCE(body)                                                                         \
    "return { kind = 'guidance', name = 'a',\nrun = function(t, p, ctx)\n" body " end }"
#define COMBINE(body)                                                                          \
    "return { kind = 'guidance', name = 'a',\ncombine = function(c, u, t, p, ctx)\n" body      \
    " end }"
#define NODE(body)                                                                             \
    "return { kind = 'node', name = 'a', outputs = { { name = 'o', type = 'INT' } },\nrun = "  \
    "function(inputs)\n" body " end }"

static void test_wrong_returns(void **state)
{
    (void)state;
    fails(SCHEDULER("return 3"), "list of numbers", 2);
    fails(SCHEDULER("return { 1, 0 / 0 }"), "no finite number", 2);
    fails(SCHEDULER("return { 1, 2 }"), "do not fall", 2);
    fails(SCHEDULER("return { 1, 0, 0 }"), "2", 2);
    fails(SCHEDULER("return { 1, 0.5 }"), "last one must be 0", 2);
    fails(SCHEDULER("return { 1, 'x' }"), "list of numbers", 2);
    fails(SCHEDULER("local a = nil\nreturn a.b"), "attempt to index", 4);
    fails(SCHEDULER("error({ 1 })"), "error object", 3);
    fails(SAMPLER("return 1"), "must return a tensor", 2);
    fails(SAMPLER("return x:sum({ 2 })"), "is needed", 2);
    fails(SAMPLER("return x * (0 / 0)"), "not finite", 0);
    fails(SAMPLER("return m:denoise(3, 1)"), "tensor expected", 3);
    fails(SAMPLER("while true do m:denoise(x, 1) end"), "model calls", 3);
    fails(SAMPLER("x.y = 1"), "never changed", 3);
    fails(GUIDANCE("return 'x'"), "must return a number", 2);
    fails(GUIDANCE("return 0 / 0"), "no finite number", 2);
    fails(COMBINE("return 1"), "must return a tensor", 2);
    fails(COMBINE("return c:mean({ 2 })"), "is needed", 2);
    fails(NODE("return 1"), "list of outputs", 2);
    fails(NODE("return { 1, 2 }"), "2 outputs", 2);
    fails(NODE("return { 'x' }"), "whole number", 2);
    fails(NODE("return { 1.5 }"), "whole number", 2);
}

/* What tensors compute, checked by the script itself. */
static void test_tensors(void **state)
{
    Error err = { 0 };
    (void)state;
    Status status = run_text(
        "return { kind = 'sampler', name = 'a', run = function(m, x, sigmas, p)\n"
        "local one = x * 0 + 1\n"
        "assert(one:sum() == 256 and one:mean() == 1 and one:std() == 0 and one:norm() == 16)\n"
        "assert((one * 3 - 1):amax() == 2 and (-one):amin() == -1 and (2 / one):quantile(0.5) "
        "== 2)\n"
        "local s = x:shape() assert(#s == 4 and s[1] == 1 and s[2] == 4 and s[4] == 8)\n"
        "local part = one:sum({ 3, 4 }) assert(part:shape()[2] == 4 and part:shape()[3] == 1 "
        "and part:amin() == 64)\n"
        "assert(one:sum({ 2 }):amax() == 4 and one:sum({ -1 }):amax() == 8)\n"
        "assert(((x - x:mean({ 3, 4 })):mean({ 3, 4 })):abs():amax() < 1e-6)\n"
        "assert(one:lerp(one * 3, 0.25):amax() == 1.5 and (one * 4):sqrt():amin() == 2 and "
        "(one * 0):exp():amin() == 1)\n"
        "assert((one * 7):clamp(0, 2):amax() == 2 and one:min(0):amax() == 0 and one:max(one * "
        "2):amin() == 2)\n"
        "assert(math.f32(0.1) ~= 0.1 and math.expm1(0) == 0 and math.log1p(0) == 0 and "
        "x:clone():sum() == x:sum())\n"
        "assert(('a.b'):find('.', 1, true) == 2 and ('key=v'):match('(%w+)=(%w+)') == 'key' "
        "and ('x'):rep(3, ',') == 'x,x,x')\n"
        "assert(('abc'):gsub('%w', '%0%0') == 'aabbcc' and ('f(a(b))'):match('%b()') == "
        "'(a(b))')\n"
        "local n = 0 for w in ('a bc d'):gmatch('%a+') do n = n + #w end assert(n == 4)\n"
        "assert(not pcall(error, 'x') and select(2, pcall(error, 'x', 0)) == 'x')\n"
        "assert(m.uncond == nil and m:noise():shape()[2] == 4) m:step(0, x, x) return x end }",
        &err);
    if (status != OK) print_error("line %d: %s\n", err.line, err.message);
    assert_int_equal(status, OK);
}

static void test_globals(void **state)
{
    Error err = { 0 };
    (void)state;
    Status status = run_text("local want = {} for w in ('assert error ipairs next pairs pcall "
                             "select tonumber tostring type math string '\n"
                             ".. 'table utf8'):gmatch('%w+') do want[w] = true end\n"
                             "for _, name in ipairs({ 'setmetatable', 'getmetatable', "
                             "'coroutine', 'load', 'loadstring', 'dofile', 'require', 'io',\n"
                             "  'os', 'debug', 'package', 'collectgarbage', 'rawset', "
                             "'rawget', 'print', 'xpcall', 'warn', '_G' }) do\n"
                             "  assert(_ENV[name] == nil, name) end\n"
                             "for name in pairs(_ENV) do assert(want[name], name) end\n"
                             "for name in pairs(want) do assert(_ENV[name] ~= nil, name) end\n"
                             "assert(string.dump == nil and math.randomseed ~= nil)\n"
                             "return { kind = 'scheduler', name = 'a', run = function(ctx) "
                             "local s = {} for i = 0, ctx.steps do\n"
                             "s[i + 1] = ctx.sigma(1 - i / ctx.steps) end return s end }",
                             &err);
    if (status != OK) print_error("line %d: %s\n", err.line, err.message);
    assert_int_equal(status, OK);
}

/* A folder's scripts replace built-in ones, and changes are noticed. */
static void test_folder_is_watched(void **state)
{
    static const char script[] = "return { kind = 'scheduler', name = 'velocity', run = type }";
    char folder[] = "/tmp/weft-script-XXXXXX", path[64];
    const char *folders[] = { folder, NULL };
    ScriptSet *set = NULL;
    Error err = { 0 };

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/own.lua", folder);
    ok(file_write(path, script, sizeof script - 1, &err), &err);
    ok(script_set_load(folders, NULL, NULL, &set, &err), &err);
    assert_string_equal(script_set_find(set, "velocity")->file, path);
    assert_false(script_set_stale(set));
    ok(file_write(path, "return { }", 10, &err), &err);
    assert_true(script_set_stale(set));
    script_set_free(set);
    assert_int_equal(script_set_load(folders, NULL, NULL, &set, &err), E_FORMAT);
    assert_string_equal(err.rule, "E208");
    unlink(path);
    rmdir(folder);
}

int run_kinds_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtin_scripts_run),
        cmocka_unit_test(test_samplers_give_built_in_bits),
        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_wrong_returns),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_globals),
        cmocka_unit_test(test_folder_is_watched),
    };
    return cmocka_run_group_tests_name("kinds", tests, NULL, NULL);
}
