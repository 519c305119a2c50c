/* file_name.c - what the name of a model file tells about its contents. */
#include "engine/formats/file_name.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Words in small letters; of several that a name holds the first row counts. A word begins a part of the name ("-Q4_0",
 * "devF16"), or stands anywhere in it. 4-bit types whose scales lie in tables of their own count as Q4_0, which takes the
 * same 4.5 bits a value, and INT8 as FP8. */
static const struct {
    const char *word;
    KDtype type;
    bool anywhere;
} words[] = {
    { "e5m2", K_F8_E5M2, true },   { "fp8", K_F8_E4M3, true },    { "e4m3", K_F8_E4M3, true },
    { "float8", K_F8_E4M3, true }, { "f8", K_F8_E4M3, false },    { "nf4", K_Q4_0, true },
    { "nvfp4", K_Q4_0, true },     { "fp4", K_Q4_0, true },       { "bnb", K_Q4_0, false },
    { "int8", K_F8_E4M3, true },   { "int4", K_Q4_0, true },      { "w4a8", K_Q4_0, true },
    { "iq4_nl", K_IQ4_NL, false }, { "iq4_xs", K_IQ4_XS, false }, { "iq3", K_Q3_K, false },
    { "iq2", K_Q2_K, false },      { "q2_k", K_Q2_K, false },     { "q3_k", K_Q3_K, false },
    { "q4_k", K_Q4_K, false },     { "q5_k", K_Q5_K, false },     { "q6_k", K_Q6_K, false },
    { "q4_0", K_Q4_0, false },     { "q4_1", K_Q4_1, false },     { "q5_0", K_Q5_0, false },
    { "q5_1", K_Q5_1, false },     { "q8_0", K_Q8_0, false },     { "bf16", K_BF16, true },
    { "fp16", K_F16, true },       { "f16", K_F16, false },       { "fp32", K_F32, true },
    { "f32", K_F32, false },
};

/* Whether a part of the name begins at `at`. */
static bool is_start(const char *name, const char *at)
{
    unsigned char before = at > name ? (unsigned char)at[-1] : 0;
    return !isalnum(before) || (islower(before) && isupper((unsigned char)*at));
}

static bool stands_at(const char *at, const char *word)
{
    while (*word && tolower((unsigned char)*at) == *word)
        at++, word++;
    return *word == '\0' && !isdigit((unsigned char)*at);
}

KDtype file_name_dtype(const char *name)
{
    const char *slash = strrchr(name, '/');

    if (slash) name = slash + 1;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (const char *at = name; *at; at++)
            if (stands_at(at, words[i].word) && (words[i].anywhere || is_start(name, at)))
                return words[i].type;
    return K_BF16;
}
