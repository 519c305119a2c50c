/* pretoken.h - the patterns that cut text into pre-tokens, written out by hand. */
#ifndef WEFT_TEXT_PRETOKEN_H
#define WEFT_TEXT_PRETOKEN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * One family of patterns, alternatives tried in order at each place:
 *
 *   contractions   's 't 're 've 'm 'll 'd, in either case when any_case
 *   letters        an optional lead and \p{L}+; the lead is any character but line ends,
 *                  letters and numbers when any_lead, else a blank
 *   numbers        \p{N}{1,digits}, or an optional blank and \p{N}+ when digits is 0
 *   rest           an optional blank and [^\s\p{L}\p{N}]+, with the line ends behind it when
 *                  line_ends
 *   line ends      \s*[\r\n]+ when line_ends
 *   white space    \s+(?!\S), else \s+
 */
typedef struct PretokenRule {
    bool contractions, any_case, any_lead, line_ends;
    int digits;
} PretokenRule;

extern const PretokenRule pretoken_qwen; /* Qwen2 and Qwen3 */
extern const PretokenRule pretoken_gpt2; /* byte-level BPE of GPT-2 */
extern const PretokenRule
    pretoken_llama3; /* as Qwen with numbers of up to three digits: Llama 3 */

/* End of the pre-token that starts at `at` (at < n); text is valid UTF-8. */
size_t pretoken_end(const PretokenRule *rule, const char *text, size_t n, size_t at);

/* Length of the contraction at `at`, an apostrophe, or 0. With any_case U+017F is an s. */
size_t pretoken_contraction(const char *text, size_t n, size_t at, bool any_case);

#endif
