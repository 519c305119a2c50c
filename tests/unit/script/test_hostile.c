/* test_hostile.c - scripts that mean harm are stopped, and no failed allocation leaves anything behind. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/mem.h"
#include "tests/unit/script/support.h"

#define BODY(text)                                                                             \
    "return { kind = 'scheduler', name = 'a', run = function(ctx, p) " text " end }"

/* Each must end by itself with a fault (or be refused at load). */
static const char *const hostile[] = {
    "while true do end",
    "local function f() while true do end end while true do pcall(f) end",
    BODY("while true do end"),
    BODY("local function f() while true do end end while true do pcall(f) end"),
    BODY("while true do pcall(error, 'x') end"),
    BODY("local function f() pcall(f) while true do end end while true do pcall(f) end"),
    BODY("::top:: goto top"),
    BODY("return ('a'):rep(30):match(('a?'):rep(30) .. ('a'):rep(31))"),
    BODY("while true do pcall(string.find, ('a'):rep(100000), ('.-'):rep(20) .. 'b') end"),
    BODY("return ('x'):rep(1 << 40)"),
    BODY("return ('x'):rep(1e9, 'y')"),
    BODY("local s = 'x' while true do s = s .. s end"),
    BODY("local t = {} while true do t[#t + 1] = {} end"),
    BODY("local t = {} while true do pcall(function() for i = 1, 1e9 do t[i] = i end end) end"),
    BODY("local function f(n) return 1 + f(n + 1) end return f(1)"),
    BODY("local function f() return pcall(f) end f() while true do f() end"),
    BODY("return string.format('%99999d', 1)"),
    BODY("return string.format('%s', setmetatable({}, {}))"),
    BODY("coroutine.wrap(function() while true do end end)()"),
    BODY("error(setmetatable({}, { __tostring = function() while true do end end }))"),
    BODY("error({ __tostring = function() while true do end end, __gc = 1 })"),
    BODY("local x <close> = { __close = function() while true do end end }"),
    BODY("return load('return 1')()"),
    BODY("return ('').__index.x.y"),
    BODY("string.rep = nil return ('x'):rep(3)"),
    BODY("table.move({}, 1, math.maxinteger, 2)"),
    BODY("table.move({}, 1, 1 << 50, 2)"),
    BODY("return table.unpack({}, 1, 1e8)"),
    BODY("return table.concat({}, 'x', 1, 1 << 40)"),
    BODY("local t = {} for i = 1, 1e5 do t[i] = i end while true do table.insert(t, 1, 0) "
         "table.remove(t, 1) end"),
    BODY("local t = {} for i = 1, 1e5 do t[i] = -i end while true do table.sort(t) end"),
    BODY("table.sort({ 3, 1, 2, 5, 4 }, function() while true do end end)"),
    BODY("return ('x'):gsub('x', function() while true do end end)"),
    BODY("return ('((' ):rep(50000):match(('('):rep(50000))"),
    BODY("return ('a'):match('[' .. ('a'):rep(1000))"),
    BODY("return ('a'):match('%')"),
    BODY("for k in pairs(math) do math[k] = nil end return ctx.sigma('x')"),
    BODY("return ctx.sigma(5)"),
    BODY("local t = ctx t.sigma = nil ctx = nil return t.sigma(0)"),
    BODY("while true do utf8.len(('x'):rep(1000000)) end"),
    "return { kind = 'sampler', name = 'a', run = function(m, x) local t = {} for i = 1, 1e9 "
    "do t[i] = x * 2 end end }",
    "return { kind = 'sampler', name = 'a', run = function(m, x) while true do "
    "pcall(m.denoise, m, x, 1) end end }",
    "return { kind = 'sampler', name = 'a', run = function(m, x) while true do x = x:lerp(x, "
    "0.5):quantile(0.5, {1}) + x end end }",
    "return { kind = 'sampler', name = 'a', run = function(m, x) return m.denoise(x, x, 1) end "
    "}",
    "return { kind = 'sampler', name = 'a', run = function(m, x) return x:sum({ 9 }) end }",
    "return { kind = 'sampler', name = 'a', run = function(m, x) return x:sum({ 1, 'x' }) end "
    "}",
    "return { kind = 'sampler', name = 'a', run = function(m, x) return x:quantile(2) end }",
    "return { kind = 'guidance', name = 'a', run = function(t, p, ctx) ctx.state[#ctx.state + "
    "1] = ctx.x while true do end end }",
};

static void test_hostile_scripts_are_stopped(void **state)
{
    ScriptLimits limits = { .budget = 4000000, .memory = 24 << 20 };

    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        Script *s = NULL;
        Error err = { 0 };
        bool ran = false;
        clock_t began = clock();
        Status status = load_text(hostile[i], &limits, &s, &err);
        if (status == OK) status = script_dry_run(s, &ran, &err);
        double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
        if (status != E_SCRIPT && status != E_FORMAT)
            print_error("%s: status %s\n", hostile[i], status_name(status));
        assert_true(status == E_SCRIPT || status == E_FORMAT);
        assert_true(err.message[0] != 0);
        if (seconds > 10) print_error("%s took %.1f s\n", hostile[i], seconds);
        assert_true(seconds < 20);
        ref_drop(s);
    }
}

/* Fails the 1st, 2nd, 3rd... allocation until the script passes, `step` further each time. */
static void fail_each(const Script *s, uint64_t step)
{
    for (uint64_t n = 1;; n += step) {
        Error err = { 0 };
        bool ran = false;
        Script *copy = NULL;
        mem_fail_at(n);
        Status status = script_load(s->file, s->text, s->size, NULL, &copy, &err);
        if (status == OK) status = script_dry_run(copy, &ran, &err);
        mem_fail_at(0);
        ref_drop(copy);
        if (status == OK) break;
        if (status != E_NOMEM)
            print_error("%s, allocation %d: %s\n", s->name, (int)n, err.message);
        assert_int_equal(status, E_NOMEM);
        assert_true(n < 100000);
    }
}

/* Every script that is shipped; with $WEFT_THOROUGH no allocation is left out. */
static void test_failed_allocations_leave_nothing(void **state)
{
    uint64_t step = getenv("WEFT_THOROUGH") ? 1 : 17;
    ScriptSet *set = builtin_scripts();
    const Script *s;

    (void)state;
    for (size_t i = 0; (s = script_set_at(set, i)); i++)
        fail_each(s, step);
    script_set_free(set);
}

int run_hostile_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_scripts_are_stopped),
        cmocka_unit_test(test_failed_allocations_leave_nothing),
    };
    return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
