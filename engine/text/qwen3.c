/* qwen3.c - Qwen3 as the text encoder of FLUX.2 klein. */
#include "engine/text/qwen3.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/text/prompt_rules.h"

static const DecoderDims published_4b = { .vocab = 151936,
                                          .hidden = 2560,
                                          .mlp = 9728,
                                          .heads = 32,
                                          .kv_heads = 8,
                                          .head_dim = 128,
                                          .layers = 36,
                                          .theta = 1e6,
                                          .eps = 1e-6f,
                                          .qk_norm = true,
                                          .final_norm = true,
                                          .mask_pad = 151643,
                                          .capture = { 9, 18, 27 },
                                          .captures = 3 };

void qwen3_published(const char *file_name, DecoderDims *dims, PromptRules *rules)
{
    *dims = published_4b;
    *rules = prompt_rules_klein;
    if (!file_name || !strcasestr(file_name, "8b")) return;
    dims->hidden = 4096;
    dims->mlp = 12288;
}

static Status bad_metadata(const char *key, const char *value, Error *err)
{
    return error_set(err, E_FORMAT, "the text encoder's metadata %s = \"%.60s\" cannot be read",
                     key, value);
}

/* A whole number of the metadata; *out stays when the key is absent. */
static Status read_number(const Weights *w, const char *key, int64_t most, int64_t *out,
                          Error *err)
{
    const char *text = weights_metadata(w, key);
    char *end;
    if (!text) return OK;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || v < 0 || v > most) return bad_metadata(key, text, err);
    *out = v;
    return OK;
}

/* "2,3,4", with or without brackets and blanks. */
static Status read_layers(const Weights *w, DecoderDims *dims, Error *err)
{
    static const char key[] = "weft.layers";
    const char *text = weights_metadata(w, key);
    int count = 0;
    if (!text) return OK;
    for (const char *at = text + strspn(text, "[ "); *at; at += strspn(at, ", ]")) {
        char *end;
        long v = strtol(at, &end, 10);
        if (end == at || v < 0 || v > 4096 || count == DECODER_MAX_CAPTURES)
            return bad_metadata(key, text, err);
        dims->capture[count++] = (int)v;
        at = end;
    }
    if (count == 0) return bad_metadata(key, text, err);
    dims->captures = count;
    return OK;
}

Status qwen3_describe(const Weights *w, DecoderDims *dims, PromptRules *rules, Error *err)
{
    enum { MOST = 1 << 20 };
    const char *template = weights_metadata(w, "weft.template");

    qwen3_published(NULL, dims, rules);
    TRY(decoder_read_dims(w, dims, err));
    int64_t pad = rules->pad;
    TRY(read_layers(w, dims, err));
    TRY(read_number(w, "weft.pad_id", INT32_MAX, &pad, err));
    TRY(read_number(w, "weft.min_length", MOST, &rules->min_length, err));
    dims->mask_pad = rules->pad = (int32_t)pad;
    if (!template) return OK;
    if (!strstr(template, "{}")) return bad_metadata("weft.template", template, err);
    rules->template = template;
    return OK;
}
