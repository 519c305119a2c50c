/* bpe.c - byte-level byte-pair encoding over added tokens, NFC and pre-tokens. */
#include "engine/text/bpe.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/text/tables.h"
#include "engine/text/unicode.h"

typedef struct Bpe {
    Tokenizer base;
    BpeParts parts;
} Bpe;

int32_t bpe_letter_of_byte(unsigned char byte)
{
    if (byte <= 32) return 256 + byte;
    if (byte >= 127 && byte <= 160) return 256 + 33 + (byte - 127);
    return byte == 173 ? 256 + 67 : byte;
}

int bpe_byte_of_letter(int32_t cp)
{
    if (cp >= 256 && cp <= 288) return cp - 256;
    if (cp >= 289 && cp <= 322) return cp - 289 + 127;
    if (cp == 323) return 173;
    bool plain = (cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 255 && cp != 173);
    return plain ? cp : -1;
}

void bpe_parts_fini(BpeParts *parts)
{
    piece_set_fini(&parts->added);
    piece_set_fini(&parts->words);
    for (size_t i = 0; i < sizeof parts->owned / sizeof *parts->owned; i++)
        mem_free(parts->owned[i]);
    *parts = (BpeParts){ 0 };
}

/* Pre-tokens of one section that holds no added token. */
static void encode_section(const Bpe *b, MergeWork *work, const char *text, size_t n, Ids *out)
{
    for (size_t at = 0, end; at < n && !out->failed; at = end) {
        end = pretoken_end(&b->parts.rule, text, n, at);
        int32_t id = -1;
        if (b->parts.whole_words) id = piece_set_find(&b->parts.words, text + at, end - at);
        if (id >= 0)
            ids_add(out, id);
        else
            merges_encode(&b->parts.merges, work, text + at, end - at, -1, out);
    }
}

static void encode_plain(const Bpe *b, MergeWork *work, const char *text, size_t n, Ids *out)
{
    Str normal = { 0 };
    size_t length;

    if (n == 0) return;
    if (!b->parts.nfc && !b->parts.prefix_blank) {
        encode_section(b, work, text, n, out);
        return;
    }
    if (b->parts.prefix_blank && !unicode_is_space(unicode_decode(text, n, &length)))
        str_add_char(&normal, ' ');
    if (b->parts.nfc)
        unicode_nfc(text, n, &normal);
    else
        str_add_n(&normal, text, n);
    if (normal.failed)
        out->failed = true;
    else
        encode_section(b, work, normal.text, normal.length, out);
    str_fini(&normal);
}

static Status bpe_encode(const Tokenizer *t, const char *text, size_t n, Ids *out, Error *err)
{
    const Bpe *b = (const Bpe *)t;
    MergeWork work = { 0 };
    size_t from = 0;

    (void)err; /* out of memory is told by out->failed */
    for (size_t at = 0; at < n && !out->failed;) {
        size_t length = 0;
        int32_t id = piece_set_longest(&b->parts.added, text + at, n - at, &length);
        if (id < 0 || length == 0) {
            at++;
            continue;
        }
        encode_plain(b, &work, text + from, at - from, out);
        ids_add(out, id);
        from = at += length;
    }
    encode_plain(b, &work, text + from, n - from, out);
    merge_work_fini(&work);
    return OK;
}

static void bpe_destroy(void *object)
{
    Bpe *b = object;
    bpe_parts_fini(&b->parts);
    mem_free(b);
}

Status bpe_new(const char *kind, BpeParts *parts, Tokenizer **out, Error *err)
{
    Bpe *b = mem_calloc(1, sizeof *b);
    if (!b) {
        bpe_parts_fini(parts);
        return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    }
    ref_init(&b->base.ref, bpe_destroy);
    b->base.kind = kind;
    b->base.encode = bpe_encode;
    b->parts = *parts;
    *parts = (BpeParts){ 0 };
    *out = &b->base;
    return OK;
}

/* ---- Qwen -------------------------------------------------------------------------------- */

/* In the order of their ids, from 151643. */
enum { QWEN_FIRST_ADDED = 151643 };
static const char *const qwen_added[] = {
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
};

Status bpe_qwen(Tokenizer **out, Error *err)
{
    enum { COUNT = sizeof qwen_added / sizeof *qwen_added };
    BpeParts parts = { .rule = pretoken_qwen, .nfc = true };
    PieceItem items[COUNT];

    TRY(merges_view(weft_table_qwen, weft_table_qwen_end, &parts.merges, err));
    for (int i = 0; i < COUNT; i++)
        items[i] = (PieceItem){ .text = qwen_added[i],
                                .length = (uint32_t)strlen(qwen_added[i]),
                                .id = QWEN_FIRST_ADDED + i };
    if (!piece_set_build(items, COUNT, &parts.added))
        return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    return bpe_new("qwen", &parts, out, err);
}
