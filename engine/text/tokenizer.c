/* tokenizer.c - the list of ids, and the way into every tokenizer. */
#include "engine/text/tokenizer.h"

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/text/unicode.h"

void ids_add(Ids *ids, int32_t id)
{
    if (ids->failed) return;
    if (ids->count == ids->capacity) {
        size_t capacity = ids->capacity ? ids->capacity * 2 : 64;
        int32_t *at = mem_realloc(ids->at, capacity * sizeof *at);
        if (!at) {
            ids->failed = true;
            return;
        }
        ids->at = at;
        ids->capacity = capacity;
    }
    ids->at[ids->count++] = id;
}

void ids_fini(Ids *ids)
{
    mem_free(ids->at);
    *ids = (Ids){ 0 };
}

Status tokenizer_encode(const Tokenizer *t, const char *text, size_t n, Ids *out, Error *err)
{
    Str clean = { 0 };
    Status status = OK;

    if (str_utf8_error(text, n) >= 0) {
        unicode_repair(text, n, &clean);
        if (clean.failed) {
            status = error_set(err, E_NOMEM, "out of memory for a prompt of %zu bytes", n);
            goto done;
        }
        text = clean.text;
        n = clean.length;
    }
    TRY_DONE(t->encode(t, text, n, out, err));
    if (out->failed)
        status = error_set(err, E_NOMEM, "out of memory for a prompt of %zu bytes", n);

done:
    str_fini(&clean);
    return status;
}
