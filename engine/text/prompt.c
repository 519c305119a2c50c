/* prompt.c - from a prompt to token sections: weights, embeddings, padding. */
#include "engine/text/prompt.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/text/unicode.h"
#include "engine/text/weights.h"

static const char embedding_mark[] = "embedding:";
enum { MARK = sizeof embedding_mark - 1 };
enum { LONG_PART = 8 }; /* a part of this many tokens may be cut at the end of a section */

/* A prompt under way: parts first, all their tokens one behind the other, then sections. */
typedef struct Builder {
    const Tokenizer *tokenizer;
    const PromptRules *rules;
    PromptFindFn find;
    void *user;
    Prompt *prompt;
    PromptToken *tokens; /* owned; of all parts, in order */
    size_t token_count, token_capacity;
    size_t *parts; /* owned; end of each part in tokens */
    size_t part_count, part_capacity;
    size_t laid_capacity, section_capacity; /* of prompt->tokens, prompt->sections */
    Error *err;
} Builder;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory for the tokens of a prompt");
}

/* Makes room for one more item of an array that doubles. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 32;
    void *more = mem_realloc(*items, wanted * size);
    if (!more) return false;
    *items = more;
    *capacity = wanted;
    return true;
}

/* ---- parts ------------------------------------------------------------------------------- */

static Status add_token(Builder *b, PromptToken token)
{
    void *items = b->tokens;
    if (!grow(&items, b->token_count, &b->token_capacity, sizeof token))
        return no_memory(b->err);
    b->tokens = items;
    token.word = (int32_t)b->part_count + 1;
    b->tokens[b->token_count++] = token;
    return OK;
}

static Status end_part(Builder *b)
{
    void *items = b->parts;
    if (!grow(&items, b->part_count, &b->part_capacity, sizeof *b->parts))
        return no_memory(b->err);
    b->parts = items;
    b->parts[b->part_count++] = b->token_count;
    return OK;
}

static Status add_text(Builder *b, const char *text, size_t n, double weight)
{
    Ids ids = { 0 };
    Status status = OK;
    const char *end_text = b->rules->end_text;
    int32_t whole = -1;

    if (end_text && strlen(end_text) == n && memcmp(end_text, text, n) == 0)
        whole = b->rules->end;
    else if (b->tokenizer->whole_word)
        whole = b->tokenizer->whole_word(b->tokenizer, text, n);
    if (whole >= 0)
        ids_add(&ids, whole);
    else
        TRY_DONE(tokenizer_encode(b->tokenizer, text, n, &ids, b->err));
    if (ids.failed) {
        status = no_memory(b->err);
        goto done;
    }
    for (size_t i = 0; i < ids.count; i++)
        TRY_DONE(
            add_token(b, (PromptToken){ .id = ids.at[i], .embedding = -1, .weight = weight }));
    status = end_part(b);

done:
    ids_fini(&ids);
    return status;
}

/* ---- embeddings -------------------------------------------------------------------------- */

/* Keeps the object in the prompt and adds a token per row. */
static Status add_embedding(Builder *b, PromptEmbedding found, double weight)
{
    Prompt *p = b->prompt;
    PromptEmbedding *more = mem_realloc(p->embeddings, (p->embedding_count + 1) * sizeof *more);
    if (!more) {
        ref_drop(found.object);
        return no_memory(b->err);
    }
    p->embeddings = more;
    p->embeddings[p->embedding_count] = found;
    int32_t index = (int32_t)p->embedding_count++;
    for (int64_t row = 0; row < found.rows; row++)
        TRY(add_token(
            b, (PromptToken){ .id = -1, .embedding = index, .row = row, .weight = weight }));
    return end_part(b);
}

static Status note_missing(Builder *b, const char *name)
{
    Prompt *p = b->prompt;
    char **more = mem_realloc(p->missing, (p->missing_count + 1) * sizeof *more);
    if (!more) return no_memory(b->err);
    p->missing = more;
    more[p->missing_count] = mem_strdup(name);
    if (!more[p->missing_count]) return no_memory(b->err);
    p->missing_count++;
    return OK;
}

/* Copies the words of text (split at white space) from the one numbered `first`, joined by
 * blanks. */
static void join_words(const char *text, size_t n, size_t first, size_t most, Str *out)
{
    size_t word = 0, written = 0;
    bool inside = false;
    for (size_t at = 0, length; at < n; at += length) {
        int32_t cp = unicode_decode(text + at, n - at, &length);
        bool space = unicode_is_space(cp) || (cp >= 0x1C && cp <= 0x1F);
        if (space) {
            word += inside;
            inside = false;
            continue;
        }
        bool wanted = word >= first && word - first < most;
        if (!inside && wanted && written++) str_add_char(out, ' ');
        inside = true;
        if (wanted) str_add_n(out, text + at, length);
    }
}

/* Bytes of the first `count` characters. */
static size_t bytes_of_chars(const char *text, size_t n, size_t count)
{
    size_t at = 0, length;
    for (; count && at < n; count--, at += length)
        unicode_decode(text + at, n - at, &length);
    return at;
}

static size_t count_chars(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t at = 0, length; at < n; at += length, count++)
        unicode_decode(text + at, n - at, &length);
    return count;
}

/* The name without its commas at both ends; what the commas displaced goes before `rest`. The
 * reference counts the characters that are left and drops as many from the front of the name,
 * so leading commas swallow letters. */
static void strip_commas(Str *name, Str *rest)
{
    size_t first = 0, last = name->length;
    while (first < last && name->text[first] == ',')
        first++;
    while (last > first && name->text[last - 1] == ',')
        last--;
    if (last - first == name->length) return;

    Str joined = { 0 }, bare = { 0 };
    size_t kept = count_chars(name->text + first, last - first);
    size_t from = bytes_of_chars(name->text, name->length, kept);
    str_add_n(&joined, name->text + from, name->length - from);
    str_add_char(&joined, ' ');
    if (rest->length) str_add_n(&joined, rest->text, rest->length);
    str_add_n(&bare, name->text + first, last - first);
    str_fini(name);
    str_fini(rest);
    *name = bare;
    *rest = joined;
}

static Status look_up(Builder *b, const Str *name, PromptEmbedding *found)
{
    *found = (PromptEmbedding){ 0 };
    if (name->failed) return no_memory(b->err);
    if (name->length == 0 || strlen(name->text) != name->length) return OK;
    return b->find(b->user, name->text, found, b->err);
}

/* A part that begins with the mark: looks the name up, then goes on with what is behind it. */
static Status add_named(Builder *b, const char *text, size_t n, double weight)
{
    Str name = { 0 }, asked = { 0 }, rest = { 0 };
    PromptEmbedding found;
    Status status = OK;

    join_words(text + MARK, n - MARK, 0, 1, &name);
    join_words(text + MARK, n - MARK, 1, SIZE_MAX, &rest);
    if (name.length) str_add_n(&asked, name.text, name.length);
    TRY_DONE(look_up(b, &name, &found));
    if (!found.object && name.length) {
        strip_commas(&name, &rest);
        TRY_DONE(look_up(b, &name, &found));
    }
    if (name.failed || rest.failed || asked.failed) {
        ref_drop(found.object);
        status = no_memory(b->err);
        goto done;
    }
    if (found.object)
        TRY_DONE(add_embedding(b, found, weight));
    else if (asked.length)
        TRY_DONE(note_missing(b, asked.text));
    if (rest.length) TRY_DONE(add_text(b, rest.text, rest.length, weight));

done:
    str_fini(&name);
    str_fini(&asked);
    str_fini(&rest);
    return status;
}

static Status add_part(Builder *b, const char *text, size_t n, double weight)
{
    if (n == 0) return OK;
    if (b->find && n >= MARK && memcmp(text, embedding_mark, MARK) == 0)
        return add_named(b, text, n, weight);
    return add_text(b, text, n, weight);
}

/* Start of the next mark with its blank or line end before it, or n. */
static size_t next_mark(const char *text, size_t n, size_t at)
{
    while (at + MARK < n) {
        const char *hit = memmem(text + at + 1, n - at - 1, embedding_mark, MARK);
        if (!hit) return n;
        size_t mark = (size_t)(hit - text);
        if (text[mark - 1] == ' ' || text[mark - 1] == '\n') return mark - 1;
        at = mark;
    }
    return n;
}

/* One weighted piece, brackets restored: cut where an embedding is named. */
static Status add_piece(Builder *b, const char *text, size_t n, double weight)
{
    size_t at = 0;
    for (;;) {
        size_t end = next_mark(text, n, at);
        TRY(add_part(b, text + at, end - at, weight));
        if (end >= n) return OK;
        at = end + 1;
    }
}

/* ---- sections ---------------------------------------------------------------------------- */

static Status lay(Builder *b, PromptToken token)
{
    Prompt *p = b->prompt;
    void *items = p->tokens;
    if (!grow(&items, p->count, &b->laid_capacity, sizeof token)) return no_memory(b->err);
    p->tokens = items;
    p->tokens[p->count++] = token;
    p->sections[p->section_count - 1].count++;
    if (token.weight != 1.0) p->weighted = true;
    return OK;
}

static Status lay_id(Builder *b, int32_t id, size_t times)
{
    PromptToken token = { .id = id, .embedding = -1, .weight = 1.0 };
    for (size_t i = 0; i < times; i++)
        TRY(lay(b, token));
    return OK;
}

static Status open_section(Builder *b)
{
    Prompt *p = b->prompt;
    void *items = p->sections;
    if (!grow(&items, p->section_count, &b->section_capacity, sizeof *p->sections))
        return no_memory(b->err);
    p->sections = items;
    p->sections[p->section_count++] = (PromptSection){ .first = p->count };
    return b->rules->start >= 0 ? lay_id(b, b->rules->start, 1) : OK;
}

static Status close_section(Builder *b)
{
    return b->rules->end >= 0 ? lay_id(b, b->rules->end, 1) : OK;
}

/* Pads the last section; on the left its tokens move up. */
static Status pad_section(Builder *b, size_t times)
{
    Prompt *p = b->prompt;
    PromptSection *last = &p->sections[p->section_count - 1];
    size_t old = last->count;
    TRY(lay_id(b, b->rules->pad, times));
    if (!b->rules->pad_left || times == 0) return OK;
    PromptToken *at = p->tokens + last->first, pad = at[old];
    memmove(at + times, at, old * sizeof *at);
    for (size_t i = 0; i < times; i++)
        at[i] = pad;
    return OK;
}

/* The tokens of one part: over the end of a section a long part is cut, a short one moves to
 * the next. */
static Status lay_part(Builder *b, const PromptToken *tokens, size_t n)
{
    const Prompt *p = b->prompt;
    size_t limit = b->rules->max_length ? (size_t)b->rules->max_length : SIZE_MAX / 2;
    size_t room_for_end = b->rules->end >= 0;
    bool is_long = n >= LONG_PART;

    while (n) {
        size_t used = p->sections[p->section_count - 1].count;
        if (n + used <= limit - room_for_end) {
            for (size_t i = 0; i < n; i++)
                TRY(lay(b, tokens[i]));
            return OK;
        }
        size_t left = limit - used - room_for_end;
        if (is_long) {
            for (size_t i = 0; i < left; i++)
                TRY(lay(b, tokens[i]));
            tokens += left;
            n -= left;
            TRY(close_section(b));
        } else {
            TRY(close_section(b));
            if (b->rules->pad_to_max) TRY(pad_section(b, left));
        }
        TRY(open_section(b));
    }
    return OK;
}

static Status lay_sections(Builder *b)
{
    size_t first = 0;
    TRY(open_section(b));
    for (size_t i = 0; i < b->part_count; i++) {
        TRY(lay_part(b, b->tokens + first, b->parts[i] - first));
        first = b->parts[i];
    }
    TRY(close_section(b));
    size_t length = b->prompt->sections[b->prompt->section_count - 1].count;
    size_t wanted = b->rules->min_length > 0 ? (size_t)b->rules->min_length : 0;
    if (b->rules->pad_to_max && (size_t)b->rules->max_length > wanted)
        wanted = (size_t)b->rules->max_length;
    return length < wanted && b->rules->pad >= 0 ? pad_section(b, wanted - length) : OK;
}

/* ---- the whole --------------------------------------------------------------------------- */

static void prompt_destroy(void *object)
{
    Prompt *p = object;
    for (size_t i = 0; i < p->embedding_count; i++)
        ref_drop(p->embeddings[i].object);
    for (size_t i = 0; i < p->missing_count; i++)
        mem_free(p->missing[i]);
    mem_free(p->tokens);
    mem_free(p->sections);
    mem_free(p->embeddings);
    mem_free(p->missing);
    mem_free(p);
}

/* The prompt put into the template, with escaped brackets. */
static void fill_template(const char *template, const char *text, size_t n, Str *out)
{
    const char *hole = template ? strstr(template, "{}") : NULL;
    Str whole = { 0 };
    if (!hole) {
        weights_escape(text, n, out);
        return;
    }
    str_add_n(&whole, template, (size_t)(hole - template));
    str_add_n(&whole, text, n);
    str_add(&whole, hole + 2);
    if (whole.failed)
        out->failed = true;
    else
        weights_escape(whole.text, whole.length, out);
    str_fini(&whole);
}

static Status add_pieces(Builder *b, const char *escaped, const WeightedPieces *pieces)
{
    Str plain = { 0 };
    Status status = OK;
    for (size_t i = 0; i < pieces->count; i++) {
        const WeightedPiece *piece = &pieces->at[i];
        str_clear(&plain);
        weights_restore(escaped + piece->first, piece->count, &plain);
        if (plain.failed)
            status = no_memory(b->err);
        else
            status = add_piece(b, plain.text, plain.length, piece->weight);
        if (status != OK) break;
    }
    str_fini(&plain);
    return status;
}

static Status build(Builder *b, const char *text, size_t n)
{
    Str escaped = { 0 };
    WeightedPieces pieces = { 0 };
    WeightedPiece whole = { .weight = 1.0 };
    Status status = OK;

    fill_template(b->rules->template, text, n, &escaped);
    if (escaped.failed) {
        status = no_memory(b->err);
        goto done;
    }
    whole.count = escaped.length;
    WeightedPieces single = { .at = &whole, .count = escaped.length != 0 };
    if (b->rules->weights)
        TRY_DONE(weights_split(escaped.text, escaped.length, &pieces, b->err));
    TRY_DONE(add_pieces(b, escaped.text, b->rules->weights ? &pieces : &single));
    status = lay_sections(b);

done:
    str_fini(&escaped);
    mem_free(pieces.at);
    return status;
}

Status prompt_tokenize(const Tokenizer *t, const PromptRules *rules, PromptFindFn find,
                       void *user, const char *text, size_t n, Prompt **out, Error *err)
{
    Prompt *p = mem_calloc(1, sizeof *p);
    if (!p) return no_memory(err);
    ref_init(&p->ref, prompt_destroy);
    Builder b = {
        .tokenizer = t, .rules = rules, .find = find, .user = user, .prompt = p, .err = err
    };
    Status status = build(&b, text, n);
    mem_free(b.tokens);
    mem_free(b.parts);
    if (status == OK)
        *out = p;
    else
        prompt_unref(p);
    return status;
}
