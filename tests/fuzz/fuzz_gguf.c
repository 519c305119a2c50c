/* fuzz_gguf.c - any bytes as a GGUF file; all values and data of what it takes must lie inside. */
#include "tests/fuzz/fuzz.h"

#include "engine/formats/gguf.h"

static void look_at_pair(const Gguf *g, const GgufPair *p)
{
    int64_t v;
    const char *text = NULL;
    size_t length = 0;

    MUST(gguf_find(g, p->key));
    (void)gguf_integer(p, 0, &v);
    if (p->count > 0) (void)gguf_integer(p, p->count - 1, &v);
    if (gguf_text(p, &text, &length) && length > 0) MUST(text[length - 1] || 1);
    MUST(p->array || gguf_print(g, p));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Gguf *g = NULL;

    if (gguf_parse(data, size, &g, NULL) != OK) return 0;
    for (size_t i = 0; i < g->pair_count; i++)
        look_at_pair(g, &g->pairs[i]);
    for (size_t i = 0; i < g->tensor_count; i++) {
        const GgufTensor *t = &g->tensors[i];

        MUST(t->data >= data && t->data <= data + size &&
             t->size <= (size_t)(data + size - t->data));
    }
    gguf_free(g);
    return 0;
}
