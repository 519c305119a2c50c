/* test_tokens.c - tokenizers on hostile input, long input and short memory. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/mem.h"
#include "engine/text/bpe.h"
#include "engine/text/clip_bpe.h"
#include "engine/text/prompt.h"
#include "engine/text/prompt_rules.h"
#include "engine/text/unigram.h"
#include "tests/unit/text/suite.h"

typedef Status (*OpenFn)(Tokenizer **out, Error *err);

static const struct Kind {
    const char *name;
    OpenFn open;
    const PromptRules *rules;
} kinds[] = { { "qwen", bpe_qwen, &prompt_rules_klein },
              { "clip", clip_bpe, &prompt_rules_clip },
              { "t5", unigram_t5, &prompt_rules_t5 } };
enum { KINDS = sizeof kinds / sizeof *kinds };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Repeats a pattern to n bytes. */
static char *repeated(const char *pattern, size_t n)
{
    char *text = mem_alloc(n + 1);
    size_t k = strlen(pattern);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        text[i] = pattern[i % k];
    text[n] = 0;
    return text;
}

/* A quarter of a megabyte of each kind of trouble; a quadratic step would take minutes. */
static void long_prompts_are_near_linear(void **state)
{
    static const char *const patterns[] = {
        "a",     "a cat, ",          "(",         ")", "((a:1.1) ",   "(a)",
        "  \n",  "\xCC\x81\xCC\x96", "'s",        "<", " embedding:", "\xFF",
        "<|im_", "\xE4\xB8\x80",     "\xCE\xA3'", "0:"
    };
    enum { SIZE = 1 << 18 };
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        Tokenizer *t;
        double slowest = 0;
        assert_int_equal(kinds[k].open(&t, NULL), OK);
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            char *text = repeated(patterns[i], SIZE);
            Prompt *p = NULL;
            double start = now();
            assert_int_equal(
                prompt_tokenize(t, kinds[k].rules, NULL, NULL, text, SIZE, &p, NULL), OK);
            double seconds = now() - start;
            if (seconds > slowest) slowest = seconds;
            if (seconds > 1)
                printf("%s: 256 KiB of \"%s\" took %.2f s\n", kinds[k].name, patterns[i],
                       seconds);
            assert_true(seconds < 20);
            prompt_unref(p);
            mem_free(text);
        }
        printf("%s: slowest 256 KiB %.2f s\n", kinds[k].name, slowest);
        tokenizer_unref(t);
    }
}

static Status nothing_found(void *user, const char *name, PromptEmbedding *out, Error *err)
{
    (void)user;
    (void)name;
    (void)out;
    (void)err;
    return OK;
}

/* The n-th allocation fails, for every n until none does: an error each time, and no leak under
 * ASan. */
static void every_allocation_may_fail(void **state)
{
    static const char text[] =
        "((a caf\xC3\xA9:1.2) \\(x\\) embedding:none, b) e\xCC\x81 </s> \xFF<think>";
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        int tries = 0;
        Status status = E_NOMEM;
        for (; status != OK && tries < 5000; tries++) {
            Tokenizer *t = NULL;
            Prompt *p = NULL;
            mem_fail_at((uint64_t)tries + 1);
            status = kinds[k].open(&t, NULL);
            if (status == OK)
                status = prompt_tokenize(t, kinds[k].rules, nothing_found, NULL, text,
                                         sizeof text - 1, &p, NULL);
            mem_fail_at(0);
            if (status != OK) assert_int_equal(status, E_NOMEM);
            if (status != OK) assert_null(p);
            prompt_unref(p);
            tokenizer_unref(t);
        }
        assert_true(tries > 5 && tries < 5000);
    }
}

static void nesting_multiplies_weights(void **state)
{
    (void)state;
    Tokenizer *t;
    Prompt *p = NULL;
    assert_int_equal(unigram_t5(&t, NULL), OK);
    const char *text = "((cat))";
    assert_int_equal(
        prompt_tokenize(t, &prompt_rules_t5, NULL, NULL, text, strlen(text), &p, NULL), OK);
    assert_true(p->weighted);
    assert_true(p->tokens[0].weight == 1.1 * 1.1);
    assert_int_equal(p->count, 256);
    prompt_unref(p);
    tokenizer_unref(t);
}

static void tables_open_at_once(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        Tokenizer *t;
        double start = now();
        assert_int_equal(kinds[k].open(&t, NULL), OK);
        printf("%s: opened in %.1f us\n", kinds[k].name, 1e6 * (now() - start));
        tokenizer_unref(t);
    }
}

int run_token_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_open_at_once),
        cmocka_unit_test(nesting_multiplies_weights),
        cmocka_unit_test(long_prompts_are_near_linear),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
