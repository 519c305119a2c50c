/* test_validate.c - `weft validate` and `weft explain` as users start them.
 *
 * usage: test_validate WEFT SOURCE_ROOT [NAME_FILTER]
 *
 * tests/data/lint holds a document per rule, in both formats; ok.json breaks none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/graph/rules.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

static Launch run;

/* What the engine cannot run and what is experimental is not what these tests look at. */
#define QUIET "--ignore", "E207,N202"

/* ---- helpers ----------------------------------------------------------------------------- */

static const char *data_path(const char *name)
{
    static char path[2][600];
    static int turn;

    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/tests/data/lint/%s", run.source, name);
    return path[turn];
}

/* A copy in the scratch folder. */
static const char *copy_of(const char *name, const char *as)
{
    char *text = NULL;
    size_t n = 0;
    Error err = { 0 };
    const char *path;

    assert_ok(file_read(data_path(name), (size_t)1 << 20, &text, &n, &err), &err);
    path = launch_write(&run, as, text, n);
    mem_free(text);
    return path;
}

static char *read_back(const char *path)
{
    char *text = NULL;
    size_t n = 0;
    Error err = { 0 };

    assert_ok(file_read(path, (size_t)1 << 20, &text, &n, &err), &err);
    return text;
}

static void must_hold(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("no '%s' in: %.2000s", part, text);
}

static void must_lack(const char *text, const char *part)
{
    if (strstr(text, part)) fail_msg("'%s' stands in: %.2000s", part, text);
}

static int count_of(const char *text, const char *part)
{
    int n = 0;

    while ((text = strstr(text, part))) {
        n++;
        text += strlen(part);
    }
    return n;
}

static JsonDoc *parse_output(void)
{
    JsonDoc *doc = NULL;
    Error err = { 0 };

    assert_ok(json_parse(run.out, strlen(run.out), &doc, &err), &err);
    return doc;
}

/* The first finding of a rule in a JSON report; NULL when there is none. */
static const Json *find_rule(const JsonDoc *doc, const char *rule)
{
    for (const Json *m = json_first(json_root(doc)); m; m = json_next(m))
        if (strcmp(json_string(json_get(m, "rule")), rule) == 0) return m;
    return NULL;
}

/* ---- a document per rule ----------------------------------------------------------------- */

/* fixed: 's' by --fix, 'u' with --unsafe-fixes, 0 by hand only. */
typedef struct RuleCase {
    const char *file, *rule, *node;
    int line;
    char fixed;
} RuleCase;

/* clang-format off */
static const RuleCase cases[] = {
    { "api/e101.json", "E101", "", 1, 0 },        { "api/e102.json", "E102", "", 1, 0 },
    { "api/e103.json", "E103", "12", 13, 0 },     { "api/e104.json", "E104", "5", 6, 0 },
    { "ui/e105.json", "E105", "60", 22, 0 },      { "api/e106.json", "E106", "", 1, 0 },
    { "api/e201.json", "E201", "4", 5, 'u' },     { "api/e202.json", "E202", "9", 10, 's' },
    { "api/e203.json", "E203", "12", 13, 0 },     { "api/e204.json", "E204", "8", 9, 's' },
    { "ui/e204.json", "E204", "8", 12, 's' },     { "api/e205.json", "E205", "9", 10, 'u' },
    { "api/e206.json", "E206", "12", 13, 0 },     { "api/e207.json", "E207", "13", 14, 0 },
    { "api/w101.json", "W101", "", 10, 0 },       { "api/w102.json", "W102", "12", 13, 's' },
    { "ui/w102.json", "W102", "12", 16, 's' },    { "api/w103.json", "W103", "9", 10, 's' },
    { "ui/w103.json", "W103", "9", 13, 's' },     { "ui/n104.json", "N104", "9", 13, 's' },
    { "ui/w105.json", "W105", "9", 13, 0 },       { "ui/w106.json", "W106", "3", 7, 0 },
    { "ui/w107.json", "W107", "4", 8, 's' },      { "ui/w108.json", "W108", "", 1, 0 },
    { "api/w201.json", "W201", "22", 21, 's' },   { "api/ok.json", "N202", "103", 18, 0 },
    { "api/n203.json", "N203", "50", 15, 'u' },   { "ui/n203.json", "N203", "50", 18, 'u' },
    { "ui/n204.json", "N204", "", 1, 0 },         { "api/w301.json", "W301", "100", 15, 's' },
    { "ui/w301.json", "W301", "100", 18, 's' },   { "api/w302.json", "W302", "100", 15, 's' },
    { "api/w303.json", "W303", "100", 15, 's' },  { "api/w304.json", "W304", "9", 10, 'u' },
    { "ui/w304.json", "W304", "9", 13, 'u' },     { "api/n305.json", "N305", "9", 10, 's' },
    { "ui/n305.json", "N305", "9", 13, 's' },     { "api/w306.json", "W306", "101", 16, 's' },
    { "api/w306_cache.json", "W306", "101", 17, 's' },
    { "api/w306_blocks.json", "W306", "101", 16, 's' },
    { "api/w303_old.json", "W303", "100", 15, 0 },
    { "api/w301_unknown.json", "W301", "100", 15, 0 },
    { "ui/n307b.json", "W306", "103", 21, 's' },  { "api/n307.json", "N307", "101", 16, 's' },
    { "api/n307b.json", "N307", "101", 16, 's' }, { "ui/n307b.json", "N307", "101", 19, 's' },
    { "api/n307c.json", "N307", "101", 16, 's' }, { "api/e308.json", "E308", "101", 16, 's' },
    { "ui/e308.json", "E308", "101", 19, 's' },   { "api/w309.json", "W309", "100", 15, 's' },
    { "ui/w309.json", "W309", "100", 18, 's' },   { "api/n310.json", "N310", "101", 16, 0 },
    { "api/w311.json", "W311", "101", 16, 0 },    { "api/w311z.json", "W311", "101", 16, 's' },
    { "ui/w311z.json", "W311", "101", 19, 's' },  { "api/w401.json", "W401", "14", 10, 0 },
    { "api/n402.json", "N402", "15", 11, 0 },     { "api/w403.json", "W403", "2", 3, 's' },
    { "ui/w403.json", "W403", "2", 6, 's' },      { "api/w404.json", "W404", "12", 13, 0 },
    { "api/n405.json", "N405", "6", 7, 's' },     { "ui/n405.json", "N405", "6", 10, 's' },
    { "api/n406.json", "N406", "6", 7, 's' },     { "ui/n406_inner.json", "N406", "6:70", 46, 's' },
    { "api/w407.json", "W407", "9", 10, 'u' },    { "api/n408.json", "N408", "5", 6, 0 },
    { "api/n901.json", "N901", "4", 5, 's' },     { "ui/n901.json", "N901", "4", 8, 's' },
};
/* clang-format on */

static void validate_json(const char *path)
{
    launch(&run, (const char *[]){ "validate", "--format", "json", "--quiet", path, NULL });
}

static void check_place(const RuleCase *c)
{
    JsonDoc *doc;
    const Json *f;
    bool found = false;

    validate_json(data_path(c->file));
    doc = parse_output();
    f = find_rule(doc, c->rule);
    if (!f) fail_msg("%s: no %s in %.2000s", c->file, c->rule, run.out);
    for (; f && !found; f = json_next(f)) {
        const char *node = json_string(json_get(f, "node"));
        if (strcmp(json_string(json_get(f, "rule")), c->rule) != 0) continue;
        found = strcmp(node ? node : "", c->node) == 0 &&
                (int)json_double(json_get(f, "line")) == c->line;
    }
    if (!found)
        fail_msg("%s: no %s of node %s in line %d: %.2000s", c->file, c->rule, c->node, c->line,
                 run.out);
    json_free(doc);
}

static void fix_copy(const char *path, bool unsafe)
{
    launch(&run, (const char *[]){ "validate", "--fix", "--quiet", QUIET, path,
                                   unsafe ? "--unsafe-fixes" : NULL, NULL });
}

/* Corrected, the finding is gone, the document is still one, and a second time nothing happens. */
static void check_fix(const RuleCase *c)
{
    const char *path = copy_of(c->file, "fix.json");
    char *before = read_back(path), *first, *second;

    fix_copy(path, c->fixed == 'u');
    first = read_back(path);
    if (strcmp(before, first) == 0) fail_msg("%s: nothing was corrected", c->file);
    must_lack(run.out, c->rule);
    if (run.status != 0) fail_msg("%s: %s", c->file, run.out);
    fix_copy(path, c->fixed == 'u');
    second = read_back(path);
    assert_string_equal(first, second);
    mem_free(before);
    mem_free(first);
    mem_free(second);
}

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_place(&cases[i]);
        if (cases[i].fixed) check_fix(&cases[i]);
    }
}

/* An unsafe correction is not made without being asked for, and none at all without --fix. */
static void test_fix_keeps_out(void **state)
{
    static const char *const files[] = { "api/e205.json", "api/n203.json", "api/w304.json" };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = copy_of(files[i], "keep.json");
        char *before = read_back(path), *after;
        fix_copy(path, false);
        after = read_back(path);
        assert_string_equal(before, after);
        mem_free(before);
        mem_free(after);
    }
}

/* No correction is offered, or made, where the document would not mean the same after it: a wire whose table and
 * ends disagree, a node that reads itself, a definition whose other instance is right as it is, a class whose ranges are
 * not known, a scheduler of two samplers on two branches, a node that something names in what is no link,
 * a circle. */
static void test_no_correction(void **state)
{
    static const char *const files[] = { "ui/keep_tangled.json",       "api/keep_self.json",
                                         "ui/keep_shared.json",        "api/keep_unknown.json",
                                         "api/keep_two_samplers.json", "api/keep_bad_link.json",
                                         "api/keep_circle.json" };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = copy_of(files[i], "keep.json");
        char *before = read_back(path), *after;
        validate_json(path);
        must_hold(run.out, "\"rule\": \"W3");
        must_lack(run.out, "\"correction\": \"");
        fix_copy(path, true);
        must_lack(run.err, "error");
        after = read_back(path);
        assert_string_equal(before, after);
        mem_free(before);
        mem_free(after);
    }
}

/* Near to breaking a rule: a compile node and a LoRA that do nothing any more, a patch of an unknown class
 * between the model sampling and the guider. */
static void test_near_misses(void **state)
{
    static const struct {
        const char *file, *rule, *node; /* that the rule does not speak of; NULL = of none */
    } near[] = { { "api/near_e308.json", "E308", NULL },
                 { "api/near_w311.json", "W311", "101" },
                 { "api/near_w304.json", "W304", NULL } };

    (void)state;
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        JsonDoc *doc;
        validate_json(data_path(near[i].file));
        doc = parse_output();
        for (const Json *f = find_rule(doc, near[i].rule); f; f = json_next(f)) {
            bool told = strcmp(json_string(json_get(f, "rule")), near[i].rule) == 0;
            if (told &&
                (!near[i].node || !strcmp(json_string(json_get(f, "node")), near[i].node)))
                fail_msg("%s: %s", near[i].file, run.out);
        }
        json_free(doc);
    }
}

/* Nodes change places; what was no link to one of them is not made one. */
static void test_bad_links_stay(void **state)
{
    const char *path = copy_of("api/w306_bad_link.json", "bad_link.json");
    char *after;

    (void)state;
    fix_copy(path, true);
    after = read_back(path);
    must_hold(after, "\"model\": [\"101\", 0], \"backend\"");
    must_hold(after, "\"filename_prefix\": [\"101\", {}]");
    mem_free(after);
}

/* Every rule has its document, or says here where it is tested; one with a correction has one that is corrected. */
static void test_all_rules_have_a_case(void **state)
{
    const Rule *rule;

    (void)state;
    for (size_t i = 0; (rule = rule_at(i)); i++) {
        bool found = strcmp(rule->id, "E208") == 0; /* test_script */
        for (size_t k = 0; k < sizeof cases / sizeof *cases && !found; k++)
            found = strcmp(cases[k].rule, rule->id) == 0;
        if (!found) fail_msg("%s has no case", rule->id);
        found = rule->fix == RULE_FIX_NONE;
        for (size_t k = 0; k < sizeof cases / sizeof *cases && !found; k++)
            found = cases[k].fixed && strcmp(cases[k].rule, rule->id) == 0;
        if (!found) fail_msg("%s has no case that is corrected", rule->id);
    }
}

static void test_clean(void **state)
{
    static const char *const files[] = { "api/ok.json", "ui/ok.json", "api/supp.json",
                                         "ui/supp.json" };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        launch(&run, (const char *[]){ "validate", QUIET, "--severity-threshold", "note",
                                       data_path(files[i]), NULL });
        if (run.status != 0 || run.out[0]) fail_msg("%s: %s%s", files[i], run.out, run.err);
        must_hold(run.err, "1 file: 0 errors, 0 warnings, 0 notes");
    }
}

static void test_diff(void **state)
{
    const char *path = copy_of("api/n406.json", "diff.json");
    char *before = read_back(path), *after;

    (void)state;
    launch(&run, (const char *[]){ "validate", "--diff", QUIET, path, NULL });
    assert_int_equal(run.status, 0);
    must_hold(run.out, "@@ -4,7 +4,7 @@");
    must_hold(run.out, "\"width\": 992, \"height\": 1072");
    assert_int_equal(count_of(run.out, "\n-"), 1);
    after = read_back(path);
    assert_string_equal(before, after);
    mem_free(before);
    mem_free(after);
}

/* ---- formats ----------------------------------------------------------------------------- */

static void test_text(void **state)
{
    (void)state;
    launch(&run, (const char *[]){ "validate", QUIET, data_path("ui/w301.json"), NULL });
    assert_int_equal(run.status, 0);
    must_hold(run.out,
              "ui/w301.json:18:5: warning W301 model sampling ModelSamplingFlux is overridden "
              "by node 101 (ModelSamplingSD3); remove the earlier one [node 100 "
              "ModelSamplingFlux]\n");
    must_hold(run.err, "1 file: 0 errors, 1 warning, 0 notes; --fix corrects 1");
}

static const Json *path_of(const Json *at, const char *const *keys)
{
    for (; at && *keys; keys++)
        at = json_is(at, JSON_ARRAY) ? json_at(at, (size_t)atoi(*keys)) : json_get(at, *keys);
    return at;
}

#define AT(json, ...) path_of(json, (const char *[]){ __VA_ARGS__, NULL })

/* What the schema of SARIF 2.1.0 requires, and what readers of it use. */
static void test_sarif(void **state)
{
    JsonDoc *doc;
    const Json *root, *result, *rules;

    (void)state;
    launch(&run,
           (const char *[]){ "validate", "--format", "sarif", QUIET, data_path("api/w301.json"),
                             data_path("api/supp.json"), NULL });
    assert_int_equal(run.status, 0);
    doc = parse_output();
    root = json_root(doc);
    assert_string_equal(json_string(AT(root, "version")), "2.1.0");
    must_hold(json_string(AT(root, "$schema")), "sarif-schema-2.1.0.json");
    assert_string_equal(json_string(AT(root, "runs", "0", "tool", "driver", "name")), "weft");
    assert_string_equal(json_string(AT(root, "runs", "0", "columnKind")), "unicodeCodePoints");
    rules = AT(root, "runs", "0", "tool", "driver", "rules");
    assert_non_null(rule_at(json_count(rules) - 1));
    assert_null(rule_at(json_count(rules)));
    result = AT(root, "runs", "0", "results", "0");
    assert_string_equal(json_string(AT(result, "ruleId")), "W301");
    assert_string_equal(
        json_string(
            json_get(json_at(rules, (size_t)json_double(AT(result, "ruleIndex"))), "id")),
        "W301");
    assert_string_equal(json_string(AT(result, "level")), "warning");
    assert_non_null(json_string(AT(result, "message", "text")));
    assert_int_equal((int)json_double(AT(result, "locations", "0", "physicalLocation", "region",
                                         "startLine")),
                     15);
    assert_string_equal(json_string(AT(result, "locations", "0", "logicalLocations", "0",
                                       "fullyQualifiedName")),
                        "100");
    assert_int_equal(strlen(json_string(AT(result, "partialFingerprints", "weftFinding/v1"))),
                     32);
    assert_true(json_count(AT(result, "fixes", "0", "artifactChanges", "0", "replacements")) >=
                2);
    assert_non_null(AT(result, "fixes", "0", "artifactChanges", "0", "replacements", "0",
                       "deletedRegion", "endColumn"));
    result = AT(root, "runs", "0", "results", "1");
    assert_string_equal(json_string(AT(result, "suppressions", "0", "kind")), "inSource");
    json_free(doc);
}

static void test_junit(void **state)
{
    static const char odd[] = "{\"<&\\\"\\u0001>\": {\"class_type\": \"SaveImage\", "
                              "\"inputs\": {\"images\": [\"x]]>\", 0], "
                              "\"filename_prefix\": \"a\"}}}";
    const char *path = launch_write(&run, "odd&\xff\xc3name.json", odd, sizeof odd - 1);

    (void)state;
    launch(&run, (const char *[]){ "validate", "--format", "junit", QUIET, path,
                                   data_path("api/ok.json"), NULL });
    assert_int_equal(run.status, 1);
    must_hold(run.out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
    must_hold(run.out, "odd&amp;\?\?name.json\" tests=\"1\" failures=\"1\"");
    must_hold(run.out, "node &lt;&amp;&quot;?&gt; (SaveImage)");
    must_hold(run.out, "x]]&gt;");
    must_hold(run.out, "name=\"clean\"/>");
    must_lack(run.out, "\x01");
    assert_int_equal(count_of(run.out, "<testsuite "), 2);
    assert_int_equal(count_of(run.out, "</testsuites>"), 1);
}

static void test_github(void **state)
{
    const char *path = copy_of("api/w301.json", "a,b:c%.json");

    (void)state;
    launch(&run, (const char *[]){ "validate", "--format", "github", QUIET, path, NULL });
    must_hold(run.out, "::warning file=");
    must_hold(run.out, "a%2Cb%3Ac%25.json,line=15,col=");
    must_hold(run.out,
              ",title=W301 sampling-overridden::node 100 (ModelSamplingFlux): model sampling");
}

/* ---- what the server would answer -------------------------------------------------------- */

/* A body, the type of the answer's error (NULL: none), and a part of the answer. */
typedef struct Posted {
    const char *body, *type, *part;
} Posted;

#define GREY                                                                                   \
    "\"1\": {\"class_type\": \"EmptyImage\", \"inputs\": {\"width\": 64, \"height\": 64, "     \
    "\"batch_size\": 1, \"color\": 0}}"
#define SHOW(id, from)                                                                         \
    "\"" id "\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"" from         \
    "\", 0]}}"

#define ANY(id, from)                                                                          \
    "\"" id "\": {\"class_type\": \"PreviewAny\", \"inputs\": {\"source\": [\"" from "\", "    \
    "0]}}"
#define STYLE(member, from)                                                                    \
    "\"2\": {\"class_type\": \"RecraftCreateStyleNode\", \"inputs\": {\"style\": "             \
    "\"realistic_image\", \"images." member "\": [\"" from "\", 0]}}"
#define RESIZE(crop)                                                                           \
    "\"2\": {\"class_type\": \"ImageResizeKJ\", \"inputs\": {\"image\": [\"1\", 0], "          \
    "\"width\": 64, "                                                                          \
    "\"height\": 64, \"upscale_method\": \"lanczos\", \"keep_proportion\": false, "            \
    "\"divisible_by\": 2, \"crop\": " crop "}}"
#define GOOD GREY ", " SHOW("2", "1")

/* clang-format off */
static const Posted posts[] = {
    { "{\"prompt\": {" GOOD "}}", NULL, "\"node_errors\": {}" },
    { "{" GREY ", " SHOW("prompt", "1") "}", NULL, "\"node_errors\": {}" },
    { "{\"prompt\": {" GOOD "}, \"partial_execution_targets\": [\"2\"]}", NULL, "{}" },
    { "{\"prompt\": {" GOOD "}, \"partial_execution_targets\": null}", NULL, "{}" },
    { "{\"prompt\": {" GOOD "}, \"partial_execution_targets\": [\"1\"]}", "prompt_no_outputs", "" },
    { "{\"prompt\": {" GOOD "}, \"partial_execution_targets\": []}", "prompt_no_outputs", "" },
    { "{\"prompt\": {" GOOD ", " SHOW("3", "9") "}}", NULL, "\"3\": {\"errors\"" },
    { "{\"prompt\": {" GOOD ", " SHOW("3", "9") "}, \"partial_execution_targets\": [\"3\"]}",
      "prompt_outputs_failed_validation", "\"exception_during_validation\"" },
    { "{\"prompt\": {" GOOD "}, \"number\": \"soon\"}", "invalid_request", "" },
    { "{\"prompt\": {}}", "prompt_no_outputs", "" },
    { "{\"prompt\": []}", "prompt_no_outputs", "" },
    { "{\"prompt\": null}", "invalid_prompt", "" },
    { "{\"prompt\": \"{}\"}", "invalid_prompt", "" },
    { "{\"prompt\": {\"1\": null}}", "invalid_prompt", "node 1 is null" },
    { "{" GREY ", \"2\": null}", "invalid_prompt", "node 2 is null" },
    { "{\"prompt\": {\"nodes\": [], \"links\": []}}", "invalid_prompt", "UI document" },
    { "{}", "no_prompt", "" },
    { "[]", "no_prompt", "" },
    { "\"text\"", "no_prompt", "" },
    /* sockets that grow, of a class that is only known */
    { "{\"prompt\": {" GREY ", " STYLE("image0", "1") ", " SHOW("3", "2") "}}", "prompt_outputs_failed_validation",
      "return_type_mismatch" },
    { "{\"prompt\": {" GREY ", " STYLE("image0", "9") ", " ANY("3", "2") "}}", "prompt_outputs_failed_validation",
      "\"reason\": \"unknown_node\"" },
    { "{\"prompt\": {" GREY ", " STYLE("image1", "1") ", " ANY("3", "2") "}}", "prompt_outputs_failed_validation",
      "\"input_name\": \"images.image0\"" },
    { "{\"prompt\": {" GREY ", " RESIZE("0") ", " SHOW("3", "2") "}}", NULL, "{}" },
    { "{\"prompt\": {" GREY ", " RESIZE("\"0\"") ", " SHOW("3", "2") "}}", "prompt_outputs_failed_validation",
      "'0' not in ['disabled', 'center', 0]" },
    { "{\"prompt\": {},}", "invalid_json", "\"offset\": 14" },
    { "{} {}", "invalid_json", "" },
};
/* clang-format on */

static void check_answer(const Posted *p)
{
    char type[80];

    snprintf(type, sizeof type, "{\"error\": {\"type\": \"%s\"", p->type ? p->type : "");
    if (run.status != (p->type != NULL)) fail_msg("%s: exit status %d", p->body, run.status);
    if (p->type) must_hold(run.out, type);
    if (!p->type) must_lack(run.out, "\"error\"");
    must_hold(run.out, p->part);
}

/* A request's own members count, and one on standard input is answered as one in a file. */
static void test_comfy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof posts / sizeof *posts; i++) {
        const char *body = posts[i].body;
        launch(&run,
               (const char *[]){ "validate", "--format", "comfy",
                                 launch_write(&run, "body.json", body, strlen(body)), NULL });
        check_answer(&posts[i]);
        run.input = body;
        launch(&run, (const char *[]){ "validate", "--format", "comfy", "-", NULL });
        check_answer(&posts[i]);
    }
    launch(&run, (const char *[]){ "validate", "--format", "comfy", "/nowhere/x.json", NULL });
    launch_expect(&run, 2, (const char *[]){ "/nowhere/x.json", NULL });
    launch(&run,
           (const char *[]){ "validate", "--format", "comfy", data_path("ui/ok.json"), NULL });
    must_hold(run.out,
              "flux1-dev.safetensors' not in []"); /* a drawing stands for its prompt */
}

/* ---- inputs ------------------------------------------------------------------------------ */

static void test_folder(void **state)
{
    char folder[400], pattern[420];

    (void)state;
    copy_of("api/w301.json", "set_a.json");
    copy_of("api/e102.json", "set_b.json");
    copy_of("ui/ok.json", "set_c.json");
    snprintf(pattern, sizeof pattern, "%s/set_*.json", run.folder);
    launch(&run, (const char *[]){ "validate", QUIET, pattern, NULL });
    must_hold(run.err,
              "2 files: 0 errors, 1 warning, 0 notes; 1 file without a workflow skipped");
    snprintf(pattern, sizeof pattern, "%s/**/none_*.json", run.folder);
    launch(&run, (const char *[]){ "validate", pattern, NULL });
    launch_expect(&run, 2, (const char *[]){ "no workflow file matches", NULL });
    snprintf(folder, sizeof folder, "%s/tests/data/lint/ui", run.source);
    launch(&run, (const char *[]){ "validate", "--format", "json", "--select", "W3", QUIET,
                                   folder, NULL });
    assert_int_equal(run.status, 1); /* errors stay on */
    must_hold(run.out, "\"W311\"");
    must_hold(run.out, "\"E105\"");
    must_lack(run.out, "\"N406\"");
    launch(&run,
           (const char *[]){ "validate", "/nowhere/x.json", data_path("api/ok.json"), NULL });
    launch_expect(&run, 2,
                  (const char *[]){ "/nowhere/x.json", "1 file:", "1 unreadable", NULL });
}

static void test_stdin(void **state)
{
    char *text = read_back(data_path("api/e205.json"));

    (void)state;
    run.input = text;
    launch(&run, (const char *[]){ "validate", QUIET, "-", NULL });
    assert_int_equal(run.status, 1);
    must_hold(run.out, "-:10:");
    run.input = text;
    launch(&run, (const char *[]){ "validate", "--fix", "-", NULL });
    launch_expect(&run, 2, (const char *[]){ "--diff", NULL });
    mem_free(text);
}

/* ---- settings ---------------------------------------------------------------------------- */

static void test_settings(void **state)
{
    static const char toml[] = "# rules of this folder\n"
                               "[lint]\n"
                               "ignore = [\"E207\", 'N202', # two kinds of quotes\n"
                               "  \"N203\",\n"
                               "]\n"
                               "severity-threshold = \"note\"\n"
                               "exclude = [\"old_*.json\"]\n"
                               "known-classes = [\"My*\"]\n"
                               "severity = { W301 = \"error\", N4 = \"off\" }\n"
                               "[lint.per-file-ignores]\n"
                               "\"draft_*.json\" = [\"W3\"]\n";
    static const char mine[] = "{\"1\": {\"class_type\": \"MySaver\", \"inputs\": {}}}";
    char folder[420], path[440], *text;

    (void)state;
    snprintf(folder, sizeof folder, "%s/conf", run.folder);
    assert_int_equal(file_make_dirs(folder, NULL), OK);
    launch_write(&run, "conf/weft.toml", toml, sizeof toml - 1);
    copy_of("api/w301.json", "conf/a.json");
    copy_of("api/w301.json", "conf/draft_a.json");
    copy_of("api/e205.json", "conf/old_a.json");
    launch_write(&run, "conf/mine.json", mine, sizeof mine - 1);
    launch(&run, (const char *[]){ "validate", folder, NULL });
    assert_int_equal(run.status, 1);
    must_hold(run.out, "conf/a.json:15:10: error W301");
    must_lack(run.out, "draft_a.json");
    must_lack(run.out, "old_a.json");
    must_lack(run.out, "E201");
    must_hold(run.out, "mine.json:1:1: error E106");
    snprintf(path, sizeof path, "%s/draft_a.json", folder);
    launch(&run, (const char *[]){ "validate", path, NULL });
    assert_int_equal(run.status, 0);
    text = read_back(data_path("api/ok.json"));
    launch_write(&run, "conf/weft.toml", "[lint]\nselekt = [\"W3\"]\n", 23);
    launch(&run, (const char *[]){ "validate", path, NULL });
    launch_expect(&run, 2,
                  (const char *[]){ "weft.toml:2:1:", "selekt: unknown key", "select", NULL });
    launch_write(&run, "conf/weft.toml", "[lint]\nselect = [\"X9\"]\n", 23);
    launch(&run, (const char *[]){ "validate", path, NULL });
    launch_expect(&run, 2, (const char *[]){ "no rule starts with 'X9'", NULL });
    launch_write(&run, "conf/weft.toml", "[lint\n", 6);
    launch(&run, (const char *[]){ "validate", path, NULL });
    launch_expect(&run, 2, (const char *[]){ "weft.toml:1:6:", "invalid TOML", NULL });
    mem_free(text);
}

/* ---- the rest ---------------------------------------------------------------------------- */

static void test_script(void **state)
{
    static const char lua[] = "return { kind = \"scheduler\" }\n";
    char folder[420];
    JsonDoc *doc;

    (void)state;
    snprintf(folder, sizeof folder, "%s/scripts", run.folder);
    assert_int_equal(file_make_dirs(folder, NULL), OK);
    launch_write(&run, "scripts/bad.lua", lua, sizeof lua - 1);
    launch(&run, (const char *[]){ "validate", "--format", "json", "--lua", folder,
                                   data_path("api/ok.json"), NULL });
    assert_int_equal(run.status, 1);
    doc = parse_output();
    assert_int_equal(json_count(json_root(doc)), 1);
    assert_non_null(find_rule(doc, "E208"));
    must_hold(json_string(json_get(find_rule(doc, "E208"), "file")), "bad.lua");
    json_free(doc);
}

static void test_watch(void **state)
{
    const char *path = copy_of("api/w301.json", "watch.json");

    (void)state;
    run.wait_for = "W301";
    launch(&run, (const char *[]){ "validate", "--watch", QUIET, path, NULL });
    must_hold(run.out, "W301");
    must_hold(run.err, "waiting for changes");
    assert_int_equal(run.status, 0);
}

static void test_explain(void **state)
{
    const Rule *rule;

    (void)state;
    launch(&run, (const char *[]){ "explain", NULL });
    assert_int_equal(run.status, 0);
    for (size_t i = 0; (rule = rule_at(i)); i++)
        must_hold(run.out, rule->id);
    launch(&run, (const char *[]){ "explain", "e205", "sampling-overridden", NULL });
    must_hold(run.out, "E205 bad-value (error)");
    must_hold(run.out, "Bad:   \"steps\": 0");
    must_hold(run.out, "W301 sampling-overridden (warning)");
    launch(&run, (const char *[]){ "explain", "E299", NULL });
    launch_expect(&run, 1, (const char *[]){ "no rule 'E299'", "did you mean", NULL });
}

/* The structure that editors rely on: each class has inputs, ranges and required ones. */
static void test_schema(void **state)
{
    JsonDoc *doc = NULL;
    const Json *steps, *root;
    FILE *pipe;
    char command[900];
    Str text = { 0 };
    char buffer[1 << 14];
    Error err = { 0 };

    (void)state;
    snprintf(command, sizeof command, "'%s' nodes --schema", run.program);
    pipe = popen(command, "r"); /* longer than what launch keeps */
    assert_non_null(pipe);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        str_add_n(&text, buffer, n);
    assert_int_equal(pclose(pipe), 0);
    assert_ok(json_parse(text.text, text.length, &doc, &err), &err);
    root = json_root(doc);
    assert_non_null(AT(root, "definitions", "node", "properties", "class_type", "anyOf", "1",
                       "enum", "700"));
    steps = AT(root, "definitions", "classes", "KSampler", "properties", "steps", "anyOf", "1");
    assert_string_equal(json_string(json_get(steps, "type")), "integer");
    assert_int_equal((int)json_double(json_get(steps, "minimum")), 1);
    assert_int_equal((int)json_double(json_get(steps, "maximum")), 10000);
    assert_int_equal(json_count(AT(root, "definitions", "classes", "KSampler", "required")),
                     10);
    assert_true(json_is(AT(root, "definitions", "classes", "KSampler", "additionalProperties"),
                        JSON_BOOL));
    assert_string_equal(json_string(AT(root, "definitions", "node", "properties", "class_type",
                                       "anyOf", "0", "pattern")),
                        "^Lua\\.");
    assert_true(json_count(AT(root, "definitions", "node", "allOf")) ==
                json_count(AT(root, "definitions", "classes")));
    json_free(doc);
    str_fini(&text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),          cmocka_unit_test(test_fix_keeps_out),
        cmocka_unit_test(test_no_correction),  cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_bad_links_stay), cmocka_unit_test(test_all_rules_have_a_case),
        cmocka_unit_test(test_clean),          cmocka_unit_test(test_diff),
        cmocka_unit_test(test_text),           cmocka_unit_test(test_sarif),
        cmocka_unit_test(test_junit),          cmocka_unit_test(test_github),
        cmocka_unit_test(test_comfy),          cmocka_unit_test(test_folder),
        cmocka_unit_test(test_stdin),          cmocka_unit_test(test_settings),
        cmocka_unit_test(test_script),         cmocka_unit_test(test_watch),
        cmocka_unit_test(test_explain),        cmocka_unit_test(test_schema),
    };
    int failed;

    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    launch_open(&run, argv[1], argv[2]);
    failed = cmocka_run_group_tests_name("validate", tests, NULL, NULL);
    launch_close(&run);
    return failed;
}
