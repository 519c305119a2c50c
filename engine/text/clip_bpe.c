/* clip_bpe.c - the byte-pair encoding of CLIP: lower case, words with an end mark. */
#include "engine/text/clip_bpe.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/text/bpe.h"
#include "engine/text/tables.h"
#include "engine/text/unicode.h"

enum { CLIP_START = 49406, CLIP_END = 49407 };

typedef struct Clip {
    Tokenizer base;
    Merges merges;
} Clip;

/* First and last code point of each block of CJK ideographs. */
static const int32_t cjk_blocks[][2] = { { 0x4E00, 0x9FFF },   { 0x3400, 0x4DBF },
                                         { 0x20000, 0x2A6DF }, { 0x2A700, 0x2B73F },
                                         { 0x2B740, 0x2B81F }, { 0x2B820, 0x2CEAF },
                                         { 0xF900, 0xFAFF },   { 0x2F800, 0x2FA1F } };

static bool is_ideograph(int32_t cp)
{
    if (cp < 0x3400) return false;
    for (size_t i = 0; i < sizeof cjk_blocks / sizeof *cjk_blocks; i++)
        if (cp >= cjk_blocks[i][0] && cp <= cjk_blocks[i][1]) return true;
    return false;
}

/* Length of a special token at text, and its id; 0 when none stands there. */
static size_t special_at(const char *text, size_t n, int32_t *id)
{
    static const char start[] = "<|startoftext|>", end[] = "<|endoftext|>";
    if (n >= sizeof start - 1 && memcmp(text, start, sizeof start - 1) == 0) {
        *id = CLIP_START;
        return sizeof start - 1;
    }
    if (n >= sizeof end - 1 && memcmp(text, end, sizeof end - 1) == 0) {
        *id = CLIP_END;
        return sizeof end - 1;
    }
    return 0;
}

/* Controls out, white space to blanks, ideographs between blanks. */
static void clean(const char *text, size_t n, Str *out)
{
    for (size_t at = 0, length; at < n; at += length) {
        int32_t cp = unicode_decode(text + at, n - at, &length);
        if (cp == '\t' || cp == '\n' || cp == '\r')
            str_add_char(out, ' ');
        else if (cp == 0xFFFD || unicode_is_control(cp))
            continue;
        else if (unicode_is_space(cp))
            str_add_char(out, ' ');
        else if (is_ideograph(cp)) {
            str_add_char(out, ' ');
            str_add_n(out, text + at, length);
            str_add_char(out, ' ');
        } else
            str_add_n(out, text + at, length);
    }
}

/* Each word in lower case, joined by single blanks. */
static void lower_words(const char *text, size_t n, Str *out)
{
    for (size_t at = 0; at < n;) {
        const char *blank = memchr(text + at, ' ', n - at);
        size_t end = blank ? (size_t)(blank - text) : n;
        if (end > at) {
            if (out->length) str_add_char(out, ' ');
            unicode_lower(text + at, end - at, out);
        }
        at = end + 1;
    }
}

/* As the reference's pattern sees it: U+0345 is a mark whose upper case is a letter, which its
 * case-insensitive classes leave out, so that it falls away like a blank. */
static CharClass class_of(int32_t cp)
{
    return cp == 0x345 ? CHAR_SPACE : unicode_class(cp);
}

/* End of the word at `at`, which is no white space: contraction, letters, one number, or a run
 * of the rest. */
static size_t word_end(const char *text, size_t n, size_t at)
{
    size_t length;
    if (text[at] == '\'') {
        size_t k = pretoken_contraction(text, n, at, true);
        if (k) return at + k;
    }
    CharClass kind = class_of(unicode_decode(text + at, n - at, &length));
    size_t end = at + length;
    if (kind == CHAR_NUMBER) return end;
    while (end < n && class_of(unicode_decode(text + end, n - end, &length)) == kind)
        end += length;
    return end;
}

static void encode_words(const Clip *c, MergeWork *work, const char *text, size_t n, Ids *out)
{
    size_t length;
    for (size_t at = 0; at < n && !out->failed;) {
        int32_t id, cp = unicode_decode(text + at, n - at, &length);
        size_t end = at + special_at(text + at, n - at, &id);
        if (end > at)
            ids_add(out, id);
        else if (class_of(cp) == CHAR_SPACE)
            end = at + length;
        else {
            end = word_end(text, n, at);
            merges_encode(&c->merges, work, text + at, end - at, CLIP_END, out);
        }
        at = end;
    }
}

static void encode_section(const Clip *c, MergeWork *work, const char *text, size_t n, Ids *out)
{
    Str cleaned = { 0 }, composed = { 0 }, lower = { 0 };

    if (n == 0) return;
    clean(text, n, &cleaned);
    if (cleaned.length) unicode_nfc(cleaned.text, cleaned.length, &composed);
    if (composed.length) lower_words(composed.text, composed.length, &lower);
    if (cleaned.failed || composed.failed || lower.failed)
        out->failed = true;
    else if (lower.length)
        encode_words(c, work, lower.text, lower.length, out);
    str_fini(&cleaned);
    str_fini(&composed);
    str_fini(&lower);
}

static Status clip_encode(const Tokenizer *t, const char *text, size_t n, Ids *out, Error *err)
{
    const Clip *c = (const Clip *)t;
    MergeWork work = { 0 };
    size_t from = 0;

    (void)err; /* out of memory is told by out->failed */
    for (size_t at = 0; at < n && !out->failed;) {
        int32_t id;
        size_t length = text[at] == '<' ? special_at(text + at, n - at, &id) : 0;
        if (length == 0) {
            at++;
            continue;
        }
        encode_section(c, &work, text + from, at - from, out);
        ids_add(out, id);
        from = at += length;
    }
    encode_section(c, &work, text + from, n - from, out);
    merge_work_fini(&work);
    return OK;
}

/* Vocabulary entries are written in letters that stand for bytes; every entry is what its bytes
 * merge to. */
static int32_t clip_whole_word(const Tokenizer *t, const char *text, size_t n)
{
    enum { LONGEST = 64 }; /* no entry is longer */
    const Clip *c = (const Clip *)t;
    char bytes[LONGEST];
    size_t count = 0, length;
    MergeWork work = { 0 };
    Ids ids = { 0 };

    for (size_t at = 0; at < n; at += length) {
        int byte = bpe_byte_of_letter(unicode_decode(text + at, n - at, &length));
        if (byte < 0 || count == LONGEST) return -1;
        bytes[count++] = (char)byte;
    }
    merges_encode(&c->merges, &work, bytes, count, CLIP_END, &ids);
    int32_t id = ids.count == 1 && !ids.failed ? ids.at[0] : -1;
    merge_work_fini(&work);
    ids_fini(&ids);
    return id;
}

static void clip_destroy(void *object)
{
    mem_free(object);
}

Status clip_bpe(Tokenizer **out, Error *err)
{
    Merges merges;
    TRY(merges_view(weft_table_clip, weft_table_clip_end, &merges, err));
    Clip *c = mem_calloc(1, sizeof *c);
    if (!c) return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    ref_init(&c->base.ref, clip_destroy);
    c->base.kind = "clip";
    c->base.encode = clip_encode;
    c->base.whole_word = clip_whole_word;
    c->merges = merges;
    *out = &c->base;
    return OK;
}
