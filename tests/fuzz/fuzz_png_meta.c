/* fuzz_png_meta.c - any bytes as a picture with text; what is added must be found again. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/png_meta.h"

static void add_and_find(const uint8_t *data, size_t size)
{
    static const PngText text = { "weft fuzz", "a text" };
    uint8_t *out = NULL;
    size_t n = 0;
    Meta *m = NULL;
    bool found = false;

    if (png_add_text(data, size, &text, 1, &out, &n, NULL) != OK) return;
    MUST(meta_read(out, n, &m, NULL) == OK);
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->texts[i].key, text.key) == 0 && strcmp(m->texts[i].text, text.text) == 0)
            found = true;
    MUST(found);
    meta_free(m);
    mem_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Meta *m = NULL;

    if (meta_read(data, size, &m, NULL) != OK) return 0;
    for (size_t i = 0; i < m->count; i++) {
        const MetaText *t = &m->texts[i];

        MUST(t->text[t->length] == '\0' && t->key[0] != '\0');
        MUST(str_utf8_error(t->text, t->length) < 0);
        MUST(meta_get(m, t->key));
    }
    meta_free(m);
    add_and_find(data, size);
    return 0;
}
