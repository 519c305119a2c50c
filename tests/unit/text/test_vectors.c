/* test_vectors.c - every prompt of the reference's tokenizer vectors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/text/bpe.h"
#include "engine/text/clip_bpe.h"
#include "engine/text/prompt.h"
#include "engine/text/prompt_rules.h"
#include "engine/text/unigram.h"
#include "tests/unit/text/suite.h"

/* The three embeddings that the vectors were made with. */
typedef struct FakeEmbedding {
    Ref ref;
    const char *name;
    int64_t rows;
} FakeEmbedding;

static void keep(void *object)
{
    (void)object;
}

static FakeEmbedding fakes[] = { { .name = "tiny1", .rows = 1 },
                                 { .name = "tiny3", .rows = 3 },
                                 { .name = "sub/tiny2", .rows = 2 } };

static Status find_fake(void *user, const char *name, PromptEmbedding *out, Error *err)
{
    static const char *const endings[] = { "", ".safetensors", ".pt", ".bin" };
    (void)user;
    (void)err;
    for (size_t i = 0; i < sizeof fakes / sizeof *fakes; i++) {
        const char *full = fakes[i].name, *base = strrchr(full, '/');
        for (int e = 0; e < 2; e++) {
            char with[64];
            snprintf(with, sizeof with, "%s%s", full, endings[e]);
            if (strcmp(name, with) != 0 && !(base && strcmp(name, base + 1) == 0)) continue;
            *out = (PromptEmbedding){ .object = ref_take(&fakes[i]), .rows = fakes[i].rows };
            return OK;
        }
    }
    return OK;
}

static int failures;

static void expect(bool ok, const char *text, const char *what, size_t i)
{
    if (ok) return;
    if (failures++ < 20) printf("prompt \"%.60s\": %s differs at %zu\n", text, what, i);
}

static bool same_token(const Json *want, const PromptToken *got, const Prompt *p)
{
    int64_t id = 0;
    if (json_kind(want) == JSON_NUMBER) return json_int64(want, &id) && id == got->id;
    if (got->embedding < 0) return false;
    const FakeEmbedding *fake = p->embeddings[got->embedding].object;
    const char *name = strrchr(fake->name, '/');
    const char *asked = json_string(json_get(want, "emb"));
    json_int64(json_get(want, "row"), &id);
    return got->row == id &&
           (strcmp(asked, fake->name) == 0 || (name && strcmp(asked, name + 1) == 0));
}

static double number(const Json *node)
{
    const char *text = json_string(node);
    if (!text) return json_double(node);
    double v = NAN;
    str_to_double(text, &v);
    return v;
}

static void check_batch(const char *text, const Json *batch, const Prompt *p,
                        const PromptSection *s, int32_t pad)
{
    const Json *ids = json_get(batch, "ids"), *weights = json_get(batch, "weights");
    const Json *words = json_get(batch, "word_ids");
    int64_t length = 0, word = 0;
    json_int64(json_get(batch, "len"), &length);
    expect((size_t)length == s->count, text, "length", s->count);
    const Json *id = json_first(ids), *w = weights ? json_first(weights) : NULL,
               *k = json_first(words);
    for (size_t i = 0; i < s->count; i++) {
        const PromptToken *got = &p->tokens[s->first + i];
        double want = w ? number(w) : 1.0;
        if (id)
            expect(same_token(id, got, p), text, "id", i);
        else
            expect(got->id == pad, text, "pad", i);
        expect(got->weight == want || (isnan(want) && isnan(got->weight)), text, "weight", i);
        json_int64(k, &word);
        expect(got->word == (k ? word : 0), text, "word", i);
        id = json_next(id);
        w = w ? json_next(w) : NULL;
        k = k ? json_next(k) : NULL;
    }
}

static void check_vectors(const char *name, const Tokenizer *t, const PromptRules *rules)
{
    JsonDoc *doc = shared_json(name);
    const Json *cases = json_get(json_root(doc), "cases");
    size_t count = 0;
    failures = 0;
    for (size_t i = 0; i < 3; i++)
        ref_init(&fakes[i].ref, keep);
    for (const Json *c = json_first(cases); c; c = json_next(c), count++) {
        const Json *text = json_get(c, "text"), *batches = json_get(c, "batches");
        Prompt *p = NULL;
        Error err = { 0 };
        Status status = prompt_tokenize(t, rules, find_fake, NULL, json_string(text),
                                        json_string_length(text), &p, &err);
        assert_int_equal(status, OK);
        expect(p->section_count == json_count(batches), json_string(text), "number of sections",
               0);
        const Json *b = json_first(batches);
        for (size_t s = 0; s < p->section_count && b; s++, b = json_next(b))
            check_batch(json_string(text), b, p, &p->sections[s], rules->pad);
        prompt_unref(p);
    }
    printf("%s: %zu prompts\n", name, count);
    json_free(doc);
    assert_int_equal(failures, 0);
    assert_true(count > 200);
}

static void check_raw(const char *key, const Tokenizer *t, int32_t start, int32_t end)
{
    JsonDoc *doc = shared_json("vectors/tokenizers/raw_ids.json");
    failures = 0;
    for (const Json *c = json_first(json_get(json_root(doc), "cases")); c; c = json_next(c)) {
        const Json *text = json_get(c, "text"), *want = json_get(c, key);
        Ids ids = { 0 };
        size_t i = 0;
        if (start >= 0) ids_add(&ids, start);
        assert_int_equal(
            tokenizer_encode(t, json_string(text), json_string_length(text), &ids, NULL), OK);
        if (end >= 0) ids_add(&ids, end);
        expect(ids.count == json_count(want), json_string(text), "count", ids.count);
        for (const Json *id = json_first(want); id && i < ids.count; id = json_next(id), i++) {
            int64_t v = 0;
            json_int64(id, &v);
            expect(ids.at[i] == v, json_string(text), "id", i);
        }
        ids_fini(&ids);
    }
    json_free(doc);
    assert_int_equal(failures, 0);
}

static void qwen_prompts(void **state)
{
    (void)state;
    Tokenizer *t;
    assert_int_equal(bpe_qwen(&t, NULL), OK);
    check_vectors("vectors/tokenizers/qwen3_klein.json", t, &prompt_rules_klein);
    check_raw("qwen", t, -1, -1);
    tokenizer_unref(t);
}

static void clip_prompts(void **state)
{
    (void)state;
    Tokenizer *t;
    assert_int_equal(clip_bpe(&t, NULL), OK);
    check_vectors("vectors/tokenizers/clip_l.json", t, &prompt_rules_clip);
    check_raw("clip", t, 49406, 49407);
    tokenizer_unref(t);
}

static void t5_prompts(void **state)
{
    (void)state;
    Tokenizer *t;
    assert_int_equal(unigram_t5(&t, NULL), OK);
    check_vectors("vectors/tokenizers/t5xxl.json", t, &prompt_rules_t5);
    check_raw("t5", t, -1, 1);
    tokenizer_unref(t);
}

int run_vector_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen_prompts),
        cmocka_unit_test(clip_prompts),
        cmocka_unit_test(t5_prompts),
    };
    return cmocka_run_group_tests_name("text vectors", tests, NULL, NULL);
}
